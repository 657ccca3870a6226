package discipline

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
)

const (
	historySeconds = 192 // s for which the estimate of every second is kept
	// meanSpan is the time over which the oscillator's mean frequency is taken, s.
	// The filters follow flicker noise that the mean averages out.
	meanSpan    = 128
	savedStates = 10 // whole states kept, Config.Gate.Suspect/8 apart
	// maxSavedAge is the greatest age of a saved state that is used, in multiples
	// of Config.Gate.Suspect: an older one is worse than what suspect pulses made.
	maxSavedAge = 4
)

// history is what the estimator knew during the last minutes. When an antenna
// is unplugged, the pulses drift away before the receiver notices. That looks
// like an oscillator that changed its frequency; only the states from before
// show the difference, and afterwards only they can be continued from.
type history struct {
	recent [historySeconds]secondState
	saved  [savedStates]savedState
	next   int // index of the next saved state

	byEst, byMean [len(driftSpans)]deviation

	deviated tai.Time // the last second that was beyond forgetSigma
}

// secondState is the free-running estimate of one second.
type secondState struct {
	sec  tai.Time
	free float64        // phase, ns
	e    servo.Estimate // Freq is the free-running one, too
}

// savedState is a whole state of the estimator.
type savedState struct {
	sec        tai.Time // 0 = none
	total      float64  // corrections until then, ns
	freqTotal  float64  // compensation until then, ppb,
	phaseTotal float64  // and ns
	imm        servo.IMM
	prediction servo.PredictionError
}

// reset forgets all states; the learned deviations are kept.
func (h *history) reset() {
	h.deviated = 0
	h.recent = [historySeconds]secondState{}
	for i := range h.saved {
		h.saved[i].sec = 0
	}
}

// slot is the place of a second. A clock that was set to before 1970 has negative ones.
func slot(sec tai.Time) int {
	return int((sec/tai.Second%historySeconds + historySeconds) % historySeconds)
}

// at returns the estimate of s seconds before sec, if there is one.
func (h *history) at(sec tai.Time, s int) (*secondState, bool) {
	sec -= tai.Time(s) * tai.Second
	b := &h.recent[slot(sec)]
	return b, b.sec == sec
}

// remember keeps the estimate after a measurement and, if whole, the whole state
// every suspect/8.
func (e *estimate) remember(whole bool, suspect time.Duration) {
	h, b := &e.hist, secondState{sec: e.sec, e: e.imm.Estimate()}
	b.free, b.e.Freq = e.freeRunning()
	h.recent[slot(e.sec)] = b
	if !whole || suspect < 0 {
		return
	}
	if last := &h.saved[(h.next+savedStates-1)%savedStates]; e.sec-last.sec < tai.Time(suspect)/8 && last.sec != 0 {
		return
	}
	p := &h.saved[h.next%savedStates]
	h.next = (h.next + 1) % savedStates
	p.sec, p.total, p.prediction = e.sec, e.corr.total, e.prediction
	p.freqTotal, p.phaseTotal = e.osc.freqTotal, e.osc.phaseTotal
	e.imm.Save(&p.imm)
}

// beforeSuspect returns the newest state from before the suspect pulses, nil if
// there is none of use.
func (e *estimate) beforeSuspect(suspect time.Duration) *savedState {
	var best *savedState
	for i := range e.hist.saved {
		p := &e.hist.saved[i]
		age := e.sec - p.sec
		if p.sec != 0 && age >= tai.Time(suspect) && age <= maxSavedAge*tai.Time(suspect) && (best == nil || p.sec > best.sec) {
			best = p
		}
	}
	return best
}

// forgetSuspect forgets the suspect pulses and reports whether it could.
func (e *estimate) forgetSuspect(suspect time.Duration) bool {
	p := e.beforeSuspect(suspect)
	if p != nil {
		e.rollback(p)
	}
	e.coverDeparture(suspect)
	return p != nil
}

// rollback forgets the suspect pulses: it restores the state before them and
// predicts the present from there, with the corrections made since.
func (e *estimate) rollback(p *savedState) {
	dt := float64(e.sec-p.sec) / 1e9
	e.imm.Restore(&p.imm)
	e.imm.Advance(dt, e.corr.total-p.total+e.osc.phaseTotal-p.phaseTotal-p.freqTotal*dt)
	e.imm.AddFreq(e.osc.freqTotal - p.freqTotal)
	e.prediction = p.prediction
	left := e.departure
	if left.sec > p.sec {
		left = departure{} // the state is from before that drift
	}
	e.breakOff()
	e.departure = left
	e.age = dt
	e.drift, e.others = 0, alternatives{}
}

// coverDeparture lets the bound cover the line that the pulses left by a drift which was
// followed, if that was seen lately: either the oscillator changed then, or the pulses
// drifted already.
func (e *estimate) coverDeparture(suspect time.Duration) {
	if d := &e.departure; d.ok && e.sec-d.since <= maxSavedAge*tai.Time(suspect) {
		phase, freq := e.freeRunning()
		e.others.left = alternative{ok: true, phase: d.at(e.sec) - phase, freq: d.freq - freq}
	}
}

// alternatives are further opinions of the present, which hold until pulses are used
// again.
type alternatives struct {
	last alternative // what the last pulses showed if they were forgotten, otherwise what was predicted before them
	left alternative // the line that they left by a drift
}

// alternative is an opinion of the present, relative to the estimate.
type alternative struct {
	ok          bool
	phase, freq float64 // ns at estimate.mono, ppb
}

// at returns the alternative's distance t seconds after the estimate's edge, ns.
func (r alternative) at(t float64) float64 {
	if !r.ok {
		return 0
	}
	return r.phase + r.freq*t
}

// pulsesStopped makes up for pulses that stopped without a warning of the
// receiver. The last of them may have been wrong all the same, so the bound
// covers what was predicted before them, too. If they deviated far from that,
// they are forgotten, and the bound covers what they showed: either they were
// wrong, or the oscillator changed. It reports whether they are forgotten.
func (e *estimate) pulsesStopped(suspect time.Duration) (forgotten bool) {
	defer e.coverDeparture(suspect)
	p := e.beforeSuspect(suspect)
	if p == nil {
		return false
	}
	was := p.imm.Estimate()
	dt := float64(e.sec-p.sec) / 1e9
	phase, freq := e.freeRunning()
	wasFreq := was.Freq - p.freqTotal
	r := alternative{ok: true, phase: phase - (was.Phase - p.total - p.phaseTotal + wasFreq*dt), freq: freq - wasFreq}
	forgotten = e.hist.deviated != 0 && e.sec-e.hist.deviated <= tai.Time(suspect)
	if forgotten {
		e.rollback(p)
	} else {
		r.phase, r.freq = -r.phase, -r.freq
	}
	e.others.last = r
	return forgotten
}
