package sysclock

import (
	"errors"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// line makes snapshots of readings. It has no clock of its own.
type line struct {
	table  *tai.Table // grows by the leap seconds that were announced
	device string
	snap   status.Snapshot
	have   bool // snap has a line
	base   struct {
		clock tai.Time
		mono  int64
	} // from where the rate is measured
	measured bool // there is a rate
}

// next returns the snapshot after one reading. err is why there is no quality;
// took is how long it took to ask for it, the clock read at its end.
func (l *line) next(q quality, err error, c phc.Cross, took time.Duration) status.Snapshot {
	if err == nil && c.Width > maxWidth {
		err = &Error{Reason: ClockUnsettled}
	}
	if e := (*Error)(nil); err != nil && (errors.As(err, &e) && e.Reason == NotSynced || !l.have) {
		l.have, l.measured = false, false
		l.snap = status.Snapshot{State: status.Unlocked, Kind: status.SystemClock, PHCIndex: -1, Epoch: l.snap.Epoch, Mono: c.Mono, Stratum: 16, ClockDev: l.device}
		return l.snap
	}
	if err != nil { // what was known is carried on, as an unattended clock
		l.carry(c.Mono)
		l.snap.State, l.snap.BoundRate = status.Holdover, max(l.snap.BoundRate, phi)
		return l.snap
	}

	if l.have && l.leaping(l.snap.ClockAt(c.Mono)) {
		l.carry(c.Mono)
		if s := &l.snap; s.Clock >= s.LeapAt { // it has come: a table that did not know it does now
			after := int(s.TAIOffset) + int(s.LeapSign)
			sec, _ := s.LeapAt.Unix(after)
			l.table = l.table.With(tai.Leap{UTC: sec, Offset: after})
		}
		return l.snap
	}
	offset := q.tai
	if offset == 0 {
		offset = l.table.OffsetUTC(c.Real / 1e9)
	}
	clock := tai.FromUnix(0, c.Real, offset).Add(q.correction)
	slop := c.Width / 2
	if q.correction != 0 { // it was true before the clock was read, and may shrink
		slop += min(max(q.correction, -q.correction), time.Duration(maxSlew*float64(took)))
	}

	s := &l.snap
	epoch, wobble := s.Epoch, 0.0
	rate := s.RatePPB
	if l.have {
		miss := clock.Sub(s.ClockAt(c.Mono))
		if miss < 0 {
			miss = -miss
		}
		dt := c.Mono - s.Mono
		switch {
		case miss > stepped && (!q.slewing || float64(miss) > maxSlew*float64(dt)):
			epoch++
			l.base.clock, l.base.mono = clock, c.Mono
		case miss > 2*(c.Width+s.LineErr)+50*time.Microsecond && l.measured:
			if q.slewing { // another rate: that since the last reading
				l.base.clock, l.base.mono = s.Clock, s.Mono
				slop += miss // as wrong as now it may be the next time
			} else {
				l.base.clock, l.base.mono = clock, c.Mono
			}
		}
		if span := c.Mono - l.base.mono; span >= int64(rateSpan) || span > 0 && !l.measured || span > 0 && q.slewing {
			rate = (float64(clock.Sub(tai.Time(l.base.clock)))/float64(span) - 1) * 1e9
			if l.measured {
				wobble = math.Abs(rate - s.RatePPB)
			}
			if span >= int64(rateSpan) {
				l.measured = true
			}
			if span > int64(rateMax) {
				l.base.clock, l.base.mono = clock, c.Mono
			}
		}
	} else {
		l.base.clock, l.base.mono = clock, c.Mono
		rate, l.measured = 0, false
	}
	if !l.measured { // no rate yet: the crystal's
		wobble = 100e3
	}
	l.have = true
	*s = status.Snapshot{
		State: status.Locked, Kind: status.SystemClock, PHCIndex: -1, Epoch: epoch, ClockDev: l.device,
		Stratum: q.stratum, RefID: q.refID, RootDelay: q.rootDelay,
		Mono: c.Mono, Clock: clock, RatePPB: rate, LineErr: slop + time.Microsecond,
		Bound: q.dispersion + q.rootDelay/2, BoundRate: q.rate + wobble, Limit: limit,
		TAIOffset: int32(offset), RefTime: tai.FromUnix(0, q.refTime, offset),
	}
	if s.RefTime > clock {
		s.RefTime = clock
	}
	if q.leapSign != 0 && q.leapAt > c.Real/1e9 {
		s.LeapSign, s.LeapAt = q.leapSign, tai.FromUnix(q.leapAt, 0, offset+int(q.leapSign))
	}
	return *s
}

// carry moves the line's origin to mono without measuring.
func (l *line) carry(mono int64) {
	s := &l.snap
	clock, bound := s.ClockAt(mono), s.BoundAt(mono)-s.LineErr
	s.Clock, s.Bound, s.Mono = clock, bound, mono
}

// leaping reports whether t is so near a leap second that the system clock's
// labels are ambiguous.
func (l *line) leaping(t tai.Time) bool {
	return l.snap.LeapSign != 0 && t > l.snap.LeapAt.Add(-leapHold) && t < l.snap.LeapAt.Add(leapHold)
}
