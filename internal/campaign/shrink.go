package campaign

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/phc/tai"
)

// Shrink leaves out what a failure does not need, and returns what is left of the
// site and how it fails.
func (s *Site) Shrink(failure string) (*Site, string) {
	kind := kindOf(failure)
	try := func(change func(*Site)) bool {
		n := s.clone()
		change(n)
		o, err := n.Play()
		if err != nil || kindOf(o.Failure) != kind {
			return false
		}
		s, failure = n, o.Failure
		return true
	}
	for i := len(s.Faults) - 1; i >= 0; i-- {
		try(func(n *Site) { n.Faults = slices.Delete(n.Faults, i, i+1) })
	}
	for i := len(s.Restarts) - 1; i >= 0; i-- {
		try(func(n *Site) { n.Restarts = slices.Delete(n.Restarts, i, i+1) })
	}
	for i := len(s.Receiver.Order) - 1; i >= 0; i-- {
		try(func(n *Site) { n.Receiver.Order = slices.Delete(n.Receiver.Order, i, i+1) })
	}
	for i := len(s.Receiver.Counts) - 2; i >= 0; i-- { // with the last one the count is right
		try(func(n *Site) { n.Receiver.Counts = slices.Delete(n.Receiver.Counts, i, i+1) })
	}
	for _, change := range []func(*Site){
		func(n *Site) { n.Pulse = Pulse{} },
		func(n *Site) { n.Pulse.BothEdges, n.Pulse.Width, n.Pulse.WidthKnown = false, 0, false },
		func(n *Site) { n.Rates, n.Receiver.Rebaud, n.Receiver.RebaudAt = nil, 0, 0 },
		func(n *Site) { n.Receiver.Rebaud, n.Receiver.RebaudAt = 0, 0 },
		func(n *Site) { n.Receiver.Stale, n.Receiver.Learns, n.Receiver.Forever = 0, 0, false },
		func(n *Site) { n.Receiver.Weeks = 0 },
		func(n *Site) { n.Receiver.Counts = nil },
		func(n *Site) { n.Receiver.Sure = false },
		func(n *Site) { n.Receiver.FixAt = 0 },
		func(n *Site) { n.Receiver.Jitter = 0 },
		func(n *Site) { n.Receiver.Fraction = 0 },
		func(n *Site) { n.Proof = false },
		func(n *Site) { n.System.Steered = false },
		func(n *Site) { n.System.PPM = 0 },
		func(n *Site) { n.System = System{NoRTC: true} },
		func(n *Site) { n.System = System{Offset: 3 * time.Millisecond} },
	} {
		try(change)
	}
	return s, failure
}

// kindOf is what failures of one kind have in common.
func kindOf(failure string) string {
	kind, _, _ := strings.Cut(failure, " at ")
	return kind
}

// clone returns a copy whose parts can be changed.
func (s *Site) clone() *Site {
	n := *s
	n.Faults, n.Restarts = slices.Clone(s.Faults), slices.Clone(s.Restarts)
	n.Receiver.Order, n.Receiver.Counts = slices.Clone(s.Receiver.Order), slices.Clone(s.Receiver.Counts)
	return &n
}

// String describes the site in one line.
func (s *Site) String() string {
	x := &s.Receiver
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %v after the second", strings.Join(x.Order, " "), x.First)
	add := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&b, ", "+format, args...)
		}
	}
	add(x.Fraction != 0, "labels at %v", x.Fraction)
	add(x.PerS > 1, "%d Hz", x.PerS)
	add(true, "%d baud", x.Baud)
	add(s.Rates != nil, "rate not known")
	add(x.Rebaud != 0, "%d baud from %d s on", x.Rebaud, x.RebaudAt)
	add(x.FixAt > 0, "fix at %d s", x.FixAt)
	add(x.Stale != 0, "labels %d s ahead until %d s", x.Stale, x.learned())
	add(x.Forever, "and for ever")
	for _, c := range x.Counts {
		add(true, "labels %d s ahead from %d s on, announced from %d s on", c.Wrong, c.At, c.Said)
	}
	add(x.Sure, "announced as received")
	add(s.Leap.At != 0, "a leap second at %d s (in the table: %v)", s.Leap.At, s.Leap.Known)
	add(x.Weeks != 0, "%d weeks", x.Weeks)
	add(x.has("TIMELS"), "count from source %d, then %d", x.Source, x.Heard)
	for _, f := range s.Faults {
		add(true, "%s %d-%d s", f.Kind, f.From, f.To)
	}
	return b.String()
}

// Events returns the site as a file of events for refclockctl replay, which has no
// baud rates: the octets come at the right one.
func (s *Site) Events(failure string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# campaign, seed %d: %s\n# %s\n# options: %s\nstart %s\n", s.Seed, failure, s, strings.Join(s.args(), " "), s.Start.Format(time.RFC3339))
	table := s.Leap.table(s.Start)
	start := tai.FromUnix(s.Start.Unix(), 0, table.OffsetUTC(s.Start.Unix()))
	t := s.talk(start, table)
	for k := range s.end() {
		for _, c := range t.Burst(start + tai.Time(k)*tai.Second) {
			at := c.At.Sub(start).Seconds()
			if c.Data[0] == '$' && c.Data[len(c.Data)-1] == '\n' {
				text, _, _ := strings.Cut(string(c.Data[1:]), "*")
				fmt.Fprintf(&b, "%.6f nmea %s\n", at, text)
			} else {
				fmt.Fprintf(&b, "%.6f hex %x\n", at, c.Data)
			}
		}
	}
	return []byte(b.String())
}

// Write writes the events of a failure to a folder.
func (s *Site) Write(dir, failure string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("seed-%d.events", s.Seed))
	return path, os.WriteFile(path, s.Events(failure), 0o644)
}
