package refclock_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// rig is a loop whose log is kept and whose snapshots are judged.
type rig struct {
	*sim.Loop
	log      bytes.Buffer
	scenario sim.Scenario
}

func newRig(t *testing.T, name string, edit func(*sim.Scenario)) *rig {
	t.Helper()
	return seededRig(t, name, 1, edit)
}

func seededRig(t *testing.T, name string, seed uint64, edit func(*sim.Scenario)) *rig {
	t.Helper()
	s, err := sim.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{}
	s.Engine.Log = slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if edit != nil {
		edit(&s)
	}
	r.scenario = s
	if r.Loop, err = s.Loop(seed); err != nil {
		t.Fatal(err)
	}
	r.Before = func(mono int64) {
		if !r.Snap.Usable(mono) {
			return
		}
		if e, b := r.Snap.ClockAt(mono).Sub(r.App.Clock.True(mono)).Abs(), r.Snap.BoundAt(mono); e > b {
			t.Errorf("at %v: off by %v, claimed %v (%v, %s)", r.Since(), e, b, r.Snap.State, r.Snap.Reason)
			r.Before = nil // once is enough
		}
	}
	return r
}

func (r *rig) engine(x reason.Code) uint64     { return r.Engine.Report().Counts[x] }
func (r *rig) disc(x discipline.Reason) uint64 { return r.Status().Counts[x] }
func (r *rig) decoder(x gnss.Defect) uint64    { return r.Site.Receiver.Counters().Of(x) }
func (r *rig) said(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(r.log.String(), w) {
			t.Errorf("the log does not say %q:\n%s", w, &r.log)
		}
	}
}

// TestBadInput: whatever comes, there is a named reason with a counter, the
// clock does not jump once it is right, and nothing false is claimed.
func TestBadInput(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	const at = 5 * time.Minute // locked by then
	fault := func(k sim.FaultKind, from, dur time.Duration, amount float64) func(*sim.Scenario) {
		return func(s *sim.Scenario) {
			f := sim.Fault{Kind: k, At: from, For: dur, Amount: amount}
			s.Config.Pulse.Faults, s.Config.Receiver.Faults = append(s.Config.Pulse.Faults, f), append(s.Config.Receiver.Faults, f)
		}
	}
	locked := func(r *rig) string {
		if r.Snap.State != status.Locked || r.Snap.Epoch != 1 {
			return fmt.Sprintf("%v (%s), epoch %d", r.Snap.State, r.Snap.Reason, r.Snap.Epoch)
		}
		return ""
	}
	never := func(r *rig) string {
		if r.Snap.RefTime != 0 || r.Snap.Epoch != 0 || r.Snap.Usable(r.Mono()) {
			return fmt.Sprintf("%v (%s), epoch %d, reference time %d", r.Snap.State, r.Snap.Reason, r.Snap.Epoch, r.Snap.RefTime)
		}
		return ""
	}
	for _, c := range []struct {
		name  string
		edit  func(*sim.Scenario)
		run   time.Duration
		judge func(r *rig) string // "" = good
		count func(r *rig) uint64 // of the named reason: must not be 0
	}{
		{"garbage for ever", fault(sim.Garbage, 0, 0, 0), 2 * time.Minute, never, func(r *rig) uint64 { return r.decoder(gnss.Noise) }},
		{"bad checksums for ever", fault(sim.BadChecksum, 0, 0, 0), 2 * time.Minute, never, func(r *rig) uint64 { return r.decoder(gnss.BadChecksum) }},
		{"void for ever", fault(sim.Void, 0, 0, 0), 2 * time.Minute, never, func(r *rig) uint64 { return r.disc(discipline.LabelVoid) }},
		{"pulses without messages", fault(sim.Silence, 0, 0, 0), 2 * time.Minute, never, func(r *rig) uint64 { return r.disc(discipline.NoMessages) }},
		{"messages without pulses", fault(sim.NoPulse, 0, 0, 0), 2 * time.Minute, never, func(r *rig) uint64 { return r.disc(discipline.NoPulse) }},
		{"garbage for a while", fault(sim.Garbage, at, time.Minute, 0), 8 * time.Minute, locked, func(r *rig) uint64 { return r.decoder(gnss.Noise) }},
		{"bad checksums for a while", fault(sim.BadChecksum, at, time.Minute, 0), 8 * time.Minute, locked, func(r *rig) uint64 { return r.decoder(gnss.BadChecksum) }},
		{"void for a while", fault(sim.Void, at, time.Minute, 0), 8 * time.Minute, locked, func(r *rig) uint64 { return r.disc(discipline.LabelVoid) }},
		{"messages missing for a while", fault(sim.Silence, at, time.Minute, 0), 8 * time.Minute, locked, func(r *rig) uint64 { return r.disc(discipline.NoMessages) }},
		{"pulses missing for a while", fault(sim.NoPulse, at, time.Minute, 0), 8 * time.Minute, locked, func(r *rig) uint64 { return r.disc(discipline.MissingPulses) }},
		{"messages a second late for a while", fault(sim.LateSecond, at, 30*time.Second, 0), 8 * time.Minute, locked, func(r *rig) uint64 {
			return r.disc(discipline.LabelLate) + r.disc(discipline.LabelDiffers) + r.disc(discipline.LabelSkips)
		}},
		{"labels off by one for a while", fault(sim.SecondOff, at, 30*time.Second, 1), 8 * time.Minute, locked, func(r *rig) uint64 {
			return r.disc(discipline.LabelEarly) + r.disc(discipline.LabelDiffers) + r.disc(discipline.LabelSkips)
		}},
		{"pulses displaced for a while", fault(sim.PulseJump, at, 10*time.Second, 300_000), 8 * time.Minute, locked, func(r *rig) uint64 { return r.disc(discipline.PulseOutlier) }},
		{"an edge replayed", fault(sim.ReplayPulse, at, time.Minute, 0), 8 * time.Minute, locked, func(r *rig) uint64 {
			return 1 // the card's filter drops them before the engine
		}},
		{"interference", func(s *sim.Scenario) { s.Config.Pulse.EMIP = 0.2 }, 8 * time.Minute, locked, func(r *rig) uint64 {
			return r.disc(discipline.PulseOffGrid) + 1 // most are dropped by the card's filter
		}},
		{"the clock gone for a while", func(s *sim.Scenario) {
			s.Actions = []sim.Action{
				{At: at, Do: func(l *sim.Loop) { l.App.Clock.SetGone(true) }},
				{At: at + 20*time.Second, Do: func(l *sim.Loop) { l.App.Clock.SetGone(false) }},
			}
		}, 8 * time.Minute, locked, func(r *rig) uint64 { return r.engine(reason.ClockGone) }},
		{"the clock missing at start", func(s *sim.Scenario) {
			s.Actions = []sim.Action{
				{At: 0, Do: func(l *sim.Loop) { l.App.Clock.SetGone(true) }},
				{At: 20 * time.Second, Do: func(l *sim.Loop) { l.App.Clock.SetGone(false) }},
			}
		}, 3 * time.Minute, locked, func(r *rig) uint64 { return r.engine(reason.ClockMissing) }},
		{"reading the clock times out", func(s *sim.Scenario) {
			s.Actions = []sim.Action{{At: at, Do: func(l *sim.Loop) { l.App.Clock.FailNext(2, errors.New("timed out")) }}}
		}, 8 * time.Minute, locked, func(r *rig) uint64 { return r.engine(reason.ClockRead) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "timehat-f9t", c.edit)
			r.Run(c.run)
			if why := c.judge(r); why != "" {
				t.Errorf("%s\n%s", why, &r.log)
			}
			if c.count(r) == 0 {
				t.Errorf("nothing was counted: %+v, %v", r.Status().Counts, r.Engine.Report().Counts)
			}
			if n := strings.Count(r.log.String(), "\n"); n > 40 {
				t.Errorf("%d lines in the log:\n%s", n, &r.log)
			}
		})
	}
}

func TestLongSentence(t *testing.T) {
	r := newRig(t, "timehat-f9t", nil)
	r.Run(time.Minute)
	r.Feed(append([]byte("$GNRMC,"), bytes.Repeat([]byte("1"), 10_000)...))
	r.Feed(bytes.Repeat([]byte{0xb5, 0x62, 0xff}, 3000))
	r.Run(3 * time.Minute)
	if r.Snap.State != status.Locked || r.decoder(gnss.TooLong) == 0 {
		t.Errorf("%v, too_long counted %d times", r.Snap.State, r.decoder(gnss.TooLong))
	}
}

// Somebody else steps the clock: said, counted, nothing false claimed for
// longer than it takes to notice, and put right without a restart.
func TestForeignStep(t *testing.T) {
	for _, d := range []time.Duration{3 * time.Microsecond, -40 * time.Millisecond, 5 * time.Second} {
		r := newRig(t, "timehat-f9t", func(s *sim.Scenario) {
			s.Actions = []sim.Action{{At: 5 * time.Minute, Do: func(l *sim.Loop) { l.App.Clock.Disturb(d) }}}
		})
		r.Run(6 * time.Minute)
		if r.engine(reason.ClockForeign) != 1 || r.Snap.State != status.Locked || math.Abs(r.App.Clock.Error(r.Mono())) > 500 {
			t.Errorf("step of %v: counted %d, %v (%s), off by %.0f ns\n%s", d, r.engine(reason.ClockForeign), r.Snap.State, r.Snap.Reason, r.App.Clock.Error(r.Mono()), &r.log)
		}
		r.said(t, "clock_stepped_by_other")
	}
}

// CLOCK_REALTIME is slewed and stepped under the kernel's pulse stamps.
func TestRealtimeMoves(t *testing.T) {
	r := newRig(t, "kernel-pps", func(s *sim.Scenario) {
		s.Config.Clock.SystemNoise.Ramps = []phctest.Ramp{{At: 200, PPB: 400_000}, {At: 300, PPB: -400_000}, {At: 400, PPB: 2e9}, {At: 400.25, PPB: -2e9}}
	})
	r.Run(10 * time.Minute)
	if r.Snap.State != status.Locked || r.Snap.Epoch != 1 {
		t.Errorf("%v (%s), epoch %d\n%s", r.Snap.State, r.Snap.Reason, r.Snap.Epoch, &r.log)
	}
}

// denied is a clock that may be read but not adjusted.
type denied struct{ *phctest.Clock }

func (d denied) Step(time.Duration) error { return fmt.Errorf("step: %w", fs.ErrPermission) }
func (d denied) AdjFreq(float64) error    { return fmt.Errorf("adjust: %w", fs.ErrPermission) }

// bench is an engine on a clock of the test's own, without receiver or pulse.
type bench struct {
	now   int64
	clock *phctest.Clock
	eng   *refclock.Engine
	log   bytes.Buffer
	snaps []status.Snapshot
}

const truth0 = tai.Time(1795426200) * tai.Second

func newBench(t *testing.T, start time.Duration, wrap func(*phctest.Clock) clock.Device) *bench {
	t.Helper()
	b := &bench{now: 1e12}
	mono := func() int64 { return b.now }
	b.clock = phctest.New(mono, phctest.Config{Truth: truth0, Mono0: b.now, Start: start, Noise: phctest.Noise{OffsetPPB: 1000}})
	var err error
	b.eng, err = refclock.New(refclock.Config{
		Mono: mono, Kind: status.PHCClock, ClockName: "eth0", Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		Open:    func() (clock.Device, error) { return wrap(b.clock), nil },
		Publish: func(s *status.Snapshot) { b.snaps = append(b.snaps, *s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.eng.Tick()
	return b
}

// second lets a second pass with its pulse and message.
func (b *bench) second(k int, late time.Duration) {
	sec := truth0 + tai.Time(k)*tai.Second
	b.now = b.clock.MonoAt(sec) + int64(late)
	b.eng.Edge(pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(b.clock.MonoAt(sec))), Mono: b.now, Seq: uint32(k)})
	for i := int64(1); i < 4; i++ {
		b.now = b.clock.MonoAt(sec) + max(i*250e6, int64(late)+1)
		if i == 2 {
			b.eng.Message(&gnss.Message{Source: "ZDA", Mono: b.now, Stated: true, Valid: true, HasDate: true, Civil: gnss.Civil{HasTimeOfDay: true}, Time: sec})
		}
		b.eng.Tick()
	}
}

func TestNoPermission(t *testing.T) {
	b := newBench(t, 0, func(c *phctest.Clock) clock.Device { return denied{c} })
	for k := 1; k < 60; k++ {
		b.second(k, 100*time.Microsecond)
	}
	s := b.snaps[len(b.snaps)-1]
	if s.State != status.Faulty || s.Reason != reason.ClockDenied.String() || s.Usable(b.now) || b.eng.Report().Counts[reason.ClockDenied] == 0 {
		t.Errorf("%v (%s), counted %d", s.State, s.Reason, b.eng.Report().Counts[reason.ClockDenied])
	}
	if n := strings.Count(b.log.String(), "clock_denied"); n < 1 || n > 4 {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
}

// Readers of the snapshot never get a wrong line as valid: before a step
// everything is taken back, after it a new epoch begins.
func TestStepOrder(t *testing.T) {
	b := newBench(t, -77*time.Second, func(c *phctest.Clock) clock.Device { return c })
	for k := 1; k < 30; k++ {
		b.second(k, 200*time.Millisecond)
	}
	last := b.snaps[len(b.snaps)-1]
	if last.State != status.Locked || last.Epoch != 1 || !last.Usable(b.now) {
		t.Fatalf("%v (%s), epoch %d\n%s", last.State, last.Reason, last.Epoch, &b.log)
	}
	for i, s := range b.snaps {
		if s.Epoch == 0 && s.Usable(s.Mono) {
			t.Errorf("snapshot %d is usable before the step", i)
		}
		if s.Usable(s.Mono) {
			if e := s.Clock.Sub(b.clock.True(s.Mono)).Abs(); e > s.BoundAt(s.Mono) {
				t.Errorf("snapshot %d: off by %v, claimed %v", i, e, s.BoundAt(s.Mono))
			}
		}
		if i > 0 && s.Epoch != b.snaps[i-1].Epoch {
			if p := b.snaps[i-1]; p.State != status.Acquiring || p.Stratum != 16 || p.Bound != math.MaxInt64 {
				t.Errorf("before the step: %v, stratum %d, bound %v", p.State, p.Stratum, p.Bound)
			}
		}
	}
}

// An external timestamp that is read 0.3 s after its pulse and after a step
// taken in between must not be used.
func TestStraddle(t *testing.T) {
	b := newBench(t, -77*time.Second, func(c *phctest.Clock) clock.Device { return c })
	for k := 1; k < 30; k++ {
		b.second(k, 290*time.Millisecond)
	}
	step := int64(0)
	for _, s := range b.snaps {
		if s.Epoch == 1 {
			step = s.Mono
			break
		}
	}
	if step == 0 {
		t.Fatalf("no step:\n%s", &b.log)
	}
	b = newBench(t, -77*time.Second, func(c *phctest.Clock) clock.Device { return c })
	for k := 1; b.now < step; k++ {
		b.second(k, 290*time.Millisecond)
	}
	before := b.eng.Report().Counts[reason.EdgeStraddles]
	b.now = step + 100e6
	b.eng.Edge(pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(b.now - 200e6)), Mono: b.now})
	b.eng.Tick()
	if got := b.eng.Report().Counts[reason.EdgeStraddles]; got != before+1 {
		t.Errorf("straddling edges counted %d, before %d", got, before)
	}
}

func TestStaleEdges(t *testing.T) {
	b := newBench(t, 0, func(c *phctest.Clock) clock.Device { return c })
	for k := 1; k < 10; k++ {
		b.second(k, 100*time.Microsecond)
	}
	for _, c := range []struct {
		edge pps.Edge
		want reason.Code
	}{
		{pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(b.now - 2e9)), Mono: b.now}, reason.EdgeStale},
		{pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(b.now + 1e9)), Mono: b.now}, reason.EdgeFuture},
		{pps.Edge{Scale: pps.Clock, Stamp: math.MinInt64, Mono: b.now}, reason.EdgeStale},
		{pps.Edge{Scale: pps.System, Stamp: b.clock.RealAt(b.now - 5e9), Mono: b.now}, reason.EdgeStale},
		{pps.Edge{Scale: pps.System, Stamp: b.clock.RealAt(b.now) + 1e9, Mono: b.now}, reason.EdgeFuture},
	} {
		before := b.eng.Report().Counts[c.want]
		b.eng.Edge(c.edge)
		b.eng.Tick()
		if got := b.eng.Report().Counts[c.want]; got != before+1 {
			t.Errorf("%+v: %v counted %d, before %d; all %v", c.edge, c.want, got, before, b.eng.Report().Counts)
		}
	}
	if s := b.snaps[len(b.snaps)-1]; s.State != status.Locked || s.BadPulses < 5 {
		t.Errorf("%v, %d pulses refused", s.State, s.BadPulses)
	}
}

// Bias, cable and sawtooth have one sign each: a late pulse is made earlier.
func TestCorrections(t *testing.T) {
	r := newRig(t, "timehat-f9t", func(s *sim.Scenario) {
		s.Config.Pulse = sim.PulseConfig{Bias: 1500 * time.Nanosecond, SawtoothNS: 20}
		s.Config.Clock.Noise = phctest.Noise{OffsetPPB: 700}
		s.Engine.Settings.Bias, s.Engine.Settings.Cable = 1300*time.Nanosecond, 200*time.Nanosecond
	})
	r.Run(5 * time.Minute)
	if e := r.App.Clock.Error(r.Mono()); math.Abs(e) > 3 {
		t.Errorf("off by %.1f ns after correction of 1500 ns and a sawtooth of 20 ns", e)
	}
}

// What an earlier run learned is in force from the first tick, and what this
// run learns is offered.
func TestLearned(t *testing.T) {
	r := newRig(t, "timehat-f9t", nil)
	r.Run(10 * time.Minute)
	l := r.Engine.Report().Learned
	if !l.OK || math.Abs(l.FreqPPB+2300) > 20 {
		t.Fatalf("learned %+v from an oscillator that is 2300 ppb fast", l)
	}
	l.AgeSecond = 60
	r = newRig(t, "timehat-f9t", func(s *sim.Scenario) { s.Engine.Learned = l })
	r.Run(time.Millisecond)
	if f, err := r.App.Clock.FreqPPB(); err != nil || math.Abs(f-l.FreqPPB) > 0.1 {
		t.Errorf("correction at the start %v ppb, %v; want %v", f, err, l.FreqPPB)
	}
}

// Without a clock to steer, receiver and pulse are observed on a computed clock,
// which is never served.
func TestSoftClock(t *testing.T) {
	var soft *clock.Soft
	b := newBench(t, -3*time.Second, func(c *phctest.Clock) clock.Device {
		soft = clock.NewSoft(c.Cross)
		return soft
	})
	for k := 1; k < 60; k++ {
		sec := truth0 + tai.Time(k)*tai.Second
		b.now = b.clock.MonoAt(sec) + 50e3
		b.eng.Edge(pps.Edge{Scale: pps.System, Stamp: b.clock.RealAt(b.clock.MonoAt(sec)), Mono: b.now})
		b.now += 200e6
		b.eng.Message(&gnss.Message{Source: "RMC", Mono: b.now, Stated: true, Valid: true, HasDate: true, Civil: gnss.Civil{HasTimeOfDay: true}, Time: sec})
		b.eng.Tick()
		b.now += 500e6
		b.eng.Tick()
	}
	s := b.snaps[len(b.snaps)-1]
	x, err := soft.Cross()
	if e := x.Clock.Sub(b.clock.True(b.now)).Abs(); err != nil || s.State != status.Locked || e > time.Microsecond {
		t.Errorf("%v (%s), off by %v, %v\n%s", s.State, s.Reason, e, err, &b.log)
	}
	if f := b.clock.Error(b.now); math.Abs(f+3e9) > 1e6 {
		t.Errorf("the clock below was touched: it is off by %v ns", f)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := refclock.New(refclock.Config{}); err == nil {
		t.Error("an engine without a clock was made")
	}
	ok := refclock.Config{Mono: func() int64 { return 0 }, Open: func() (clock.Device, error) { return nil, fs.ErrNotExist }, Publish: func(*status.Snapshot) {}}
	ok.Discipline.Servo = "guess"
	if _, err := refclock.New(ok); err == nil {
		t.Error("an unknown servo was taken")
	}
	for r := range reason.Count {
		if s := reason.Code(r).String(); s == "" || s == "invalid" || strings.ToLower(s) != s {
			t.Errorf("reason %d is called %q", r, s)
		}
	}
}
