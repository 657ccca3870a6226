package incident

import (
	"slices"
	"time"

	"noonmark/refclock/reason"
)

// Conditions takes all conditions that hold now. Each is logged once when it
// begins, with its remedy, and once when it ends. Who finds a condition counts it.
func (l *Log) Conditions(now []reason.Condition) {
	was, mono := l.lasting, l.mono()
	l.lasting = make([]reason.Lasting, 0, len(now)) // the old one may be in a report
	for _, c := range now {
		i := slices.IndexFunc(was, func(x reason.Lasting) bool { return x.Code == c.Code })
		if i < 0 {
			l.lasting = append(l.lasting, reason.Lasting{Condition: c, Since: mono})
			l.warn(c.Code, "detail", c.Detail)
			continue
		}
		l.lasting = append(l.lasting, reason.Lasting{Condition: c, Since: was[i].Since})
	}
	for _, x := range was {
		if !slices.ContainsFunc(now, func(c reason.Condition) bool { return c.Code == x.Code }) {
			l.log.Info("condition ended", "reason", x.Code.String(), "lasted", time.Duration(mono-x.Since).Round(time.Second))
		}
	}
}

// Lasting returns the conditions that hold. The result is not changed afterwards.
func (l *Log) Lasting() []reason.Lasting { return l.lasting }
