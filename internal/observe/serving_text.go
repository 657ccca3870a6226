package observe

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// WriteText writes the counters for people, a line a topic.
func (s *Serving) WriteText(w io.Writer, now time.Time) {
	show := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	synced := "not synchronised"
	if s.Synchronised {
		synced = "synchronised"
	}
	show("ntsserve", "pid %d, runs for %v, answers as %s", s.PID, time.Duration(s.UptimeS*1e9).Round(time.Second), synced)
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		state := fmt.Sprintf("%d workers", e.Workers)
		if e.Workers == 0 {
			state = "waits for its address"
		}
		show("endpoint", "%s: %s, %d requests, %d octets", e.Name, state, e.Requests, e.Octets)
		show("  answered", "%s", counts(e.Answered))
		show("  dropped", "%s", counts(e.Dropped))
		show("  stamps", "%s", counts(e.Stamps))
		show("  sent", "%s, %s; %v from clock to wire; %d refused by the system, %d stamped again", e.Early.text("early"), e.Late.text("late"), time.Duration(e.LatencyNS), e.SendErrors, e.Redated)
	}
	if c := s.Clients; c != nil {
		show("clients", "%d networks; refclockctl clients lists them", c.Networks)
	}
	if s.KE != nil {
		show("nts-ke", "%d open; %s", s.KE.Open, counts(s.KE.Results))
	}
	for _, c := range s.Certificates {
		due := ""
		if c.Alarm {
			due = ", DUE FOR RENEWAL"
		}
		show("certificate", "%s: %s, until %s (%d days)%s", c.From, strings.Join(c.Names, ", "), c.NotAfter.UTC().Format(time.DateOnly), int(c.NotAfter.Sub(now).Hours()/24), due)
	}
	if k := s.CookieKeys; k != nil {
		if k.Keys == 0 {
			show("cookie keys", "NONE: their file cannot be used; NTS is not served")
			return
		}
		until := ""
		switch {
		case k.Overdue:
			until = ", OVERDUE: it should have been replaced"
		case !k.Until.IsZero():
			until = ", until " + k.Until.UTC().Format(time.DateOnly)
		}
		show("cookie keys", "%d are accepted; secret since %s%s", k.Keys, k.Since.UTC().Format(time.DateOnly), until)
	}
}

// WriteText writes the networks for people, a line each.
func (c *ServingClients) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%-44s %10s %14s %12s %10s\n", "network", "requests", "authenticated", "for", "last")
	for _, x := range c.List {
		span := func(s float64) time.Duration { return time.Duration(s * 1e9).Round(time.Second) }
		fmt.Fprintf(w, "%-44s %10d %14d %12v %10v\n", x.Prefix, x.Requests, x.Secure, span(x.ForS), span(x.AgeS))
	}
	if n := c.Networks - len(c.List); n > 0 {
		fmt.Fprintf(w, "and %d more\n", n)
	}
}

func (e *StampError) text(how string) string {
	if e.Count == 0 {
		return "none " + how
	}
	return fmt.Sprintf("%s by %v in the mean, %v at most in 99 of 100", how, time.Duration(e.MeanNS), time.Duration(e.P99NS))
}

// counts lists counters, the largest first.
func counts(m map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	var parts []string
	for _, n := range names {
		if m[n] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", n, m[n]))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
