package clock

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

const (
	// straddle is how long after a step edges stamped by the clock are refused. An
	// external timestamp reaches user space up to 0.3 s after its pulse, and
	// nothing in it shows on which side of the step it was taken.
	straddle = 350 * time.Millisecond
	// maxEdgeAge is the age of the oldest edge that is of use.
	maxEdgeAge = 1100 * time.Millisecond
	// maxEarly is how far ahead of its reading an edge may lie by the errors of
	// the models.
	maxEarly = time.Millisecond
	// farOff is a distance between stamp and model beyond which rates explain
	// nothing.
	farOff = time.Hour
)

// Instant is where an edge happened, uncorrected.
type Instant struct {
	Clock tai.Time      // by the clock
	Mono  int64         // CLOCK_MONOTONIC_RAW, ns
	Width time.Duration // bracket of the cross timestamp behind Clock; 0 if the clock itself stamped
}

// scales carry instants between the clock, CLOCK_REALTIME and
// CLOCK_MONOTONIC_RAW. They know the corrections in force and the steps; they
// touch no device.
type scales struct {
	system bool // the clock is CLOCK_REALTIME itself

	model  Model // of the clock
	real   Model // of CLOCK_REALTIME
	dither dither

	travelNS float64 // by how much corrections moved the clock up to travelAt, ns
	travelAt int64

	// Instants across which stamps do not compare, CLOCK_MONOTONIC_RAW.
	generation uint32 // count of steps, ours or another's
	step       int64  // the last step, 0 = none
	realStep   int64  // the last step of CLOCK_REALTIME that was noticed, 0 = none
}

// Locate carries an edge to the clock and to CLOCK_MONOTONIC_RAW. The code names
// why the edge is refused; reason.None: it is not. reason.ClockRead is an Event as
// well.
func (s *Steered) Locate(x pps.Edge) (Instant, reason.Code) {
	if x.Scale == pps.Clock {
		return s.locateStamped(x)
	}
	return s.locateReal(x)
}

// locateStamped locates an edge that the clock itself has stamped.
func (s *Steered) locateStamped(x pps.Edge) (Instant, reason.Code) {
	p := Instant{Clock: tai.Time(x.Stamp)}
	if r := near(p.Clock.Sub(s.model.clock)); r != reason.None {
		return p, r
	}
	p.Mono = s.model.When(p.Clock)
	if s.breaks.step != 0 && x.Mono-s.breaks.step < int64(straddle) {
		return p, reason.EdgeStraddles
	}
	return p, aged(x.Mono, p.Mono)
}

// locateReal locates an edge that the kernel has stamped with CLOCK_REALTIME.
func (s *Steered) locateReal(x pps.Edge) (Instant, reason.Code) {
	var p Instant
	c, ok := s.Read()
	if !ok {
		return p, reason.ClockRead
	}
	if r := near(tai.Time(x.Stamp).Sub(s.real.clock)); r != reason.None {
		return p, r
	}
	// The edge lies a little in the past. Over that age CLOCK_REALTIME and the
	// clock run at different rates.
	p.Mono = s.real.When(tai.Time(x.Stamp))
	p.Clock = s.model.At(p.Mono)
	age := float64(c.Mono-p.Mono) * 1e-9
	p.Width = c.Width + time.Duration(math.Abs(age)*(s.real.RateErr()+s.model.RateErr()))
	if s.breaks.realStep != 0 && p.Mono <= s.breaks.realStep {
		return p, reason.EdgeRealStepped
	}
	if s.Straddles(p.Mono) {
		return p, reason.EdgeStraddles
	}
	return p, aged(x.Mono, p.Mono)
}

// near refuses a stamp that is too far from the model.
func near(d time.Duration) reason.Code {
	switch {
	case d < -farOff:
		return reason.EdgeStale
	case d > farOff:
		return reason.EdgeFuture
	}
	return reason.None
}

// aged refuses an edge that is too old, or ahead of its reading.
func aged(read, edge int64) reason.Code {
	switch age := time.Duration(read - edge); {
	case age > maxEdgeAge:
		return reason.EdgeStale
	case age < -maxEarly:
		return reason.EdgeFuture
	}
	return reason.None
}

// Straddles reports whether an instant lies before the last step.
func (s *Steered) Straddles(mono int64) bool {
	return s.breaks.step != 0 && mono <= s.breaks.step
}

// Known reports whether a clock is open and its model holds.
func (s *Steered) Known() bool { return s.dev != nil && s.model.known }

// At returns the clock's reading at an instant of CLOCK_MONOTONIC_RAW, ns.
func (s *Steered) At(mono int64) tai.Time { return s.model.At(mono) }

// Requested returns the reading that the clock would show at an instant if the
// device did not round corrections: the discipline measures that clock.
func (s *Steered) Requested(reading tai.Time, mono int64) tai.Time {
	return reading + tai.Time(math.Round(s.dither.at(mono)))
}

// Real returns CLOCK_REALTIME at an instant of CLOCK_MONOTONIC_RAW, ns since the
// POSIX epoch; not ok while it is not known.
func (s *Steered) Real(mono int64) (ns int64, ok bool) {
	if !s.real.known {
		return 0, false
	}
	return int64(s.real.At(mono)), true
}

// View is the model as it is published.
type View struct {
	Known      bool // the rest means something
	Clock      tai.Time
	RatePPB    float64       // against CLOCK_MONOTONIC_RAW, + = faster
	Err        time.Duration // bound of Clock's error
	RateErrPPB float64       // error of RatePPB
	Width      time.Duration // smoothed bracket of a reading
	DitherNS   float64       // distance between the real clock and the requested one
	DitherRate float64       // growth of DitherNS, ns/s, if nobody steers

	Index      int32
	Generation uint32
	Suspended  time.Duration // total that the model takes into account, at least 1 ns where suspends are watched
}

// View returns the model at an instant of CLOCK_MONOTONIC_RAW, ns.
func (s *Steered) View(now int64) View {
	v := View{Index: s.index, Generation: s.breaks.generation}
	if s.cfg.Suspended != nil {
		v.Suspended = max(s.breaks.suspended, 1)
	}
	if !s.model.known {
		return v
	}
	m := s.model
	m.advance(now)
	v.Known, v.Clock, v.RatePPB, v.Err, v.RateErrPPB, v.Width = true, m.clock, m.Rate(), m.Err(), m.RateErr(), time.Duration(m.width)
	v.DitherNS, v.DitherRate = s.dither.bound(now)
	return v
}

// Anchor returns the instant of the latest reading in the model, ns.
func (s *Steered) Anchor() int64 { return s.model.mono }
