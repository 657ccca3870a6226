package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"noonmark/refclock/status"
)

// covers compares refclockd's published bound with the true error. While the
// snapshot is usable, the bound must contain the error of the clock and the error
// of the model line that servers answer from. With -want the final state must be
// that one.
func covers(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags()
	path := f.String("status", status.DefaultPath, "snapshot file")
	length := f.Duration("for", time.Minute, "how long")
	every := f.Duration("every", time.Second, "how often")
	record := f.String("record", "", "print the figures of each second as lines of this name, for plot")
	want := f.String("want", "", "required final state; \"unusable\" is a snapshot that is not served")
	if f.Parse(args) != nil || f.NArg() > 0 || *every <= 0 {
		return errUsage
	}
	r, err := status.Open(*path)
	if err != nil {
		return err
	}
	defer r.Close()
	var clock, line, bound stats
	var s status.Snapshot
	begin := int64(0)
	worst, beyond, last, lastState := 0.0, 0, "", ""
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for range max(1, int(*length / *every)) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if r.Replaced() { // refclockd was restarted
			if n, err := status.Open(*path); err == nil {
				r.Close()
				r = n
			}
		}
		if err := r.Load(&s); err != nil {
			return err
		}
		t, err := readTruth()
		if err != nil {
			return err
		}
		if begin == 0 {
			begin = t.raw
		}
		lastState = s.State.String()
		if !s.Usable(t.raw) {
			lastState = "unusable"
		} else {
			b := s.BoundAt(t.raw)
			c, l := float64(t.phc0-t.tai), float64(int64(s.ClockAt(t.raw))-t.tai)
			clock.add(c)
			line.add(l)
			bound.add(float64(b))
			e := max(abs(c), abs(l))
			worst = max(worst, e/float64(b))
			if *record != "" {
				fmt.Fprintf(out, "record %s %d %.0f %d %s\n", *record, (t.raw-begin)/1e9, c, b, lastState)
			}
			if e > float64(b) {
				if beyond++; beyond <= 3 {
					fmt.Fprintf(out, "%v: offset of the clock %.0f ns, of the line %.0f ns, bound %v\n", s.State, c, l, b)
				}
			}
		}
		if lastState != last {
			fmt.Fprintf(out, "state %s, bound %v, offset of phc0 %d ns\n", lastState, s.BoundAt(t.raw), t.phc0-t.tai)
			last = lastState
		}
	}
	if clock.n > 0 {
		fmt.Fprintf(out, "clock: %s\nline:  %s\nbound: %s\nlargest error %.0f %% of the bound\n", clock, line, bound, worst*100)
		figure(out, "largest-bound", bound.highest, "ns", math.Inf(1))
		figure(out, "bound-used", worst*100, "%", 100)
	}
	if beyond > 0 {
		return fmt.Errorf("the true error is outside the bound %d times", beyond)
	}
	if *want != "" && lastState != *want {
		return fmt.Errorf("state %s, want %s", lastState, *want)
	}
	return nil
}

func abs(x float64) float64 { return max(x, -x) }

// truths holds the readings of all clocks at one instant, ns.
type truths struct{ raw, tai, real, phc0, phc1 int64 }

func readTruth() (t truths, err error) {
	b, err := os.ReadFile(sysfs + "snapshot")
	if err == nil {
		_, err = fmt.Sscanf(strings.TrimSpace(string(b)), "raw=%d true=%d real=%d phc0=%d phc1=%d", &t.raw, &t.tai, &t.real, &t.phc0, &t.phc1)
	}
	return t, err
}
