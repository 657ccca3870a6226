package refclock

import (
	"math"
	"time"

	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// CompareConfig describes a pulse that disciplines nothing and is compared
// with the disciplined clock.
type CompareConfig struct {
	Name  string
	Bias  time.Duration // lateness of its path
	Cable time.Duration
	Limit time.Duration // beyond it, and the clock's own bound, it is an alarm; 0 = never
}

// ComparedEdge is an edge of one of Config.Compare.
type ComparedEdge struct {
	Index int
	Edge  pps.Edge
}

// Compared is what is known of a pulse that is compared.
type Compared struct {
	Name     string
	OffsetNS float64       // last: clock - this pulse, + = clock fast, pulse late
	MeanNS   float64       // smoothed over half a minute
	NoiseNS  float64       // standard deviation about it
	Limit    time.Duration // 0 = none
	Alarm    bool          // several in a row were beyond it
	Mono     int64         // CLOCK_MONOTONIC_RAW of the last edge, 0 = none
	Count    uint64        // compared
	Skipped  uint64        // that came when there was nothing to compare with
}

type compared struct {
	Compared
	square float64 // smoothed square about the mean
	beyond int     // in a row
	within int     // in a row
}

const (
	compareSmooth = 32 // pulses
	alarmAfter    = 3  // beyond the limit in a row
	alarmOver     = 10 // within it again
)

// Compare takes an edge of the i-th pulse that is compared.
func (e *Engine) Compare(i int, x pps.Edge) {
	if i < 0 || i >= len(e.compare) {
		return
	}
	c, cfg := &e.compare[i], &e.cfg.Compare[i]
	if !e.loop.Clock.Available() {
		c.Skipped++
		e.Count(reason.CompareSkipped)
		return
	}
	now := e.cfg.Mono()
	st := e.loop.Control.Status()
	p, r := e.loop.Clock.Locate(x)
	e.happened(e.loop.Events())
	if r != reason.None || st.ServoState != status.Locked && st.ServoState != status.Holdover {
		c.Skipped++
		e.Count(reason.CompareSkipped)
		return
	}
	at := p.Clock.Add(-cfg.Bias - cfg.Cable)
	z := float64(at - at.Round())
	if k := 1 / float64(min(c.Count+1, compareSmooth)); c.Count == 0 {
		c.MeanNS = z
	} else {
		d := z - c.MeanNS
		c.MeanNS += k * d
		c.square += k * (d*d - c.square)
	}
	c.Count++
	c.OffsetNS, c.NoiseNS, c.Mono = z, math.Sqrt(c.square), p.Mono
	if cfg.Limit == 0 {
		return
	}
	sure := float64(cfg.Limit) + float64(p.Width)/2 + st.Bound + st.BoundRate*max(0, float64(now-st.Mono)*1e-9)
	if math.Abs(z) <= sure {
		c.beyond = 0
		if c.within++; c.Alarm && c.within >= alarmOver {
			c.Alarm = false
			e.log.Info("compared pulse agrees again", "pulse", c.Name, "offset", time.Duration(z))
		}
		return
	}
	c.within = 0
	if c.beyond++; c.beyond >= alarmAfter && !c.Alarm {
		c.Alarm = true
		e.refuse(reason.CompareAlarm, nil, "pulse", c.Name, "offset", time.Duration(z), "limit", cfg.Limit, "sure_within", time.Duration(sure)-cfg.Limit)
	}
}

// comparisons is a copy for Stats.
func (e *Engine) comparisons() []Compared {
	if len(e.compare) == 0 {
		return nil
	}
	out := make([]Compared, len(e.compare))
	for i := range out {
		out[i] = e.compare[i].Compared
	}
	return out
}
