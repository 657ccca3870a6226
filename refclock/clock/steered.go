package clock

import (
	"errors"
	"io/fs"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

const (
	// realStep is the disagreement of CLOCK_REALTIME with its model that counts as
	// a step and not as slewing, ns.
	realStep = 100e3
	// awaySlack is the part of the residual's limit, ppb, that does not apply to a
	// clock that was away: Model.residual allows crystals to jump, and a second
	// reading shows a wrong guess. While nobody reads the clock they only wander,
	// and a wrong guess costs no more than finding phase and second anew.
	awaySlack = 900
	// badReadsLost is how many readings in a row may fail before the clock is
	// given up and opened again.
	badReadsLost = 3
	// The next attempt to open or adjust a clock comes after retryFirst, doubling
	// up to retryMost.
	retryFirst = 500 * time.Millisecond
	retryMost  = 15 * time.Second
)

// Config describes a Steered clock. Mono and Open are required.
type Config struct {
	Mono      func() int64         // CLOCK_MONOTONIC_RAW, ns
	Suspended func() time.Duration // how long the machine was suspended: CLOCK_BOOTTIME - CLOCK_MONOTONIC; nil: never
	Open      Opener               // called until it succeeds, and again after the clock vanished
	System    bool                 // the clock is CLOCK_REALTIME itself

	// Unsettled is called when the model stops holding, before the device is
	// asked again: whoever publishes the model withdraws it. May be nil.
	Unsettled func()
}

// Steered is one clock under our control. It is for one goroutine. Whatever
// happens to the clock is an Event; Events returns those since its last call, and
// is to be called after each method that touches the device.
type Steered struct {
	cfg    Config
	dev    Device // nil: none is open
	events []Event

	// Access to the device.
	index    int32
	maxFreq  float64 // ppb
	opened   bool    // a device was opened once
	denied   bool    // it may be read but not adjusted
	badReads int     // in a row
	retryAt  int64
	backoff  time.Duration

	// Models against CLOCK_MONOTONIC_RAW, and corrections.
	model    Model
	real     Model // of CLOCK_REALTIME
	dither   dither
	travelNS float64 // by how much corrections moved the clock up to travelAt, ns
	travelAt int64

	// Discontinuities.
	breaks breaks
}

// breaks are the instants, CLOCK_MONOTONIC_RAW, across which stamps do not
// compare.
type breaks struct {
	generation uint32 // count of steps, ours or another's
	step       int64  // of the last step, 0 = none
	realStep   int64  // of the last step of CLOCK_REALTIME that was noticed, 0 = none
	suspended  time.Duration
}

// NewSteered returns a Steered clock. Nothing is opened yet.
func NewSteered(cfg Config) *Steered {
	s := &Steered{cfg: cfg, index: -1}
	if cfg.Suspended != nil {
		s.breaks.suspended = cfg.Suspended()
	}
	return s
}

// Events returns what happened since the last call, oldest first. The slice is
// valid until the next call of a method.
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
		s.openFailed(now, err)
		return
	}
	s.dev, s.badReads, s.index = d, 0, int32(Index(d))
	if !s.denied { // else it is not known yet whether it may be adjusted now
		s.backoff = 0
	}
	m := d.MaxFreq()
	e := Event{Kind: Opened, First: !s.opened, Other: s.opened && m != s.maxFreq, MaxPPB: m, FreqPPB: f, Width: x.Width}
	s.opened, s.maxFreq = true, m
	if e.Other {
		s.model = Model{}
		s.breakAt(s.cfg.Mono())
	}
	s.happened(e)
	s.travelAt = x.Mono
	if !e.First && s.model.known {
		// It was away. If it ran on as before it is still the same clock. Else
		// somebody, or a loss of power, moved it, or another card is in its place.
		if v, limit := s.model.residual(x); math.Abs(v) > limit-awaySlack*float64(x.Mono-s.model.mono)*1e-9 || f != s.model.cmdPPB {
			at := s.cfg.Mono()
			s.breakAt(at)
			s.happened(Event{Kind: Moved, Mono: at, By: distance(v)})
		}
	}
	s.dither.clear(x.Mono, f)
	s.model.reset(x, f, e.First)
	s.real = Model{}
	s.followReal(x)
}

// openFailed notes why the clock could not be opened.
func (s *Steered) openFailed(now int64, err error) {
	s.pause(now)
	if errors.Is(err, ErrNotYet) {
		return
	}
	code := reason.ClockMissing
	switch {
	case errors.Is(err, ErrContested):
		code = reason.ClockContested
	case errors.Is(err, fs.ErrPermission):
		code = reason.ClockDenied
	case errors.Is(err, ErrTimeout):
		code = reason.ClockTimeout
	}
	s.happened(Event{Kind: OpenFailed, Code: code, Err: err})
}

// distance returns ns as a duration that is never 0: 0 would mean "not moved".
func distance(ns float64) time.Duration { return max(time.Duration(ns), 1) }

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
	s.model.update(x)
	s.followReal(x)
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

// followReal keeps the model of CLOCK_REALTIME.
func (s *Steered) followReal(x phc.Cross) {
	r := phc.Cross{Clock: tai.Time(x.Real), Mono: x.Mono, Width: x.Width}
	if !s.real.known {
		ppb := 0.0
		if s.cfg.System {
			ppb = s.model.cmdPPB
		}
		s.real.reset(r, ppb, false)
		return
	}
	switch v, limit := s.real.residual(r); {
	case math.Abs(v) > max(limit, realStep):
		s.breaks.realStep = x.Mono
		s.real.reset(r, s.real.cmdPPB, true)
	case math.Abs(v) > limit: // a daemon slews it: learn the rate anew
		s.real.update(r)
		s.real.p11 += 1e8 // (10 ppm)^2
	default:
		s.real.update(r)
	}
}

// moved begins a new generation after the clock, or what it is read against, was
// moved by something else. x is a reading taken afterwards.
func (s *Steered) moved(x phc.Cross, by time.Duration, code reason.Code) {
	s.unsettle()
	at := s.cfg.Mono()
	s.breakAt(at)
	f, err := s.dev.FreqPPB() // a reset of the card may have reset the correction, too
	if err != nil {
		f = s.model.cmdPPB
	}
	s.travel(x.Mono)
	s.dither.clear(x.Mono, f)
	s.model.reset(x, f, true)
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
	d := total - s.breaks.suspended
	if d < status.SleptLeast {
		return // noise of a difference between two readings: keep the old total
	}
	s.breaks.suspended = total
	s.real, s.breaks.realStep = Model{}, s.cfg.Mono()
	if s.dev != nil {
		s.unsettle() // before the card is asked, which may take long to wake up
		x, err := s.dev.Cross()
		if err == nil {
			s.moved(x, d, reason.ClockSlept)
			s.followReal(x)
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
	more := s.dither.due(s.cfg.Mono())
	if ppb == s.dither.request && more == 0 && !s.denied {
		return
	}
	if s.denied && !s.reopen() {
		return
	}
	set := ppb + more
	err := s.dev.AdjFreq(set)
	now := s.cfg.Mono()
	if err != nil && !errors.Is(err, phc.ErrFreqRange) {
		if !s.lost(err) {
			s.deny(now, err)
		}
		return
	}
	if s.denied {
		s.denied, s.backoff = false, 0
		s.happened(Event{Kind: Allowed, Mono: now})
	}
	if got, err := s.dev.FreqPPB(); err == nil { // the device rounds
		set = got
	}
	if err != nil { // beyond the device's range: that cannot be made up for
		s.dither.clear(now, set)
		s.dither.request = ppb
	} else {
		s.dither.set(now, ppb, set)
	}
	s.travel(now)
	s.model.command(now, set)
	if s.cfg.System {
		s.real.command(now, set)
	}
}

// deny stops adjusting for a while.
func (s *Steered) deny(now int64, err error) {
	s.denied = true
	s.pause(now)
	s.happened(Event{Kind: Denied, Code: reason.ClockDenied, Err: err, Mono: now})
}

// reopen reports whether it is time to adjust a clock again that refused. The
// clock is opened anew for that: a descriptor that was opened for reading only
// stays so, whatever was repaired since.
func (s *Steered) reopen() bool {
	now := s.cfg.Mono()
	if now < s.retryAt {
		return false
	}
	s.Close()
	s.open(now)
	return s.dev != nil
}

// Step adds d to the clock, + = forward. Readers of what is published see "not
// usable", then the new model in a new generation, and never the old model as
// valid after the step.
func (s *Steered) Step(d time.Duration) {
	s.unsettle()
	err := s.dev.Step(d)
	now := s.cfg.Mono()
	if err != nil {
		s.stepFailed(now, d, err)
		return
	}
	s.breakAt(now)
	if s.cfg.System {
		s.real = Model{}
	}
	s.happened(Event{Kind: Stepped, Mono: now, By: d})
	x, err := s.dev.Cross()
	if err != nil {
		s.lost(err)
		return
	}
	s.model.reset(x, s.model.cmdPPB, true)
	s.followReal(x)
}

// stepFailed notes a step that was not made. A lost clock or a refusal has an event
// of its own that names the failure.
func (s *Steered) stepFailed(now int64, d time.Duration, err error) {
	e := Event{Kind: StepFailed, Err: err, Mono: now, By: d}
	denied := errors.Is(err, fs.ErrPermission)
	if !denied && !unusable(err) {
		e.Code = reason.ClockStep
	}
	s.happened(e)
	if !s.lost(err) && denied {
		s.deny(now, err)
	}
}

// breakAt begins a new generation: earlier stamps do not compare with later ones.
func (s *Steered) breakAt(mono int64) {
	s.breaks.step = mono
	s.breaks.generation++
}

func (s *Steered) unsettle() {
	if s.cfg.Unsettled != nil {
		s.cfg.Unsettled()
	}
}

// lost gives the clock up if the error of a change means that it is gone, or that
// nobody knows whether the change was made. It reports whether it did.
func (s *Steered) lost(err error) bool {
	if !unusable(err) {
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
	code := reason.ClockGone
	switch {
	case errors.Is(err, ErrContested):
		code = reason.ClockContested
	case errors.Is(err, ErrTimeout):
		code = reason.ClockTimeout
	}
	s.Close()
	s.badReads = 0
	now := s.cfg.Mono()
	s.pause(now)
	s.happened(Event{Kind: Lost, Code: code, Err: err, Mono: now})
}

// Lose gives the clock up for an error that somebody else met, if it means that
// the clock is gone, and reports whether it did.
func (s *Steered) Lose(err error) bool { return s.dev != nil && Gone(err) && s.lost(err) }

// pause sets the time of the next attempt.
func (s *Steered) pause(now int64) {
	s.backoff = min(max(2*s.backoff, retryFirst), retryMost)
	s.retryAt = now + int64(s.backoff)
}

// Close closes the clock if it is open.
func (s *Steered) Close() {
	if s.dev != nil {
		Close(s.dev)
		s.dev = nil
	}
}

// travel books the corrections up to an instant.
func (s *Steered) travel(mono int64) {
	s.travelNS = s.Travel(mono)
	s.travelAt = mono
}

// Travel returns by how much corrections have moved the clock up to an instant of
// CLOCK_MONOTONIC_RAW, ns, from an arbitrary origin. A reading less Travel is that
// of the free-running oscillator.
func (s *Steered) Travel(mono int64) float64 {
	return s.travelNS + s.model.cmdPPB*float64(mono-s.travelAt)*1e-9
}
