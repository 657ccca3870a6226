package replay

import (
	"errors"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/recording"
)

// errNotOpen: the recorded clock was not open at this time.
var errNotOpen = errors.New("the recorded clock was not open")

// played is the recorded clock, as an engine sees it that may do to it what the
// recorded one did not. A reading is the recorded one, or one carried on from it,
// plus by how much the commands of the two have moved the clock apart. As long as
// the engine asks and commands as the recorded one did, it gets the recorded results
// to the bit.
type played struct {
	system bool // the clock is CLOCK_REALTIME itself
	now    int64

	calls    []recording.Call // of the present step, not yet used
	clock    *recording.Clock // as recorded: nil while it is not open
	last     phc.Cross        // recorded reading; Mono 0: none yet
	rate     float64          // of the recorded clock against CLOCK_MONOTONIC_RAW, ppb
	recorded float64          // correction in force there, ppb

	freq  float64 // correction in force here, ppb
	apart apart

	commands, differ int // steps and corrections here, and those that differ
}

// apart is by how much the clock here is ahead of the recorded one.
type apart struct {
	spans []span // the latest last
}

// span is a stretch of time with one rate.
type span struct {
	mono int64   // its beginning
	ns   float64 // ahead at its beginning
	ppb  float64 // growth
}

// apartSpans is how many spans are kept: an edge arrives up to 0.3 s late.
const apartSpans = 64

// at returns the distance at an instant of CLOCK_MONOTONIC_RAW, ns.
func (a *apart) at(mono int64) float64 {
	for i := len(a.spans) - 1; i >= 0; i-- {
		if s := a.spans[i]; mono >= s.mono || i == 0 {
			return s.ns + s.ppb*float64(mono-s.mono)*1e-9
		}
	}
	return 0
}

// change adds to distance and growth from an instant on.
func (a *apart) change(mono int64, ns, ppb float64) {
	if ns == 0 && ppb == 0 {
		return
	}
	s := span{mono: mono, ns: a.at(mono) + ns, ppb: ppb}
	if k := len(a.spans); k > 0 {
		s.ppb += a.spans[k-1].ppb
	} else {
		a.spans = append(a.spans, span{mono: math.MinInt64 / 2})
	}
	if len(a.spans) >= apartSpans {
		a.spans = append(a.spans[:0], a.spans[1:]...)
	}
	a.spans = append(a.spans, s)
}

// same reports whether the two clocks have never been apart.
func (a *apart) same() bool { return len(a.spans) == 0 }

// begin begins a step. What the step before left unused of its calls was done to the
// recorded clock and not to this one.
func (p *played) begin(s *recording.Step) {
	p.now, p.calls = s.Mono, s.Calls
}

// resume goes on after a missing stretch, with the clock that is open now; nil: none is.
// What was done to the recorded clock meanwhile, was done here too.
func (p *played) resume(c *recording.Clock) {
	p.clock = nil
	if c != nil {
		x := *c
		p.clock, p.freq, p.recorded = &x, p.freq+c.FreqPPB-p.recorded, c.FreqPPB
	}
}

// end ends the step.
func (p *played) end() {
	for len(p.calls) > 0 {
		p.skip()
	}
}

// skip passes over a recorded call that is not made here.
func (p *played) skip() {
	c := p.calls[0]
	p.calls = p.calls[1:]
	p.now = max(p.now, c.After)
	switch c.Kind {
	case recording.CallStep:
		if c.Err == nil {
			p.differ++
			p.apart.change(c.After, -float64(c.By), 0)
			p.last.Clock += tai.Time(c.By)
		}
	case recording.CallAdjFreq:
		if c.Err == nil || errors.Is(c.Err, phc.ErrFreqRange) {
			p.differ++
			p.correct(c.After, c.PPB, p.freq)
		}
	default:
		p.follow(&c)
	}
}

// take returns the recorded call of a kind that the engine makes now; nil: the
// recorded one did not make it in this step.
func (p *played) take(kind recording.CallKind) *recording.Call {
	for i := range p.calls {
		if p.calls[i].Kind != kind {
			continue
		}
		for range i {
			p.skip()
		}
		c := &p.calls[0]
		p.calls = p.calls[1:]
		p.now = max(p.now, c.After)
		p.follow(c)
		return c
	}
	return nil
}

// follow keeps what a call showed of the recorded clock.
func (p *played) follow(c *recording.Call) {
	switch {
	case c.Err != nil:
		if clock.Gone(c.Err) {
			p.clock = nil
		}
	case c.Kind == recording.CallOpen:
		x := c.Clock
		p.clock = &x
	case c.Kind == recording.CallCross:
		x := c.Cross
		if dt := x.Mono - p.last.Mono; p.last.Mono != 0 && dt > 1e6 && dt < 10e9 {
			p.rate = float64(int64(x.Clock-p.last.Clock)-dt) / float64(dt) * 1e9
		}
		p.last = x
	case c.Kind == recording.CallFreqPPB:
		if p.freq == p.recorded {
			p.freq = c.PPB
		} else {
			p.freq += c.PPB - p.recorded // the device rounds, here as there
		}
		p.recorded = c.PPB
	}
}

// correct notes corrections that come into force at an instant, there and here, ppb.
func (p *played) correct(mono int64, there, here float64) {
	if was, is := p.freq-p.recorded, here-there; was != is {
		p.apart.change(mono, 0, is-was)
	}
	p.recorded, p.freq = there, here
}

// Open is the Opener.
func (p *played) open() (clock.Device, error) {
	c := p.take(recording.CallOpen)
	switch {
	case c != nil && c.Err != nil:
		return nil, c.Err
	case p.clock == nil:
		return nil, errNotOpen
	}
	return p, nil
}

// Cross reads the clock.
func (p *played) Cross() (phc.Cross, error) {
	c := p.take(recording.CallCross)
	switch {
	case c != nil && c.Err != nil:
		return phc.Cross{}, c.Err
	case c == nil && (p.clock == nil || p.last.Mono == 0):
		return phc.Cross{}, errNotOpen
	}
	x := p.last
	if c == nil {
		d := p.now - x.Mono
		x.Mono += d
		x.Real += d
		x.Clock += tai.Time(d) + tai.Time(math.Round(p.rate*float64(d)*1e-9))
	}
	return p.shift(x), nil
}

// shift carries a reading of the recorded clock to this one.
func (p *played) shift(x phc.Cross) phc.Cross {
	d := tai.Time(math.Round(p.apart.at(x.Mono)))
	x.Clock += d
	if p.system {
		x.Real += int64(d)
	}
	return x
}

// stamp carries a stamp by the recorded clock, or of a system clock that is it, to
// this one.
func (p *played) stamp(t int64, system bool) int64 {
	if p.apart.same() || p.last.Mono == 0 || system && !p.system {
		return t
	}
	at := p.last.Mono + t - int64(p.last.Clock)
	if system {
		at = p.last.Mono + t - p.last.Real
	}
	return t + int64(math.Round(p.apart.at(at)))
}

// Step adds delta to the clock.
func (p *played) Step(delta time.Duration) error {
	p.commands++
	c := p.take(recording.CallStep)
	there := time.Duration(0)
	if c != nil {
		if c.Err != nil {
			return c.Err
		}
		there = c.By
	}
	p.last.Clock += tai.Time(there)
	if there != delta {
		p.differ++
		p.apart.change(p.now, float64(delta-there), 0)
	}
	return nil
}

// AdjFreq sets the correction.
func (p *played) AdjFreq(ppb float64) error {
	p.commands++
	c := p.take(recording.CallAdjFreq)
	switch {
	case p.clock == nil:
		return errNotOpen
	case c != nil && c.Err != nil && !errors.Is(c.Err, phc.ErrFreqRange):
		return c.Err
	case c != nil && c.PPB == ppb && p.freq == p.recorded:
		p.freq, p.recorded = ppb, ppb
		return c.Err
	}
	p.differ++
	var err error
	if limit := p.clock.MaxFreqPPB; math.Abs(ppb) > limit {
		ppb, err = math.Copysign(limit, ppb), phc.ErrFreqRange
	}
	there := p.recorded
	if c != nil {
		there = c.PPB
	}
	p.correct(p.now, there, ppb)
	return err
}

// FreqPPB returns the correction in force.
func (p *played) FreqPPB() (float64, error) {
	if c := p.take(recording.CallFreqPPB); c != nil && c.Err != nil {
		return 0, c.Err
	}
	return p.freq, nil
}

// MaxFreq returns the largest correction.
func (p *played) MaxFreq() float64 {
	if p.clock == nil {
		return 0
	}
	return p.clock.MaxFreqPPB
}

// Index returns N of /dev/ptpN, or -1.
func (p *played) Index() int {
	if p.clock == nil {
		return -1
	}
	return p.clock.Index
}
