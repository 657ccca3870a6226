package replay

import (
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"noonmark/refclock/gnss"
)

// Flags declares the options of a site. Their defaults are set in s.
func (s *Site) Flags(fl *flag.FlagSet) {
	fl.DurationVar(&s.System, "system", 3*time.Millisecond, "system clock minus true UTC at the start")
	fl.Float64Var(&s.SystemPPM, "system-rate", 0, "by how many `PPM` the system clock is fast, unless it is kept or steered")
	fl.BoolVar(&s.NoRTC, "no-rtc", false, "the system clock is 40 years behind")
	fl.BoolVar(&s.Kept, "kept", false, "another program disciplines the system clock")
	fl.BoolVar(&s.Steered, "steer-system", false, "the system clock is the clock to be disciplined, and the kernel stamps the pulses")
	fl.BoolVar(&s.Prove, "prove", false, "leap.prove = true")
	fl.TextVar(&s.TimeScale, "time-scale", gnss.ScaleUTC, "the receiver's configured time `SCALE`: utc, gps or tai")
	fl.DurationVar(&s.LabelOffset, "label-offset", 0, "configured correction, added to every label")
	fl.Func("no-pulses", "seconds without pulses, `FROM-TO,...`", func(v string) (err error) {
		s.Pulse.Absent, err = parseSpans(v)
		return err
	})
	fl.Func("pulse-shift", "`AT:FOR:NS,...`: from second AT, for FOR seconds, pulses are NS late", func(v string) (err error) {
		s.Pulse.Shifts, err = parseShifts(v)
		return err
	})
	fl.Func("pulse-drift", "`AT:FOR:NS,...`: from second AT, for FOR seconds, pulses get later by NS each second", func(v string) (err error) {
		s.Pulse.Drifts, err = parseShifts(v)
		return err
	})
	fl.BoolVar(&s.Pulse.BothEdges, "both-edges", false, "the card stamps both edges of the pulse")
	fl.DurationVar(&s.Pulse.Width, "width", 100*time.Millisecond, "pulse width")
	fl.BoolVar(&s.Pulse.WidthKnown, "width-known", false, "pulse.width is configured")
	fl.Func("not-before", "receiver.not_before, a `DATE` (default 2026-11-01 or 30 days before the start, the earlier one)", date(&s.NotBefore))
	fl.Func("leap-at", "insert a leap second at the end of this `DATE`", date(&s.LeapAt))
	s.LeapKnown = true
	fl.BoolVar(&s.LeapKnown, "leap-known", true, "the tables of leap seconds have it")
	fl.Func("restart", "restart the daemon at these `SECONDS,...`", func(v string) error {
		for _, x := range strings.Split(v, ",") {
			d, ok := seconds(x)
			if k := len(s.Restarts); !ok || k > 0 && d <= s.Restarts[k-1] {
				return fmt.Errorf("%q: want seconds in ascending order, such as 60,300", v)
			}
			s.Restarts = append(s.Restarts, d)
		}
		return nil
	})
	fl.Uint64Var(&s.Seed, "seed", 1, "seed of the noise of clock and pulses")
	fl.Func("for", "length in `SECONDS` (default 20 after the last event)", func(v string) error {
		d, ok := seconds(v)
		if !ok || d == 0 {
			return fmt.Errorf("%q is no length; want seconds, at most 400 days", v)
		}
		s.For = d
		return nil
	})
}

// date returns a function that reads a date into t.
func date(t *time.Time) func(string) error {
	return func(s string) error {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return fmt.Errorf("%q is no date; want one like 2026-11-01", s)
		}
		*t = d
		return nil
	}
}

// parseSpans reads seconds without pulses: "A-B,...".
func parseSpans(s string) ([]Span, error) {
	var all []Span
	for _, x := range strings.Split(s, ",") {
		a, b, ok := strings.Cut(x, "-")
		from, ok1 := seconds(a)
		to, ok2 := seconds(b)
		if !ok || !ok1 || !ok2 || to <= from {
			return nil, fmt.Errorf("%q is no span of seconds; want FROM-TO, such as 60-90", x)
		}
		all = append(all, Span{from, to})
	}
	return all, nil
}

// parseShifts reads displacements of the pulses: "AT:FOR:NS,...", seconds,
// seconds and ns.
func parseShifts(s string) ([]Shift, error) {
	var all []Shift
	for _, x := range strings.Split(s, ",") {
		f := strings.Split(x, ":")
		if len(f) != 3 {
			return nil, fmt.Errorf("%q is no shift; want AT:FOR:NS, such as 60:30:5000", x)
		}
		at, ok1 := seconds(f[0])
		span, ok2 := seconds(f[1])
		ns, err := strconv.ParseFloat(f[2], 64)
		if !ok1 || !ok2 || err != nil || span <= 0 || !(math.Abs(ns) < 1e9) {
			return nil, fmt.Errorf("%q is no shift; want AT:FOR:NS, such as 60:30:5000, of less than 1 s", x)
		}
		all = append(all, Shift{at, span, ns})
	}
	return all, nil
}
