package sysclock

import (
	"errors"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// tracker makes snapshots of readings of the system clock. It reads no clock
// itself.
type tracker struct {
	table  *tai.Table // of leap seconds; announced ones are added
	device string
	snap   status.Snapshot
	valid  bool // snap has a clock

	anchor    anchor // from where the rate is measured
	rateKnown bool
}

// anchor is a reading of the clock.
type anchor struct {
	clock tai.Time
	mono  int64 // CLOCK_MONOTONIC_RAW, ns
}

// reading is one reading of the clock with its quality.
type reading struct {
	anchor
	quality
	utc    int64         // CLOCK_REALTIME, s
	width  time.Duration // of the bracket
	offset int           // TAI - UTC, s
	err    time.Duration // error of clock
}

const (
	// jitter is by how much a steady clock may differ from the prediction, beyond
	// the widths of the readings.
	jitter = 50 * time.Microsecond
	// unknownRate is the error of the rate before it is measured, ppb: a bad
	// crystal, 100 ppm.
	unknownRate = 100e3
	// resolution is the least error of a line through a reading.
	resolution = time.Microsecond
)

// next returns the snapshot after one reading c of the clock. err is why there is
// no quality q. took is the time that asking for q took; c was read at its end. slept is
// the time for which the machine has slept in total, 0 where that is unknown: during a sleep
// CLOCK_MONOTONIC_RAW stands still, so a line from before it does not hold.
func (t *tracker) next(q quality, err error, c phc.Cross, took, slept time.Duration) status.Snapshot {
	if t.valid && t.snap.SleptSince(slept) {
		t.lose(c.Mono)
		t.snap.Epoch++
	}
	if err == nil && c.Width > maxWidth {
		err = &Error{Reason: ClockUnsettled}
	}
	e := (*Error)(nil)
	switch {
	case err != nil && (!t.valid || errors.As(err, &e) && e.Reason == NotSynced):
		t.lose(c.Mono)
	case err != nil: // the last snapshot holds, as of a clock that nobody steers
		t.carry(c.Mono)
		t.snap.State, t.snap.BoundRate = status.Holdover, max(t.snap.BoundRate, phi)
	case t.valid && t.nearLeap(t.snap.ClockAt(c.Mono)):
		t.carry(c.Mono)
		t.addLeap()
	default:
		t.follow(t.read(q, c, took))
	}
	t.snap.Slept = max(slept, 1) // at least 1 ns, so that readers compare
	return t.snap
}

// lose makes the snapshot that of an unsynchronised clock.
func (t *tracker) lose(mono int64) {
	t.valid, t.rateKnown = false, false
	t.snap = status.Snapshot{
		State: status.Unlocked, Kind: status.SystemClock, PHCIndex: -1, Epoch: t.snap.Epoch,
		Mono: mono, Stratum: 16, ClockDev: t.device,
	}
}

// carry moves the origin of the snapshot to mono, without a measurement.
func (t *tracker) carry(mono int64) {
	s := &t.snap
	clock, bound := s.ClockAt(mono), s.BoundAt(mono)-s.LineErr
	s.Clock, s.Bound, s.Mono = clock, bound, mono
}

// nearLeap reports whether at is so near a leap second that the labels of the
// system clock are ambiguous.
func (t *tracker) nearLeap(at tai.Time) bool {
	return t.snap.LeapSign != 0 && at > t.snap.LeapAt.Add(-leapHold) && at < t.snap.LeapAt.Add(leapHold)
}

// addLeap adds the announced leap second to the table once it has come.
func (t *tracker) addLeap() {
	if s := &t.snap; s.Clock >= s.LeapAt {
		after := int(s.TAIOffset) + int(s.LeapSign)
		sec, _ := s.LeapAt.Unix(after)
		t.table = t.table.With(tai.Leap{UTC: sec, Offset: after})
	}
}

// read makes a reading of the steered clock: the system clock with the
// correction that is under way.
func (t *tracker) read(q quality, c phc.Cross, took time.Duration) reading {
	r := reading{quality: q, utc: c.Real / 1e9, width: c.Width, offset: q.tai, err: c.Width / 2}
	if r.offset == 0 {
		r.offset = t.table.OffsetUTC(r.utc)
	}
	r.anchor = anchor{tai.FromUnix(0, c.Real, r.offset).Add(q.correction), c.Mono}
	if q.correction != 0 { // it was read before the clock, and is reduced at most so fast
		r.err += min(max(q.correction, -q.correction), time.Duration(maxSlew*float64(took)))
	}
	return r
}

// follow makes the snapshot of a reading.
func (t *tracker) follow(r reading) {
	epoch := t.snap.Epoch
	if t.valid {
		switch miss := r.clock.Sub(t.snap.ClockAt(r.mono)).Abs(); {
		case t.stepped(&r, miss):
			epoch++
			t.anchor = r.anchor
		case t.rateKnown && miss > 2*(r.width+t.snap.LineErr)+jitter:
			t.anchor = r.anchor
			if r.slewing { // another rate: the one since the last reading
				t.anchor = anchor{t.snap.Clock, t.snap.Mono}
				r.err += miss // the next prediction may be as wrong as this one
			}
		}
	} else {
		t.anchor, t.rateKnown = r.anchor, false
	}
	rate, rateErr := t.rate(&r)
	t.valid = true
	t.snap = status.Snapshot{
		State: status.Locked, Kind: status.SystemClock, PHCIndex: -1, Epoch: epoch, ClockDev: t.device,
		Stratum: r.stratum, RefID: r.refID, RootDelay: r.rootDelay,
		Mono: r.mono, Clock: r.clock, RatePPB: rate, LineErr: r.err + resolution,
		Bound: r.dispersion + r.rootDelay/2, BoundRate: r.quality.rate + rateErr, Limit: limit,
		TAIOffset: int32(r.offset), RefTime: min(tai.FromUnix(0, r.refTime, r.offset), r.clock),
	}
	if r.leapSign != 0 && r.leapAt > r.utc {
		t.snap.LeapSign, t.snap.LeapAt = r.leapSign, tai.FromUnix(r.leapAt, 0, r.offset+int(r.leapSign))
	}
}

// stepped reports whether the clock was stepped since the last reading, given how
// far it is from the prediction.
func (t *tracker) stepped(r *reading, miss time.Duration) bool {
	return miss > stepLimit && (!r.slewing || float64(miss) > maxSlew*float64(r.mono-t.snap.Mono))
}

// rate returns the rate of the clock against CLOCK_MONOTONIC_RAW and its error,
// both in ppb.
func (t *tracker) rate(r *reading) (rate, rateErr float64) {
	if t.valid {
		rate = t.snap.RatePPB
	}
	span := r.mono - t.anchor.mono
	if span >= int64(rateSpan) || span > 0 && (!t.rateKnown || r.slewing) {
		was := rate
		rate = (float64(r.clock.Sub(t.anchor.clock))/float64(span) - 1) * 1e9
		if t.rateKnown {
			rateErr = math.Abs(rate - was)
		}
		t.rateKnown = t.rateKnown || span >= int64(rateSpan)
		if span > int64(rateMax) {
			t.anchor = r.anchor
		}
	}
	if !t.rateKnown {
		rateErr = unknownRate
	}
	return rate, rateErr
}
