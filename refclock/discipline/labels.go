package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// voter weighs what messages say of the second.
type voter struct {
	maxLatency time.Duration // greatest latency
	second     tai.Time      // the latest second named, 0 before the first
	first      int64         // mono of the first message that named it
	lastValid  int64
	lastVoid   int64
	run        int      // consecutive seconds that voted for shift
	shift      tai.Time // true second - provisional second
	floor      tai.Time // provisional second of the last vote
	agree      int      // consecutive seconds that agreed with the tracked clock
	disputes   int      // consecutive seconds that did not
	disputed   int64    // mono of the last dispute
	source     string
	latency    time.Duration // smallest of the last second, smoothed
}

func (v *voter) restart() {
	*v = voter{maxLatency: v.maxLatency, lastValid: v.lastValid, lastVoid: v.lastVoid, latency: v.latency, source: v.source}
}

// agreed returns by how many seconds the provisional count is to be moved, and
// whether the last k seconds agree on it.
func (v *voter) agreed(k int) (tai.Time, bool) { return v.shift, v.run >= k }

// undisputed reports whether nothing speaks against the second.
func (v *voter) undisputed(cfg Config, now int64) bool {
	return cfg.GivenSecond || v.disputes == 0 && v.agree > 0 && now-v.lastValid <= int64(cfg.LabelTimeout)
}

// vote takes a message while the second is not known. grid is the provisional
// time of its arrival.
func (v *voter) vote(l Label, grid tai.Time) Reason {
	floor := grid.Floor()
	shift := l.Time - floor
	if v.second == 0 {
		v.second, v.first, v.run, v.shift, v.floor = l.Time, l.Mono, 1, shift, floor
		return None
	}
	gone := (tai.Time(l.Mono-v.first) + tai.Second/2).Floor()
	switch d := l.Time - v.second; {
	case d == 0 && l.Mono-v.first < int64(v.maxLatency):
		return None // the same burst, be it over the next pulse
	case d == 0:
		v.run = 0
		return LabelSkips // the receiver stands still
	case d < 0 && d >= -3*tai.Second:
		v.run = 0
		return LabelSources
	case d != gone:
		v.run = 0
		if floor == v.floor {
			return LabelSources
		}
		v.second, v.first, v.shift, v.floor = l.Time, l.Mono, shift, floor
		return LabelSkips
	case shift != v.shift || d != tai.Second:
		v.run = 0
	}
	v.second, v.first, v.shift, v.floor = l.Time, l.Mono, shift, floor
	v.run++
	return None
}

// compare takes a message while the clock is tracked. now is the estimated true
// time of its arrival, known to within bound.
func (v *voter) compare(l Label, now tai.Time, bound time.Duration) Reason {
	lat := now.Sub(l.Time)
	same := l.Time == v.second
	switch {
	case lat >= 0 && lat < v.maxLatency:
		if !same {
			v.second, v.first = l.Time, l.Mono
			v.agree++
			if v.latency == 0 {
				v.latency = lat
			}
			v.latency += (lat - v.latency) / 8
		}
		v.disputes = 0
		return None
	case same && lat >= 0 && l.Mono-v.first < int64(v.maxLatency):
		return None // a burst that overlaps the next pulse
	case lat >= -bound && lat < v.maxLatency+bound:
		return None // the clock knows no better
	}
	if l.Mono-v.disputed > 500e6 {
		v.disputed = l.Mono
		v.disputes++
		v.agree = 0
	}
	switch {
	case lat >= v.maxLatency && lat < v.maxLatency+1500*time.Millisecond:
		return LabelLate
	case lat < 0 && lat > -1500*time.Millisecond:
		return LabelEarly
	}
	return LabelDiffers
}

// Label takes one message of the receiver.
func (c *Controller) Label(l Label) {
	r := c.label(l)
	if r == None {
		c.st.Labelled++
		return
	}
	c.st.BadLabels++
	c.st.Counts[r]++
}

func (c *Controller) label(l Label) Reason {
	if !c.started {
		c.started, c.startMono = true, l.Mono
	}
	v := &c.voter
	if !l.Valid {
		v.lastVoid = l.Mono
		v.run, v.agree = 0, 0
		c.checkLabels(l.Mono)
		return LabelVoid
	}
	if l.Time%tai.Second != 0 || l.Time <= 0 {
		return LabelNotWhole
	}
	if l.TAcc > c.cfg.Limit {
		v.lastVoid = l.Mono
		return LabelVague
	}
	v.lastValid, c.st.LabelMono = l.Mono, l.Mono
	v.source, c.st.Labels = l.Source, l.Source
	c.receiverAccuracy(l.TAcc)
	if c.cfg.GivenSecond {
		return None
	}
	if !c.steps.ok || c.imm.Count() == 0 || c.stepping || l.Mono < c.stepMono {
		return LabelNoPulse
	}
	grid := c.clockAt(l.Mono) - tai.Time(c.phaseAt(l.Mono))
	if !c.labelled {
		if l.Mono-c.lastPulse > 1600e6 {
			v.run = 0
			return LabelNoPulse
		}
		return v.vote(l, grid)
	}
	r := v.compare(l, grid, time.Duration(math.Min(c.boundIn(l.Mono, 0), 1e12)))
	c.applyLabels()
	return r
}

// applyLabels draws the consequences of agreeing and disagreeing labels for a
// tracked clock. Its second is never moved by them.
func (c *Controller) applyLabels() {
	v := &c.voter
	switch {
	case v.disputes >= c.cfg.DisputeAfter && (c.st.State == status.Acquiring):
		c.reacquire(SecondDisputed)
	case c.cfg.RelabelAfter > 0 && v.disputes >= c.cfg.RelabelAfter && c.st.State == status.Faulty:
		c.distrusted = None
		c.reacquire(SecondDisputed)
	case v.disputes >= c.cfg.FaultyAfter && c.st.State == status.Holdover:
		c.enter(status.Faulty, SecondDisputed)
	case v.disputes >= c.cfg.DisputeAfter && c.st.State != status.Faulty:
		c.distrust(SecondDisputed)
	case v.agree >= c.cfg.Confirm && (c.distrusted == NoMessages || c.distrusted == VoidMessages || c.distrusted == SecondDisputed):
		c.restoreTrust()
	}
}

// labelSilence tells whether messages have stopped coming or being valid.
func (c *Controller) labelSilence(now int64) Reason {
	if c.cfg.GivenSecond {
		return None
	}
	v := &c.voter
	silent := now - max(v.lastValid, c.startMono)
	switch {
	case v.lastVoid > v.lastValid && silent > int64(c.cfg.VoidTimeout):
		return VoidMessages
	case silent > int64(c.cfg.LabelTimeout):
		return NoMessages
	}
	return None
}

// checkLabels draws the consequences of silence.
func (c *Controller) checkLabels(now int64) {
	r := c.labelSilence(now)
	if r == None || c.stepping {
		return
	}
	v := &c.voter
	v.agree, v.run = 0, 0
	switch c.st.State {
	case status.Locked, status.Holdover:
		if c.distrusted == None {
			c.distrust(r)
		}
	case status.Acquiring:
		c.enter(status.Unlocked, r)
		c.labelled = false
		c.verified = 0
		v.restart()
	case status.Unlocked:
		if c.distrusted == None && (c.anyPulse || r == VoidMessages) {
			c.enter(status.Unlocked, r)
		}
	}
}
