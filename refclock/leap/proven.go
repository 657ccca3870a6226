package leap

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reading"
)

// proven is the line (second - CLOCK_MONOTONIC_RAW) of labels that something confirmed
// before the clock was locked to them. A lock that is lost because the pulses jumped takes
// nothing from that: the clock is doubted then, and a system clock that was set by it, but
// nobody sets CLOCK_MONOTONIC_RAW. Neither do labels that leave it and come back: the
// date of some receivers changes seconds after midnight. It is forgotten when they have been
// elsewhere for longer than the clock had been locked to it, or for awayMost, when something
// confirms another line, and when the receiver may have started anew.
type proven struct {
	at     tai.Time // 0: none
	mono   int64    // of the latest label on it
	locked bool     // the clock was locked since
	held   int64    // for how long it was locked while labels were on it, ns
	away   int64    // mono since when labels that jumped are elsewhere, 0: they are not
}

// rawDrift is a bound of the frequency error of CLOCK_MONOTONIC_RAW.
const rawDrift = 200e-6

// awayMost is how long labels may be elsewhere: with rawDrift, another second would seem to be
// on the line soon after.
const awayMost = time.Hour

// ran takes the line x of a label, and whether something else confirms the label. It reports
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
	off, most := x.Sub(p.at), time.Duration(float64(in.Mono-p.mono)*rawDrift)
	if off.Abs() > agreeWithin {
		p.left(x, in, confirmed)
		return false
	}
	if in.Tracked && p.away == 0 {
		p.held += in.Mono - p.mono
	}
	p.at, p.mono, p.away = p.at.Add(min(max(off, -most), most)), in.Mono, 0
	return p.locked
}

// left takes a label on another line. Labels that did not jump are on it because the pulses
// did.
func (p *proven) left(x tai.Time, in *reading.Clocks, confirmed bool) {
	switch {
	case p.away == 0:
	case confirmed && !in.Tracked:
		*p = proven{at: x, mono: in.Mono}
	case in.Mono-p.away > min(p.held, int64(awayMost)):
		*p = proven{}
	}
}

// jumped takes that labels jumped.
func (p *proven) jumped(mono int64) {
	switch {
	case !p.locked:
		*p = proven{}
	case p.away == 0:
		p.away = mono
	}
}
