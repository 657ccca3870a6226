package integrity

import (
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

const (
	week = 7 * 86400 * tai.Second
	// rolloverPeriod is by how much a receiver that lost count of the weeks is wrong,
	// or a multiple of it, and half of it is as far as evidence may be off to tell
	// such dates apart.
	rolloverPeriod = 1024 * week
	// rolloverMatch is how near evidence must be to a date that was moved by
	// rolloverPeriod. A receiver's default date, moved so, is years away from it.
	rolloverMatch = 26 * week
)

// dates checks whether the date of a message is plausible.
type dates struct {
	notBefore tai.Time // dates before it are refused; 0: none are
	notAfter  tai.Time // dates after it are refused; 0: none are
	refuse    bool     // dates that were moved by 1024 weeks are never used

	corrected bool // that a rollover is corrected was reported
}

// newDates returns the check of dates. Without a last date it is
// gnss.PlausibleYears after the first.
func newDates(notBefore, notAfter tai.Time, refuse bool) dates {
	if notAfter == 0 && notBefore != 0 {
		notAfter = notBefore + gnss.PlausibleYears*36525*864*tai.Second
	}
	return dates{notBefore: notBefore, notAfter: notAfter, refuse: refuse}
}

// plausible reports whether this program can run at t.
func (d *dates) plausible(t tai.Time) bool {
	return t >= d.notBefore && (d.notAfter == 0 || t <= d.notAfter)
}

// check returns why a date is refused, or None. A date that the decoder had to
// move by 1024 weeks needs other evidence, which is named: the clock itself or the
// system clock. Where that says that the date was merely wrong, it is the date as
// it was sent that is refused.
func (d *dates) check(m *gnss.Message, c *reading.Clocks) (code reason.Code, evidence string) {
	system := c.System
	if !d.plausible(system) {
		system = 0
	}
	switch {
	case d.notBefore != 0 && m.Time < d.notBefore:
		return reason.MessageTooEarly, ""
	case d.notAfter != 0 && m.Time > d.notAfter, m.Rollover == 0 && d.ahead(m.Time, c, system):
		return reason.MessageDateAhead, ""
	case m.Rollover == 0:
		return reason.None, ""
	case d.refuse:
	case c.Own() != 0 && near(m.Time, c.Own(), rolloverMatch):
		return reason.None, "the clock itself"
	case system != 0 && near(m.Time, system, rolloverMatch):
		return reason.None, "the system clock"
	case d.notBefore != 0 && (c.Own() != 0 || system != 0):
		return reason.MessageTooEarly, ""
	}
	return reason.MessageRollover, ""
}

// ahead reports whether 1024 weeks before t is the likelier date: what the clock
// or the system clock shows is nearer to it, or, where neither is known, a table
// of leap seconds would be in date then.
func (d *dates) ahead(t tai.Time, c *reading.Clocks, system tai.Time) bool {
	before := t - rolloverPeriod
	if d.notBefore == 0 || before < d.notBefore {
		return false
	}
	for _, known := range [...]tai.Time{c.Own(), system} {
		if known != 0 {
			return !near(t, known, rolloverPeriod/2) && near(before, known, rolloverPeriod/2)
		}
	}
	return before < c.TableEnd
}

// near reports whether two instants are at most within apart.
func near(a, b, within tai.Time) bool { return a-b <= within && b-a <= within }
