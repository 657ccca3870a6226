package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"
)

// second is a leap second. Sign +1 inserts a second before the POSIX time utc,
// sign -1 deletes the last second before it. off is TAI - UTC before it, s.
type second struct {
	utc  int64
	sign int64
	off  int64
}

// kernel returns TAI - UTC, in s, as Linux counts at t, TAI ns. Linux repeats
// 23:59:59 for an inserted second, so the new value starts with that second.
func (l second) kernel(t int64) int64 { return l.count(t, l.utc+l.off) }

// served returns TAI - UTC, in s, as NTP servers count at t, TAI ns. An inserted
// second has the label of the next second, so the new value starts after it.
func (l second) served(t int64) int64 { return l.count(t, l.utc+l.off+max(l.sign, 0)) }

func (l second) count(t, from int64) int64 {
	if l.sign < 0 {
		from-- // the deleted label
	}
	if l.sign != 0 && t >= from*1e9 {
		return l.off + l.sign
	}
	return l.off
}

// since returns the time from the end of the inserted second, or from the deleted
// second, to t (TAI ns), in s.
func (l second) since(t int64) float64 {
	return float64(t-(l.utc+l.off+l.sign)*1e9) / 1e9
}

// leap observes the system clock through a leap second: its true error, counted
// as Linux counts, and the leap state of the kernel.
func leap(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	var l second
	var err error
	if l.utc, err = strconv.ParseInt(args[0], 10, 64); err != nil {
		return errUsage
	}
	f := newFlags()
	length := f.Duration("for", 20*time.Second, "how long")
	every := f.Duration("every", 250*time.Millisecond, "how often")
	maxNS := f.Float64("max", 1e6, "largest true error, ns")
	f.Int64Var(&l.sign, "sign", 1, "1 inserted, -1 deleted")
	if f.Parse(args[1:]) != nil || f.NArg() > 0 || *every <= 0 {
		return errUsage
	}
	if l.off, err = readNS("tai_offset_s"); err != nil {
		return err
	}
	var s [3]stats // before, in, after it
	last := ""
	for range max(1, int(*length / *every)) {
		// Sample in the middle between two multiples of every: the kernel changes
		// TAI - UTC at its first tick in a second, up to 4 ms late.
		t, err := readTruth()
		if err != nil {
			return err
		}
		if err := pause(ctx, *every-time.Duration((t.tai+int64(*every)/2)%int64(*every))); err != nil {
			return err
		}
		if t, err = readTruth(); err != nil {
			return err
		}
		e := t.real - (t.tai - l.kernel(t.tai)*1e9)
		since := l.since(t.tai)
		part := 0
		switch {
		case since >= 0:
			part = 2
		case since >= -float64(l.sign):
			part = 1
		}
		s[part].add(float64(e))
		now := kernelLeap()
		if now != last || since > -2 && since < 2 {
			fmt.Fprintf(out, "%+.3f s: %s, offset of the system clock %d ns\n", since, now, e)
			last = now
		}
	}
	worst := 0.0
	for i, n := range [...]string{"before", "in-the-leap-second", "after"} {
		if s[i].n > 0 {
			fmt.Fprintf(out, "%s: %s\n", n, s[i])
			figure(out, "true-error-"+n, s[i].peak, "ns", *maxNS)
			worst = max(worst, s[i].peak)
		}
	}
	if worst > *maxNS {
		return fmt.Errorf("the largest error of the system clock is %.0f ns (limit %.0f)", worst, *maxNS)
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
