package clock

import (
	"errors"
	"io/fs"
	"math"
	"time"

	"noonmark/internal/retry"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

const (
	// awaySlack is the part of the residual's limit, ppb, that does not apply to a
	// clock that was away: Model.residual allows crystals to jump, and a second
	// reading shows a wrong guess. While nobody reads the clock they only wander,
	// and a wrong guess costs no more than finding phase and second anew.
	awaySlack = 900
	// badReadsLost is how many readings in a row may fail before the clock is
	// given up and opened again.
	badReadsLost = 3
)

// Config describes a Steered clock. Mono and Open are required.
type Config struct {
	Mono      func() int64         // CLOCK_MONOTONIC_RAW, ns
	Suspended func() time.Duration // how long the machine was suspended: CLOCK_BOOTTIME - CLOCK_MONOTONIC; nil: never
	Open      Opener               // called until it succeeds, and again after the clock vanished
	System    bool                 // the clock is CLOCK_REALTIME itself
	Before    Before               // the clock as an earlier run knew it

	// Unsettled is called when the model stops holding, before the device is
	// asked again: whoever publishes the model withdraws it. May be nil.
	Unsettled func()
}

// Steered is one clock under our control. It is for one goroutine. Whatever
// happens to the clock is an Event; Events returns those since its last call, and
// is to be called after each method that touches the device.
type Steered struct {
	scales
	cfg    Config
	dev    Device // nil: none is open
	events []Event

	// Access to the device.
	index    int32
	maxFreq  float64 // ppb
	opened   bool    // a device was opened once
	denied   bool    // it may be read but not adjusted
	badReads int     // in a row
	waiting  bool    // the last attempt to open it came too early, and nothing is wrong
	retryAt  int64   // no attempt to open or adjust before it
	backoff  retry.Backoff

	suspended time.Duration // as of the last look
}

// Instant is where an edge happened, uncorrected.
type Instant struct {
	Clock tai.Time      // by the clock
	Mono  int64         // CLOCK_MONOTONIC_RAW, ns
	Width time.Duration // bracket of the cross timestamp behind Clock; 0 if the clock itself stamped
}

// View is the model as it is published.
type View struct {
	Known      bool // Clock and what follows it mean something
	Clock      tai.Time
	RatePPB    float64       // against CLOCK_MONOTONIC_RAW, + = faster
	FreqPPB    float64       // correction in force, + = faster
	Err        time.Duration // bound of Clock's error
	RateErrPPB float64       // error of RatePPB
	Width      time.Duration // smoothed bracket of a reading
	DitherNS   float64       // distance between the real clock and the requested one
	DitherRate float64       // growth of DitherNS, ns/s, if nobody steers

	Index      int32         // N of /dev/ptpN, -1: no PTP device
	Generation uint32        // count of steps
	Suspended  time.Duration // total that the model takes into account, at least 1 ns where suspends are watched
}

// NewSteered returns a Steered clock. Nothing is opened yet.
func NewSteered(cfg Config) *Steered {
	if cfg.Unsettled == nil {
		cfg.Unsettled = func() {}
	}
	s := &Steered{cfg: cfg, index: -1, scales: scales{system: cfg.System}}
	if cfg.Suspended != nil {
		s.suspended = cfg.Suspended()
	}
	return s
}

// Events returns what happened since the last call, oldest first.
func (s *Steered) Events() []Event {
	e := s.events
	s.events = nil
	return e
}

func (s *Steered) happened(e Event) {
	if e.Mono == 0 {
		e.Mono = s.cfg.Mono()
	}
	s.events = append(s.events, e)
}

// Available reports whether a clock is open.
func (s *Steered) Available() bool { return s.dev != nil }

// Adjustable reports whether a clock is open and may be adjusted, as far as is
// known.
func (s *Steered) Adjustable() bool { return s.dev != nil && !s.denied }

// Opened reports whether a clock was open at any time.
func (s *Steered) Opened() bool { return s.opened }

// Known reports whether a clock is open and its model holds.
func (s *Steered) Known() bool { return s.dev != nil && s.model.known }

// View returns the model at an instant of CLOCK_MONOTONIC_RAW, ns.
func (s *Steered) View(now int64) View {
	v := s.view(now)
	v.Index = s.index
	if s.cfg.Suspended != nil {
		v.Suspended = max(s.suspended, 1)
	}
	return v
}

// Maintain opens the clock if it is not open and an attempt is due.
func (s *Steered) Maintain(now int64) {
	if s.dev == nil && now >= s.retryAt {
		s.open(now)
	}
}

// open opens the clock and starts its model.
func (s *Steered) open(now int64) {
	d, err := s.cfg.Open()
	var x phc.Cross
	var f float64
	if err == nil {
		if x, err = d.Cross(); err == nil {
			f, err = d.FreqPPB()
		}
		if err != nil {
			Close(d)
		}
	}
	if err != nil {
		s.retryAt = now + int64(s.backoff.Next())
		notYet := errors.Is(err, ErrNotYet)
		switch {
		case !notYet:
			s.happened(Event{Kind: OpenFailed, Code: failure(err, reason.ClockMissing), Err: err})
		case !s.waiting:
			s.happened(Event{Kind: Waiting, Code: reason.ClockWatched})
		}
		s.waiting = notYet
		return
	}
	s.waiting = false
	s.dev, s.badReads, s.index = d, 0, int32(Index(d))
	if !s.denied { // else it is not known yet whether it may be adjusted now
		s.backoff.Reset()
	}
	m := d.MaxFreq()
	e := Event{Kind: Opened, First: !s.opened, Other: s.opened && m != s.maxFreq, MaxPPB: m, FreqPPB: f, Width: x.Width}
	s.opened, s.maxFreq = true, m
	if e.Other {
		s.model = Model{}
		s.breakAt(s.cfg.Mono())
	}
	s.happened(e)
	if !e.First && s.model.known {
		// It was away. If it ran on as before it is still the same clock. Else
		// somebody, or a loss of power, moved it, or another card is in its place.
		if v, limit := s.model.residual(x); math.Abs(v) > limit-awaySlack*float64(x.Mono-s.model.mono)*1e-9 || f != s.model.cmdPPB {
			at := s.cfg.Mono()
			s.breakAt(at)
			s.happened(Event{Kind: Moved, Mono: at, By: max(time.Duration(v), 1)}) // 0 would mean "not moved"
		}
	}
	s.start(x, f, e.First)
	if e.First {
		at := s.cfg.Mono()
		if by := s.resume(&s.cfg.Before, x, f, at); by != 0 {
			s.happened(Event{Kind: Moved, Code: reason.ClockForeign, Mono: at, By: by})
		}
	}
}

// failure names the failure behind an error; other is for those without a name of
// their own.
func failure(err error, other reason.Code) reason.Code {
	switch {
	case errors.Is(err, ErrContested):
		return reason.ClockContested
	case errors.Is(err, fs.ErrPermission):
		return reason.ClockDenied
	case errors.Is(err, ErrTimeout):
		return reason.ClockTimeout
	}
	return other
}

// Read reads the clocks into the models. It notices when another program stepped
// one of them, and when the clock is gone. Not ok: there is no usable reading.
func (s *Steered) Read() (x phc.Cross, ok bool) {
	x, err := s.dev.Cross()
	if err != nil {
		s.badRead(err)
		return x, false
	}
	if v, limit := s.model.residual(x); s.model.known && math.Abs(v) > limit {
		// One reading may be bad: an interrupt within the bracket. Two in a row
		// within microseconds are a clock that was moved.
		y, err := s.dev.Cross()
		if err != nil {
			s.badRead(err)
			return y, false
		}
		w, limit := s.model.residual(y)
		if math.Abs(w) > limit {
			s.moved(y, time.Duration(w), reason.ClockForeign)
			return y, false
		}
		x = y
	}
	s.badReads = 0
	s.update(x)
	return x, true
}

// badRead counts a failed reading and gives the clock up after a few.
func (s *Steered) badRead(err error) {
	s.badReads++
	code := reason.ClockRead
	if errors.Is(err, ErrTimeout) {
		code = reason.ClockTimeout
	}
	s.happened(Event{Kind: ReadFailed, Code: code, Err: err})
	if s.badReads >= badReadsLost || Gone(err) {
		s.lose(err)
	}
}

// Locate carries an edge to the clock and to CLOCK_MONOTONIC_RAW. The code names
// why the edge is refused; reason.None: it is not. reason.ClockRead is an Event as
// well.
func (s *Steered) Locate(x pps.Edge) (Instant, reason.Code) {
	if s.dev == nil {
		return Instant{}, reason.EdgeNoClock
	}
	if x.Scale == pps.Clock {
		return s.locateStamped(x)
	}
	c, ok := s.Read()
	if !ok {
		return Instant{}, reason.ClockRead
	}
	return s.locateReal(x, c)
}

// moved begins a new generation after the clock, or what it is read against, was
// moved by something else. x is a reading taken afterwards.
func (s *Steered) moved(x phc.Cross, by time.Duration, code reason.Code) {
	s.cfg.Unsettled()
	at := s.cfg.Mono()
	s.breakAt(at)
	f, err := s.dev.FreqPPB() // a reset of the card may have reset the correction, too
	if err != nil {
		f = s.model.cmdPPB
	}
	s.jump(x, f)
	s.happened(Event{Kind: Moved, Code: code, Mono: at, By: by})
}

// CheckSuspend looks whether the machine was suspended since the last look.
// CLOCK_MONOTONIC_RAW stands still meanwhile. The clock may have run on, stood
// still as well, or lost its time, and no reading of the two tells which. So the
// clock counts as moved, whatever it reads.
func (s *Steered) CheckSuspend() {
	if s.cfg.Suspended == nil {
		return
	}
	total := s.cfg.Suspended()
	d := total - s.suspended
	if d < status.MinSleep {
		return // noise of a difference between two readings: keep the old total
	}
	s.suspended = total
	s.real, s.realStep = Model{}, s.cfg.Mono()
	if s.dev != nil {
		s.cfg.Unsettled() // before the card is asked, which may take long to wake up
		x, err := s.dev.Cross()
		if err == nil {
			s.moved(x, d, reason.ClockSlept)
			s.follow(x)
			return
		}
		s.lose(err)
	}
	if !s.opened {
		return
	}
	// It is away. When it is back nothing is compared with before.
	at := s.cfg.Mono()
	s.breakAt(at)
	s.model = Model{}
	s.happened(Event{Kind: Moved, Code: reason.ClockSlept, Mono: at, By: d})
}

// Request makes ppb the mean correction from now on, absolute, + = faster. A
// device that rounds is dithered. A refusal is an Event.
func (s *Steered) Request(ppb float64) {
	now := s.cfg.Mono()
	more := s.dither.due(now)
	if ppb == s.dither.request && more == 0 && !s.denied {
		return
	}
	if s.denied {
		if now < s.retryAt {
			return
		}
		// A descriptor that was opened for reading only stays so, whatever was
		// repaired since.
		s.Close()
		if s.open(now); s.dev == nil {
			return
		}
	}
	set := ppb + more
	err := s.dev.AdjFreq(set)
	now = s.cfg.Mono()
	if err != nil && !errors.Is(err, phc.ErrFreqRange) {
		if !s.Lose(err) {
			s.deny(now, err)
		}
		return
	}
	if s.denied {
		s.denied = false
		s.backoff.Reset()
		s.happened(Event{Kind: Allowed, Mono: now})
	}
	if got, err := s.dev.FreqPPB(); err == nil { // the device rounds
		set = got
	}
	s.corrected(now, ppb, set, err == nil)
}

// deny stops adjusting for a while.
func (s *Steered) deny(now int64, err error) {
	s.denied = true
	s.retryAt = now + int64(s.backoff.Next())
	s.happened(Event{Kind: Denied, Code: reason.ClockDenied, Err: err, Mono: now})
}

// Step adds d to the clock, + = forward. Readers of what is published see "not
// usable", then the new model in a new generation, and never the old model as
// valid after the step.
func (s *Steered) Step(d time.Duration) {
	s.cfg.Unsettled()
	err := s.dev.Step(d)
	now := s.cfg.Mono()
	if err != nil {
		e := Event{Kind: StepFailed, Code: reason.ClockStep, Err: err, Mono: now, By: d}
		denied := errors.Is(err, fs.ErrPermission)
		if denied || unusable(err) {
			e.Code = reason.None // an event of its own names the failure
		}
		s.happened(e)
		if !s.Lose(err) && denied {
			s.deny(now, err)
		}
		return
	}
	s.breakAt(now)
	if s.system {
		s.real = Model{}
	}
	s.happened(Event{Kind: Stepped, Mono: now, By: d})
	x, err := s.dev.Cross()
	if err != nil {
		s.Lose(err)
		return
	}
	s.stepped(x)
}

// Lose gives the clock up if the error of a call means that the clock is gone, or
// that nobody knows whether a change was made. It reports whether it did.
func (s *Steered) Lose(err error) bool {
	if s.dev == nil || !unusable(err) {
		return false
	}
	s.lose(err)
	return true
}

// unusable reports whether an error of a change means that the clock is gone, or
// in an unknown state.
func unusable(err error) bool { return Gone(err) || errors.Is(err, ErrTimeout) }

// lose gives the clock up. It is opened again later.
func (s *Steered) lose(err error) {
	code := failure(err, reason.ClockGone)
	if code == reason.ClockDenied {
		code = reason.ClockGone // denied is a clock that is there
	}
	s.Close()
	s.badReads = 0
	now := s.cfg.Mono()
	s.retryAt = now + int64(s.backoff.Next())
	s.happened(Event{Kind: Lost, Code: code, Err: err, Mono: now})
}

// Close closes the clock if it is open.
func (s *Steered) Close() {
	if s.dev != nil {
		Close(s.dev)
		s.dev = nil
	}
}
