package server

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
)

// viewSpan is how long after Set a View may be used. The root dispersion is that
// of its end, so that it is large enough for every answer. With the usual growth
// of the bound, the rounded value is the same.
const viewSpan = 10 * time.Millisecond

// initID is the reference identifier of a clock that is not synchronised
// (RFC 5905, figure 13). It is also that of a clock that is no longer
// synchronised, for which the registry has no code. Leap indicator 3 and stratum
// 16 are what clients evaluate.
var initID = [4]byte{'I', 'N', 'I', 'T'}

// View is what answers report of the clock: one snapshot at one instant. Set or
// SetNone derives it once per batch.
type View struct {
	// Slack is added to the root dispersion from the next Set on: the error of the
	// server's own timestamps that a client cannot see in the delay.
	Slack time.Duration
	// Smear spreads leap seconds over a day (see smear) instead of announcing and
	// executing them. From the next Set on.
	Smear bool

	snap   *status.Snapshot
	head   ntp.Header // what all answers have in common
	synced bool
	smear  smear
	none   status.Snapshot // the system clock, for SetNone
}

// Set derives the view from a snapshot, for answers at mono
// (CLOCK_MONOTONIC_RAW, ns) and up to viewSpan later. s must not change until
// the next Set. precision is that of reading the clock (log2 of seconds). real
// (CLOCK_REALTIME at mono, ns) is used only if the snapshot has no time; answers
// then report an unsynchronised clock. The snapshot's bound includes half the
// root delay, which clients add to the root dispersion themselves (RFC 5905,
// section 11.2: root distance).
func (v *View) Set(s *status.Snapshot, real, mono int64, precision int8) {
	if s.State != status.Locked && s.State != status.Holdover || s.Kind == status.NoClock {
		v.SetNone(real, mono, precision)
		return
	}
	v.snap = s
	v.synced = s.Usable(mono)
	v.smear = smear{}
	if v.Smear {
		v.smear = smearOf(s, s.ClockAt(mono))
	}
	v.head = ntp.Header{
		Stratum:   s.Stratum,
		Precision: precision,
		RootDelay: ntp.ShortFrom(s.RootDelay),
		RootDisp:  ntp.ShortFrom(max(s.BoundAt(mono+int64(viewSpan))-s.RootDelay/2, Resolution(precision)) + v.Slack),
		RefID:     s.RefID,
		RefTime:   v.timestamp(s.RefTime),
	}
	if v.head.RefTime == 0 { // the first instant of an NTP era; old clients read 0 as "never"
		v.head.RefTime = 1
	}
	if s.RefTime == 0 {
		v.head.RefTime = 0
	}
	if !v.synced {
		v.head.Leap, v.head.Stratum, v.head.RefID = ntp.LeapUnknown, 16, initID
	}
}

// SetNone is Set without a usable snapshot. Answers come from the system clock,
// so that a client sees that the server works; leap indicator 3, stratum 16, the
// largest root dispersion and no reference time make them unusable as time.
func (v *View) SetNone(real, mono int64, precision int8) {
	// With TAI - UTC = 0 the labels are UTC without knowing the offset.
	v.none = status.Snapshot{Mono: mono, Clock: tai.Time(real)}
	v.snap, v.synced, v.smear = &v.none, false, smear{}
	v.head = ntp.Header{Leap: ntp.LeapUnknown, Stratum: 16, Precision: precision, RootDisp: math.MaxUint32, RefID: initID}
}

// header returns the fields that are the same in every answer at t.
func (v *View) header(t tai.Time) ntp.Header {
	h := v.head
	switch {
	case !v.synced:
	case !v.Smear:
		h.Leap = v.snap.LeapIndicator(t)
	case v.smear.covers(t):
		h.RefID = v.smear.refID(t)
	}
	return h
}

// clockAt returns the reading of the served clock at an instant of
// CLOCK_MONOTONIC_RAW, ns.
func (v *View) clockAt(mono int64) tai.Time { return v.snap.ClockAt(mono) }

// timestamp returns the NTP timestamp of t, with a leap second executed or
// smeared. Executed means as POSIX counts: an inserted second has the labels of
// the first second of the next day, which occur twice; the labels of a deleted
// second never occur. The leap indicator stays until the leap second is over.
func (v *View) timestamp(t tai.Time) ntp.Timestamp {
	if v.Smear && v.smear.covers(t) {
		return v.smear.timestamp(t)
	}
	return ntp.FromTAI(t, v.snap.OffsetAt(t))
}

// IsPHC reports whether the served clock is the PTP hardware clock with this
// index, so that its hardware timestamps are readings of the served clock.
func (v *View) IsPHC(index int32) bool {
	return index >= 0 && v.snap.Kind == status.PHCClock && v.snap.PHCIndex == index
}

// Resolution returns 2^precision seconds, rounded up to the nanosecond.
func Resolution(precision int8) time.Duration {
	return time.Duration(math.Ceil(math.Ldexp(1e9, int(precision))))
}
