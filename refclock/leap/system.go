package leap

import (
	"time"

	"noonmark/refclock/reading"
)

const (
	// countSpan is the largest error of whole seconds that a wrong leap count
	// makes: there have been 18 leap seconds since GPS began.
	countSpan = 20 * time.Second
	// scaleSpan is the same for labels in GPS time or TAI: the configured scale may be
	// wrong, by 37 s at present.
	scaleSpan = time.Minute
	// agreeWithin is how near a clock that was kept right must be to the receiver's
	// second, as the pulse begins it, to confirm it. What differs by more than half a
	// second contradicts it.
	agreeWithin = 300 * time.Millisecond
	// ranWithin is the same for a clock that nobody keeps: nothing says by how
	// many seconds it may be wrong, so it can also agree with a wrong label, by
	// chance. One that was kept until lately is some ms off (NTP over the Internet,
	// then 20 ppm for a quarter of an hour). One whose error is anything is so near to
	// a given second in one of 25 cases where its error is spread over one second.
	ranWithin = 20 * time.Millisecond
	// wholeSpan is how far off by whole seconds a system clock may be to contradict a count
	// from satellites: two days, as the date may change late. A receiver that has the count
	// has the number of the week as well.
	wholeSpan = 48 * time.Hour
	// zoneStep is what time zones and dates differ by multiples of.
	zoneStep = 15 * time.Minute
)

// away is by how many whole seconds a system clock is ahead of labels. The labels may be
// wrong by them.
type away struct {
	by time.Duration // 0: it is not
	// odd: labels that are made with another leap count than the receiver has heard after 13
	// minutes with a fix do not explain it.
	odd bool
	far bool // by wholeSpan or more: the date is in question
}

// awayFrom judges a system clock that is ahead of labels by off. It must be as near to whole
// seconds as it would have to be to confirm them. One that this receiver may have set
// shows nothing. scaled: the labels need no count, and the configured scale or the tables
// of leap seconds may be wrong.
func awayFrom(off time.Duration, in *reading.Clocks, scaled bool) away {
	tolerance := within(in.Continued && in.SystemSet)
	switch {
	case in.SystemDisciplined:
		tolerance = agreeWithin
	case in.SystemOwn:
		return away{}
	}
	whole := off.Round(time.Second)
	far := whole.Abs() >= wholeSpan
	if whole == 0 || (off-whole).Abs() > tolerance || far && (!in.SystemPlausible || !away{by: whole}.zone()) {
		return away{}
	}
	odd := whole.Abs() <= countSpan || whole == -in.TAIOffset // the labels may be in TAI
	switch {
	case in.SystemDisciplined, away{by: whole}.zone():
		odd = true
	case scaled:
		odd = whole.Abs() <= scaleSpan
	}
	return away{whole, odd, far}
}

// zone reports whether time zones or dates differ so.
func (a away) zone() bool { return a.by != 0 && a.by%zoneStep == 0 }

// dated returns the difference from labels whose date is known to be right. A date that was
// moved by 1024 weeks has been compared with the system clock, to half a year.
func (a away) dated() away {
	if a.far {
		return away{}
	}
	return a
}

// contradicts reports whether the difference contradicts labels of a receiver that knows its
// leap count.
func (a away) contradicts() bool { return a.by != 0 && !a.far }

// odd returns by how many whole seconds the system clock is ahead of labels, if 13 minutes
// with a fix do not explain it; else 0.
func (c *confirmation) odd() time.Duration {
	switch {
	case c.uniformNow() && c.uniformAway.odd:
		return c.uniformAway.by
	case c.systemAway.odd:
		return c.systemAway.by
	}
	return 0
}

// compareSystem takes how far the system clock is ahead of the receiver's second.
func (c *confirmation) compareSystem(off time.Duration, in *reading.Clocks) {
	c.drop(systemKept, systemRan)
	c.system, c.systemNear, c.systemAway = contradiction(off, countSpan), 0, awayFrom(off, in, false)
	switch {
	case in.SystemDisciplined && off.Abs() <= agreeWithin:
		c.add(systemKept, "disciplined system clock", in.Mono)
	case !in.SystemOwn && off.Abs() <= within(in.Continued && in.SystemSet):
		c.add(systemRan, "system clock", in.Mono)
	case !in.SystemOwn && off.Abs() <= time.Second/2:
		c.systemNear = off
	}
}

// contradiction returns off if it is a difference of whole seconds up to span,
// else 0.
func contradiction(off, span time.Duration) time.Duration {
	if off.Abs() > time.Second/2 && off.Abs() < span+time.Second/2 {
		return off
	}
	return 0
}

// within returns how near a clock must be to confirm a second. continued: this
// program kept it right earlier.
func within(continued bool) time.Duration {
	if continued {
		return agreeWithin
	}
	return ranWithin
}
