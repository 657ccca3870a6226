package follow

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// machine is a simulated system clock with the kernel's discipline around it,
// and a reference that is right.
type machine struct {
	now      int64
	clock    *phctest.Clock // CLOCK_REALTIME as a continuous count
	d        int            // count - CLOCK_REALTIME, s: grows when the kernel inserts a second
	t        phc.Timex      // FreqPPB aside
	setAt    int64
	inserted bool
	late     bool  // the clock has a leap second up to a tick later than adjtimex tells
	pending  bool  // that tick is to come
	day      int64 // UTC day in which the kernel last looked
	freqs    int   // corrections set through the clock
	steps    int
	deny     error
	rivals   []string

	ref status.Snapshot
	fol *Follower
	log bytes.Buffer
}

const machineTruth = tai.Time(1795426237) * tai.Second // 2026-11-23 09:30:00 UTC

func newMachine(t *testing.T, off time.Duration, truth tai.Time, edit func(*Config)) *machine {
	t.Helper()
	m := &machine{now: 1e12, d: 37, t: phc.Timex{Status: phc.StaUnsync, MaxError: phc.MaxError, EstError: phc.MaxError, Tick: 10000}}
	mono := func() int64 { return m.now }
	m.clock = phctest.New(mono, phctest.Config{Truth: truth, Mono0: m.now, Start: off, MaxPPB: 500e3, Width: 200 * time.Nanosecond,
		Noise: phctest.Noise{OffsetPPB: 21000, WhitePPB: 5, WalkPPB: 0.5}, Seed: 5})
	m.ref = status.Snapshot{State: status.Locked, Kind: status.PHCClock, Stratum: 1, TAIOffset: 37, RefTime: truth,
		Bound: 60, BoundRate: 1, LineErr: 150, Limit: 100 * time.Microsecond}
	m.setAt = m.now
	cfg := Config{
		Name: "system", Kind: status.SystemClock, Mono: mono, Open: func() (clock.Device, error) { return m, nil }, Log: slog.New(slog.NewTextHandler(&m.log, nil)),
		Reference: func() *status.Snapshot { s := m.ref; return &s },
		System:    clock.NewSystem(m, m, mono, func() []string { return m.rivals }),
	}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if m.fol, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return m
}

// run lets time pass.
func (m *machine) run(d time.Duration) {
	for end := m.now + int64(d); m.now < end; m.now += 250e6 {
		m.ref.Mono, m.ref.Clock = m.now, m.clock.True(m.now)
		m.leap()
		m.fol.Tick()
	}
}

// leap does what the kernel does at the end of a UTC day.
func (m *machine) leap() {
	real := int64(m.clock.At(m.now)) - int64(m.d)*1e9
	day := real / 86400e9
	if m.pending {
		m.pending = false
		m.d++
		m.t.TAI++
		m.day = (real - 1e9) / 86400e9
		return
	}
	switch {
	case m.t.Status&phc.StaIns == 0:
		m.inserted = false
	case m.day != 0 && day == m.day+1 && !m.inserted: // once, until the flag has been taken back
		m.inserted = true
		day--
		if m.late {
			m.pending = true
			break
		}
		m.d++
		m.t.TAI++
	}
	m.day = day
}

func (m *machine) Cross() (phc.Cross, error) {
	x, err := m.clock.Cross()
	x.Real = int64(x.Clock) - int64(m.d)*1e9
	x.Clock = 0 // the follower must not need it
	return x, err
}

func (m *machine) Step(d time.Duration) error {
	m.steps++
	m.clear()
	defer func() { m.now += 2000 }() // else a reading could lie before the step
	return m.clock.Step(d)
}

// clear is the kernel's ntp_clear.
func (m *machine) clear() {
	m.t.Status |= phc.StaUnsync
	m.t.MaxError, m.t.EstError, m.setAt = phc.MaxError, phc.MaxError, m.now
}

func (m *machine) AdjFreq(ppb float64) error {
	m.freqs++
	return m.clock.AdjFreq(math.Round(ppb/phc.FreqResolutionPPB) * phc.FreqResolutionPPB)
}
func (m *machine) FreqPPB() (float64, error) { return m.clock.FreqPPB() }
func (m *machine) MaxFreq() float64          { return 500e3 }

func (m *machine) Load() (phc.Timex, error) {
	t := m.t
	t.FreqPPB, _ = m.clock.FreqPPB()
	t.MaxError = min(t.MaxError+time.Duration((m.now-m.setAt)/1e9)*phc.MaxErrorRate, phc.MaxError)
	if t.MaxError >= phc.MaxError {
		t.Status |= phc.StaUnsync
	}
	t.Real = int64(m.clock.At(m.now)) - int64(m.d)*1e9
	if m.pending {
		t.TAI++
		t.Real -= 1e9
	}
	return t, nil
}

func (m *machine) SetQuality(q phc.Quality) error {
	if m.deny != nil {
		return m.deny
	}
	t, _ := m.Load()
	m.t.Status = q.StatusFrom(t.Status)
	if q.Synced {
		m.t.MaxError, m.t.EstError, m.setAt = q.MaxError, q.EstError, m.now
	}
	if q.TAI != 0 {
		m.t.TAI = q.TAI
	}
	return nil
}

// off is CLOCK_REALTIME minus true UTC, ns.
func (m *machine) off(offset int) float64 {
	return float64(int64(m.clock.At(m.now)-m.clock.True(m.now)) - int64(m.d-offset)*1e9)
}

func (m *machine) state() status.State { return m.fol.Stats().Snapshot.State }

// TestSystemClockFollows: from any offset to the reference, stepped only at the
// start. The kernel gets a bound that contains the true error.
func TestSystemClockFollows(t *testing.T) {
	for _, off := range []time.Duration{0, 300 * time.Microsecond, -300 * time.Millisecond, time.Hour, -20 * 365 * 24 * time.Hour} {
		m := newMachine(t, off, machineTruth, nil)
		m.run(2 * time.Minute)
		steps := m.steps
		if m.state() != status.Locked {
			t.Fatalf("from %v: %v (%s)\n%s", off, m.state(), m.fol.Stats().Snapshot.Reason, &m.log)
		}
		if off.Abs() > time.Millisecond && (steps == 0 || steps > 2) || off.Abs() < 10*time.Microsecond && steps > 1 {
			t.Errorf("from %v: %d steps", off, steps)
		}
		for range 600 {
			m.run(time.Second)
			k, _ := m.Load()
			if e := math.Abs(m.off(37)); e > 2000 || e > float64(k.MaxError) {
				t.Fatalf("from %v: off by %.0f ns, bound in the kernel %v", off, e, k.MaxError)
			}
			if k.Status&phc.StaUnsync != 0 || k.TAI != 37 || k.MaxError > time.Millisecond || k.EstError > 10*time.Microsecond {
				t.Fatalf("from %v: kernel %+v", off, k)
			}
		}
		s := m.fol.Stats()
		if m.steps != steps || m.state() != status.Locked || !s.Compared || math.Abs(s.OffsetNS-m.off(37)) > 1000 || s.ToldKernel < 600 {
			t.Errorf("from %v: %d more steps, %v, compared %.0f ns where %.0f, %d updates of the kernel", off, m.steps-steps, m.state(), s.OffsetNS, m.off(37), s.ToldKernel)
		}
	}
}

// TestSystemClockContested: no hand is laid on a clock that another program
// steers; it is said who and why; and it is taken up when they have gone.
func TestSystemClockContested(t *testing.T) {
	m := newMachine(t, time.Second, machineTruth, nil)
	m.rivals = []string{"chronyd"}
	m.run(10 * time.Minute)
	s := m.fol.Stats()
	if m.freqs+m.steps != 0 || !s.Contested || s.Snapshot.Reason != "clock_contested" || s.Counts[reason.ClockContested] == 0 || m.t.TAI != 0 {
		t.Errorf("chronyd runs: touched %d times, contested %v (%s), TAI %d", m.freqs+m.steps, s.Contested, s.Snapshot.Reason, m.t.TAI)
	}
	if n := strings.Count(m.log.String(), "chronyd is running"); n == 0 || n > 12 {
		t.Errorf("said %d times:\n%s", n, &m.log)
	}
	m.rivals = nil
	m.run(2 * time.Minute)
	if m.state() != status.Locked {
		t.Fatalf("after it ended: %v (%s)\n%s", m.state(), m.fol.Stats().Snapshot.Reason, &m.log)
	}

	// One that has no known name, and only shows in what it writes.
	for _, c := range []struct {
		what  string
		write func()
	}{
		{"frequency", func() { m.clock.AdjFreq(-12345) }},
		{"tick", func() { m.t.Tick = 10001 }},
		{"status", func() { m.t.Status |= phc.StaPLL }},
		{"offset", func() { m.t.Offset = 5000 }},
		{"maximum error", func() { m.t.MaxError = 2 * time.Second }},
		{"estimated error", func() { m.t.EstError = 777 * time.Microsecond }},
		{"TAI offset", func() { m.t.TAI = 36 }},
	} {
		m.log.Reset()
		m.run(2 * time.Minute)
		if m.state() != status.Locked {
			t.Fatalf("%s: %v (%s) before", c.what, m.state(), m.fol.Stats().Snapshot.Reason)
		}
		before := m.fol.Stats().Counts[reason.ClockContested]
		c.write()
		freqs, steps := m.freqs, m.steps
		m.run(4 * time.Minute)
		s := m.fol.Stats()
		if m.freqs != freqs || m.steps != steps || !s.Contested || s.Counts[reason.ClockContested] == before {
			t.Errorf("%s written: touched %d times, contested %v", c.what, m.freqs-freqs+m.steps-steps, s.Contested)
		}
		if !strings.Contains(m.log.String(), "its "+c.what+" was written") {
			t.Errorf("%s: not said:\n%s", c.what, &m.log)
		}
		m.run(5 * time.Minute)
	}
	if m.state() != status.Locked {
		t.Errorf("at the end: %v (%s)", m.state(), m.fol.Stats().Snapshot.Reason)
	}
}

// A step by hand is no rival: it is noticed, said and put right.
func TestSystemClockSteppedByHand(t *testing.T) {
	m := newMachine(t, 0, machineTruth, nil)
	m.run(2 * time.Minute)
	m.clock.Disturb(42 * time.Second)
	m.clear()
	m.run(2 * time.Minute)
	s := m.fol.Stats()
	if m.state() != status.Locked || math.Abs(m.off(37)) > 2000 || s.Counts[reason.ClockForeign] != 1 || s.Counts[reason.ClockContested] != 0 {
		t.Errorf("%v (%s), off by %.0f ns, counted %d, contested %d\n%s", m.state(), s.Snapshot.Reason, m.off(37), s.Counts[reason.ClockForeign], s.Counts[reason.ClockContested], &m.log)
	}
}

// TestSystemClockLeap: a second is inserted by the kernel; the clock stays on
// time on both sides without a step, and the flag is there only before.
func TestSystemClockLeap(t *testing.T) {
	for _, late := range []bool{false, true} {
		systemClockLeap(t, late)
	}
}

func systemClockLeap(t *testing.T, late bool) {
	t.Helper()
	leapAt := tai.Time(1798761600+37) * tai.Second // invented: 2026-12-31 24:00:00 UTC
	m := newMachine(t, 0, leapAt-10*60*tai.Second, nil)
	m.ref.LeapAt, m.ref.LeapSign = leapAt+tai.Second, 1
	m.late = late
	m.run(9 * time.Minute)
	if k, _ := m.Load(); k.Status&phc.StaIns == 0 || k.TAI != 37 {
		t.Fatalf("before: %+v, %v\n%s", k, m.state(), &m.log)
	}
	steps := m.steps
	m.run(70 * time.Second) // the reference's table moves on some time after
	m.ref.LeapAt, m.ref.LeapSign, m.ref.TAIOffset = 0, 0, 38
	m.run(5 * time.Minute)
	k, _ := m.Load()
	if e := m.off(38); math.Abs(e) > 2000 || m.steps != steps || k.Status&(phc.StaIns|phc.StaUnsync) != 0 || k.TAI != 38 || m.d != 38 || m.state() != status.Locked || m.fol.Stats().Counts[reason.ClockForeign] != 0 {
		t.Errorf("after (late %v): off by %.0f ns, %d steps, kernel %+v, %v (%s)\n%s", late, e, m.steps-steps, k, m.state(), m.fol.Stats().Snapshot.Reason, &m.log)
	}
}

// TestReferenceUnusable: nothing is touched before there is a reference; later
// its loss means holdover with an honest, growing error.
func TestReferenceUnusable(t *testing.T) {
	m := newMachine(t, time.Second, machineTruth, nil)
	m.ref.State = status.Acquiring
	m.run(time.Minute)
	if m.freqs+m.steps != 0 || m.t.TAI != 0 || m.fol.Stats().Compared {
		t.Errorf("touched %d times before there was a reference", m.freqs+m.steps)
	}
	m.ref.State = status.Locked
	m.run(5 * time.Minute)
	if m.state() != status.Locked {
		t.Fatalf("%v (%s)\n%s", m.state(), m.fol.Stats().Snapshot.Reason, &m.log)
	}
	before, _ := m.Load()
	m.ref.State, m.ref.Bound, m.ref.Stratum = status.Holdover, 2*time.Millisecond, 16
	m.run(5 * time.Minute)
	k, _ := m.Load()
	s := m.fol.Stats()
	if m.state() != status.Holdover || s.Snapshot.Reason != "doubted: reference_unusable" || s.Counts[reason.ReferenceUnusable] != 1 || k.MaxError < 2*time.Millisecond+before.MaxError || math.Abs(m.off(37)) > float64(k.MaxError) {
		t.Errorf("%v (%s), bound in the kernel %v, off by %.0f ns", m.state(), s.Snapshot.Reason, k.MaxError, m.off(37))
	}
	m.ref.State, m.ref.Bound, m.ref.RefTime = status.Unlocked, math.MaxInt64, 0
	m.run(3 * time.Second)
	if k, _ := m.Load(); k.Status&phc.StaUnsync == 0 {
		t.Errorf("no reference at all, and the kernel has %+v", k)
	}
	m.ref.State, m.ref.Bound, m.ref.RefTime, m.ref.Stratum = status.Locked, 60, machineTruth, 1
	m.ref.Epoch++ // it was stepped meanwhile: found anew, which takes a few seconds and no step here
	m.run(time.Minute)
	if m.state() != status.Locked || math.Abs(m.off(37)) > 2000 {
		t.Errorf("back: %v (%s), off by %.0f ns\n%s", m.state(), m.fol.Stats().Snapshot.Reason, m.off(37), &m.log)
	}
}

// A sleep of the machine: the kernel has set the clock by that of the board, wrong by a
// part of a second, and still says that it is synchronised. The follower takes that back
// before anybody knows the time again, and follows when there is a reference.
func TestSystemClockAfterASleep(t *testing.T) {
	for _, board := range []time.Duration{-400 * time.Millisecond, 0, 30 * time.Millisecond, 700 * time.Millisecond} {
		var slept time.Duration
		m := newMachine(t, 0, machineTruth, func(c *Config) { c.Suspended = func() time.Duration { return slept } })
		m.run(2 * time.Minute)
		if m.state() != status.Locked {
			t.Fatalf("board %v: %v before the sleep", board, m.state())
		}
		good := m.ref
		m.ref.State, m.ref.Bound, m.ref.RefTime = status.Unlocked, math.MaxInt64, 0
		m.clock.Suspend(time.Hour, true)
		m.clock.Disturb(board)
		slept += time.Hour
		m.run(2 * time.Second)
		if k, _ := m.Load(); k.Status&phc.StaUnsync == 0 || m.state() == status.Locked {
			t.Errorf("board %v: after the sleep %v, and the kernel has %+v", board, m.state(), k)
		}
		m.run(time.Minute)
		if s := m.fol.Stats(); s.Counts[reason.ClockSlept] != 1 || s.Snapshot.Usable(m.now) {
			t.Errorf("board %v: counted %d times, usable %v (%s) without a reference\n%s", board, s.Counts[reason.ClockSlept], s.Snapshot.Usable(m.now), s.Snapshot.Reason, &m.log)
		}
		m.ref.State, m.ref.Bound, m.ref.RefTime = good.State, good.Bound, good.RefTime
		m.ref.Epoch++
		for range 120 {
			m.run(time.Second)
			if k, _ := m.Load(); k.Status&phc.StaUnsync == 0 && math.Abs(m.off(37)) > float64(k.MaxError) {
				t.Fatalf("board %v: off by %.0f ns, bound in the kernel %v", board, m.off(37), k.MaxError)
			}
		}
		if k, _ := m.Load(); m.state() != status.Locked || math.Abs(m.off(37)) > 2000 || k.Status&phc.StaUnsync != 0 {
			t.Errorf("board %v: with a reference again %v (%s), off by %.0f ns, kernel %+v\n%s", board, m.state(), m.fol.Stats().Snapshot.Reason, m.off(37), k, &m.log)
		}
	}
}

// TestStepPolicy: what may not be stepped is slewed or left, and said.
func TestStepPolicy(t *testing.T) {
	m := newMachine(t, 5*time.Second, machineTruth, func(c *Config) { c.Steps = StepNever })
	m.run(2 * time.Minute)
	if m.steps != 0 || m.state() == status.Locked || m.fol.Stats().Counts[reason.ClockStep] == 0 || !strings.Contains(m.log.String(), "does not allow") {
		t.Errorf("never: %d steps, %v, counted %d\n%s", m.steps, m.state(), m.fol.Stats().Counts[reason.ClockStep], &m.log)
	}
	m = newMachine(t, 20*time.Millisecond, machineTruth, func(c *Config) { c.Steps = StepNever })
	m.run(10 * time.Minute)
	if m.steps != 0 || m.state() != status.Locked || math.Abs(m.off(37)) > 5000 {
		t.Errorf("never, 20 ms: %d steps, %v (%s), off by %.0f ns\n%s", m.steps, m.state(), m.fol.Stats().Snapshot.Reason, m.off(37), &m.log)
	}
	m = newMachine(t, 5*time.Second, machineTruth, func(c *Config) { c.Steps = StepStart })
	m.run(2 * time.Minute)
	if m.steps == 0 || m.state() != status.Locked {
		t.Fatalf("start: %d steps, %v", m.steps, m.state())
	}
	steps := m.steps
	m.clock.Disturb(3 * time.Second)
	m.clear()
	m.run(2 * time.Minute)
	if m.steps != steps || m.state() == status.Locked {
		t.Errorf("start, stepped by hand later: %d more steps, %v", m.steps-steps, m.state())
	}
	var p Steps
	if p.UnmarshalText([]byte("sometimes")) == nil || p.UnmarshalText([]byte("never")) != nil || p != StepNever {
		t.Errorf("policy read as %v", p)
	}
}

// TestObserve: compared, never touched.
func TestObserve(t *testing.T) {
	m := newMachine(t, 1500*time.Microsecond, machineTruth, func(c *Config) {
		c.Observe = true
		open := c.Open
		c.Open = func() (clock.Device, error) { return taiClock{open}, nil }
	})
	m.run(time.Minute)
	s := m.fol.Stats()
	if m.freqs+m.steps != 0 || m.t.TAI != 0 || !s.Compared || math.Abs(s.OffsetNS-m.off(37)) > 30e3 || s.Bound < 1500*time.Microsecond {
		t.Errorf("touched %d times, compared %v: %.0f ns where %.0f, bound %v", m.freqs+m.steps, s.Compared, s.OffsetNS, m.off(37), s.Bound)
	}
}

// taiClock shows the machine's clock as phc.SystemClock does.
type taiClock struct{ open func() (clock.Device, error) }

func (c taiClock) Cross() (phc.Cross, error) {
	m, _ := c.open()
	x, err := m.Cross()
	x.Clock = tai.Time(x.Real + 37e9)
	return x, err
}
func (taiClock) Step(time.Duration) error  { return fs.ErrPermission }
func (taiClock) AdjFreq(float64) error     { return fs.ErrPermission }
func (taiClock) FreqPPB() (float64, error) { return 0, nil }
func (taiClock) MaxFreq() float64          { return 0 }

// No right to touch the clock is no reason to end.
func TestSystemClockDenied(t *testing.T) {
	m := newMachine(t, 0, machineTruth, nil)
	m.deny = fmt.Errorf("tell: %w", fs.ErrPermission)
	m.run(time.Minute)
	if s := m.fol.Stats(); s.Counts[reason.ClockDenied] == 0 || m.freqs != 0 || s.Snapshot.State != status.Unlocked {
		t.Errorf("%v (%s), touched %d times", s.Snapshot.State, s.Snapshot.Reason, m.freqs)
	}
	m.deny = nil
	m.run(2 * time.Minute)
	if m.state() != status.Locked {
		t.Errorf("allowed: %v", m.state())
	}
}

// TestSecondPHC: another card follows the first.
func TestSecondPHC(t *testing.T) {
	var second *phctest.Clock
	m := newMachine(t, 0, machineTruth, func(c *Config) {
		second = phctest.New(c.Mono, phctest.Config{Truth: machineTruth, Mono0: 1e12, Start: -31 * 365 * 24 * time.Hour, Width: 2 * time.Microsecond, Seed: 9,
			Noise: phctest.Noise{OffsetPPB: -7000, WhitePPB: 3, WalkPPB: 0.1}})
		c.Name, c.Kind, c.System, c.Open = "/dev/ptp1", status.PHCClock, nil, func() (clock.Device, error) { return second, nil }
	})
	m.run(5 * time.Minute)
	s := m.fol.Stats()
	if e := second.Error(m.now); m.state() != status.Locked || math.Abs(e) > 2000 || math.Abs(e) > float64(s.Bound) || s.Bound > 50*time.Microsecond {
		t.Errorf("%v (%s), off by %.0f ns, bound %v\n%s", m.state(), s.Snapshot.Reason, e, s.Bound, &m.log)
	}
	second.SetGone(true)
	m.run(30 * time.Second)
	if s := m.fol.Stats(); s.Snapshot.Reason != "clock_gone" || s.Bound != math.MaxInt64 {
		t.Errorf("unplugged: %v (%s)", s.Snapshot.State, s.Snapshot.Reason)
	}
	second.SetGone(false)
	m.run(time.Minute)
	if m.state() != status.Locked {
		t.Errorf("plugged in again: %v (%s)", m.state(), m.fol.Stats().Snapshot.Reason)
	}
}

// What an earlier run learned of a follower's oscillator is in force from the
// first moment it is steered, and what this one learned is offered.
func TestFollowerLearned(t *testing.T) {
	m := newMachine(t, 0, machineTruth, nil)
	m.run(5 * time.Minute)
	l := m.fol.Stats().Learned
	if !l.OK || math.Abs(l.FreqPPB+21000) > 20 {
		t.Fatalf("learned %+v of a clock that is 21000 ppb fast", l)
	}
	l.AgeSecond = 60
	for _, learned := range []discipline.Learned{{}, l} {
		m = newMachine(t, 0, machineTruth, func(c *Config) { c.Learned = learned })
		for m.freqs == 0 {
			m.run(250 * time.Millisecond)
		}
		if f, _ := m.FreqPPB(); learned.OK != (math.Abs(f+21000) < 100) {
			t.Errorf("learned %v: first correction %.0f ppb", learned.OK, f)
		}
	}
}
