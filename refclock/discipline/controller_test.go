package discipline

import (
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"servo", Config{Servo: "magic"}, false},
		{"negative frequency", Config{MaxFreqPPB: -1}, false},
		{"not a number", Config{MaxErrorPPB: math.NaN()}, false},
		{"gate", Config{Gate: GateConfig{Sigma: 1}}, false},
		{"one confirming second", Config{Confirm: 1}, false},
		{"jump before confirmation", Config{Confirm: 10, Gate: GateConfig{JumpConfirm: 5}}, false},
		{"missing after one second", Config{Gate: GateConfig{MissAfter: time.Second}}, false},
		{"limit", Config{Limit: -1}, false},
		{"slew below step", Config{SlewWithin: time.Microsecond}, false},
		{"pulse width of a second", Config{PulseWidth: time.Second}, false},
		{"default", Config{}, true},
		{"pi", Config{Servo: "pi", Confirm: 2, Limit: time.Millisecond}, true},
	} {
		if err := c.cfg.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if New(Config{Servo: "magic"}) == nil || Default().Confirm != 3 {
		t.Error("no defaults")
	}
}

func TestReasonNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := range Reason(NumReasons) {
		s := r.String()
		if s == "" || seen[s] {
			t.Errorf("reason %d is called %q", r, s)
		}
		seen[s] = true
	}
	if Reason(255).String() != "invalid" {
		t.Error("a reason out of range has a name")
	}
}

// TestRefusals: each kind of unusable edge is refused with its reason and changes
// the frequency little.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, 1)
	w.run(0, 100)
	w.to(w.now + 1e6)
	good := Pulse{Clock: w.clock(w.now), Mono: w.mono(w.now), Now: w.mono(w.now)}
	for _, c := range []struct {
		name string
		p    func() Pulse
		want Reason
	}{
		{"the last one again", func() Pulse { return Pulse{Clock: w.c.edges.clock, Mono: good.Mono} }, PulseRepeated},
		{"back in time", func() Pulse { return Pulse{Clock: good.Clock, Mono: w.c.edges.last - 5} }, PulseRepeated},
		{"cross timestamp of 5 ms", func() Pulse { p := good; p.Width = 5 * time.Millisecond; return p }, PulseWide},
		{"negative width", func() Pulse { p := good; p.Width = -1; return p }, PulseWide},
		{"between the seconds", func() Pulse { return good }, PulseOffGrid},
		{"2 µs late", func() Pulse {
			return Pulse{Clock: w.c.est.sec + tai.Second + 2000, Mono: w.c.est.mono + 1e9 + 2000}
		}, PulseOutlier},
		{"before a step", func() Pulse {
			w.c.Stepped(good.Mono+2e9, time.Millisecond)
			return Pulse{Clock: w.c.est.sec + 2*tai.Second, Mono: good.Mono + 1e9}
		}, PulseStraddles},
	} {
		p := c.p()
		before, freq := w.c.Status(), w.c.est.corr.ppb
		a := w.c.Pulse(p)
		after := w.c.Status()
		if a.Reason != c.want || a.Used || a.Step != 0 || after.Counts[c.want] != before.Counts[c.want]+1 || after.BadPulses != before.BadPulses+1 {
			t.Errorf("%s: %+v, counted %d", c.name, a, after.Counts[c.want]-before.Counts[c.want])
		}
		if math.Abs(a.FreqPPB-freq) > 50 {
			t.Errorf("%s: frequency from %v to %v", c.name, freq, a.FreqPPB)
		}
	}
	if w.c.Status().State != status.Acquiring {
		t.Errorf("state %v after a step by another program", w.c.Status().State)
	}
}

// TestLabelRefusals: each kind of unusable label is refused with its reason.
func TestLabelRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, 1)
	early := w.c
	early.Label(Label{Time: epochTAI, Mono: monoStart, Valid: true})
	if early.Status().Counts[LabelNoPulse] != 1 {
		t.Error("a label before any pulse was accepted")
	}
	w.run(0, 100)
	now := w.clock(w.now).Floor()
	mono := w.mono(w.now)
	for _, c := range []struct {
		l    Label
		want Reason
	}{
		{Label{Time: now}, LabelVoid},
		{Label{Time: -now, Valid: true}, LabelNotWhole},
		{Label{Time: now, Valid: true, TAcc: time.Second}, LabelVague},
		{Label{Time: now - tai.Second, Valid: true}, LabelLate},
		{Label{Time: now + tai.Second, Valid: true}, LabelEarly},
		{Label{Time: now + 1024*7*86400*tai.Second, Valid: true}, LabelDiffers},
	} {
		c.l.Mono = mono
		before := w.c.Status()
		w.c.Label(c.l)
		after := w.c.Status()
		if after.Counts[c.want] != before.Counts[c.want]+1 || after.BadLabels != before.BadLabels+1 {
			t.Errorf("%+v: not counted as %v", c.l, c.want)
		}
	}
}

// TestBoundOfDeadWriter: bound and rate hold until they reach the limit if
// steering stops at any moment.
func TestBoundOfDeadWriter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		wfm, rw, white float64
		servo          string
	}{
		{"tcxo", 1, 1, 50, "kalman"}, {"ocxo", 0.03, 0.01, 20, "kalman"}, {"TimeHAT", 2.5, 0.02, 0.2, "kalman"},
		{"crystal", 10, 3, 500, "kalman"}, {"pi", 1, 1, 50, "pi"},
	} {
		bad, all := 0, 0
		for seed := uint64(1); seed <= 3; seed++ {
			w := newWorld(t, Config{Servo: c.servo}, seed)
			w.wfm, w.rw, w.white = c.wfm, c.rw, c.white
			for k := 0; k < 1200; k += 97 {
				w.run(k, k+97)
				s := w.c.Status()
				if s.State != status.Locked {
					continue
				}
				x, y := w.truthNS(), w.y
				for at := 1.0; s.Bound+s.BoundRate*at < float64(s.Limit) && at < 20000; at++ {
					x += y + w.u + w.wfm*w.r.NormFloat64()
					y += w.rw * w.r.NormFloat64()
					all++
					if math.Abs(x) > s.Bound+s.BoundRate*at {
						bad++
					}
				}
			}
		}
		if all < 1000 || float64(bad) > 0.001*float64(all) {
			t.Errorf("%s: outside the bound in %d of %d seconds", c.name, bad, all)
		}
	}
}

// TestLearned: what one run exports makes the start of the next one fast, and
// values out of range are ignored.
func TestLearned(t *testing.T) {
	t.Parallel()
	if New(Config{}).Export().OK {
		t.Error("something learned from nothing")
	}
	w := newWorld(t, Config{}, 1)
	w.run(0, 1500)
	l := w.c.Export()
	if !l.OK || math.Abs(l.FreqPPB+w.y) > 5 || l.NoiseNS < 15 || l.NoiseNS > 25 {
		t.Fatalf("learned %+v, oscillator %.1f ppb off", l, w.y)
	}
	c := New(Config{})
	for _, bad := range []func(*Learned){
		func(l *Learned) { l.FreqPPB = math.NaN() },
		func(l *Learned) { l.NoiseNS = math.Inf(1) },
		func(l *Learned) { l.FreqPPB = 1e9 },
		func(l *Learned) { l.NoiseNS = 0 },
		func(l *Learned) { l.AgeSecond = -1 },
		func(l *Learned) { l.OK = false },
	} {
		m := l
		bad(&m)
		c.Import(m)
		if c.learned.OK {
			t.Errorf("%+v was imported", m)
		}
	}
	l.AgeSecond = 3600
	next := newWorld(t, Config{}, 2)
	next.y = w.y
	next.c.Import(l)
	if a := next.c.Tick(next.mono(0), next.clock(0)); math.Abs(a.FreqPPB-l.FreqPPB) > 1e-9 {
		t.Errorf("first correction %v, learned %v", a.FreqPPB, l.FreqPPB)
	}
	next.run(0, 60)
	if s := next.c.Status(); s.State != status.Locked || math.Abs(next.truthNS()) > s.Bound || s.Bound > 150 {
		t.Errorf("after a minute: %v, off by %.0f ns, bound %.0f", s.State, next.truthNS(), s.Bound)
	}
}

// TestDeterministic: the same calls give the same actions.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t, Config{}, 9), newWorld(t, Config{}, 9)
	a.run(0, 300)
	b.run(0, 300)
	if a.x != b.x || a.c.Status() != b.c.Status() {
		t.Error("two runs of one seed differ")
	}
}

// TestAllocatesNothing: tracking does not allocate.
func TestAllocatesNothing(t *testing.T) {
	w := newWorld(t, Config{}, 1)
	w.run(0, 100)
	k := int64(100)
	n := testing.AllocsPerRun(50, func() {
		t := k*1e9 + 2e6
		w.to(t)
		w.c.Pulse(Pulse{Clock: w.clock(t), Mono: w.mono(t), Now: w.mono(t)})
		w.c.Label(Label{Time: epochTAI + tai.Time(k)*tai.Second, Mono: w.mono(t + 2e8), Valid: true, Source: "RMC"})
		w.c.Tick(w.mono(t+5e8), w.clock(t+5e8))
		k++
	})
	if n != 0 {
		t.Errorf("%v allocations a second", n)
	}
}
