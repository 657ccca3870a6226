package discipline

import (
	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
	"noonmark/refclock/status"
)

const (
	historySeconds = 192 // s for which the estimate of every second is kept
	// meanSpan is the time over which the oscillator's mean frequency is taken, s.
	// The filters follow flicker noise that the mean averages out.
	meanSpan    = 128
	savedStates = 10 // states kept whole, Config.Suspect/8 apart
	// maxSavedAge is the greatest age of a saved state that rollback uses, in
	// multiples of Config.Suspect.
	maxSavedAge = 4
)

// history remembers the estimator's states of the last minute. Whoever pulls an
// antenna gets pulses that drift away before the receiver notices; they look
// like an oscillator that changed its frequency. Only what was known before
// tells, and afterwards only that can be gone on from.
type history struct {
	recent [historySeconds]secondState
	saved  [savedStates]savedState
	next   int

	byEst, byMean [len(driftSpans)]deviation

	deviated tai.Time // the last second that was astray
}

// secondState is the estimate of one second.
type secondState struct {
	sec  tai.Time
	free float64        // phase of the oscillator running free, without what was foretold, ns
	e    servo.Estimate // its frequency likewise
}

// savedState is a whole state.
type savedState struct {
	sec        tai.Time // 0 = none
	total      float64  // corrections until then, ns
	freqTotal  float64  // what was foretold until then, ppb,
	phaseTotal float64  // and ns
	imm        servo.IMM
	prediction servo.PredictionError
}

// reset forgets all states; how well they foretell is kept.
func (h *history) reset() {
	h.deviated = 0
	h.recent = [historySeconds]secondState{}
	for i := range h.saved {
		h.saved[i].sec = 0
	}
}

func slot(sec tai.Time) int { return int(sec / tai.Second % historySeconds) }

// remember notes the estimate after a measurement, and a whole state now and
// then.
func (c *Controller) remember() {
	h, b := &c.hist, secondState{sec: c.sec, e: c.imm.Estimate()}
	b.free, b.e.Freq = c.freeRunning()
	h.recent[slot(c.sec)] = b
	if c.st.State != status.Locked || c.cfg.Suspect < 0 {
		return
	}
	if last := &h.saved[(h.next+savedStates-1)%savedStates]; c.sec-last.sec < tai.Time(c.cfg.Suspect)/8 && last.sec != 0 {
		return
	}
	p := &h.saved[h.next%savedStates]
	h.next = (h.next + 1) % savedStates
	p.sec, p.total, p.prediction = c.sec, c.total, c.prediction
	p.freqTotal, p.phaseTotal = c.osc.freqTotal, c.osc.phaseTotal
	c.imm.Save(&p.imm)
}

// beforeSuspect returns the newest state from before the suspect pulses, nil if there
// is none of use.
func (c *Controller) beforeSuspect() *savedState {
	var best *savedState
	for i := range c.hist.saved {
		p := &c.hist.saved[i]
		age := c.sec - p.sec
		if p.sec != 0 && age >= tai.Time(c.cfg.Suspect) && age <= maxSavedAge*tai.Time(c.cfg.Suspect) && (best == nil || p.sec > best.sec) {
			best = p
		}
	}
	return best
}

// rollback forgets the suspect pulses: it goes back to the state before them
// and foretells the present from there, with the corrections made since.
func (c *Controller) rollback(p *savedState) {
	dt := float64(c.sec-p.sec) / 1e9
	c.imm.Restore(&p.imm)
	c.imm.Advance(dt, c.total-p.total+c.osc.phaseTotal-p.phaseTotal-p.freqTotal*dt)
	c.imm.AddFreq(c.osc.freqTotal - p.freqTotal)
	c.prediction = p.prediction
	c.prediction.Reset()
	c.comp.Restart()
	c.estimateAge = dt
	c.drift, c.rejectHint, c.alternative = 0, 0, alternative{}
	c.rejects.clear()
	c.hist.reset()
	c.st.Rollbacks++
}

// alternative is a second opinion of the present, relative to the estimate: what the
// last pulses said where they were forgotten, else what was foretold before
// them.
type alternative struct {
	ok          bool
	phase, freq float64 // ns at edgeMono, ppb
}

// at is the rival's distance t seconds after edgeMono, ns.
func (r alternative) at(t float64) float64 {
	if !r.ok {
		return 0
	}
	return r.phase + r.freq*t
}

// pulsesStopped is called when pulses stop without a word of the receiver's. The last
// of them may have lied for all that, so the bound covers what was foretold
// before them, too. If they went quite another way the estimate goes back to
// that, and the bound covers what they said: either they lied, or the
// oscillator changed.
func (c *Controller) pulsesStopped() {
	p := c.beforeSuspect()
	if p == nil {
		return
	}
	was := p.imm.Estimate()
	dt := float64(c.sec-p.sec) / 1e9
	phase, freq := c.freeRunning()
	wasFreq := was.Freq - p.freqTotal
	r := alternative{ok: true, phase: phase - (was.Phase - p.total - p.phaseTotal + wasFreq*dt), freq: freq - wasFreq}
	if h := &c.hist; h.deviated == 0 || c.sec-h.deviated > tai.Time(c.cfg.Suspect) {
		r.phase, r.freq = -r.phase, -r.freq
	} else {
		c.rollback(p)
	}
	c.alternative = r
}
