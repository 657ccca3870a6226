package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
	"noonmark/refclock/status"
)

const (
	recent = 192 // s for which the estimate of every second is kept
	// steady is the time over which the oscillator's mean frequency is taken, s.
	// The filters follow a flicker that it does not see.
	steady = 128
	pasts  = 10 // states kept whole, Config.Suspect/8 apart
	// stale is how many times Config.Suspect a state may be old and still be
	// better than one that suspect pulses made.
	stale = 4
	// drifting is by how many standard deviations pulses have to leave what was
	// foretold before the bound goes with them, and astray before they are
	// forgotten if they then stop: an ordinary outage is to lose nothing.
	drifting, astray = 2.8, 4.4
	// drifted is what a drift is taken for more than it shows: the estimate lags.
	drifted = 1.1
	// driftMemory is the number of seconds over which it is learned how well the
	// pulses are foretold, driftModel what the model's word counts for, in
	// predictions one after the other.
	driftMemory, driftModel = 900, 4
	// calming is what is left of a drift's bound a second later, once the
	// pulses go as the last minute has them: then the oscillator was it.
	calming = 0.95
)

// driftSpans are the times over which pulses are compared with what was
// foretold, s.
var driftSpans = [...]int{2, 3, 4, 6, 9, 13, 19, 28, 40}

// history remembers the estimator's states of the last minute. Whoever pulls an
// antenna gets pulses that drift away before the receiver notices; they look
// like an oscillator that changed its frequency. Only what was known before
// tells, and afterwards only that can be gone on from.
type history struct {
	brief [recent]brief
	past  [pasts]past
	next  int

	byEst, byMean [len(driftSpans)]deviation

	stray tai.Time // the last second that was astray
}

// brief is the estimate of one second.
type brief struct {
	sec  tai.Time
	free float64        // phase of the oscillator running free, without what was foretold, ns
	e    servo.Estimate // its frequency likewise
}

// past is a whole state.
type past struct {
	sec   tai.Time // 0 = none
	total float64  // corrections until then, ns
	turn  float64  // what was foretold until then, ppb,
	theta float64  // and ns
	bank  servo.Bank
	fore  servo.Foresight
}

// reset forgets all states; how well they foretell is kept.
func (h *history) reset() {
	h.stray = 0
	h.brief = [recent]brief{}
	for i := range h.past {
		h.past[i].sec = 0
	}
}

func slot(sec tai.Time) int { return int(sec / tai.Second % recent) }

// remember notes the estimate after a measurement, and a whole state now and
// then.
func (c *Controller) remember() {
	h, b := &c.hist, brief{sec: c.sec, e: c.bank.Estimate()}
	b.free, b.e.Freq = c.residual()
	h.brief[slot(c.sec)] = b
	if c.st.State != status.Locked || c.cfg.Suspect < 0 {
		return
	}
	if last := &h.past[(h.next+pasts-1)%pasts]; c.sec-last.sec < tai.Time(c.cfg.Suspect)/8 && last.sec != 0 {
		return
	}
	p := &h.past[h.next%pasts]
	h.next = (h.next + 1) % pasts
	p.sec, p.total, p.fore = c.sec, c.total, c.fore
	p.turn, p.theta = c.course.total, c.course.theta
	c.bank.Save(&p.bank)
}

// before returns the newest state from before the suspect pulses, nil if there
// is none of use.
func (c *Controller) before() *past {
	var best *past
	for i := range c.hist.past {
		p := &c.hist.past[i]
		age := c.sec - p.sec
		if p.sec != 0 && age >= tai.Time(c.cfg.Suspect) && age <= stale*tai.Time(c.cfg.Suspect) && (best == nil || p.sec > best.sec) {
			best = p
		}
	}
	return best
}

// rollback forgets the suspect pulses: it goes back to the state before them
// and foretells the present from there, with the corrections made since.
func (c *Controller) rollback(p *past) {
	dt := float64(c.sec-p.sec) / 1e9
	c.bank.Restore(&p.bank)
	c.bank.Advance(dt, c.total-p.total+c.course.theta-p.theta-p.turn*dt)
	c.bank.Turn(c.course.total - p.turn)
	c.fore = p.fore
	c.fore.Reset()
	c.slow.Break()
	c.blind = dt
	c.drift, c.extra, c.other = 0, 0, rival{}
	c.rejects.clear()
	c.hist.reset()
	c.st.Rollbacks++
}

// rival is a second opinion of the present, relative to the estimate: what the
// last pulses said where they were forgotten, else what was foretold before
// them.
type rival struct {
	ok          bool
	phase, freq float64 // ns at edgeMono, ppb
}

// at is the rival's distance t seconds after edgeMono, ns.
func (r rival) at(t float64) float64 {
	if !r.ok {
		return 0
	}
	return r.phase + r.freq*t
}

// suspend is called when pulses stop without a word of the receiver's. The last
// of them may have lied for all that, so the bound covers what was foretold
// before them, too. If they went quite another way the estimate goes back to
// that, and the bound covers what they said: either they lied, or the
// oscillator changed.
func (c *Controller) suspend() {
	p := c.before()
	if p == nil {
		return
	}
	was := p.bank.Estimate()
	dt := float64(c.sec-p.sec) / 1e9
	phase, freq := c.residual()
	wasFreq := was.Freq - p.turn
	r := rival{ok: true, phase: phase - (was.Phase - p.total - p.theta + wasFreq*dt), freq: freq - wasFreq}
	if h := &c.hist; h.stray == 0 || c.sec-h.stray > tai.Time(c.cfg.Suspect) {
		r.phase, r.freq = -r.phase, -r.freq
	} else {
		c.rollback(p)
	}
	c.other = r
}

// deviation is how well phases are foretold over one span.
type deviation struct {
	sq, n float64 // mean square, ns^2, and seconds behind it
}

// see takes one deviation of ns after t seconds, for which the model has
// variance v, and returns its square in learned variances. The model may take a
// wander for a walk and be too careful by far, or know nothing of it: what was
// seen counts with it.
func (d *deviation) see(ns, t, v float64) float64 {
	v = (v*driftModel*t + d.sq*d.n) / (driftModel*t + d.n)
	d.n = math.Min(d.n+1, driftMemory)
	d.sq += (math.Min(ns*ns, 9*v) - d.sq) / d.n
	return ns * ns / v
}

// watchDrift looks whether the phase has left, over any span of the last
// minute, what was foretold by the estimate or by the mean frequency of some
// minutes. A reference that drifts and an oscillator that changes look alike,
// so the bound covers the way.
func (c *Controller) watchDrift() {
	h := &c.hist
	c.drift *= calming
	free, _ := c.residual()
	for i, s := range driftSpans {
		b, ok := h.at(c.sec, s)
		if !ok {
			continue
		}
		t := float64(s)
		dev := free - b.free - b.e.Freq*t
		far := h.byEst[i].see(dev, t, b.e.Var(t))
		if old, ok := h.at(c.sec, s+steady); ok {
			mean := free - b.free - (b.free-old.free)/steady*t
			if f := h.byMean[i].see(mean, t, b.e.Var(t)+b.e.Q2*t*t*steady/3); f > far {
				far, dev = f, mean
			}
		}
		if far > drifting*drifting {
			c.drift = math.Max(c.drift, drifted*math.Abs(dev))
		}
		if far > astray*astray {
			h.stray = c.sec
		}
	}
}

// at returns the estimate of s seconds before sec, if there is one.
func (h *history) at(sec tai.Time, s int) (*brief, bool) {
	sec -= tai.Time(s) * tai.Second
	b := &h.brief[slot(sec)]
	return b, b.sec == sec
}

// foresee lets the estimate be measured against what it foretold earlier.
func (c *Controller) foresee() {
	e := c.bank.Estimate()
	c.slow.See(seconds(c.edgeMono), e.Phase-c.total)
	e.Phase, e.Freq = c.residual()
	c.fore.See(float64(c.sec/tai.Second), e, 0)
}
