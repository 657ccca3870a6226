package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Inherited is what an earlier run knew of true time when it ended: a line from
// CLOCK_MONOTONIC_RAW to the clock as it was, and a bound of the line's error that
// grows. That does not depend on what happened to the clock since. The zero value
// knows nothing.
type Inherited struct {
	Mono      int64    `json:"mono_ns"`             // CLOCK_MONOTONIC_RAW (ns) at which it holds
	Clock     tai.Time `json:"clock_tai_ns"`        // the line at Mono
	RatePPB   float64  `json:"rate_ppb"`            // of the line against CLOCK_MONOTONIC_RAW, ppb
	Bound     float64  `json:"bound_ns"`            // ns: |line - true time| at Mono is at most this
	Err       float64  `json:"read_error_ns"`       // ns: part of Bound that reading the clock caused
	BoundRate float64  `json:"bound_ns_per_s"`      // ns/s: growth of Bound
	RefTime   tai.Time `json:"measured_tai_ns"`     // when the clock was last measured against its reference
	JumpNS    float64  `json:"unexplained_jump_ns"` // size of the jumps that the clock followed and that nothing explains: a new lock does not explain them either
	RefusedNS float64  `json:"refused_pulses_ns"`   // ns: part of Bound for pulses that were refused; ones that are there now are no evidence for the line
	AwayNS    float64  `json:"-"`                   // where pulses were last that the earlier run had refused so far, from their prediction; 0: it had not
	Drifted   bool     `json:"pulses_drifted"`      // the pulses drifted away or jumped: ones that are off the line moved, however uncertain it is
	Unserved  bool     `json:"unserved"`            // it was not served any more: the line can only be compared with
	Pulses    int      `json:"pulses_accepted"`     // pulses, one a second, that the lock stood on
	Seconds   int      `json:"seconds_agreed"`      // seconds in which labels agreed with the clock
	JumpedNS  float64  `json:"jumped_since_ns"`     // jumps of the pulses since, signed, of less than the line is uncertain
	JumpedErr float64  `json:"jumped_since_error_ns"`

	Last   LastLine   `json:"-"` // that the pulses were on
	Recent LastPulses `json:"-"` // the latest ones
}

// inheritance is an Inherited until the clock is locked.
type inheritance struct {
	Inherited
	valid   bool // the line may be reported
	known   bool // the line can be compared with pulses and labels
	against int  // seconds in a row that contradicted it, all for the reason why
	why     Reason
	back    bool // the latest pulse that was judged is on Inherited.Last

	began began      // where this run's first pulses were
	trail comparison // of the last pulses with Inherited.Last
}

// began is where the first pulses of a run were, of which two in succession agreed.
type began struct {
	last float64 // how far the line was ahead of the latest pulse, ns
	n    int     // pulses so far
	ns   float64 // the same of the first two that agreed
	mono int64   // CLOCK_MONOTONIC_RAW of the second of these; 0: there are none yet

	locked bool // a pulse of a lock was compared with them
}

// Inherit gives a new Controller what an earlier run knew. Until its own clock is
// locked for the first time, StatusAt reports a holdover by it, within the holdover
// limit. Pulses and labels that contradict the line are treated as those are that
// contradict a lock.
func (c *Controller) Inherit(h Inherited) {
	ok := h.RefTime != 0 && h.BoundRate > 0 && h.Bound < lostSecondNS
	if h.JumpedErr < 0 || math.Abs(h.JumpedNS)+h.JumpedErr >= lostSecondNS {
		h.JumpedNS, h.JumpedErr = 0, 0
	}
	if !h.Last.plausible() {
		h.Last = LastLine{}
	}
	c.inherited = inheritance{Inherited: h, valid: ok && !h.Unserved, known: ok}
	if h.JumpNS > 0 {
		c.bound.earlier = h.JumpNS
	}
	c.edges.recent.continueFrom(&h.Recent)
}

// Disinherit ends that, because no line of before holds any more: the machine slept.
func (c *Controller) Disinherit() {
	c.inherited.valid, c.inherited.known, c.inherited.Last = false, false, LastLine{}
	c.before, c.edges.recent = givenUp{}, recentPulses{}
}

// at returns the line and the bound of its error, ns, at mono.
func (h *inheritance) at(mono int64) (line tai.Time, spread float64) {
	d := mono - h.Mono
	return h.Clock + tai.Time(d) + tai.Time(math.Round(float64(d)*h.RatePPB*1e-9)), h.Bound + math.Max(float64(d), 0)*1e-9*h.BoundRate
}

// judge compares the line with a second that pulses and labels show, to unsure ns, to
// begin at mono. It returns why the clock may not be locked to them yet, None if it may,
// and then the jump of the pulses that its bound has to cover.
//
// The line runs on CLOCK_MONOTONIC_RAW. So whatever happened to the clock, pulses
// that are off it by more than its bound jumped, then or before.
func (h *inheritance) judge(second tai.Time, mono int64, unsure, limit float64) (Reason, jump) {
	if !h.known || mono < h.Mono {
		return None, jump{}
	}
	if h.back = h.on(second, mono, unsure); h.back {
		h.against = 0
		return None, jump{} // where they were, whatever the clock's line was
	}
	line, spread := h.at(mono)
	ns := float64(line - second)
	spread = math.Max(spread-h.RefusedNS, 0)
	if math.Abs(ns) <= spread+unsure {
		h.against = 0
		return None, jump{}
	}
	j := h.displaced(second, mono, jump{ns: ns, unsure: spread})
	ns, spread = j.ns, j.unsure
	switch {
	case math.Abs(ns)+spread <= limit:
		return None, j // it can be served with both in the bound
	}
	why, lasted := PulseJump, h.Pulses
	if math.Abs(ns) >= lostSecondNS {
		why, lasted = SecondDisputed, h.Seconds
	}
	if why != h.why { // pulses say nothing against the second, nor labels against the phase
		h.against, h.why = 0, why
	}
	h.against++
	h.valid = h.valid && h.Pulses >= ProvisionalPulses // else it is open which is right
	switch {
	case h.against > max(lasted, Default().Gate.JumpConfirm) && (why == SecondDisputed || h.Pulses < ProvisionalPulses):
		h.valid, h.known = false, false
		return None, jump{}
	case why == PulseJump && h.Pulses >= ProvisionalPulses && spread-h.Err > limit:
		return None, j // nothing is served any more, and nothing is lost
	}
	return why, jump{}
}

// settled is the number of measurements after which their noise is known, whatever the
// first ones were.
const settled = 128

// settle compares the line with a pulse of a clock that is locked. The pulses may have
// moved while they were acquired, and then their noise hides it for a while.
func (h *inheritance) settle(c *machine, second tai.Time, p Pulse) Reason {
	noise := pulseNoise(c)
	unsure := noise.ofLine(p)
	why, j := h.judge(second, p.Mono, unsure, float64(c.cfg.Limit))
	if why == None && j == (jump{}) {
		if !h.began.locked {
			j = h.since(second, p, noise)
		}
		if j == (jump{}) {
			if x := h.among(c, p); x != (jump{}) {
				followJump(c, x.ns, x.unsure)
			}
		}
	}
	h.began.locked = true // what moves from now on is seen against the lock
	if why == None {
		if h.back {
			ns, tolerance := h.Last.off(second, p.Mono)
			c.bound.reduce(jump{ns, tolerance + unsure})
		}
		// The line grows uncertain, and explains no jump that was seen before.
		// Pulses that drift are farther off until the next one.
		if more := math.Abs(j.ns) - math.Abs(c.bound.jump.ns); more > 0 {
			j.unsure += 2 * more
			c.bound.jump = j
		} else if j != (jump{}) {
			c.bound.reduce(j) // which a long holdover had left unsure
		}
		h.known = h.known && c.est.imm.Count() < settled
		c.bound.left, c.bound.leaving = 0, 0
		if h.known {
			c.bound.left, c.bound.leaving = h.left(second, p.Mono), h.trail.slope()
		}
	}
	return why
}

// left is how far pulses are from where they were before they drifted, as far as the
// bound contains it: that of a drift that was followed for long is not in it.
func (h *inheritance) left(second tai.Time, mono int64) float64 {
	if l := &h.Last; *l != (LastLine{}) && (!l.Departed || mono-l.Since <= departureLine*1e9) {
		ns, _ := l.off(second, mono)
		return ns
	}
	return h.off(second, mono)
}

// off is how far the line is ahead of a second that pulses show to begin at mono, ns.
func (h *inheritance) off(second tai.Time, mono int64) float64 {
	line, _ := h.at(mono)
	return float64(line - second)
}

// begin takes a pulse that is acquired.
func (h *inheritance) begin(p Pulse, noise noise) {
	b := &h.began
	if !h.known || b.mono != 0 || p.Mono < h.Mono {
		return
	}
	line, _ := h.at(p.Mono)
	ns := float64(line - line.Round()) // of the nearest second: which one it is does not matter
	if b.n++; b.n > 1 && math.Abs(ns-b.last) <= noise.ofPulses(p, 2) {
		b.ns, b.mono = (ns+b.last)/2, p.Mono
	}
	b.last = ns
}

// moved returns by how much pulses moved that are not back where they were, however
// uncertain the line is: those that had drifted away or jumped in an earlier run, or that
// jumped while they were acquired.
func (h *inheritance) moved(second tai.Time, p Pulse, noise noise) jump {
	if !h.known || h.near(second, p.Mono, noise.ofLine(p)) {
		return jump{}
	}
	if ns := h.off(second, p.Mono); h.Drifted && math.Abs(ns) > h.Err+noise.ofLine(p) {
		_, spread := h.at(p.Mono)
		return h.displaced(second, p.Mono, jump{ns: ns, unsure: spread})
	}
	return h.since(second, p, noise)
}

// since returns by how much pulses moved since the first ones of this run, if they are
// farther from the line now.
func (h *inheritance) since(second tai.Time, p Pulse, noise noise) jump {
	off := h.off(second, p.Mono)
	moved, unsure := off-h.began.ns, noise.ofPulses(p, 1+1./2)+h.BoundRate*float64(p.Mono-h.began.mono)*1e-9
	away := off
	if h.Last != (LastLine{}) { // that of the clock may have been a correction under way
		away, _ = h.Last.off(second, p.Mono)
	}
	if h.began.mono == 0 || math.Abs(off) > lostSecondNS || math.Abs(away) <= math.Abs(away-moved) || math.Abs(moved) <= unsure {
		return jump{}
	}
	return jump{moved, unsure}
}

// among notes a jump among the latest pulses, of less than the line is uncertain, and
// returns it. One that brings pulses nearer to the line is a return, and no jump unless they
// are known to have jumped.
func (h *inheritance) among(c *machine, p Pulse) (j jump) {
	if !h.known || p.Mono < h.Mono {
		return j
	}
	line := func(mono int64) float64 {
		t, _ := h.at(mono)
		return float64(t - t.Round()) // of the nearest second: which one it is does not matter
	}
	at, j := c.edges.recent.jumped(line, float64(pulseNoise(c)), max(float64(p.Width)/2, float64(c.before.now.Err)))
	if at == 0 {
		return j
	}
	c.edges.recent.drop(at)
	away := line(p.Mono)
	if h.Last != (LastLine{}) { // that of the clock may have been a correction under way
		t, _ := h.at(p.Mono)
		away, _ = h.Last.off(t.Round(), p.Mono)
	}
	if math.Abs(away) <= math.Abs(away-j.ns) && h.JumpedNS == 0 && c.bound.jump == (jump{}) {
		return jump{}
	}
	all := jump{h.JumpedNS, h.JumpedErr}
	all.follow(j.ns, j.unsure)
	h.JumpedNS, h.JumpedErr = all.ns, all.unsure
	return j
}

// noise is the standard deviation of a pulse, ns. The clock reading of a pulse lies
// anywhere in its bracket besides, and those of many pulses in the same place.
type noise float64

// pulseNoise is that of the pulses: as an earlier run knew it, if that is less. Pulses that
// move while they are acquired look noisy.
func pulseNoise(c *machine) noise {
	sigma := math.Sqrt(c.est.imm.Estimate().R)
	if c.learned.OK {
		sigma = math.Min(sigma, 2*c.learned.NoiseNS)
	}
	return noise(sigma)
}

// ofLine is how far a pulse may be off a line that it is on, ns.
func (n noise) ofLine(p Pulse) float64 { return displacedSigma*float64(n) + float64(p.Width)/2 }

// ofPulses is how far pulses may be from each other that are on one line, ns, if their
// noise has a variance of parts times that of one.
func (n noise) ofPulses(p Pulse, parts float64) float64 {
	return displacedSigma*float64(n)*math.Sqrt(parts) + float64(p.Width)
}

// takeOver makes what judge decided part of the lock to come. Pulses and labels that
// agree with the line continue the lock that it is from. A line that was outweighed
// explains no jump that was followed before. second is the one that begins at mono, by
// the pulses.
func (h *inheritance) takeOver(c *machine, j jump, second tai.Time, mono int64) {
	if !h.known {
		return
	}
	if h.began.mono == 0 {
		h.began.ns, h.began.mono = h.off(second, mono), mono
	}
	if j != (jump{}) {
		c.bound.jump = j
		return
	}
	c.edges.evidence, c.labels.evidence = max(c.edges.evidence, h.Pulses), max(c.labels.evidence, h.Seconds)
	// Whether pulses that jumped are back does not show if they jumped by less than the
	// line is uncertain: neither those whose jump was followed, nor those that had just
	// jumped when the earlier run ended.
	_, spread := h.at(mono)
	if math.Abs(c.bound.jump.ns) > spread {
		c.bound.jump = jump{}
	}
	if c.bound.jump == (jump{}) && math.Abs(h.JumpedNS) <= 2*spread { // a larger one shows against the line
		c.bound.jump = jump{h.JumpedNS, h.JumpedErr}
	}
	if c.bound.jump == (jump{}) && math.Abs(h.AwayNS) <= spread {
		c.bound.jump.ns = h.AwayNS
	}
	h.AwayNS = 0
}

// outlive adds what a lock on the line stood on in this run, which is given up now.
func (h *inheritance) outlive(pulses, seconds int) {
	if h.known {
		h.Pulses, h.Seconds = max(h.Pulses, pulses), max(h.Seconds, seconds)
	}
}

// passOn returns the line for the run after this one, as long as this one compares
// pulses with it; the zero value if it does not. A lock of this run on the line adds to
// what that stands on. The growing bound of the line must not explain to the next run a
// jump that the bound of this one covers.
func (h *inheritance) passOn(c *machine) Inherited {
	if !h.known {
		return Inherited{}
	}
	own, jumped := c.st.State == status.Locked || c.st.State == status.Holdover, c.bound.jump != jump{}
	line := h.Inherited
	line.Unserved, line.Drifted = !h.valid && !own, h.Drifted || jumped
	if (own || c.st.State == status.Faulty) && !jumped { // one that is in dispute has lasted as well
		line.Pulses, line.Seconds = max(h.Pulses, c.edges.evidence), max(h.Seconds, c.labels.evidence)
	}
	if own && h.JumpedNS != 0 {
		line.JumpedNS, line.JumpedErr = c.bound.jump.ns, c.bound.jump.unsure
	}
	return line
}

// ClockNow is what the model of a clock says of it at an instant.
type ClockNow struct {
	Mono    int64 // CLOCK_MONOTONIC_RAW, ns
	Clock   tai.Time
	RatePPB float64       // against CLOCK_MONOTONIC_RAW, ppb
	Err     time.Duration // bound of Clock's error
	RateErr float64       // error of RatePPB
}

// StatusAt is Status with what was inherited, for an instant at which the clock's
// model is known.
func (c *Controller) StatusAt(now ClockNow) Status {
	c.before.now = now
	s := c.Status()
	if s.Tracked() || s.ServoState == status.Faulty {
		c.inherited.valid = false // it has a clock of its own
	}
	s.LastLine, s.LastPulses = lastLine(&c.machine, now), c.edges.recent.last()
	h := &c.inherited
	if !h.valid || c.lost != reason.None || c.denied || c.moving || c.leapUndecided {
		return s
	}
	line, spread := h.at(now.Mono)
	limit := float64(s.Limit)
	if now.Mono < h.Mono || spread-h.Err > limit {
		h.valid = false
		return s
	}
	// The clock is off the line by what another program, or this one, moved it.
	bound, floor := spread+math.Abs(float64(now.Clock.Sub(line)))+float64(now.Err), h.Err+float64(now.Err)
	growth := h.BoundRate + math.Abs(now.RatePPB-h.RatePPB)
	if l := &h.Last; l.Departed && (h.back || now.Mono-l.Since <= departureLine*1e9) {
		// The line of the clock went with the pulses that drift, or drifted and are back.
		ns, unsure := l.off(now.Clock, now.Mono)
		bound = math.Max(bound, math.Abs(ns)+unsure+float64(now.Err))
		growth = math.Max(growth, l.ErrRate+math.Abs(now.RatePPB-l.RatePPB))
	}
	if bound-floor > limit {
		return s
	}
	if s.Cause == reason.None {
		s.Detail = s.Reason.String()
	}
	s.State, s.Reason, s.Own, s.Mono, s.RefTime = status.Holdover, Restarted, s.Reason, now.Mono, h.RefTime
	s.Accepted, s.Agreed = h.Pulses, h.Seconds // the lock that is served
	s.Bound, s.BoundRate, s.Floor, s.Forecast = bound, growth, floor, Forecast{}
	return s
}
