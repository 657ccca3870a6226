package clock

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

const (
	// realStep is the disagreement of CLOCK_REALTIME with its model that counts as
	// a step and not as slewing, ns.
	realStep = 100e3
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

// scales carry instants between the clock, CLOCK_REALTIME and
// CLOCK_MONOTONIC_RAW. They know the corrections in force and the steps, and
// touch no device.
type scales struct {
	system bool // the clock is CLOCK_REALTIME itself

	model  Model // of the clock
	real   Model // of CLOCK_REALTIME
	dither dither

	travelNS float64 // by how much corrections moved the clock up to travelAt, ns
	travelAt int64

	// Instants of CLOCK_MONOTONIC_RAW across which stamps do not compare.
	generation uint32 // count of steps, ours or another's
	step       int64  // of the last step, 0 = none
	realStep   int64  // of the last step of CLOCK_REALTIME that was noticed, 0 = none
}

// start begins with a clock that was opened, from one reading and the correction
// in force. keep keeps the free rate.
func (s *scales) start(x phc.Cross, freqPPB float64, keep bool) {
	s.travelAt = x.Mono
	s.dither.clear(x.Mono, freqPPB)
	s.model.reset(x, freqPPB, keep)
	s.real = Model{}
	s.follow(x)
}

// jump takes a reading from after the clock was moved by something else, and the
// correction now in force.
func (s *scales) jump(x phc.Cross, freqPPB float64) {
	s.travelNS, s.travelAt = s.Travel(x.Mono), x.Mono
	s.dither.clear(x.Mono, freqPPB)
	s.model.reset(x, freqPPB, true)
}

// stepped takes a reading from after our own step. The correction is the same.
func (s *scales) stepped(x phc.Cross) {
	s.model.reset(x, s.model.cmdPPB, true)
	s.follow(x)
}

// update takes a reading.
func (s *scales) update(x phc.Cross) {
	s.model.update(x)
	s.follow(x)
}

// follow keeps the model of CLOCK_REALTIME.
func (s *scales) follow(x phc.Cross) {
	r := phc.Cross{Clock: tai.Time(x.Real), Mono: x.Mono, Width: x.Width}
	if !s.real.known {
		ppb := 0.0
		if s.system {
			ppb = s.model.cmdPPB
		}
		s.real.reset(r, ppb, false)
		return
	}
	switch v, limit := s.real.residual(r); {
	case math.Abs(v) > max(limit, realStep):
		s.realStep = x.Mono
		s.real.reset(r, s.real.cmdPPB, true)
	case math.Abs(v) > limit: // a daemon slews it: learn the rate anew
		s.real.update(r)
		s.real.p11 += 1e8 // (10 ppm)^2
	default:
		s.real.update(r)
	}
}

// corrected notes a correction of ppb, set at now for a request. exact is false
// where the device's range was exceeded: such a deficit is not corrected.
func (s *scales) corrected(now int64, request, ppb float64, exact bool) {
	if exact {
		s.dither.set(now, request, ppb)
	} else {
		s.dither.clear(now, ppb)
		s.dither.request = request
	}
	s.travelNS, s.travelAt = s.Travel(now), now
	s.model.command(now, ppb)
	if s.system {
		s.real.command(now, ppb)
	}
}

// breakAt begins a new generation: earlier stamps do not compare with later ones.
func (s *scales) breakAt(mono int64) {
	s.step = mono
	s.generation++
}

// locateStamped locates an edge that the clock itself has stamped.
func (s *scales) locateStamped(x pps.Edge) (Instant, reason.Code) {
	p := Instant{Clock: tai.Time(x.Stamp)}
	if r := near(p.Clock.Sub(s.model.clock)); r != reason.None {
		return p, r
	}
	p.Mono = s.model.When(p.Clock)
	if s.step != 0 && x.Mono-s.step < int64(straddle) {
		return p, reason.EdgeStraddles
	}
	return p, aged(x.Mono, p.Mono)
}

// locateReal locates an edge that the kernel has stamped with CLOCK_REALTIME, by
// a reading c taken after it.
func (s *scales) locateReal(x pps.Edge, c phc.Cross) (Instant, reason.Code) {
	var p Instant
	if r := near(tai.Time(x.Stamp).Sub(s.real.clock)); r != reason.None {
		return p, r
	}
	// The edge lies a little in the past. Over that age CLOCK_REALTIME and the
	// clock run at different rates.
	p.Mono = s.real.When(tai.Time(x.Stamp))
	p.Clock = s.model.At(p.Mono)
	age := float64(c.Mono-p.Mono) * 1e-9
	p.Width = c.Width + time.Duration(math.Abs(age)*(s.real.RateErr()+s.model.RateErr()))
	switch {
	case s.realStep != 0 && p.Mono <= s.realStep:
		return p, reason.EdgeRealStepped
	case s.Straddles(p.Mono):
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
func (s *scales) Straddles(mono int64) bool { return s.step != 0 && mono <= s.step }

// At returns the clock's reading at an instant of CLOCK_MONOTONIC_RAW, ns.
func (s *scales) At(mono int64) tai.Time { return s.model.At(mono) }

// Anchor returns the instant of the latest reading, CLOCK_MONOTONIC_RAW, ns.
func (s *scales) Anchor() int64 { return s.model.mono }

// Requested returns the reading that the clock would show at an instant if the
// device did not round corrections: the discipline measures that clock.
func (s *scales) Requested(reading tai.Time, mono int64) tai.Time {
	return reading + tai.Time(math.Round(s.dither.at(mono)))
}

// Travel returns by how much corrections have moved the clock up to an instant of
// CLOCK_MONOTONIC_RAW, ns, from an arbitrary origin. A reading less Travel is that
// of the free-running oscillator.
func (s *scales) Travel(mono int64) float64 {
	return s.travelNS + s.model.cmdPPB*float64(mono-s.travelAt)*1e-9
}

// Real returns CLOCK_REALTIME at an instant of CLOCK_MONOTONIC_RAW, ns since the
// POSIX epoch; not ok while it is not known.
func (s *scales) Real(mono int64) (ns int64, ok bool) {
	if !s.real.known {
		return 0, false
	}
	return int64(s.real.At(mono)), true
}

// view returns the model at an instant of CLOCK_MONOTONIC_RAW, ns.
func (s *scales) view(now int64) View {
	v := View{Generation: s.generation}
	if !s.model.known {
		return v
	}
	m := s.model
	m.advance(now)
	v.Known, v.Clock, v.RatePPB, v.Err, v.RateErrPPB, v.Width = true, m.clock, m.Rate(), m.Err(), m.RateErr(), time.Duration(m.width)
	v.FreqPPB = m.cmdPPB
	v.DitherNS, v.DitherRate = s.dither.bound(now)
	return v
}
