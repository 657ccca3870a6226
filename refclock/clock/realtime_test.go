package clock

import (
	"errors"
	"math"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// kernel is a system clock with the kernel's state, at one instant.
type kernel struct {
	now     int64
	real    int64
	t       phc.Timex
	reports []phc.Quality
	rivals  []string
}

func (k *kernel) Load() (phc.Timex, error) {
	t := k.t
	t.Real = k.real
	return t, nil
}

func (k *kernel) SetQuality(q phc.Quality) error {
	k.reports = append(k.reports, q)
	k.t.Status = q.StatusFrom(k.t.Status)
	if q.TAI != 0 {
		k.t.TAI = q.TAI
	}
	if q.Synced {
		k.t.MaxError, k.t.EstError = q.MaxError, q.EstError
	}
	return nil
}

func (k *kernel) Cross() (phc.Cross, error) {
	return phc.Cross{Clock: tai.Time(k.real + 37e9), Real: k.real, Mono: k.now}, nil
}
func (k *kernel) Step(d time.Duration) error { k.real += int64(d); return nil }
func (k *kernel) AdjFreq(ppb float64) error  { k.t.FreqPPB = ppb; return nil }
func (k *kernel) FreqPPB() (float64, error)  { return k.t.FreqPPB, nil }
func (k *kernel) MaxFreq() float64           { return 500e3 }

func (k *kernel) realtime(before Before, offset func(tai.Time) int) *Realtime {
	return NewRealtime(NewSystem(k, k, func() int64 { return k.now }, func() []string { return k.rivals }), offset, before)
}

func offset37(tai.Time) int { return 37 }

// The clock is opened once nobody else has steered it for a while, or at once if the
// kernel shows that an earlier run steered it last.
func TestRealtimeIsClaimedWhenItIsFree(t *testing.T) {
	t.Parallel()
	ours := phc.Timex{FreqPPB: -2300.01, MaxError: time.Millisecond, TAI: 37}
	for _, c := range []struct {
		name   string
		before Before
		state  phc.Timex
		rivals []string
		want   error // of the first attempt
	}{
		{"another program runs", Before{Mono: 1, FreqPPB: -2300}, ours, []string{"chronyd"}, ErrContested},
		{"nothing known", Before{}, ours, nil, ErrNotYet},
		{"another correction", Before{Mono: 1, FreqPPB: -2310}, ours, nil, ErrNotYet},
		{"the kernel calls it unsynchronised", Before{Mono: 1, FreqPPB: -2300}, phc.Timex{FreqPPB: -2300, Status: phc.StaUnsync}, nil, ErrNotYet},
		{"as an earlier run left it", Before{Mono: 1, FreqPPB: -2300}, ours, nil, nil},
	} {
		k := &kernel{now: 1e12, real: 1.8e18, t: c.state, rivals: c.rivals}
		r := k.realtime(c.before, offset37)
		if _, err := r.Open(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want != nil && len(k.reports) > 0 {
			t.Errorf("%s: the kernel got %+v", c.name, k.reports)
		}
		if c.want == ErrContested {
			continue
		}
		k.now += int64(quietFirst)
		if _, err := r.Open(); err != nil || k.t.TAI != 37 || len(k.reports) == 0 {
			t.Errorf("%s: later %v, TAI %d", c.name, err, k.t.TAI)
		}
	}
}

// The kernel gets what is published, once a second and when it changes.
func TestTheKernelGetsWhatIsPublished(t *testing.T) {
	t.Parallel()
	k := &kernel{now: 1e12, real: 1.8e18, t: phc.Timex{Status: phc.StaUnsync, MaxError: phc.MaxError}}
	r := k.realtime(Before{}, offset37)
	r.Open()
	k.now += int64(quietFirst)
	if _, err := r.Open(); err != nil {
		t.Fatal(err)
	}
	at := tai.Time(k.real) + 37*tai.Second
	s := status.Snapshot{State: status.Locked, Kind: status.SystemClock, Stratum: 1, Clock: at, RefTime: at, TAIOffset: 37, Bound: 1500, BoundRate: 1, Limit: 1e5, NoiseNS: 300}
	locked := phc.Quality{Synced: true, MaxError: 1500, EstError: 300, TAI: 37}
	for _, c := range []struct {
		name  string
		after time.Duration
		edit  func(*status.Snapshot)
		want  *phc.Quality // nil: nothing
	}{
		{"locked", time.Second, func(*status.Snapshot) {}, &locked},
		{"soon after", 200 * time.Millisecond, func(*status.Snapshot) {}, nil},
		{"lost soon after", 200 * time.Millisecond, func(s *status.Snapshot) { s.State, s.Bound = status.Unlocked, math.MaxInt64 }, &phc.Quality{MaxError: math.MaxInt64, EstError: 300, TAI: 37}},
		{"no clock", time.Second, func(s *status.Snapshot) { s.Clock = 0 }, nil},
		{"never measured", time.Second, func(s *status.Snapshot) { s.State, s.RefTime = status.Unlocked, 0 }, &phc.Quality{MaxError: 1500, EstError: 300}},
		{"a leap second today", time.Second, func(s *status.Snapshot) { s.LeapAt, s.LeapSign = at+3600*tai.Second, 1 }, &phc.Quality{Synced: true, Leap: 1, MaxError: 1500, EstError: 300, TAI: 37}},
		{"the leap second is at hand", time.Second, func(s *status.Snapshot) { s.LeapAt, s.LeapSign = at+tai.Second, 1 }, &phc.Quality{Synced: true, Leap: 1, MaxError: 1500, EstError: 300}},
		{"and over", time.Second, func(s *status.Snapshot) { s.TAIOffset, s.LeapPast, s.PastSign = 38, at-tai.Second, 1 }, &phc.Quality{Synced: true, MaxError: 1500, EstError: 300}},
	} {
		k.now += int64(c.after)
		now, before := s, len(k.reports)
		now.Mono = k.now
		c.edit(&now)
		r.Report(&now)
		switch {
		case c.want == nil && len(k.reports) != before:
			t.Errorf("%s: got %+v", c.name, k.reports[before:])
		case c.want != nil && (len(k.reports) != before+1 || k.reports[before] != *c.want):
			t.Errorf("%s: got %+v, want %+v", c.name, k.reports[before:], *c.want)
		}
	}
	if r.Reports() != uint64(len(k.reports)-1) { // all but the claim
		t.Errorf("reported %d times, counted %d", len(k.reports)-1, r.Reports())
	}

	// Another program's change that shows only now is an error of the next reading.
	k.t.FreqPPB += 100
	s.Mono = k.now + 2e9
	r.Report(&s)
	if _, err := r.Cross(); !errors.Is(err, ErrContested) {
		t.Errorf("after another program's change: %v", err)
	}
}

// A step into a time with another TAI - UTC is right in TAI and in UTC.
func TestAStepTakesTheOffsetAlong(t *testing.T) {
	t.Parallel()
	const change = 1.7e18
	k := &kernel{now: 1e12, real: 1.6e18}
	r := k.realtime(Before{}, func(at tai.Time) int {
		if int64(at) < change {
			return 36
		}
		return 37
	})
	r.Open()
	k.now += int64(quietFirst)
	if _, err := r.Open(); err != nil || k.t.TAI != 36 {
		t.Fatalf("%v, TAI %d", err, k.t.TAI)
	}
	was, _ := r.Cross()
	if err := r.Step(2e8 * time.Second); err != nil {
		t.Fatal(err)
	}
	is, err := r.Cross()
	if err != nil || is.Clock.Sub(was.Clock) != 2e8*time.Second || k.t.TAI != 37 || int64(is.Clock)-is.Real != 37e9 {
		t.Errorf("%v: moved by %v, TAI %d, TAI - real %v", err, is.Clock.Sub(was.Clock), k.t.TAI, int64(is.Clock)-is.Real)
	}
}
