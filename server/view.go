package server

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
)

// viewSpan is how long after Set a View may be used. The root dispersion is
// that of its end, so that no answer promises too much; at a bound's usual
// growth it does not change the rounded value.
const viewSpan = 10 * time.Millisecond

// initID is the reference identifier of a clock that is not synchronised
// (RFC 5905, figure 13). Leap indicator 3 and stratum 16 say that it is not;
// the identifier stays INIT also for a clock that once was, because no other
// code of the registry means "was, and no longer is".
var initID = [4]byte{'I', 'N', 'I', 'T'}

// View is what answers tell of the clock: one snapshot, seen at one instant.
// Set or SetNone derives it once per batch.
type View struct {
	// Slack is added to the root dispersion from the next Set on: what the
	// server's own timestamps may be off beyond what a client can see.
	Slack time.Duration
	// Smear: leap seconds are spread over the day around them instead of being
	// announced and executed (see smear). From the next Set on.
	Smear bool

	snap   *status.Snapshot
	head   ntp.Header // leap, stratum, precision, root delay and dispersion, identifier, reference time
	synced bool
	smear  smear
	none   status.Snapshot // the system's clock, where there is no other
}

// Set derives the view from a snapshot, for answers at mono
// (CLOCK_MONOTONIC_RAW, ns) and up to viewSpan later. s must not change until
// the next Set. precision is that of reading the clock (log2 seconds). real
// (CLOCK_REALTIME at mono, ns) is used only where the snapshot has no time:
// then clients are told so. The bound covers half the root delay, which clients
// add themselves (RFC 5905, section 11.2: root distance).
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
		RefTime:   v.wire(s.RefTime),
	}
	if v.head.RefTime == 0 { // the first instant of an era; old clients take 0 for "never"
		v.head.RefTime = 1
	}
	if s.RefTime == 0 {
		v.head.RefTime = 0
	}
	if !v.synced {
		v.head.Leap, v.head.Stratum, v.head.RefID = ntp.LeapUnknown, 16, initID
	}
}

// SetNone is Set where there is no usable snapshot. The system's clock stands
// in, so that a client sees its request answered; leap indicator 3, stratum
// 16, the largest root dispersion and no reference time tell what it is worth.
func (v *View) SetNone(real, mono int64, precision int8) {
	// With TAI - UTC = 0 the line gives UTC labels without knowing the offset.
	v.none = status.Snapshot{Mono: mono, Clock: tai.Time(real)}
	v.snap, v.synced, v.smear = &v.none, false, smear{}
	v.head = ntp.Header{Leap: ntp.LeapUnknown, Stratum: 16, Precision: precision, RootDisp: math.MaxUint32, RefID: initID}
}

// Synced reports whether clients are told that the clock is synchronised.
func (v *View) Synced() bool { return v.synced }

// header returns the fields that every answer at t shares.
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

// at returns the clock's reading at an instant of CLOCK_MONOTONIC_RAW.
func (v *View) at(mono int64) tai.Time { return v.snap.ClockAt(mono) }

// wire returns the timestamp that tells clients of t, a leap second executed or
// smeared. Executed means: an inserted second has the labels of the first second
// of the next day, which come twice, as POSIX counts; a deleted one's labels
// never come. The leap indicator stays until the leap second is over.
func (v *View) wire(t tai.Time) ntp.Timestamp {
	if v.Smear && v.smear.covers(t) {
		return v.smear.wire(t)
	}
	return ntp.FromTAI(t, v.snap.OffsetAt(t))
}

// Hard reports whether stamps of the PTP hardware clock with this index are
// readings of the very clock that is served.
func (v *View) Hard(index int32) bool {
	return index >= 0 && v.snap.Kind == status.PHCClock && v.snap.PHCIndex == index
}

// Resolution returns 2^precision seconds, rounded up to the nanosecond.
func Resolution(precision int8) time.Duration {
	return time.Duration(math.Ceil(math.Ldexp(1e9, int(precision))))
}
