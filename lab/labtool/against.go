package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
)

// against compares any PTP clock with labclock's true time, also a clock of another
// driver. It takes a cross timestamp of the clock between two readings of the true
// time.
func against(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	f := newFlags()
	length := f.Duration("for", time.Minute, "how long")
	every := f.Duration("every", time.Second, "how often")
	maxNS := f.Float64("max", math.Inf(1), "largest absolute offset, ns")
	rmsNS := f.Float64("rms", math.Inf(1), "largest RMS offset, ns")
	path := f.String("status", "", "snapshot file; while it is usable, its bound must contain the true error")
	if f.Parse(args[1:]) != nil || f.NArg() > 0 || *every <= 0 {
		return errUsage
	}
	d, err := phc.Open(args[0])
	if err != nil {
		return err
	}
	defer d.Close()
	var r *status.Reader
	if *path != "" {
		if r, err = status.Open(*path); err != nil {
			return err
		}
		defer r.Close()
	}
	var snap status.Snapshot
	usable, beyond := 0, 0
	var s stats
	var width time.Duration
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for range max(1, int(*length / *every)) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		a, err := readTruth()
		if err != nil {
			return err
		}
		x, err := d.Cross()
		if err != nil {
			return err
		}
		b, err := readTruth()
		if err != nil {
			return err
		}
		truth := between(a, b, x.Mono)
		off := int64(x.Clock) - truth
		s.add(float64(off))
		width = max(width, x.Width)
		if r == nil {
			continue
		}
		if err := r.Load(&snap); err != nil {
			return err
		}
		if snap.Usable(x.Mono) {
			usable++
			if e := int64(snap.ClockAt(x.Mono)) - truth; max(e, -e) > int64(snap.BoundAt(x.Mono)) {
				beyond++
				fmt.Fprintf(out, "%v: offset of the line %d ns, of the clock %d ns, bound %v\n", snap.State, e, off, snap.BoundAt(x.Mono))
			}
		}
	}
	if r != nil {
		figure(out, "usable", float64(usable)/float64(s.n)*100, "%", math.Inf(1))
		figure(out, "beyond-the-bound", float64(beyond), "times", 0)
	}
	fmt.Fprintf(out, "%s: %s, width of a reading at most %v\n", args[0], s, width)
	figure(out, "true-error-max", s.peak, "ns", *maxNS)
	figure(out, "true-error-rms", s.rms(), "ns", *rmsNS)
	if s.peak > *maxNS || s.rms() > *rmsNS {
		return fmt.Errorf("%s exceeds the limit: max %.0f ns (limit %.0f), rms %.0f ns (limit %.0f)", args[0], s.peak, *maxNS, s.rms(), *rmsNS)
	}
	if beyond > 0 {
		return fmt.Errorf("the true error is outside the bound %d times", beyond)
	}
	return nil
}

// between returns the true time, TAI ns, at an instant of CLOCK_MONOTONIC_RAW. It
// interpolates between a reading before it and one after it.
func between(a, b truths, mono int64) int64 {
	if b.raw == a.raw {
		return a.tai
	}
	return a.tai + int64(math.Round(float64(mono-a.raw)*float64(b.tai-a.tai)/float64(b.raw-a.raw)))
}
