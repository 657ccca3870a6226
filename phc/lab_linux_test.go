package phc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/phc/tai"
)

// These tests run in the lab (lab/scenario packages), where the labclock module is
// a PTP clock whose true error can be read. They steer and step clocks, which no
// test does outside the lab. They wait in the guest's virtual time.

const labclock = "/sys/devices/platform/labclock"

// lab returns an open ptp0 of the lab, or skips.
func lab(t *testing.T) *Device {
	t.Helper()
	if _, err := os.Stat(labclock); err != nil {
		t.Skip("labclock module missing: run lab/scenario packages")
	}
	d, err := Open("/dev/ptp0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// knob sets a parameter of labclock until the test ends.
func knob(t *testing.T, name string, v int64) {
	t.Helper()
	f := filepath.Join(labclock, name)
	old, err := os.ReadFile(f)
	if err == nil {
		err = os.WriteFile(f, fmt.Append(nil, v), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(f, old, 0) })
}

// truth is one instant in all clocks.
type truth struct{ raw, tai, real, phc0, phc1 int64 }

func snapshot(t *testing.T) (s truth) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(labclock, "snapshot"))
	if err == nil {
		_, err = fmt.Sscanf(string(b), "raw=%d true=%d real=%d phc0=%d phc1=%d", &s.raw, &s.tai, &s.real, &s.phc0, &s.phc1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func between(x, x0, x1, y0, y1 int64) int64 {
	return y0 + int64(math.Round(float64(y1-y0)*float64(x-x0)/float64(x1-x0)))
}

func TestLabOpen(t *testing.T) {
	lab(t)
	for name, want := range map[string]int{"/dev/ptp0": 0, "ptp1": 1, "lab0": 0, "lab1": 1} {
		d, err := Open(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if c := d.Caps(); d.Index() != want || d.Name() != name || c.Pins != 2 || c.ExtTS != 2 || c.MaxFreqPPB != 5e8 {
			t.Errorf("%s: index %d, %+v", d, d.Index(), c)
		}
		d.Close()
		if _, err := d.Cross(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Cross of a closed clock: %v", err)
		}
	}
	if err := os.Symlink("/dev/ptp1", "/tmp/clock"); err != nil {
		t.Fatal(err)
	}
	d, err := Open("/tmp/clock")
	if err != nil || d.Index() != 1 {
		t.Fatalf("by a link: %v", err)
	}
	d.Close()
}

// Each way to cross the clocks tells the truth to within half its width.
func TestLabCross(t *testing.T) {
	d := lab(t)
	knob(t, "phc0_ppt", 40e6)
	knob(t, "ref_ppt", -20e6)
	for _, c := range []struct {
		name    string
		precise bool
		m       method
		read    int64 // ns a read of the card takes
		n       int   // readings a cross then has
	}{
		{"precise", true, 0, 0, maxSamples},
		{"extended-raw", false, methodExtendedRaw, 0, maxSamples},
		{"extended-realtime", false, methodExtendedReal, 0, maxSamples},
		{"basic", false, methodBasic, 0, maxSamples},
		{"extended-raw", false, methodExtendedRaw, 222000, minSamples},
		{"extended-realtime", false, methodExtendedReal, 222000, minSamples},
		{"basic", false, methodBasic, 222000, minSamples},
	} {
		t.Run(fmt.Sprint(c.name, c.read), func(t *testing.T) {
			knob(t, "phc_read_ns", c.read)
			d.cross.precise, d.cross.method = c.precise, c.m
			if d.CrossMethod() != c.name {
				t.Fatal(d.CrossMethod())
			}
			var widest, took, worst, worstReal int64
			for i := range 20 {
				a := snapshot(t)
				t0 := MonoRaw()
				x, err := d.Cross()
				if err != nil {
					t.Fatal(err)
				}
				t1 := MonoRaw()
				b := snapshot(t)
				if i == 0 {
					continue // the number of readings is not adapted yet
				}
				if x.Mono < t0 || x.Mono > t1 {
					t.Errorf("crossed at %d, asked for between %d and %d", x.Mono, t0, t1)
				}
				e := int64(x.Clock) - between(x.Mono, a.raw, b.raw, a.phc0, b.phc0)
				er := x.Real - between(x.Mono, a.raw, b.raw, a.real, b.real)
				worst, worstReal = max(worst, abs(e)), max(worstReal, abs(er))
				widest, took = max(widest, int64(x.Width)), max(took, t1-t0)
				if abs(e) > int64(x.Width)/2+2 || abs(er) > int64(x.Width)/2+2 {
					t.Errorf("clock %d ns, system %d ns off; width %v", e, er, x.Width)
				}
			}
			if d.CrossMethod() != c.name || d.cross.samples != c.n {
				t.Errorf("ended as %s with %d readings, want %d", d.CrossMethod(), d.cross.samples, c.n)
			}
			t.Logf("error %d ns, system's %d ns, width %d ns, takes %d ns", worst, worstReal, widest, took)
		})
	}
}

// A clock that has no hardware latch, or says so and has none, is read by
// brackets from then on.
func TestLabFallback(t *testing.T) {
	d := lab(t)
	if d.caps.CrossPrecise {
		t.Skip("a clock without hardware cross timestamps is missing: labclock's crossts=0")
	}
	d.cross.precise = true
	for range 2 {
		if c, err := d.Cross(); err != nil || d.CrossMethod() != "extended-raw" || c.Width <= 0 {
			t.Errorf("%+v, %v, by %s", c, err, d.CrossMethod())
		}
	}
}

func TestLabStep(t *testing.T) {
	d := lab(t)
	off := func() int64 { s := snapshot(t); return s.phc0 - s.tai }
	start := off()
	for _, by := range []time.Duration{
		-1, 1, -999999999, 999999999, -1500000001, 1500000001, -time.Hour, 30 * time.Second,
		50 * 365 * 24 * time.Hour, -50 * 365 * 24 * time.Hour, -29 * time.Second, time.Hour - time.Second,
	} {
		a := off()
		if err := d.Step(by); err != nil {
			t.Fatal(err)
		}
		if got := off() - a; got != int64(by) {
			t.Errorf("step by %d ns moves the clock by %d", by, got)
		}
	}
	if o := off(); o != start {
		t.Errorf("%d ns off at the end, %d at the start", o, start)
	}
}

func TestLabAdjFreq(t *testing.T) {
	d := lab(t)
	defer d.AdjFreq(0)
	for _, ppb := range []float64{-50000.5, -1, -0.02, 0.02, 1, 50000.5, 100e6} {
		if err := d.AdjFreq(ppb); err != nil {
			t.Fatal(err)
		}
		f, err := d.FreqPPB()
		if err != nil || math.Abs(f-ppb) > FreqResolutionPPB/2+1e-9 {
			t.Errorf("set %v ppb, in force %v (%v)", ppb, f, err)
		}
		a := snapshot(t)
		time.Sleep(2 * time.Second)
		b := snapshot(t)
		got := float64((b.phc0-a.phc0)-(b.tai-a.tai)) / float64(b.tai-a.tai) * 1e9
		if math.Abs(got-ppb) > FreqResolutionPPB+2 { // 2 s in whole ns
			t.Errorf("set %v ppb, runs %v", ppb, got)
		}
	}
	d.caps.MaxFreqPPB = 1000
	if err := d.AdjFreq(-2000); !errors.Is(err, ErrFreqRange) {
		t.Errorf("beyond the range: %v", err)
	}
	if f, _ := d.FreqPPB(); f != -1000 {
		t.Errorf("beyond the range %v ppb are in force", f)
	}
	d.AdjFreq(0)
	s := snapshot(t)
	d.Step(tai.Time(s.tai).Sub(tai.Time(s.phc0)))
}

func TestLabPins(t *testing.T) {
	d := lab(t)
	for _, c := range []struct {
		pin int
		f   PinFunc
		ch  int
		is  error
	}{
		{-1, PinExtTS, 0, ErrNoPins}, {2, PinExtTS, 0, ErrNoPins},
		{0, PinPerOut, 0, unix.EINVAL}, // no such channel
		{0, PinExtTS, 2, unix.EINVAL},
		{0, PinExtTS, 1, nil}, {1, PinExtTS, 1, nil}, {1, PinNone, 0, nil},
	} {
		if err := d.SetPin(c.pin, c.f, c.ch); !errors.Is(err, c.is) {
			t.Errorf("pin %d to %v %d: %v, want %v", c.pin, c.f, c.ch, err, c.is)
		}
	}
	if _, err := d.EnableExtTS(ExtTS{Channel: 0, Pin: -1, Edges: Rising}); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "pin") {
		t.Errorf("a channel without a pin: %v", err)
	}
	if _, err := d.EnableExtTS(ExtTS{Channel: 2, Pin: 0, Edges: Rising}); !errors.Is(err, ErrNoExtTS) {
		t.Errorf("a channel too many: %v", err)
	}
}

func TestLabExtTS(t *testing.T) {
	d := lab(t)
	for _, c := range []struct {
		name     string
		v1, both int64
		ask      Edges
		want     ExtTSGrant
	}{
		{"version 1 only, both asked", 1, 0, Both, ExtTSGrant{1, Both, false}},
		{"version 1 only", 1, 0, Rising, ExtTSGrant{1, Rising, false}},
		{"version 1 only, stamps both", 1, 1, Rising, ExtTSGrant{1, Rising, false}},
		{"stamps both", 0, 1, Rising, ExtTSGrant{2, Both, true}},
		{"falling", 0, 0, Falling, ExtTSGrant{2, Falling, true}},
		{"rising", 0, 0, Rising, ExtTSGrant{2, Rising, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			knob(t, "extts_v1_only", c.v1)
			knob(t, "extts_both", c.both)
			g, err := d.EnableExtTS(ExtTS{Channel: 1, Pin: 0, Edges: c.ask})
			if err != nil || g != c.want {
				t.Fatalf("granted %+v, %v; want %+v", g, err, c.want)
			}
			defer d.DisableExtTS(1)
			seen := map[int64]bool{}
			for range 4 {
				var ev [1]ExtTSEvent
				n, err := d.ReadExtTS(t.Context(), ev[:])
				if n != 1 || err != nil || ev[0].Channel != 1 || ev[0].Offset {
					t.Fatalf("%d, %+v, %v", n, ev, err)
				}
				seen[int64(ev[0].Clock)%1e9] = true
				if late := MonoRaw() - ev[0].Mono; late < 0 || late > 1e8 {
					t.Errorf("stamped %d ns ago", late)
				}
			}
			rise, fall := seen[0], seen[1e8]
			if len(seen) > 2 || rise != (c.ask != Falling) || fall != (c.both == 1 || c.ask != Rising) {
				t.Errorf("edges at %v ns of the second", seen)
			}
		})
	}
}

// TestLabExtTSCancel: waiting for a stamp ends with its context and when the clock
// is closed; after the first, the descriptor can be read again.
func TestLabExtTSCancel(t *testing.T) {
	d := lab(t)
	var ev [4]ExtTSEvent
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := d.ReadExtTS(ctx, ev[:]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
		cancel()
	}
	if _, err := d.EnableExtTS(ExtTS{Channel: 0, Pin: 0, Edges: Rising}); err != nil {
		t.Fatal(err)
	}
	if n, err := d.ReadExtTS(t.Context(), ev[:]); n != 1 || err != nil {
		t.Errorf("after a cancellation: %d, %v", n, err)
	}
	d.DisableExtTS(0)
	go func() {
		time.Sleep(50 * time.Millisecond)
		d.Close()
	}()
	if _, err := d.ReadExtTS(t.Context(), ev[:]); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestLabSystemClock(t *testing.T) {
	lab(t)
	s, err := OpenSystem(func(int64) int { return 37 })
	if err != nil {
		t.Fatal(err)
	}
	off := func() int64 { s := snapshot(t); return s.real + 37e9 - s.tai }
	a := off()
	for _, by := range []time.Duration{-1500000001, time.Hour} {
		if err := s.Step(by); err != nil {
			t.Fatal(err)
		}
		if got := off() - a; abs(got-int64(by)) > 1000 {
			t.Errorf("step by %v moves the clock by %d ns", by, got)
		}
		if err := s.Step(-by); err != nil {
			t.Fatal(err)
		}
	}
	defer s.AdjFreq(0)
	if err := s.AdjFreq(-100e3); err != nil {
		t.Fatal(err)
	}
	x, y := snapshot(t), truth{}
	time.Sleep(2 * time.Second)
	y = snapshot(t)
	got := float64((y.real-x.real)-(y.raw-x.raw)) / float64(y.raw-x.raw) * 1e9
	if f, err := s.FreqPPB(); err != nil || f != -100e3 || math.Abs(got+100e3) > 100 {
		t.Errorf("set -100 ppm: in force %v ppb, runs %v (%v)", f, got, err)
	}
	c, err := s.Cross()
	z := snapshot(t)
	if e := int64(c.Clock) - 37e9 - between(c.Mono, x.raw, z.raw, x.real, z.real); err != nil || abs(e) > 1000 {
		t.Errorf("Cross is %d ns off (%v)", e, err)
	}
	if err := s.AdjFreq(1e6); !errors.Is(err, ErrFreqRange) {
		t.Errorf("beyond the range: %v", err)
	}
}
