package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	"noonmark/refclock/status"
)

// pulseEvery makes an edge each second of the bubble's time.
type pulseEvery struct {
	stamp func(k int) int64
	k     int
	fail  error // at the tenth
}

func (p *pulseEvery) Next(ctx context.Context) (pps.Edge, error) {
	now := time.Now()
	t := time.NewTimer(now.Truncate(time.Second).Add(time.Second + time.Millisecond).Sub(now))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return pps.Edge{}, ctx.Err()
	case <-t.C:
	}
	if p.k++; p.fail != nil && p.k == 10 {
		return pps.Edge{}, p.fail
	}
	return pps.Edge{Stamp: p.stamp(p.k)}, nil
}

func (p *pulseEvery) Close() error   { return nil }
func (p *pulseEvery) String() string { return "pulse" }

func TestMeasure(t *testing.T) {
	gone := errors.New("gone")
	for _, c := range []struct {
		name string
		fail error
		sure bool
	}{{"a source fails", gone, false}, {"well", nil, true}} {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			unix := func() int64 { return time.Now().UnixNano() }
			clock := func(ns int64) int64 { return ns + 37e9 - ns/100000 } // 10 ppm slow
			second := func() int64 { return time.Now().Truncate(time.Second).UnixNano() }
			b := calBench{
				kernel: &pulseEvery{stamp: func(int) int64 { return second() + 1300 + int64(r.NormFloat64()*60) }, fail: c.fail},
				card:   &pulseEvery{stamp: func(int) int64 { return clock(second()) }},
				cross: func() (phc.Cross, error) {
					return phc.Cross{Clock: tai.Time(clock(unix())), Real: unix(), Mono: unix()}, nil
				},
				every: 100 * time.Millisecond,
			}
			bias, err := measure(t.Context(), b, 60)
			if c.fail != nil {
				if !errors.Is(err, gone) {
					t.Errorf("%s: %v", c.name, err)
				}
				return
			}
			if err != nil || (bias.Median-1300).Abs() > 30 || bias.Pairs < 59 {
				t.Errorf("%s: %+v, %v", c.name, bias, err)
			}
		})
	}
}

func TestPrintBias(t *testing.T) {
	var out bytes.Buffer
	b := pps.Bias{Pairs: 120, Median: 11700, Low: 11650, High: 11745, Spread: 500}
	if err := printBias(&out, b, nil, false); err != nil || !strings.Contains(out.String(), "\nbias = \"11.7µs\"\n") {
		t.Errorf("%v: %s", err, &out)
	}
	for _, unsure := range []error{nil, pps.ErrUncertain} {
		out.Reset()
		var r calReport
		if err := errors.Join(printBias(&out, b, unsure, true), json.Unmarshal(out.Bytes(), &r)); err != nil || r.Sure != (unsure == nil) || (r.ConfigLine == "") != (unsure != nil) || r.BiasNS != 11700 {
			t.Errorf("%v: %+v", err, r)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	for _, args := range [][]string{{"-pulses", "3"}, {"-edge", "both"}, {"-width", "1s"}, {"x"}, {"-nonesuch"}} {
		var out, errs bytes.Buffer
		if got := run(append([]string{"calibrate"}, args...), nil, &out, &errs); got != exitUsage || errs.Len() == 0 {
			t.Errorf("%v: %d, %s", args, got, &errs)
		}
	}
	// Another program has the pulse open.
	proc, none := t.TempDir(), filepath.Join(t.TempDir(), "status")
	if err := errors.Join(os.MkdirAll(filepath.Join(proc, "77", "fd"), 0o755), os.Symlink("/dev/pps0", filepath.Join(proc, "77", "fd", "5")),
		os.WriteFile(filepath.Join(proc, "77", "comm"), []byte("chronyd\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := free(none, proc, "/dev/pps1"); err != nil {
		t.Error(err)
	}
	if err := free(none, proc, "/dev/ptp0", "/dev/pps0"); err == nil || !strings.Contains(err.Error(), "chronyd (process 77) has /dev/pps0 open") {
		t.Error(err)
	}
	// refclockd runs.
	w, err := status.Create(none)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Write(&status.Snapshot{Mono: phc.MonoRaw()})
	if err := free(none, proc); err != nil {
		t.Errorf("a daemon that has ended: %v", err)
	}
	if err := os.Mkdir(filepath.Join(proc, fmt.Sprint(os.Getpid())), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := free(none, proc); err == nil || !strings.Contains(err.Error(), "refclockd") {
		t.Error(err)
	}
}
