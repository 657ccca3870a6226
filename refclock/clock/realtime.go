package clock

import (
	"errors"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

const (
	// reportEvery is the interval at which the quality of the system
	// clock. Its bound grows by 500 ppm meanwhile.
	reportEvery = time.Second
	// leapMargin is the distance from a leap second within which the kernel's TAI
	// offset is left alone: the kernel changes it itself.
	leapMargin = 2 * time.Second
	// resumedFreq is by how much the kernel's correction may differ from the one that
	// an earlier run requested last, ppb: the kernel rounds.
	resumedFreq = 1.0
)

// Realtime is the system clock as the clock that pulses steer: a System that is claimed
// when nobody else steers it, and whose published quality is reported to the kernel.
// The kernel executes leap seconds; as TAI, the clock shows none. It is for one
// goroutine.
type Realtime struct {
	*System
	offset   func(tai.Time) int // TAI - UTC, s, by the table in force
	before   Before             // of an earlier run
	synced   bool               // as reported last
	reported int64              // CLOCK_MONOTONIC_RAW (ns) of the last attempt
	count    uint64             // of reports that the kernel took
	failed   error              // of the last attempt; the next reading returns it
}

// NewRealtime returns the system clock s, which an earlier run may have steered.
// offset returns TAI - UTC in s.
func NewRealtime(s *System, offset func(tai.Time) int, before Before) *Realtime {
	return &Realtime{System: s, offset: offset, before: before}
}

// Open is an Opener. It returns ErrNotYet while other programs have not left the clock
// alone for long enough, and errors that wrap ErrContested if one steers it.
func (r *Realtime) Open() (Device, error) {
	ok, err := r.Available()
	if err != nil {
		return nil, err
	}
	if !ok && !r.resumed() {
		return nil, ErrNotYet
	}
	r.before, r.failed = Before{}, nil
	x, err := r.dev.Cross()
	if err != nil {
		return nil, err
	}
	if err := r.Claim(r.offset(x.Clock)); err != nil {
		return nil, err
	}
	return r, nil
}

// resumed reports whether the kernel still has the correction of an earlier run, and
// the quality that it reported. Nobody else has steered the clock since, then.
func (r *Realtime) resumed() bool {
	return r.before.Mono != 0 && r.base.Status&phc.StaUnsync == 0 && math.Abs(r.base.FreqPPB-r.before.FreqPPB) < resumedFreq
}

// Cross reads the clock.
func (r *Realtime) Cross() (phc.Cross, error) {
	if err := r.failed; err != nil {
		r.failed = nil
		return phc.Cross{}, err
	}
	return r.System.Cross()
}

// Step adds delta to the clock as TAI, + = forward. If another TAI - UTC is in force
// there, the kernel takes it over.
func (r *Realtime) Step(delta time.Duration) error {
	x, err := r.Cross()
	if err != nil {
		return err
	}
	was, is := r.base.TAI, r.offset(x.Clock.Add(delta))
	if err := r.System.Step(delta - time.Duration(is-was)*time.Second); err != nil || is == was {
		return err
	}
	return r.Claim(is)
}

// QualityOf returns leap seconds and TAI of a snapshot for the kernel
// at an instant of CLOCK_MONOTONIC_RAW, ns.
func QualityOf(s *status.Snapshot, mono int64) phc.Quality {
	t := s.ClockAt(mono)
	q := phc.Quality{Leap: s.LeapIndicator(t), TAI: s.OffsetAt(t)}
	if s.NearLeap(t, leapMargin) || s.RefTime == 0 {
		q.TAI = 0 // the kernel changes the offset itself when it inserts the second
	}
	return q
}

// Report reports to the kernel what is published of the clock, once a second, and at once
// when it is synchronised or not any more. That another program steers the clock is an
// error of the next reading.
func (r *Realtime) Report(s *status.Snapshot) {
	synced := s.Usable(s.Mono)
	if s.Clock == 0 || s.Mono-r.reported < int64(reportEvery) && synced == r.synced {
		return
	}
	r.reported, r.synced = s.Mono, synced
	q := QualityOf(s, s.Mono)
	q.Synced, q.MaxError, q.EstError = synced, s.BoundAt(s.Mono), time.Duration(s.NoiseNS)
	switch err := r.SetQuality(q); {
	case err == nil:
		r.count++
	case errors.Is(err, ErrContested):
		r.failed = err
	}
}

// Reports returns how often the quality of the clock was reported to the kernel.
func (r *Realtime) Reports() uint64 { return r.count }
