package pps

import (
	"math"
	"time"
)

// CompareConfig describes a pulse that disciplines nothing and is only compared
// with the disciplined clock.
type CompareConfig struct {
	Name  string
	Bias  time.Duration // lateness of its path
	Cable time.Duration // delay of its antenna cable
	Limit time.Duration // an offset beyond it, and beyond the clock's own bound, raises an alarm; 0 = never
	// Independent: another receiver makes the pulse, and is right to within Limit.
	// Then it confirms the clock.
	Independent bool
}

// ComparedEdge is an edge of the pulse with that index in the configuration.
type ComparedEdge struct {
	Index int
	Edge  Edge
}

// Comparison is what is known of a compared pulse.
type Comparison struct {
	Name     string
	OffsetNS float64       // last: clock - pulse, + = clock fast, pulse late
	MeanNS   float64       // smoothed over half a minute
	NoiseNS  float64       // standard deviation about MeanNS
	Limit    time.Duration // 0 = none
	Alarm    bool          // several offsets in a row were beyond the limit
	Mono     int64         // CLOCK_MONOTONIC_RAW of the last edge, ns, 0 = none
	Count    uint64        // edges that were compared
	Skipped  uint64        // edges that came when there was nothing to compare with
}

// Comparator compares one pulse with the clock. It is for one goroutine.
type Comparator struct {
	cfg    CompareConfig
	state  Comparison
	square float64 // smoothed square about the mean, ns^2
	beyond int     // offsets beyond the limit in a row
	within int     // offsets within the limit in a row
}

const (
	compareSmooth = 32 // pulses
	alarmAfter    = 3  // offsets beyond the limit in a row
	alarmClears   = 10 // offsets within the limit in a row
)

// NewComparator returns a Comparator.
func NewComparator(cfg CompareConfig) *Comparator {
	return &Comparator{cfg: cfg, state: Comparison{Name: cfg.Name, Limit: cfg.Limit}}
}

// State returns what is known as of the last call.
func (c *Comparator) State() Comparison { return c.state }

// Delay returns by how much the pulse's path makes it late.
func (c *Comparator) Delay() time.Duration { return c.cfg.Bias + c.cfg.Cable }

// Confirms returns the error of the clock that an independent pulse excludes: it is
// no larger. Not ok: the pulse is not independent, or its alarm is raised.
func (c *Comparator) Confirms(uncertain float64) (ns float64, ok bool) {
	s := &c.state
	return math.Abs(s.OffsetNS) + float64(s.Limit) + uncertain, c.cfg.Independent && s.Limit > 0 && !s.Alarm && s.Count > compareSmooth
}

// Skip counts an edge that cannot be compared.
func (c *Comparator) Skip() { c.state.Skipped++ }

// Add takes an offset in ns, + = clock fast, measured at mono; uncertain is the
// bound of the offset's own error, ns. changed reports that the alarm was raised
// or cleared.
func (c *Comparator) Add(offset float64, mono int64, uncertain float64) (changed bool) {
	s := &c.state
	if k := 1 / float64(min(s.Count+1, compareSmooth)); s.Count == 0 {
		s.MeanNS = offset
	} else {
		d := offset - s.MeanNS
		s.MeanNS += k * d
		c.square += k * (d*d - c.square)
	}
	s.Count++
	s.OffsetNS, s.NoiseNS, s.Mono = offset, math.Sqrt(c.square), mono
	if s.Limit == 0 {
		return false
	}
	was := s.Alarm
	if math.Abs(offset) <= float64(s.Limit)+uncertain {
		c.beyond = 0
		c.within++
		s.Alarm = s.Alarm && c.within < alarmClears
	} else {
		c.within = 0
		c.beyond++
		s.Alarm = s.Alarm || c.beyond >= alarmAfter
	}
	return s.Alarm != was
}
