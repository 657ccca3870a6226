package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// voter decides what the messages say of the second.
type voter struct {
	maxLatency time.Duration
	second     tai.Time // the latest label: the first one within its second; 0 before the first
	first      int64    // CLOCK_MONOTONIC_RAW (ns) of the first message with it
	lastValid  int64    // CLOCK_MONOTONIC_RAW (ns) of the last valid message
	lastVoid   int64    // the same of the last one that was not
	source     string   // kind of the last valid message
	latency    time.Duration

	// Before the second is known: votes for a shift of the provisional count.
	run   int      // labels in succession that voted for shift
	shift tai.Time // true second - provisional second
	floor tai.Time // provisional second of the last vote

	// For a tracked clock.
	evidence int   // seconds that agreed with the clock since it was labelled
	agree    int   // consecutive seconds that agreed with the clock
	disputes int   // consecutive seconds that did not
	disputed int64 // CLOCK_MONOTONIC_RAW (ns) of the last dispute
}

// lateBy is how late, or early, a label may be to count as late rather than as
// different.
const lateBy = 1500 * time.Millisecond

// labelGap is the longest time between labels in succession: some receivers send the date
// every few seconds, and sentences get lost.
const labelGap = 10 * tai.Second

// restart forgets all votes.
func (v *voter) restart() {
	*v = voter{maxLatency: v.maxLatency, lastValid: v.lastValid, lastVoid: v.lastVoid, latency: v.latency, source: v.source}
}

// agreed returns by how many seconds the provisional count is wrong, and whether
// the last k seconds agree on it.
func (v *voter) agreed(k int) (tai.Time, bool) { return v.shift, v.run >= k }

// undisputed reports whether recent labels agree with the clock and none
// disputes it.
func (v *voter) undisputed(cfg *Config, now int64) bool {
	return cfg.GivenSecond || v.disputes == 0 && v.agree > 0 && now-v.lastValid <= int64(cfg.Labels.Timeout)
}

// silence reports whether valid messages have stopped coming, by the reason:
// NoMessages, VoidMessages, or None. start is the beginning of the wait for the
// first.
func (v *voter) silence(cfg *Config, start, now int64) Reason {
	if cfg.GivenSecond {
		return None
	}
	silent := now - max(v.lastValid, start)
	switch {
	case v.lastVoid > v.lastValid && silent > int64(cfg.Labels.VoidTimeout):
		return VoidMessages
	case silent > int64(cfg.Labels.Timeout):
		return NoMessages
	}
	return None
}

// vote takes a message while the second is not known. grid is the provisional
// time of its arrival. A label may have a fraction: its message comes less than a
// second after the instant that it names, and that tells the second.
func (v *voter) vote(l Label, grid tai.Time) Reason {
	floor := grid.Floor()
	shift := -(grid - l.Time).Floor() // the least that does not make the message early
	named := func() { v.second, v.first, v.shift, v.floor = l.Time, l.Mono, shift, floor }
	if v.second == 0 {
		named()
		v.run = 1
		return None
	}
	gone := tai.Time(l.Mono - v.first)
	d, seconds := l.Time-v.second, l.Time.Floor()-v.second.Floor()
	fraction := l.Time%tai.Second != 0
	switch {
	case seconds == 0 && gone < tai.Time(v.maxLatency)+max(0, d):
		return None // the same burst, perhaps past the next pulse, or one of several labels a second
	case seconds == 0:
		v.run = 0
		return LabelSkips // the receiver's time stands still
	case d < 0 && d >= -3*tai.Second:
		v.run = 0
		return LabelSources
	case d.Sub(gone).Abs() > time.Second/2:
		v.run = 0
		if floor == v.floor {
			return LabelSources
		}
		named()
		if fraction {
			return LabelNotWhole
		}
		return LabelSkips
	case shift != v.shift && fraction:
		v.run = 0
		named()
		return LabelNotWhole
	case shift != v.shift || seconds > labelGap:
		v.run = 0
	}
	named()
	v.run++
	return None
}

// compare takes a message while the clock is tracked. now is the estimated true
// time of its arrival, known to within bound.
func (v *voter) compare(l Label, now tai.Time, bound time.Duration) Reason {
	lat := now.Sub(l.Time)
	same := l.Time.Floor() == v.second.Floor()
	switch {
	case lat >= 0 && lat < v.maxLatency:
		if !same {
			v.second, v.first = l.Time, l.Mono
			v.agree++
			v.evidence++
			if v.latency == 0 {
				v.latency = lat
			}
			v.latency += (lat - v.latency) / 8
		}
		v.disputes = 0
		return None
	case l.Time == v.second && lat >= 0 && l.Mono-v.first < int64(v.maxLatency):
		return None // a burst that overlaps the next pulse
	case lat >= -bound && lat < v.maxLatency+bound:
		return None // the clock is not exact enough to decide
	}
	if l.Mono-v.disputed > 500e6 {
		v.disputed = l.Mono
		v.disputes++
		v.agree = 0
	}
	switch {
	case lat >= v.maxLatency && lat < v.maxLatency+lateBy:
		return LabelLate
	case lat < 0 && lat > -lateBy:
		return LabelEarly
	}
	return LabelDiffers
}

// provisionalLabels is the number of agreeing seconds up to which the second is
// provisional.
const provisionalLabels = 540

// provisional reports whether the clock's second stands on so few labels that
// contradicting ones may outweigh it.
func (v *voter) provisional() bool { return v.evidence < provisionalLabels }

// outweighed reports whether labels have contradicted the clock's second for
// longer than they had agreed with it, or for as long as is configured.
func (v *voter) outweighed(cfg *LabelConfig) bool {
	if cfg.RelabelAfter > 0 {
		return v.disputes >= cfg.RelabelAfter
	}
	return v.disputes > max(v.evidence, cfg.FaultyAfter)
}

// label takes a message and returns why it is refused, None if it is not.
func (c *machine) label(l Label) Reason {
	v := &c.labels
	if !l.Valid {
		v.lastVoid = l.Mono
		v.run, v.agree = 0, 0
		c.checkLabels(l.Mono)
		return LabelVoid
	}
	if l.Time <= 0 {
		return LabelNotWhole
	}
	if l.TAcc > c.cfg.Limit {
		v.lastVoid = l.Mono
		return LabelVague
	}
	v.lastValid, c.st.LabelMono = l.Mono, l.Mono
	v.source, c.st.Labels = l.Source, l.Source
	c.bound.receiverAccuracy(l.TAcc)
	if c.cfg.GivenSecond {
		return None
	}
	if !c.steps.ok || c.est.imm.Count() == 0 || c.step.pending || l.Mono < c.step.mono {
		return LabelNoPulse
	}
	grid := c.steps.at(l.Mono) - tai.Time(c.est.phaseAt(l.Mono))
	if !c.labelled {
		if l.Mono-c.edges.last > 1600e6 {
			v.run = 0
			return LabelNoPulse
		}
		return v.vote(l, grid)
	}
	r := v.compare(l, grid, time.Duration(math.Min(c.bound.in(&c.est, &c.cfg, l.Mono, 0), 1e12)))
	c.applyLabels()
	return r
}

// Recounted reports that TAI - UTC changed while the clock was not tracked. A second that
// is being verified stands on labels that were made with the count before: it is found
// anew. An inherited line is reported no more: it is served with the count of the earlier
// run, and it is open which of the two is right.
func (c *Controller) Recounted() {
	c.inherited.valid = false
	if c.st.State == status.Acquiring {
		c.reacquire(SecondDisputed)
	}
}

// applyLabels changes the state of a tracked clock after labels that agree or
// disagree. They never move its second.
func (c *machine) applyLabels() {
	v, cfg := &c.labels, &c.cfg.Labels
	switch {
	case v.disputes >= cfg.DisputeAfter && c.st.State == status.Acquiring:
		c.reacquire(SecondDisputed)
	case v.outweighed(cfg) && c.st.State == status.Faulty:
		c.trust.refuse = None
		c.reacquire(SecondDisputed)
	case v.disputes >= cfg.DisputeAfter && v.provisional() && (c.st.State == status.Locked || c.st.State == status.Holdover):
		// It is open which second is right: nothing is served until one of the two has
		// lasted longer.
		c.distrust(SecondDisputed)
		c.enter(status.Faulty, SecondDisputed)
	case v.disputes >= cfg.FaultyAfter && c.st.State == status.Holdover:
		c.enter(status.Faulty, SecondDisputed)
	case v.disputes >= cfg.DisputeAfter && c.st.State != status.Faulty:
		c.distrust(SecondDisputed)
	case v.agree >= c.cfg.Confirm && (c.trust.refuse == NoMessages || c.trust.refuse == VoidMessages || c.trust.refuse == SecondDisputed):
		c.restoreTrust()
	}
}

// checkLabels changes the state when messages have stopped.
func (c *machine) checkLabels(now int64) {
	r := c.labels.silence(&c.cfg, c.first.mono, now)
	if r == None || c.step.pending {
		return
	}
	v := &c.labels
	v.agree, v.run = 0, 0
	switch c.st.State {
	case status.Locked, status.Holdover:
		if c.trust.refuse == None {
			c.distrust(r)
		}
	case status.Acquiring:
		c.enter(status.Unlocked, r)
		c.labelled = false
		c.edges.verified = 0
		v.restart()
	case status.Unlocked:
		if c.trust.refuse == None && (c.edges.any || r == VoidMessages) {
			c.enter(status.Unlocked, r)
		}
	}
}
