package leap

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reading"
)

// proven is the line (second - CLOCK_MONOTONIC_RAW) of labels that something confirmed
// before the clock was locked to them. A lock that is lost because the pulses jumped takes
// nothing from that: the clock is doubted then, and a system clock that was set by it, but
// nobody sets CLOCK_MONOTONIC_RAW. It is forgotten when labels jump, and when the receiver
// may have started anew.
type proven struct {
	at     tai.Time // 0: none
	mono   int64    // of the latest label on it
	locked bool     // the clock was locked since
}

// rawDrift is a bound of the frequency error of CLOCK_MONOTONIC_RAW.
const rawDrift = 200e-6

// ran takes the line x of a label, and whether something confirms the label. It reports
// whether the label is on a line that the clock was locked to.
func (p *proven) ran(x tai.Time, in *reading.Clocks, confirmed bool) bool {
	switch {
	case p.at == 0 && (!confirmed || in.Tracked), !p.locked && !confirmed:
		p.at = 0
		return false
	case p.at == 0:
		p.at, p.mono = x, in.Mono
	}
	p.locked = p.locked || in.Tracked
	off := x.Sub(p.at)
	if off.Abs() > agreeWithin {
		return false
	}
	most := time.Duration(float64(in.Mono-p.mono) * rawDrift)
	p.at, p.mono = p.at.Add(min(max(off, -most), most)), in.Mono
	return p.locked
}
