package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
)

// unusedPulses watches the pulses while they may not be used for a reason that says
// nothing about the pulses themselves. The gate grows meanwhile and lets pulses in that
// jumped. The zero value watches none.
type unusedPulses struct {
	on   bool
	mono int64   // CLOCK_MONOTONIC_RAW (ns) of the last one
	dev  float64 // ns: its distance from the prediction
	jump float64 // ns: the sum of their jumps
	off  int     // of them, the last in a row that were outside the gate and did not jump
}

// watch takes a pulse dev ns from its prediction, measured to sigma ns.
func (u *unusedPulses) watch(mono int64, dev, sigma float64, inGate bool) {
	step := dev - u.dev
	jumped := u.on && math.Abs(step) > pulseStep(float64(mono-u.mono)*1e-9, sigma)
	if jumped {
		u.jump += step
	}
	if u.off++; jumped || inGate {
		u.off = 0
	}
	u.on, u.mono, u.dev = true, mono, dev
}

// displaced returns by how much the pulses jumped, ns, if a pulse dev ns from its
// prediction is where the jump took them; 0 if it is nearer to the prediction: then it
// was the jump that took them back.
func (u *unusedPulses) displaced(dev, sigma float64) float64 {
	if math.Abs(u.jump) <= displacedSigma*sigma || dev*u.jump <= 0 || math.Abs(dev) < math.Abs(u.jump)/2 {
		return 0
	}
	return u.jump
}

// pulseStep is by how much two pulses dt seconds apart may differ, ns, without a jump
// between them.
func pulseStep(dt, sigma float64) float64 { return 10*sigma + 200*dt }

// doubtsPulses reports whether pulses are refused because they may be wrong themselves.
// A receiver without a fix, say, lets them drift, and they jump back once it has one: such
// a jump is no evidence against them.
func (t *trust) doubtsPulses() bool {
	switch t.refuse {
	case Doubted:
		switch t.alarm.code {
		case reason.LeapUnconfirmed, reason.SecondOpposed, reason.SecondNamed, reason.WitnessAwaited:
			return false // which second they begin is open
		}
		return true
	case VoidMessages:
		return true
	}
	return false
}

// unusedBegins starts to watch pulses at the last one that was used.
func (c *machine) unusedBegins() { c.edges.unused = unusedPulses{on: true, mono: c.est.mono} }

// watchUnused takes a pulse that may not be used.
func (c *machine) watchUnused(p Pulse) {
	if c.labelled && c.est.imm.Count() > 0 && !c.trust.doubtsPulses() {
		pred := c.est.phaseAt(p.Mono)
		sec := (p.Clock - tai.Time(pred)).Round()
		dev, dt := float64(p.Clock-sec)-pred, float64(sec-c.est.sec)*1e-9
		c.edges.unused.watch(p.Mono, dev, math.Sqrt(c.est.imm.Estimate().R), math.Abs(c.est.imm.Sigmas(dev, dt)) <= c.cfg.Gate.Sigma)
	}
}

// unusedJumped reports whether the pulses, which may be used again, have been elsewhere
// for long enough to say that they jumped.
func (c *machine) unusedJumped() bool { return c.edges.unused.off >= c.cfg.Gate.RejectLimit }

// coverUnused covers by the bound a jump that the pulses made while they were not used,
// if a pulse dev ns from its prediction shows that they are still there.
func (c *machine) coverUnused(dev float64) {
	sigma := math.Sqrt(c.est.imm.Estimate().R)
	if j := c.edges.unused.displaced(dev, sigma); j != 0 {
		c.est.breakOff()
		c.bound.follow(j, 2*displacedSigma*sigma)
	}
	c.edges.unused = unusedPulses{}
}
