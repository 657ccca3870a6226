package sim

import (
	"math"
	"time"

	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/receiver"
	"noonmark/refclock/report"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// Loop is an engine on a virtual appliance in virtual time: the daemon's own
// code, without its goroutines. It is for one goroutine.
type Loop struct {
	App    *Appliance
	Site   *site.Site
	Engine *refclock.Engine // of the site
	Snap   status.Snapshot  // latest published

	// Before is called, if set, before anything happens at a new instant: then
	// Snap is as old as a reader ever sees it.
	Before func(mono int64)

	restart func() error // makes Site anew
	stopped bool         // the program does not run
	now     int64
	event   Event
	baud    int // of the port; 0: it has none
	tickAt  int64
	actions []Action
}

// Action is something that is done to the appliance, since the start.
type Action struct {
	At time.Duration
	Do func(*Loop)
}

// tick is how often the engine is called when nothing happens, as Run does.
const tick = int64(200 * time.Millisecond)

// NewLoop returns a loop of an appliance and an engine. Of the engine's
// configuration Mono, Open and Publish are filled in.
func NewLoop(cfg Config, eng refclock.Config, actions ...Action) (*Loop, error) {
	l := &Loop{now: cfg.Clock.Mono0, tickAt: cfg.Clock.Mono0, actions: actions}
	var err error
	if l.App, err = New(l.Mono, cfg); err != nil {
		return nil, err
	}
	eng.Mono = l.Mono
	eng.Open = func() (clock.Device, error) {
		if _, err := l.App.Clock.Cross(); err != nil {
			return nil, err
		}
		return l.App.Clock, nil
	}
	publish := eng.Publish
	eng.Publish = func(s *status.Snapshot) {
		l.Snap = *s
		if publish != nil {
			publish(s)
		}
	}
	if x := cfg.Sensor; x != nil {
		s := newSensor(x, &cfg.Clock)
		eng.Temperature = func() (float64, int64) { return s.at(l.now - cfg.Clock.Mono0), l.now }
	}
	if eng.Kind == status.NoClock {
		eng.Kind = status.SimClock
	}
	read := cfg.Decode
	if read.NotBefore.IsZero() {
		read.NotBefore = cfg.Clock.Truth.UTC(37).AddDate(-1, 0, 0)
	}
	l.restart = func() (err error) {
		if l.Engine != nil {
			if x := l.Engine.Report().Learned; x.OK {
				eng.Learned = x
			}
			eng.Continued = eng.Continued || l.Snap.RefTime != 0
			eng.Before = nil
			if s := l.Snap; eng.Slept == nil || !s.SleptSince(eng.Slept()) {
				st := l.Status()
				eng.Before, eng.BeforeLock = refclock.Inherit(&s, &eng), report.NewLockDetails(st, &l.Engine.Report().Leap)
			}
		}
		l.Site, err = site.New(site.Config{Engine: eng, Receiver: receiver.Config{Decode: read, Rates: cfg.Rates}, Pulse: l.App.Pulse(), Recorder: cfg.Recorder, Witnesses: cfg.Witnesses})
		if err != nil {
			return err
		}
		l.Engine = l.Site.Engine
		if len(cfg.Rates) > 0 {
			l.baud = cfg.Rates[0]
		}
		l.Site.Receiver.Start(false)
		l.Site.EnablePulse(l.App.Grant())
		return nil
	}
	l.event = l.App.Next()
	return l, l.restart()
}

// Restart stops the program, if it was not stopped, and starts it again. The clock
// runs on, and readers see what was published last until the new one publishes. It is
// not for a loop that is recorded.
func (l *Loop) Restart() error {
	l.stopped = false
	return l.restart()
}

// Stop stops the program, until Restart. What comes from the receiver is lost.
func (l *Loop) Stop() { l.stopped = true }

// Mono is the virtual CLOCK_MONOTONIC_RAW.
func (l *Loop) Mono() int64 { return l.now }

// Since returns the virtual time since the start.
func (l *Loop) Since() time.Duration { return time.Duration(l.now - l.App.cfg.Clock.Mono0) }

// Run lets virtual time pass until the given time since the start.
func (l *Loop) Run(until time.Duration) {
	end := l.App.cfg.Clock.Mono0 + int64(until)
	for {
		t := min(l.tickAt, l.event.Mono)
		if len(l.actions) > 0 {
			t = min(t, l.App.cfg.Clock.Mono0+int64(l.actions[0].At))
		}
		if t > end {
			l.to(end)
			return
		}
		l.to(t)
		switch {
		case len(l.actions) > 0 && t == l.App.cfg.Clock.Mono0+int64(l.actions[0].At):
			l.actions[0].Do(l)
			l.actions = l.actions[1:]
		case t == l.event.Mono:
			switch {
			case l.stopped: // nobody reads it
			case l.event.IsEdge():
				l.App.Deliver(l.event, t, l.Site)
			default:
				l.read(t)
			}
			l.event = l.App.Next()
		default:
			if !l.stopped {
				l.Engine.Tick()
			}
			l.tickAt += tick
		}
	}
}

// read gives the program the octets of the event, as its port reads them.
func (l *Loop) read(now int64) {
	data := l.event.Data
	if l.event.baud != 0 && l.baud != 0 {
		data = carry(data, l.event.baud, l.baud)
	}
	l.Site.Read(data, now)
	for _, o := range l.Site.Receiver.Orders() {
		if o.Baud != 0 {
			l.baud = o.Baud
		}
	}
}

func (l *Loop) to(mono int64) {
	if l.Before != nil && mono > l.now {
		l.now = mono
		l.Before(mono)
	}
	l.now = mono
}

// Row is one second of a run.
type Row struct {
	T          float64 // s since the start
	TrueNS     float64 // clock minus truth, + = fast, before the correction at T
	MeasuredNS float64 // as the discipline accepted it, NaN if it did not
	FreqPPB    float64
	State      status.State
	Reason     string
	Stratum    uint8
	Usable     bool          // clients read "synchronised"
	Bound      time.Duration // of ServedNS, the largest Duration when nothing is claimed
	ClockBound time.Duration // of TrueNS: the same without the error of reading the clock
	ServedNS   float64       // error of a reader of the snapshot, TAI
	UTCNS      int64         // the same of UTC: it contains a wrong TAI-UTC
}

// Outside reports whether the true error was outside the published bound, of the
// clock or of the time that clients get.
func (r *Row) Outside() bool {
	return math.Abs(r.ServedNS) > float64(r.Bound) || math.Abs(r.TrueNS) > float64(r.ClockBound)
}

// Rows runs the loop and calls emit for every full second.
func (l *Loop) Rows(d time.Duration, emit func(Row)) {
	l.RowsWhile(d, func(r Row) bool { emit(r); return true })
}

// RowsWhile runs the loop and calls emit for every full second until it returns
// false.
func (l *Loop) RowsWhile(d time.Duration, emit func(Row) bool) {
	for k := 1; ; k++ {
		at := time.Duration(k) * time.Second
		if at > d {
			return
		}
		l.Run(at - 1) // what happens at the second itself comes after the row
		l.to(l.App.cfg.Clock.Mono0 + int64(at))
		s := &l.Snap
		r := Row{T: at.Seconds(), TrueNS: l.App.Clock.Error(l.now), MeasuredNS: math.NaN(), FreqPPB: s.FreqPPB, State: s.State, Reason: s.Reason, Stratum: s.Stratum, Usable: s.Usable(l.now), Bound: s.BoundAt(l.now)}
		c := *s
		c.LineErr = 0
		r.ClockBound = c.BoundAt(l.now)
		truth := l.App.Clock.True(l.now)
		served := s.ClockAt(l.now).Sub(truth)
		r.ServedNS = float64(served)
		// Both offsets are those of the true instant: a clock that is some ns off
		// is not a second off at a leap second.
		r.UTCNS = int64(served) + int64(l.App.table.Offset(truth)-s.OffsetAt(truth))*1e9
		was := l.Engine.Report().Discipline.PulseMono
		l.Run(at + 500*time.Millisecond)
		if st := &l.Engine.Report().Discipline; st.PulseMono != was {
			r.MeasuredNS = st.OffsetNS
		}
		if !emit(r) {
			return
		}
	}
}

// Feed gives the program bytes as if the receiver had sent them now.
func (l *Loop) Feed(b []byte) { l.Site.Read(b, l.now) }

// Status returns the discipline's state.
func (l *Loop) Status() *discipline.Status { return &l.Engine.Report().Discipline }
