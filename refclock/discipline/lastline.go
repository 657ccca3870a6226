package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
	"noonmark/refclock/status"
)

// LastLine is the line of true time against CLOCK_MONOTONIC_RAW that the pulses of an
// earlier run were on last, or the one that they left by a drift. Unlike the line of
// the clock it contains no correction that was under way when that run ended. The zero
// value is no line.
type LastLine struct {
	Mono     int64    `json:"mono_ns"`        // CLOCK_MONOTONIC_RAW at which it holds
	Time     tai.Time `json:"tai_ns"`         // true time at Mono
	RatePPB  float64  `json:"rate_ppb"`       // of true time against CLOCK_MONOTONIC_RAW
	Err      float64  `json:"error_ns"`       // pulses that are farther off are not on it
	ErrRate  float64  `json:"error_ns_per_s"` // growth of Err
	Since    int64    `json:"since_mono_ns"`  // when pulses were seen to leave it, or Mono
	Departed bool     `json:"pulses_left_it"` // they had left it when the run ended
}

// plausible reports whether a line that was read from a file can be one.
func (l *LastLine) plausible() bool {
	return l.Err >= 0 && l.Err < lostSecondNS && l.ErrRate >= 0 && l.Since <= l.Mono
}

// off returns how far the line is ahead of a second that pulses show to begin at mono,
// ns, and how far pulses that are on it may be off.
func (l *LastLine) off(second tai.Time, mono int64) (ns, tolerance float64) {
	d := float64(mono - l.Mono)
	return float64(l.Time + tai.Time(mono-l.Mono) + tai.Time(math.Round(d*l.RatePPB*1e-9)) - second), l.Err + max(d, 0)*1e-9*l.ErrRate
}

// slopeSeconds is over how many measurements the slope of pulses against a line of an
// earlier run is taken: then a hundred ns of noise are some ns/s.
const slopeSeconds = 16

// comparison is how far the line of an earlier run was ahead of the last pulses.
type comparison struct {
	n    int
	mono [slopeSeconds]int64
	ns   [slopeSeconds]float64
}

// add takes a pulse.
func (k *comparison) add(mono int64, ns float64) {
	i := k.n % slopeSeconds
	k.mono[i], k.ns[i] = mono, ns
	k.n++
}

// slope returns the growth of the distance, ns/s, 0 while it is not known.
func (k *comparison) slope() float64 {
	if k.n < 2 {
		return 0
	}
	a, b := max(k.n-slopeSeconds, 0)%slopeSeconds, (k.n-1)%slopeSeconds
	return (k.ns[b] - k.ns[a]) / (float64(k.mono[b]-k.mono[a]) * 1e-9)
}

// on reports whether a second that pulses show to begin at mono, to unsure ns, is on the
// last line.
func (h *inheritance) on(second tai.Time, mono int64, unsure float64) bool {
	if h.Last == (LastLine{}) {
		return false
	}
	ns, tolerance := h.Last.off(second, mono)
	return math.Abs(ns) <= tolerance+unsure
}

// near reports the same, however uncertain the line is by now.
func (h *inheritance) near(second tai.Time, mono int64, unsure float64) bool {
	ns, _ := h.Last.off(second, mono)
	return h.Last != (LastLine{}) && math.Abs(ns) <= h.Last.Err+unsure
}

// displaced returns how far pulses are from where they were, which are off the clock's
// line by j. That line may have been a correction under way, and says little then.
func (h *inheritance) displaced(second tai.Time, mono int64, j jump) jump {
	if h.Last == (LastLine{}) || h.Last.Departed {
		return j
	}
	ns, tolerance := h.Last.off(second, mono)
	if tolerance > j.unsure {
		return j
	}
	return jump{ns: ns, unsure: tolerance}
}

// follow takes a pulse of a clock that is locked. A line that the pulses are on for
// longer than a drift is compared shows nothing any more, nor does an old one.
func (h *inheritance) follow(second tai.Time, mono int64) {
	if h.Last == (LastLine{}) {
		return
	}
	ns, tolerance := h.Last.off(second, mono)
	h.trail.add(mono, ns)
	age := mono - max(h.Last.Since, h.Mono)
	if age > departureLine*1e9 && math.Abs(ns) < tolerance && !h.known || age > int64(departureAge) {
		h.Last = LastLine{}
	}
}

// returned returns how far a pulse, dev ns from its prediction, is from the last line,
// ns. back: it is on it, and the estimate is not.
func (h *inheritance) returned(second tai.Time, mono int64, dev float64) (off float64, back bool) {
	if h.Last == (LastLine{}) {
		return 0, false
	}
	off, tolerance := h.Last.off(second, mono)
	way := math.Abs(off - dev) // from the line to the estimate
	return off, way > tolerance && math.Abs(off) < max(tolerance, returnedPart*way) && math.Abs(off) < math.Abs(dev)/2
}

// resume continues the estimate from the last line, which a pulse is off ns from, dt
// seconds after the estimate's edge and dev ns from its prediction.
func (h *inheritance) resume(c *machine, dt, dev, off float64) {
	e, slope := &c.est, h.trail.slope()
	e.imm.AddPhase(dev - off + slope*dt)
	e.imm.AddFreq(-slope)
	e.imm.Inflate(math.Abs(off), math.Abs(slope)/4+math.Abs(off)/departureLine)
	e.breakOff()
	e.drift, e.age, e.others = 0, 0, alternatives{}
	c.bound.jump, c.bound.left, c.bound.leaving = jump{}, 0, 0
	h.JumpedNS, h.JumpedErr = 0, 0
	h.trail = comparison{}
}

// lastLine returns the line for the run after this one: the one that this one still
// compares with, the one that the pulses left by a drift, or that of the estimate.
func lastLine(c *machine, now ClockNow) LastLine {
	e, d := &c.est, &c.est.departure
	switch {
	case c.inherited.Last != LastLine{}:
		return c.inherited.Last
	case !c.labelled || c.st.RefTime == 0 || e.imm.Count() < minLockCount:
		return LastLine{}
	}
	l := estimateLine(c, now)
	dt := float64(now.Mono-e.mono) * 1e-9
	x := e.imm.Estimate()
	tolerance := func(t float64) float64 { return leftBy(&x, dt+t) }
	if d.ok {
		free, freq := e.freeRunning()
		l.Time += tai.Time(math.Round(free - d.at(e.sec) + (freq-d.freq)*dt))
		l.RatePPB += freq - d.freq
		l.Since, l.Departed = e.mono-int64(e.sec-d.since), true
		tolerance = func(t float64) float64 { return d.tolerance(e.sec + tai.Time((dt+t)*1e9)) }
	}
	const later = 60 // s, over which the growth is taken
	l.Err = tolerance(0) + float64(now.Err)
	l.ErrRate = (tolerance(later)-tolerance(0))/later + now.RateErr
	return l
}

// estimateLine returns the line of the estimate, without its error.
func estimateLine(c *machine, now ClockNow) LastLine {
	e := &c.est
	return LastLine{Mono: now.Mono, Time: now.Clock - tai.Time(math.Round(e.phaseAt(now.Mono))), RatePPB: now.RatePPB - e.freq() - e.corr.ppb, Since: now.Mono}
}

// leftBy is how far pulses may be off an estimate t seconds after it, ns.
func leftBy(e *servo.Estimate, t float64) float64 {
	return farSigma*math.Sqrt(max(e.Var(t), 0)) + displacedSigma*math.Sqrt(e.R)
}

// givenUp is where the pulses were before second and phase were given up. Pulses that
// jump while nothing is locked to them are compared with that: they may be back.
// The zero value is no such line.
type givenUp struct {
	now  ClockNow // as of the last report
	line LastLine
	mono int64          // CLOCK_MONOTONIC_RAW (ns) of e
	e    servo.Estimate // how certain the line is
	jump jump           // that the bound covered then
}

// note keeps the line of a clock that was locked, before it is given up for reason r.
func (g *givenUp) note(c *machine, r Reason) {
	switch c.st.State {
	case status.Unlocked, status.Acquiring:
		return // what was noted before is more certain
	}
	now := g.now
	*g = givenUp{now: now}
	if r == ClockStepped || now.Mono == 0 || c.est.imm.Count() < minLockCount {
		return
	}
	g.line, g.mono, g.e, g.jump = estimateLine(c, now), c.est.mono, c.est.imm.Estimate(), c.bound.jump
}

// jumped returns how far pulses, which show second to begin at mono to noise ns, are from
// where they were before all jumps. The second itself may have been in dispute.
func (g *givenUp) jumped(second tai.Time, mono int64, noise float64) (j jump, ok bool) {
	if g.line == (LastLine{}) {
		return j, false
	}
	ns, _ := g.line.off(second, mono)
	t := float64(mono-g.mono) * 1e-9
	unsure := leftBy(&g.e, t) + noise + float64(g.now.Err) + g.now.RateErr*t
	return jump{g.jump.ns + ns - 1e9*math.Round(ns*1e-9), g.jump.unsure + unsure}, true
}
