package sim

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// result is what a run of a scenario came to.
type result struct {
	usable, outside int
	worst           float64 // |true offset| while usable, ns
	sum2            float64
	first           float64 // s of the first usable second
	end             Row
}

func play(t *testing.T, s Scenario, seed uint64, d time.Duration) (*Loop, result) {
	t.Helper()
	l, err := s.Loop(seed)
	if err != nil {
		t.Fatal(err)
	}
	r := result{first: -1}
	l.Rows(d, func(x Row) {
		r.end = x
		if !x.Usable {
			return
		}
		if r.usable++; r.first < 0 {
			r.first = x.T
		}
		if math.Abs(x.ServedNS) > float64(x.Bound) || math.Abs(x.TrueNS) > float64(x.ClockBound) {
			r.outside++
		}
		r.worst = max(r.worst, math.Abs(x.TrueNS))
		r.sum2 += x.TrueNS * x.TrueNS
	})
	return l, r
}

// TestScenarios holds limits on every named scenario. Times are of the second;
// outside counts seconds in which the true error was beyond the claimed bound.
func TestScenarios(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	hour := time.Hour
	for _, c := range []struct {
		name    string
		d       time.Duration
		first   float64 // usable at the latest after, s
		usable  int     // seconds, at least
		outside int     // seconds, at most
		rms     float64 // ns, at most, while usable
		worst   float64
		end     status.State
		steps   uint32
	}{
		{"ageing", hour / 2, 12, 1700, 0, 4, 30, status.Locked, 1},         // its days are in the tables of docs/servo.md
		{"antenna-pulled", hour, 12, 3580, 3, 250, 1000, status.Locked, 1}, // the clean pull: 235 ns at the end of 10 min
		{"both-edges", hour / 2, 12, 1700, 0, 8, 60, status.Locked, 1},
		{"cm4-f9t", hour / 2, 20, 1700, 0, 20, 150, status.Locked, 2},
		{"cold-start", hour / 2, 312, 1400, 0, 8, 60, status.Locked, 1},
		{"device-vanishing", hour, 12, 3400, 0, 40, 400, status.Locked, 1},
		{"era", hour / 2, 12, 1700, 0, 8, 60, status.Locked, 1},
		{"frequency-step", hour, 12, 3400, 2, 40, 1000, status.Locked, 1},           // the first pulse after it is the first to tell
		{"holdover-24h", 6 * hour, 12, 17000, 0, 4_000, 10_000, status.Holdover, 1}, // how long depends on the noise before: TestHoldoverLastsInTheMedian
		{"i225-m8t", hour / 2, 12, 1700, 0, 12, 80, status.Locked, 1},
		{"kernel-pps", hour / 2, 15, 1700, 0, 700, 5000, status.Locked, 1},
		{"leap-second", hour, 12, 3500, 0, 8, 60, status.Locked, 1},
		{"rollover", hour, 12, 3500, 0, 8, 60, status.Locked, 1},
		{"spikes", hour / 2, 12, 1700, 0, 8, 80, status.Locked, 1},
		{"spoof-jump", hour, 12, 2300, 0, 1000, 20_000, status.Locked, 1},
		{"temperature", hour / 2, 12, 1700, 0, 8, 60, status.Locked, 1}, // likewise
		{"temperature-blind", hour / 2, 12, 1700, 0, 8, 60, status.Locked, 1},
		{"timehat-f9t", hour / 2, 12, 1700, 0, 8, 60, status.Locked, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Find(c.name)
			if err != nil {
				t.Fatal(err)
			}
			l, r := play(t, s, 1, c.d)
			rms := math.Sqrt(r.sum2 / float64(max(1, r.usable)))
			t.Logf("first %v s, usable %d s, outside %d, rms %.1f ns, worst %.1f ns, %v (%s), epoch %d", r.first, r.usable, r.outside, rms, r.worst, r.end.State, l.Snap.Reason, l.Snap.Epoch)
			if r.first < 0 || r.first > c.first || r.usable < c.usable || r.outside > c.outside || rms > c.rms || r.worst > c.worst || r.end.State != c.end && !(c.end == status.Holdover && !r.end.Usable) || l.Snap.Epoch > c.steps {
				t.Errorf("beyond the limits %+v", c)
			}
		})
	}
	if len(Scenarios()) != 18 {
		t.Error("a scenario has no row here")
	}
}

// TestHoldoverLastsInTheMedian: how long the bound of a holdover stays below its limit
// depends on the noise before, by 10 % from seed to seed.
func TestHoldoverLastsInTheMedian(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	s, err := Find("holdover-24h")
	if err != nil {
		t.Fatal(err)
	}
	var usable []int
	for seed := uint64(1); seed <= 5; seed++ {
		_, r := play(t, s, seed, 6*time.Hour)
		usable = append(usable, r.usable)
	}
	slices.Sort(usable)
	if m := usable[len(usable)/2]; m < 18_500 {
		t.Errorf("usable for %d s in the median of seeds 1 to 5, want 18,500 s: %d", m, usable)
	}
	t.Logf("usable for %d s", usable)
}

// TestBoundHolds looks at every published snapshot when it is as old as a
// reader ever sees it: what is claimed must hold, through a cold start, an
// outage and its end, for every seed and kind of hardware.
func TestBoundHolds(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	const seeds = 6
	outage := []Fault{{Kind: NoPulse, At: 10 * time.Minute, For: 5 * time.Minute}, {Kind: Void, At: 10*time.Minute + 2*time.Second, For: 5 * time.Minute}}
	for _, name := range []string{"timehat-f9t", "i225-m8t", "kernel-pps", "cm4-f9t"} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Config.Pulse.Faults, s.Config.Receiver.Faults = outage, outage
		looks, bad := 0, 0
		for seed := uint64(1); seed <= seeds; seed++ {
			l, err := s.Loop(seed)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			l.Before = func(mono int64) {
				if !l.Snap.Usable(mono) {
					return
				}
				looks++
				e := math.Abs(float64(l.Snap.ClockAt(mono).Sub(l.App.Clock.True(mono))))
				if b := float64(l.Snap.BoundAt(mono)); e > b {
					if bad++; e/b > worst {
						worst = e / b
						t.Logf("%s seed %d at %v: off by %.0f ns, claimed %.0f ns (%v, %s)", name, seed, l.Since(), e, b, l.Snap.State, l.Snap.Reason)
					}
				}
			}
			l.Run(20 * time.Minute)
			if l.Snap.State != status.Locked {
				t.Errorf("%s seed %d: %v (%s) at the end", name, seed, l.Snap.State, l.Snap.Reason)
			}
		}
		if looks < seeds*4000 || bad*1000 > looks {
			t.Errorf("%s: %d of %d looks outside the bound", name, bad, looks)
		}
	}
}

// TestHoldoverLimit: in holdover clients get "synchronised" exactly as long as the
// bound is within discipline.holdover_limit, and the bound contains the true error.
func TestHoldoverLimit(t *testing.T) {
	for _, limit := range []time.Duration{500 * time.Nanosecond, 3 * time.Microsecond} {
		s, err := Find("timehat-f9t")
		if err != nil {
			t.Fatal(err)
		}
		out := []Fault{{Kind: NoPulse, At: 5 * time.Minute, For: time.Hour}}
		s.Config.Pulse.Faults = out
		s.Engine.Discipline.Limit = limit
		l, err := s.Loop(1)
		if err != nil {
			t.Fatal(err)
		}
		held, given := 0, 0.0
		l.Rows(25*time.Minute, func(r Row) {
			if r.State != status.Holdover {
				if r.T > 310 {
					t.Fatalf("limit %v: %v after %v s", limit, r.State, r.T)
				}
				return
			}
			if r.Usable {
				held++
				if given > 0 {
					t.Errorf("limit %v: given up after %v s, and synchronised again after %v s without a pulse", limit, given, r.T)
				}
				if l.Snap.Stratum != 1 || r.Outside() {
					t.Errorf("limit %v, %v s: stratum %d, off by %.0f ns, bound %v", limit, r.T, l.Snap.Stratum, r.ServedNS, r.Bound)
				}
			} else if given == 0 {
				given = r.T
			}
			// The limit is for what the clock loses, on top of reading it.
			if within := r.Bound <= l.Snap.Limit; within != r.Usable {
				t.Errorf("limit %v, %v s: bound %v, synchronised %v", limit, r.T, r.Bound, r.Usable)
			}
		})
		t.Logf("limit %v: synchronised for %d s of holdover", limit, held)
		if held < 20 || given == 0 {
			t.Errorf("limit %v: synchronised for %d s of holdover, given up after %v s", limit, held, given)
		}
	}
}

// TestSensor: the virtual sensor precedes the oscillator by its lag, and what it
// reads reaches the discipline.
func TestSensor(t *testing.T) {
	c := phctest.Config{Noise: phctest.Noise{SwingPPB: 60, SwingS: 86400, Ramps: []phctest.Ramp{{At: 1000, Over: 100, PPB: -50}}}}
	x := newSensor(&Sensor{PPBPerK: 10, LagS: 20, BaseC: 40}, &c)
	for _, r := range []struct{ s, want float64 }{ // slope of the swing: 60*2*pi/86400 ppb/s
		{0, 40 + 20*60*2*math.Pi/86400/10},
		{21600, 40 + 6 - 5},
		{1050, 40 - 2.5 - 1 + 60*math.Sin(2*math.Pi*1050/86400)/10 + 20*60*2*math.Pi/86400/10},
	} {
		if got := x.at(int64(r.s * 1e9)); math.Abs(got-r.want) > 0.01 {
			t.Errorf("after %v s %.3f C, want %.3f", r.s, got, r.want)
		}
	}
	s, err := Find("temperature")
	if err != nil {
		t.Fatal(err)
	}
	l, _ := play(t, s, 1, 30*time.Second)
	if st := l.Status(); st.TempMono == 0 || math.Abs(st.TempC-42) > 1 {
		t.Errorf("the discipline has %v C at %d", st.TempC, st.TempMono)
	}
}

// A dead daemon's last snapshot must stay true until it says "unsynchronised".
func TestDeadWriter(t *testing.T) {
	s, err := Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	for seed := uint64(1); seed <= 3; seed++ {
		l, _ := play(t, s, seed, 10*time.Minute)
		last, now := l.Snap, l.Mono()
		usable := 0
		for i := int64(1); i < 7200; i++ {
			m := now + i*1e9
			if !last.Usable(m) {
				break
			}
			usable++
			if e := last.ClockAt(m).Sub(l.App.Clock.True(m)).Abs(); e > last.BoundAt(m) {
				t.Fatalf("seed %d: %d s after the daemon's death off by %v, claimed %v", seed, i, e, last.BoundAt(m))
			}
		}
		if usable < 60 || usable > 7000 {
			t.Errorf("seed %d: clients get \"synchronised\" for %d s after the daemon's death", seed, usable)
		}
	}
}

func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) (rows []Row) {
		s, err := Find("kernel-pps")
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Loop(seed)
		if err != nil {
			t.Fatal(err)
		}
		l.Rows(60*time.Second, func(r Row) { rows = append(rows, r) })
		return rows
	}
	a, b, c := run(5), run(5), run(6)
	same := 0
	for i := range a {
		if a[i].TrueNS != b[i].TrueNS || a[i].Bound != b[i].Bound {
			t.Fatalf("row %d: %+v and %+v", i, a[i], b[i])
		}
		if a[i].TrueNS == c[i].TrueNS {
			same++
		}
	}
	if len(a) != 60 || same > 1 {
		t.Errorf("%d rows, %d as with another seed", len(a), same)
	}
}

// The series drives the same loop: a clean one must end in nanoseconds, with a
// sawtooth of either sign.
func TestSeries(t *testing.T) {
	for _, sign := range []float64{1, -1} {
		s := &Series{}
		for i := range 900 {
			saw := 20 * (2*math.Mod(float64(i)*0.137, 1) - 1)
			s.OscPPB = append(s.OscPPB, 1500)
			s.ErrNS = append(s.ErrNS, saw)
			s.QErrNS = append(s.QErrNS, -sign*saw) // +: added to the pulse's time it makes it right
			s.Present = append(s.Present, i%50 != 49)
		}
		sc := Scenario{Config: Config{Series: s, Clock: phctest.Config{Truth: tai.FromUnix(1795426200, 0, 37), Start: 250 * time.Microsecond}}}
		l, r := play(t, sc, 1, 900*time.Second)
		if r.first < 0 || r.first > 15 || math.Abs(r.end.TrueNS) > 3 || r.outside > 0 {
			t.Errorf("sign %+v: first %v s, true %v ns at the end, outside %d", sign, r.first, r.end.TrueNS, r.outside)
		}
		if got := l.Engine.Report().QuantisationSign; got != sign {
			t.Errorf("sawtooth applied with sign %v, want %v", got, sign)
		}
		if l.Snap.Missed < 15 && l.Snap.Pulses > 885 {
			t.Errorf("missed %d, pulses %d", l.Snap.Missed, l.Snap.Pulses)
		}
	}
}

func TestReceiver(t *testing.T) {
	start := tai.FromUnix(1483228790, 0, 36) // ten seconds before the leap second of 2016
	r := NewReceiver(ReceiverConfig{Seed: 1, Baud: 9600}, start)
	var all []byte
	for k := range 14 {
		sec := start + tai.Time(k)*tai.Second
		last := tai.Time(0)
		for _, c := range r.Burst(sec) {
			if c.At <= sec || c.At < last || c.At > sec+tai.Second {
				t.Errorf("second %d: a chunk at %v after it", k, c.At.Sub(sec))
			}
			last = c.At
			all = append(all, c.Data...)
		}
	}
	for _, want := range []string{"$GNZDA,235950.00,31,12,2016,00,00*", "$GNRMC,235959.00,A,", "$GNZDA,235960.00,31,12,2016,00,00*", "$GNZDA,000000.00,01,01,2017,00,00*"} {
		if n := bytes.Count(all, []byte(want)); n != 1 {
			t.Errorf("%q is there %d times", want, n)
		}
	}
	if !strings.HasPrefix(string(all), "$GNRMC,235950.00,A,4723.0012,N,00832.4412,E,0.004,,311216,,,A*") {
		t.Errorf("begins with %q", all[:60])
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(func() int64 { return 0 }, Config{Clock: phctest.Config{Truth: 5}}); err == nil {
		t.Error("a start within a second was taken")
	}
	if _, err := Find("nonesuch"); err == nil {
		t.Error("a scenario that does not exist was found")
	}
	var k FaultKind
	for i := range faultNames {
		if err := k.UnmarshalText([]byte(FaultKind(i).String())); err != nil || int(k) != i {
			t.Errorf("%v: %v", FaultKind(i), err)
		}
	}
	if k.UnmarshalText([]byte("x")) == nil || FaultKind(99).String() != "invalid" {
		t.Error("a fault that does not exist")
	}
}
