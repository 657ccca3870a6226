package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// truth samples one of labclock's true offsets and prints its statistics. It
// returns an error if a limit is exceeded.
func truth(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	f := newFlags()
	length := f.Duration("for", time.Minute, "how long")
	every := f.Duration("every", time.Second, "how often")
	maxNS := f.Float64("max", math.Inf(1), "largest absolute offset, ns")
	rmsNS := f.Float64("rms", math.Inf(1), "largest RMS offset, ns")
	if f.Parse(args[1:]) != nil || f.NArg() > 0 || *every <= 0 {
		return errUsage
	}
	var s stats
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for range max(1, int(*length / *every)) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		v, err := readNS(args[0])
		if err != nil {
			return err
		}
		s.add(float64(v))
	}
	fmt.Fprintf(out, "%s: %s\n", args[0], s)
	figure(out, "true-error-max", s.peak, "ns", *maxNS)
	figure(out, "true-error-rms", s.rms(), "ns", *rmsNS)
	if s.peak > *maxNS || s.rms() > *rmsNS {
		return fmt.Errorf("%s exceeds the limit: max %.0f ns (limit %.0f), rms %.0f ns (limit %.0f)", args[0], s.peak, *maxNS, s.rms(), *rmsNS)
	}
	return nil
}

// figure writes a line for the report, as figure in common.sh does. An infinite
// limit is left out.
func figure(out io.Writer, name string, value float64, unit string, limit float64) {
	if math.IsInf(limit, 0) {
		fmt.Fprintf(out, "figure %s %.1f %s\n", name, value, unit)
		return
	}
	fmt.Fprintf(out, "figure %s %.1f %s %s\n", name, value, unit, strconv.FormatFloat(limit, 'f', -1, 64))
}

// stats accumulates a series of offsets in ns.
type stats struct {
	n               int
	sum, sq, peak   float64
	first, last     float64
	lowest, highest float64
}

func (s *stats) add(v float64) {
	if s.n == 0 {
		s.first, s.lowest, s.highest = v, v, v
	}
	s.n++
	s.sum += v
	s.sq += v * v
	s.last = v
	s.peak = max(s.peak, math.Abs(v))
	s.lowest, s.highest = min(s.lowest, v), max(s.highest, v)
}

func (s stats) rms() float64 { return math.Sqrt(s.sq / float64(s.n)) }

func (s stats) String() string {
	return fmt.Sprintf("n=%d mean=%.1f rms=%.1f min=%.0f max=%.0f last=%.0f ns", s.n, s.sum/float64(s.n), s.rms(), s.lowest, s.highest, s.last)
}
