package leap

import (
	"strings"
	"time"

	"noonmark/refclock/gnss"
)

// waitLogged is how long the wait for evidence must last to be logged.
const waitLogged = 5 * time.Second

// explain says what the lock waits for, and what would shorten that.
func (c *confirmation) explain() (fields []any, remedy string) {
	if by := unexplained(c); by != 0 {
		return explainOdd(by)
	}
	var more []string
	switch left := almanacTime - time.Duration(c.now-c.fix.since); {
	case c.unheard != gnss.LeapUnreported:
		fields = append(fields, "receiver_has_count_from", c.unheard.String())
	case c.fix.last == 0:
		more = append(more, "let the receiver report its fix from satellites (RMC or GGA): after 13 min with one it must know its count")
	default:
		fields = append(fields, "for_at_most", max(left, 0).Round(time.Second))
	}
	if c.clockDoubted {
		fields = append(fields, "clock_doubted", true)
		more = append(more, "the clock lost its lock while it showed another second than the receiver, so neither it nor what it sets confirms anything")
	}
	off := c.system
	if off == 0 {
		off = c.systemAway.by
	}
	if c.uniformNow() {
		off = c.uniformOff
	}
	if off != 0 {
		fields = append(fields, "system_clock_off_by", off.Round(time.Millisecond))
		more = append(more, "find out whether the system clock or the receiver is wrong")
	}
	if c.systemNear != 0 && !c.uniformNow() {
		fields = append(fields, "system_clock_off_by", c.systemNear.Round(time.Millisecond))
		more = append(more, "a system clock that nobody disciplines confirms only if it agrees within "+ranWithin.String())
	}
	more = append(more, "let the receiver send UBX-NAV-TIMELS or NAV-TIMEGPS (receiver.configure), set the system clock right by NTP, or require a [[witness]]")
	return fields, strings.Join(more, "; ")
}

// unexplained is odd without what a leap count that has not been heard yet may explain: before
// 13 minutes with a fix and before the receiver announces it, labels in UTC that are early.
func unexplained(c *confirmation) time.Duration {
	by := c.odd()
	if by < 0 && by >= -countSpan && c.found[almanacReceived].mono == 0 && c.found[countReceived].mono == 0 && !c.uniformNow() {
		return 0
	}
	return by
}

// explainOdd does that where the system clock is ahead of labels by whole seconds, or behind
// them (by < 0), as no leap count makes it.
func explainOdd(by time.Duration) (fields []any, remedy string) {
	how := "late"
	if by < 0 {
		how = "early"
	}
	why := "if the receiver sends them so, correct receiver.label_offset or receiver.time_scale"
	if by%zoneStep == 0 {
		why = "the receiver or the system clock may be set to a local time, or have a wrong date"
	}
	return []any{"labels_seem_" + how + "_by", by.Abs()},
		"labels seem " + how + " by " + by.Abs().String() + ": " + why + "; else the system clock is wrong: set it by NTP, or require a [[witness]]"
}

// watch reports once that the lock has been waiting for evidence for a while, and once
// that labels differ from the system clock as no leap count makes them.
func (c *confirmation) watch(p Proof) (due bool) {
	w, odd := &c.waiting, unexplained(c) != 0
	switch {
	case !c.waits(p):
		w.since, w.logged, w.odd = 0, false, false
	case w.since == 0:
		w.since = max(c.now, 1)
	case c.now-w.since <= int64(waitLogged):
	case !w.logged, !w.odd && odd:
		w.logged, w.odd = true, odd
		return true
	}
	return false
}
