package pps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/phc"
)

// These tests run in the lab (lab/scenario packages), where the labclock module pulses.

const labclock = "/sys/devices/platform/labclock"

func needLab(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(labclock); err != nil {
		t.Skip("labclock module missing: run lab/scenario packages")
	}
}

// knob sets one of labclock's until the test ends.
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

func TestLabKernel(t *testing.T) {
	needLab(t)
	for edge, at := range map[KernelEdge]int64{Assert: 0, Clear: 100 * ms} {
		k, err := OpenKernel("pps0", KernelOptions{Edge: edge})
		if err != nil {
			t.Fatal(err)
		}
		var last Edge
		for i := range 4 {
			e, err := k.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// The module has CLOCK_REALTIME's offset to some ns.
			b, err := os.ReadFile(filepath.Join(labclock, "sys_offset_ns"))
			if err != nil {
				t.Fatal(err)
			}
			sys, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if d := off(e.Stamp - at - sys); abs(d) > 5 || e.Scale != System {
				t.Errorf("%v: %d ns from the second's edge", k, d)
			}
			if i > 0 && (e.Seq != last.Seq+1 || e.Stamp-last.Stamp < second-100 || e.Mono <= last.Mono) {
				t.Errorf("%v: %+v after %+v", k, e, last)
			}
			if late := phc.MonoRaw() - e.Mono; late < 0 || late > 10*ms {
				t.Errorf("%v: read %d ns ago", k, late)
			}
			last = e
		}
		if n := k.Count(Missed); n != 0 {
			t.Errorf("%v: %d missed", k, n)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Pulses that were not fetched are counted, not delivered late.
func TestLabKernelMissed(t *testing.T) {
	needLab(t)
	k, err := OpenKernel("/dev/pps0", KernelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	a, err := k.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3500 * time.Millisecond)
	b, err := k.Next(t.Context())
	if err != nil || b.Seq != a.Seq+3 || k.Count(Missed) != 2 {
		t.Errorf("%d, then %d; %d missed (%v)", a.Seq, b.Seq, k.Count(Missed), err)
	}
}

func TestLabKernelSilence(t *testing.T) {
	needLab(t)
	knob(t, "pulse_on", 0)
	k, err := OpenKernel("/dev/pps0", KernelOptions{Timeout: 2500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // an edge that was on its way
	k.Next(t.Context())
	if _, err := k.Next(t.Context()); !errors.Is(err, ErrNoPulse) {
		t.Errorf("silence: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // ends before the timeout of OpenKernel
	defer cancel()
	if _, err := k.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		k.Close()
	}()
	if _, err := k.Next(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A device file that vanishes, as when the driver is unloaded, is an error.
func TestLabKernelGone(t *testing.T) {
	needLab(t)
	knob(t, "pulse_on", 0)
	if err := os.Rename("/dev/pps0", "/dev/pps-away"); err != nil {
		t.Fatal(err)
	}
	defer os.Rename("/dev/pps-away", "/dev/pps0")
	if err := os.Symlink("/dev/pps-away", "/dev/pps0"); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKernel("/dev/pps0", KernelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := os.Remove("/dev/pps0"); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := k.Next(t.Context()); err != nil {
			if !errors.Is(err, ErrGone) || !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
			return
		}
	}
}

// The real driver's stamps through every way it can be asked for them.
func TestLabExtTS(t *testing.T) {
	needLab(t)
	d, err := phc.Open("/dev/ptp0")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		name  string
		knobs map[string]int64
		opt   ExtTSOptions
		want  [numDiscards]uint64 // at least
	}{
		{"rising", nil, ExtTSOptions{}, [numDiscards]uint64{}},
		{"falling", nil, ExtTSOptions{Edge: phc.Falling}, [numDiscards]uint64{}},
		{"version 1", map[string]int64{"extts_v1_only": 1}, ExtTSOptions{}, [numDiscards]uint64{LearningEdge: 2}},
		{"version 1, both", map[string]int64{"extts_v1_only": 1, "extts_both": 1}, ExtTSOptions{}, [numDiscards]uint64{LearningEdge: 3, WrongEdge: 3}},
		{"both", map[string]int64{"extts_both": 1}, ExtTSOptions{Channel: 1, Pin: 1}, [numDiscards]uint64{LearningEdge: 3, WrongEdge: 3}},
		{"both, falling", map[string]int64{"extts_both": 1}, ExtTSOptions{Edge: phc.Falling}, [numDiscards]uint64{LearningEdge: 3, WrongEdge: 3}},
		{"both, 90 %", map[string]int64{"extts_both": 1, "pulse_width_ns": 900 * ms}, ExtTSOptions{Width: 900 * time.Millisecond}, [numDiscards]uint64{LearningEdge: 3, WrongEdge: 3}},
		{"both, half, grid", map[string]int64{"extts_both": 1, "pulse_width_ns": 500 * ms},
			ExtTSOptions{Grid: func() (phase, within time.Duration, ok bool) { return 0, 200 * time.Microsecond, true }}, [numDiscards]uint64{LearningEdge: 3, WrongEdge: 3}},
		{"late and replayed", map[string]int64{"extts_delay_ns": 250 * ms, "extts_replay": 3}, ExtTSOptions{}, [numDiscards]uint64{Duplicate: 12}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.knobs {
				knob(t, k, v)
			}
			s, err := NewExtTS(d, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			at := int64(0)
			if c.opt.Edge == phc.Falling {
				at = 100 * ms
			}
			for i := range 5 {
				e, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if o := off(e.Stamp - at); o != 0 || e.Scale != Clock || i > 1 && !e.Rising {
					t.Errorf("%d ns from the edge: %+v", o, e)
				}
			}
			for r := range numDiscards {
				if n := s.Count(r); n < c.want[r] || c.want[r] == 0 && n > 0 {
					t.Errorf("%v: %d, want %d", r, n, c.want[r])
				}
			}
		})
	}
}
