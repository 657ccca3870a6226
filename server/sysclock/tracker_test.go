package sysclock

import (
	"errors"
	"math"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// world is a system clock in virtual time.
type world struct {
	mono int64   // ns
	real float64 // ns since start
	rate float64 // of the system clock against CLOCK_MONOTONIC_RAW, ppb
}

const start = int64(1_790_000_000e9) // 2026-09-21, 37 s

func (w *world) advance(d time.Duration) {
	w.mono += int64(d)
	w.real += float64(d) * (1 + w.rate*1e-9)
}

func (w *world) cross() phc.Cross {
	return phc.Cross{Real: start + int64(w.real), Mono: w.mono, Width: 100}
}

func good() quality {
	return quality{stratum: 2, refID: [4]byte{192, 0, 2, 1}, refTime: start, rootDelay: 20 * time.Millisecond, dispersion: 3 * time.Millisecond, rate: 5e3}
}

func newTracker() *tracker { return &tracker{table: tai.Builtin(), device: "test"} }

func TestSnapshotWithoutQuality(t *testing.T) {
	t.Parallel()
	w := &world{mono: 5e9}
	for _, c := range []struct {
		name  string
		err   error
		known bool // there was a good reading before
		want  status.State
	}{
		{"never an answer", &Error{Reason: NoAnswer}, false, status.Unlocked},
		{"not synchronised at first", &Error{Reason: NotSynced}, false, status.Unlocked},
		{"no longer synchronised", &Error{Reason: NotSynced}, true, status.Unlocked},
		{"no longer an answer", &Error{Reason: NoAnswer}, true, status.Holdover},
		{"invalid answer", &Error{Reason: BadAnswer}, true, status.Holdover},
		{"another error", errors.New("x"), true, status.Holdover},
	} {
		l := newTracker()
		if c.known {
			l.next(good(), nil, w.cross(), 0, 0)
			w.advance(time.Second)
		}
		s := l.next(quality{}, c.err, w.cross(), 0, 0)
		if s.State != c.want || s.Usable(w.mono) != (c.want == status.Holdover) {
			t.Errorf("%s: %v, usable %v", c.name, s.State, s.Usable(w.mono))
		}
	}
	l := newTracker()
	wide := w.cross()
	wide.Width = maxWidth + 1
	if s := l.next(good(), nil, wide, 0, 0); s.State != status.Unlocked {
		t.Errorf("a reading with a wide bracket: %v", s.State)
	}
}

// Over a sleep of the machine no line is continued: without a new answer there is no
// clock, and with one it is another clock. Readers refuse what is from before.
func TestSleepEndsTheLine(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	for _, c := range []struct {
		name  string
		slept time.Duration
		err   error
		want  status.State
		epoch uint32 // more than before
	}{
		{"chronyd is silent afterwards", hour, &Error{Reason: NoAnswer}, status.Unlocked, 1},
		{"the answer is from before", hour, &Error{Reason: MachineSlept}, status.Unlocked, 1},
		{"a short sleep, silence", 10 * time.Millisecond, &Error{Reason: NoAnswer}, status.Unlocked, 1},
		{"a good answer afterwards", hour, nil, status.Locked, 1},
		{"no sleep, silence", time.Microsecond, &Error{Reason: NoAnswer}, status.Holdover, 0},
		{"no sleep", time.Microsecond, nil, status.Locked, 0},
	} {
		w := &world{mono: 5e9}
		l := newTracker()
		const slept0 = 7 * time.Second // of earlier sleeps
		l.next(good(), nil, w.cross(), 0, slept0)
		w.advance(time.Second)
		before := l.next(good(), nil, w.cross(), 0, slept0)
		w.real += float64(c.slept) // CLOCK_MONOTONIC_RAW stands still
		w.advance(time.Second)
		if got := before.SleptSince(slept0 + c.slept); got != (c.epoch > 0) {
			t.Errorf("%s: readers refuse the snapshot from before: %v", c.name, got)
		}
		s := l.next(good(), c.err, w.cross(), 0, slept0+c.slept)
		if s.State != c.want || uint32(s.Epoch-before.Epoch) != c.epoch || s.SleptSince(slept0+c.slept) {
			t.Errorf("%s: %v, %d epochs later, as of %v of sleep", c.name, s.State, s.Epoch-before.Epoch, s.Slept)
		}
		if off := s.ClockAt(w.mono).Sub(tai.FromUnix(0, start+int64(w.real), 37)); s.Usable(w.mono) && off.Abs() > s.BoundAt(w.mono) {
			t.Errorf("%s: %v off, bound %v", c.name, off, s.BoundAt(w.mono))
		}
	}
}

// Snapshots have the clock, its rate and its error bound. Without answers, the
// bound grows as that of a clock that nobody steers.
func TestSnapshotFollowsTheClock(t *testing.T) {
	t.Parallel()
	w := &world{mono: 77e9, rate: 23_000}
	l := newTracker()
	var s status.Snapshot
	for range 40 {
		s = l.next(good(), nil, w.cross(), 0, 0)
		if off := s.ClockAt(w.mono).Sub(tai.FromUnix(0, start+int64(w.real), 37)); off != 0 {
			t.Fatalf("clock is %v off", off)
		}
		before := s
		w.advance(time.Second)
		truth := tai.FromUnix(0, start+int64(w.real), 37)
		if off := before.ClockAt(w.mono).Sub(truth); off.Abs() > before.BoundAt(w.mono)-before.Bound {
			t.Fatalf("a second later %v off, more than the %v that the bound grew", off, before.BoundAt(w.mono)-before.Bound)
		}
	}
	if math.Abs(s.RatePPB-w.rate) > 1 || s.BoundRate > 5e3+2 || s.Bound != 13*time.Millisecond || s.Stratum != 2 || s.RootDelay != 20*time.Millisecond ||
		s.TAIOffset != 37 || s.Kind != status.SystemClock || s.RefTime != tai.FromUnix(0, start, 37) || s.LeapIndicator(s.Clock) != 0 || s.PHCIndex != -1 {
		t.Errorf("%+v", s)
	}
	for range 100 {
		s = l.next(quality{}, &Error{Reason: NoAnswer}, w.cross(), 0, 0)
		w.advance(time.Second)
	}
	if grown := s.BoundAt(w.mono) - 13*time.Millisecond; grown < 1480*time.Microsecond || grown > 1600*time.Microsecond {
		t.Errorf("in 100 s of silence the bound grew by %v", grown)
	}
	w.advance(24 * time.Hour)
	if s = l.next(quality{}, &Error{Reason: NoAnswer}, w.cross(), 0, 0); s.Usable(w.mono) {
		t.Errorf("after a day of silence still usable, bound %v", s.BoundAt(w.mono))
	}
}

// chronyd's clock is the system clock with the remaining correction.
func TestSnapshotIncludesTheCorrection(t *testing.T) {
	t.Parallel()
	w := &world{mono: 1e9}
	l := newTracker()
	q := good()
	q.correction = -4 * time.Millisecond // the system clock is 4 ms fast
	s := l.next(q, nil, w.cross(), 10*time.Millisecond, 0)
	if got, want := s.Clock, tai.FromUnix(0, start, 37).Add(-4*time.Millisecond); got != want {
		t.Errorf("clock %d, want %d", got, want)
	}
	// In the 10 ms of the request, chronyd may have slewed a tenth of that time.
	if s.LineErr < time.Millisecond || s.LineErr > time.Millisecond+2*time.Microsecond {
		t.Errorf("line error %v", s.LineErr)
	}
}

func TestStepIsCounted(t *testing.T) {
	t.Parallel()
	for _, slewing := range []bool{false, true} {
		w := &world{mono: 1e9, rate: 100}
		l := newTracker()
		q := good()
		q.slewing = slewing
		for range 5 {
			l.next(q, nil, w.cross(), 0, 0)
			w.advance(time.Second)
		}
		rate := l.snap.RatePPB
		w.real += 3e9
		s := l.next(q, nil, w.cross(), 0, 0)
		if s.Epoch != 1 || s.Clock != tai.FromUnix(0, start+int64(w.real), 37) || s.RatePPB != rate {
			t.Errorf("slewing %v: epoch %d, rate %v, was %v", slewing, s.Epoch, s.RatePPB, rate)
		}
	}
}

// When the kernel starts to slew at 500 ppm (ntpd), the snapshot follows at the
// second reading, and the line error covers the first.
func TestSlewIsFollowed(t *testing.T) {
	t.Parallel()
	w := &world{mono: 1e9}
	l := newTracker()
	q := good()
	q.slewing = true
	step := func() (miss time.Duration, s status.Snapshot) {
		before := l.snap
		w.advance(250 * time.Millisecond)
		miss = before.ClockAt(w.mono).Sub(tai.FromUnix(0, start+int64(w.real), 37)).Abs()
		return miss, l.next(q, nil, w.cross(), 0, 0)
	}
	for range 20 {
		step()
	}
	w.rate = 500e3
	miss, s := step()
	if miss < 100*time.Microsecond || s.LineErr < miss || math.Abs(s.RatePPB-500e3) > 1e3 {
		t.Errorf("miss %v, line error %v, rate %v", miss, s.LineErr, s.RatePPB)
	}
	if miss, s = step(); miss > time.Microsecond {
		t.Errorf("at the second reading %v, rate %v", miss, s.RatePPB)
	}
}

// Over a leap second the clock continues in TAI, whatever the labels of the system
// clock, and TAI-UTC changes at the leap second.
func TestLeapSecondIsCarriedOver(t *testing.T) {
	t.Parallel()
	for _, kernelTAI := range []int{0, 37} {
		at := time.Date(2026, 12, 31, 24, 0, 0, 0, time.UTC).Unix()
		w := &world{mono: 9e9, real: float64(at*1e9-start) - 20e9}
		l := newTracker()
		q := good()
		q.tai = kernelTAI
		q.leapSign, q.leapAt = 1, at
		first := l.next(q, nil, w.cross(), 0, 0)
		if first.LeapAt != tai.FromUnix(at, 0, 38) || first.LeapIndicator(first.Clock) != 1 {
			t.Fatalf("announced for %v: %+v", at, first)
		}
		repeated := false
		for i := range 40 {
			w.advance(time.Second)
			if left := float64(at*1e9-start) - w.real; left <= 0 && !repeated { // the kernel inserts: the last second repeats
				w.real -= 1e9
				repeated = true
				if q.tai != 0 {
					q.tai++
				}
			}
			if i > 22 {
				q.leapSign, q.leapAt = 0, 0
			}
			s := l.next(q, nil, w.cross(), 0, 0)
			if got, want := s.ClockAt(w.mono).Sub(first.Clock), time.Duration(i+1)*time.Second; (got - want).Abs() > time.Microsecond {
				t.Fatalf("kernel's offset %d, after %v: %v of TAI", kernelTAI, want, got)
			}
			if t1 := s.ClockAt(w.mono); t1 > tai.FromUnix(at, 0, 38) && s.OffsetAt(t1) != 38 {
				t.Fatalf("kernel's offset %d, after %d s: TAI-UTC %d", kernelTAI, i, s.OffsetAt(t1))
			}
		}
		if l.snap.Epoch != 0 || l.snap.TAIOffset != 38 || !repeated {
			t.Errorf("kernel's offset %d: epoch %d, TAI-UTC %d", kernelTAI, l.snap.Epoch, l.snap.TAIOffset)
		}
	}
}

func TestEachReasonHasItsWord(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := range numReasons {
		if s := r.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("reason %d is %q", r, s)
		} else {
			seen[s] = true
		}
	}
	if Reason(200).String() != "unknown" {
		t.Error("a reason that does not exist has a word")
	}
}
