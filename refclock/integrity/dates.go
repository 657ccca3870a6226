package integrity

import (
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// rolloverSpan is half of the 1024 weeks by which a receiver can be wrong:
// evidence that is nearer than this shows which of them it is.
const rolloverSpan = 512 * 7 * 86400 * tai.Second

// dates checks whether the date of a message is plausible.
type dates struct {
	notBefore tai.Time // dates before it are refused; 0: none are
	refuse    bool     // dates that were moved by 1024 weeks are never used

	corrected bool // that a rollover is corrected was reported
}

// check returns why a date is refused, or None. A date that the decoder had to
// move by 1024 weeks needs other evidence, which is named: the clock itself (own),
// or the system clock; 0: it is not known.
func (d *dates) check(m *gnss.Message, own, system tai.Time) (code reason.Code, evidence string) {
	switch {
	case d.notBefore != 0 && m.Time < d.notBefore:
		return reason.MessageTooEarly, ""
	case m.Rollover == 0:
		return reason.None, ""
	case d.refuse:
	case own != 0 && near(m.Time, own):
		return reason.None, "the clock itself"
	case system != 0 && system >= d.notBefore && near(m.Time, system):
		return reason.None, "the system clock"
	}
	return reason.MessageRollover, ""
}

func near(a, b tai.Time) bool { return a-b < rolloverSpan && b-a < rolloverSpan }
