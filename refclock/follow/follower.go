// Package follow makes other clocks of the machine follow the disciplined one:
// the system clock and further PHCs.
package follow

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/incident"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
	"noonmark/refclock/steer"
)

const (
	// tick is how often Run calls Tick.
	tick = 200 * time.Millisecond
	// learnEvery is how often what was learned is copied for those who keep it.
	learnEvery = time.Second
	// wanderPPB is what CLOCK_MONOTONIC_RAW may wander against the clock while
	// nobody compares them.
	wanderPPB = 5
)

// Config describes a Follower. Mono, Reference and one of Open and System are
// required.
type Config struct {
	Name      string
	Kind      status.ClockKind
	Mono      func() int64            // CLOCK_MONOTONIC_RAW, ns
	Suspended func() time.Duration    // how long the machine was suspended; nil: never
	Open      clock.Opener            // called until it succeeds, and again after the clock vanished
	System    *clock.System           // the system clock; Open is then used for Observe only
	Reference func() *status.Snapshot // the clock to be followed; the snapshot is not changed afterwards
	Observe   bool                    // only compare, steer nothing
	Steps     Steps

	// Discipline: StepOver is the offset beyond which the clock is stepped instead
	// of slewed, where a step is allowed. Zero fields have defaults that suit the
	// kind of clock.
	Discipline discipline.Config
	Learned    discipline.Learned // of an earlier run, if OK
	Log        *slog.Logger
}

// fill checks the configuration and fills in defaults.
func (cfg *Config) fill() error {
	if cfg.Mono == nil || cfg.Reference == nil || cfg.Open == nil && cfg.System == nil {
		return errors.New("follower needs Mono, Reference and Open or System")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("follower", cfg.Name)
	d := &cfg.Discipline
	if cfg.Kind == status.SystemClock && d.StepOver == 0 {
		d.StepOver = time.Millisecond
	}
	if cfg.Kind == status.SystemClock && d.Systematic == 0 {
		d.Systematic = 100 * time.Nanosecond // of a reading: an interrupt shifts both ends of a bracket
	}
	if cfg.Steps == StepNever {
		d.StepOver = 499 * time.Millisecond // whole seconds cannot be slewed
	}
	if d.SlewWithin == 0 {
		d.SlewWithin = max(10*d.StepOver, time.Millisecond)
	}
	if d.MaxSlewPPB == 0 {
		d.MaxSlewPPB = 400e3
	}
	if d.Limit == 0 {
		d.Limit = 10 * time.Millisecond // beyond it the kernel gets "not synchronised"
	}
	return d.Check()
}

// Follower makes another clock of the machine follow the disciplined one. Its
// pulses and labels are the full seconds of the published model, so that it
// measures, gates, steps and bounds its error as the discipline of the first
// clock does. Tick is for one goroutine; Stats for any.
type Follower struct {
	cfg       Config
	loop      *steer.Loop
	incidents *incident.Log
	observer  *observer // nil: the clock is steered

	ref struct {
		begun      bool // it was usable once
		unusable   bool // the discipline has the alarm
		generation uint32
		second     tai.Time // the last that was fed
	}
	state struct {
		state  status.State
		reason string
		logged bool
	}
	kernel struct { // updates of the system clock's quality
		at    int64
		count uint64
	}
	locked    bool // the clock was locked once
	learned   discipline.Learned
	learnedAt int64
	snap      status.Snapshot
	stats     atomic.Pointer[Stats]
}

// Stats is a copy of a Follower's state.
type Stats struct {
	Snapshot   status.Snapshot
	Discipline discipline.Status
	Learned    discipline.Learned // to be kept for the next run; OK is false while there is nothing
	Counts     [reason.Count]uint64

	OffsetNS   float64 // clock - reference now, + = clock fast
	Compared   bool    // OffsetNS means something
	Bound      time.Duration
	Observed   bool // nothing is steered: Snapshot and Discipline mean nothing
	Contested  bool // another program steers the clock
	ToldKernel uint64
}

// New returns a Follower. Nothing is opened yet.
func New(cfg Config) (*Follower, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	f := &Follower{cfg: cfg, incidents: incident.New(cfg.Mono, cfg.Log)}
	if cfg.Observe {
		f.observer = &observer{cfg: &f.cfg, incidents: f.incidents}
	}
	f.loop = steer.New(clock.Config{Mono: cfg.Mono, Suspended: cfg.Suspended, Open: f.open, System: cfg.Kind == status.SystemClock}, cfg.Discipline, cfg.Learned)
	f.stats.Store(&Stats{})
	return f, nil
}

// Name returns the clock's name as configured.
func (f *Follower) Name() string { return f.cfg.Name }

// Stats returns the latest state.
func (f *Follower) Stats() *Stats { return f.stats.Load() }

// String names the task in logs.
func (f *Follower) String() string { return "follower " + f.cfg.Name }

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	defer f.close()
	for {
		f.Tick()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func (f *Follower) close() {
	f.loop.Clock.Close()
	if f.observer != nil {
		f.observer.close()
	}
}

// Tick does what is due. It is to be called about five times a second.
func (f *Follower) Tick() {
	ref, now := f.cfg.Reference(), f.cfg.Mono()
	usable := ref.Usable(now)
	if f.observer != nil {
		f.stats.Store(f.observer.compare(ref, now, usable))
		return
	}
	if !f.ref.begun && !usable {
		return // nothing to follow yet: the clock is not touched
	}
	if f.ref.begun && f.ref.generation != ref.Epoch {
		f.loop.Control.Reset(now) // the reference was stepped
		f.ref.unusable = false
	}
	f.ref.begun, f.ref.generation = true, ref.Epoch
	f.read(now, usable)
	f.feed(ref, now, usable)
	f.publish(ref)
	if f.cfg.System != nil && f.loop.Clock.Available() && now-f.kernel.at >= int64(time.Second)-int64(tick)/2 {
		f.kernel.at = now
		f.updateKernel(ref)
	}
}

// read opens and reads the clock and lets the discipline notice what is missing.
func (f *Follower) read(now int64, usable bool) {
	f.loop.Clock.CheckSuspend()
	f.loop.Clock.Maintain(now)
	f.happened(f.loop.Events())
	f.alarm(now, usable)
	if !f.loop.Clock.Available() {
		return
	}
	_, ok := f.loop.Clock.Read()
	f.happened(f.loop.Events())
	if !ok {
		return
	}
	now = max(now, f.loop.Clock.Anchor())
	f.happened(f.loop.Act(f.loop.Control.Tick(now, f.loop.Clock.At(now))))
	if now-f.learnedAt >= int64(learnEvery) && f.loop.Control.Status().ServoState == status.Locked {
		f.learned, f.learnedAt = f.loop.Control.Export(), now
	}
}

// alarm tells the discipline when the reference becomes unusable, and usable
// again.
func (f *Follower) alarm(now int64, usable bool) {
	if f.ref.unusable == !usable {
		return
	}
	f.ref.unusable = !usable
	if usable {
		f.loop.Control.Clear(now)
		return
	}
	f.incidents.Report(reason.ReferenceUnusable, nil)
	f.loop.Control.Alarm(reason.ReferenceUnusable, "", now)
	f.happened(f.loop.Act(discipline.Action{FreqPPB: f.loop.Control.Status().FreqPPB}))
}

// feed gives the discipline a full second of the reference in the place of a
// pulse and its label.
func (f *Follower) feed(ref *status.Snapshot, now int64, usable bool) {
	sec := ref.ClockAt(now).Floor()
	if !usable || sec <= f.ref.second || !f.loop.Clock.Available() {
		return
	}
	f.ref.second = sec
	since := float64(ref.ClockAt(now) - sec)
	mono := now - int64(math.Round(since/(1+ref.RatePPB*1e-9)))
	if !f.loop.Clock.Adjustable() {
		f.incidents.Report(reason.EdgeNoClock, nil)
		return
	}
	x, ok := f.loop.Clock.Read()
	f.happened(f.loop.Events())
	if !ok {
		return
	}
	if f.loop.Clock.Straddles(mono) {
		f.incidents.Report(reason.EdgeStraddles, nil)
		return
	}
	now = f.cfg.Mono()
	at := f.loop.Clock.Requested(f.loop.Clock.At(mono), mono)
	f.happened(f.loop.Act(f.loop.Control.Pulse(discipline.Pulse{Clock: at, Mono: mono, Now: now, Width: x.Width + 2*ref.LineErr})))
	if !f.loop.Clock.Available() {
		return
	}
	f.loop.Control.Label(discipline.Label{Time: sec, Mono: max(now, mono+1), Valid: true, Source: "phc"})
}

// happened counts and logs what happened to the clock.
func (f *Follower) happened(events []clock.Event) {
	for _, e := range events {
		switch e.Kind {
		case clock.Opened:
			f.cfg.Log.Info("clock opened", "clock", f.cfg.Name, "max_freq_ppb", e.MaxPPB, "freq_ppb", e.FreqPPB, "read_width", e.Width)
			if e.Other {
				f.learned = discipline.Learned{}
			}
		case clock.Stepped:
			f.cfg.Log.Info("clock stepped", "step", e.By)
		case clock.Waiting:
			f.incidents.Count(e.Code)
		case clock.Allowed:
			f.cfg.Log.Info("clock may be adjusted", "clock", f.cfg.Name)
		case clock.Moved:
			if e.Code != reason.None {
				f.incidents.Report(e.Code, nil, "by", e.By)
			}
		default:
			if e.Code != reason.None {
				f.incidents.Report(e.Code, e.Err)
			}
		}
	}
}

// publish makes the state of now.
func (f *Follower) publish(ref *status.Snapshot) {
	now := f.cfg.Mono()
	s := &f.snap
	s.Kind, s.ClockDev, s.Pulse, s.Receiver = f.cfg.Kind, f.cfg.Name, "phc", "phc"
	st := &Stats{Discipline: f.loop.Describe(s, now, 1, wanderPPB, 0), Learned: f.learned, Counts: f.incidents.Counts(), ToldKernel: f.kernel.count}
	f.logState()
	f.locked = f.locked || s.State == status.Locked
	st.Snapshot = *s
	st.Contested = !f.loop.Clock.Available() && st.Discipline.Cause == reason.ClockContested
	st.Bound = math.MaxInt64
	if f.loop.Clock.Known() && ref.Usable(now) {
		st.OffsetNS, st.Compared = float64(s.ClockAt(now)-ref.ClockAt(now)), true
	}
	if f.loop.Clock.Available() {
		st.Bound = status.AddBounds(s.BoundAt(now), ref.BoundAt(now))
	}
	f.stats.Store(st)
}

// logState logs state and reason when they change.
func (f *Follower) logState() {
	s, was := &f.snap, &f.state
	if s.State == was.state && s.Reason == was.reason && was.logged {
		return
	}
	f.cfg.Log.Info("follower state", "state", s.State.String(), "was", was.state.String(), "reason", s.Reason, "offset_ns", math.Round(s.OffsetNS), "freq_ppb", math.Round(s.FreqPPB*1e3)/1e3)
	was.state, was.reason, was.logged = s.State, s.Reason, true
}
