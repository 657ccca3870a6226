// Package summary says the state of a clock and its server in sentences, for the web
// page and the terminal.
package summary

import (
	"fmt"
	"strings"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/observe"
)

// Summary is the state in sentences. Its JSON keys only grow.
type Summary struct {
	Level   string   `json:"level"`   // good, warn or bad
	State   string   `json:"state"`   // absent: refclockd publishes nothing
	Clock   string   `json:"clock"`   // state, since when, within what bound
	Clients string   `json:"clients"` // what they see
	Todo    []Advice `json:"todo"`    // what an operator can do
}

// Advice is a problem and its remedy.
type Advice struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// Input is what is described.
type Input struct {
	observe.View
	Rate *float64 // requests a second; nil: not known
}

// Of describes what is published.
func Of(m *Input) Summary {
	x := Summary{Level: "good", Todo: []Advice{}}
	switch {
	case m.Alone:
		x.alone(m)
	case m.Status == nil:
		x.absent(m)
	default:
		x.published(m)
	}
	return x
}

// absent describes a refclockd that publishes nothing.
func (x *Summary) absent(m *Input) {
	x.Level, x.State = "bad", "absent"
	x.Clock, x.Clients = "refclockd publishes nothing.", "Clients see a server that is not synchronised."
	x.Todo = append(x.Todo, Advice{m.Why.Error(), "start refclockd; refclockctl doctor shows what it lacks"})
	x.answers(m)
}

// published describes what refclockd publishes.
func (x *Summary) published(m *Input) {
	s := m.Status
	x.State = s.State
	within := "there is no error bound"
	if s.BoundNS != nil {
		within = "within " + About(time.Duration(*s.BoundNS)) + " of true time"
	}
	since := ""
	if s.StateForS != nil {
		since = " for " + Span(*s.StateForS)
	}
	switch s.State {
	case "locked":
		x.Clock = fmt.Sprintf("Locked%s, %s.", since, within)
		if l := s.Lock; l != nil && l.Provisional {
			x.Clock = fmt.Sprintf("Locked%s, %s; the lock is young and still under test.", since, within)
		}
	case "holdover":
		x.Level = "warn"
		x.Clock = fmt.Sprintf("Holdover%s (%s), %s.", since, Words(s.Reason), within)
		switch {
		case s.LimitNS == nil:
		case s.Forecast != nil && s.Forecast.LimitInS != nil && *s.Forecast.LimitInS > 0:
			x.Clock += fmt.Sprintf(" The limit of %s is predicted in %s.", About(time.Duration(*s.LimitNS)), Span(*s.Forecast.LimitInS))
		case s.Forecast == nil && s.LimitInS != nil:
			x.Clock += fmt.Sprintf(" At the present rate the limit of %s is reached in %s.", About(time.Duration(*s.LimitNS)), Span(*s.LimitInS))
		case s.BoundNS == nil || *s.BoundNS > *s.LimitNS:
			x.Clock += fmt.Sprintf(" That is beyond the limit of %s.", About(time.Duration(*s.LimitNS)))
		}
	default:
		x.Level = "bad"
		x.Clock = fmt.Sprintf("%s%s (%s).", capital(s.State), since, Words(s.Reason))
	}
	if s.AgeS > observe.SilentAge {
		x.Level = "bad"
		x.Clock = fmt.Sprintf("refclockd has published nothing for %s. It was %s.", Span(s.AgeS), s.State)
		x.Todo = append(x.Todo, Advice{"refclockd does not publish any more", "look at its log (journalctl -u refclockd), and restart it"})
	}
	x.Clients = fmt.Sprintf("Clients get stratum %d with reference %s.", s.Stratum, s.RefID)
	if !s.Usable {
		x.Level = "bad"
		x.Clients = "Clients see a server that is not synchronised (stratum 16)."
	}
	if s.Remedy != "" {
		x.Todo = append(x.Todo, Advice{Words(s.Reason), s.Remedy})
	}
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Remedy != s.Remedy {
			x.Todo = append(x.Todo, Advice{fmt.Sprintf("%s: %s", Words(c.Reason), c.Detail), c.Remedy})
		}
	}
	if l := s.Leaps; l != nil && len(l.Warnings) > 0 {
		x.Todo = append(x.Todo, Advice{"leap seconds: " + Words(strings.Join(l.Warnings, ", ")), "compare the sources below; docs/leap-seconds.md explains each warning"})
	}
	if len(x.Todo) > 0 && x.Level == "good" {
		x.Level = "warn"
	}
	x.answers(m)
	x.serving(m)
}

// alone describes a server without refclockd.
func (x *Summary) alone(m *Input) {
	x.State, x.Clock = "absent", "This machine has no refclockd: ntsserve serves the clock that another program keeps."
	x.Clients = "Clients get a synchronised clock."
	x.answers(m)
	x.serving(m)
}

// answers says why clients do not get a clock that they could have.
func (x *Summary) answers(m *Input) {
	if f := m.Fault(); f != nil {
		x.Level, x.Clients = "bad", f.Clients
		x.Todo = append(x.Todo, Advice{f.What, f.Remedy})
	}
}

// serving adds what ntsserve publishes.
func (x *Summary) serving(m *Input) {
	v := m.Serving
	if v == nil {
		return
	}
	closed := 0
	for i := range v.Endpoints {
		if v.Endpoints[i].Workers == 0 {
			closed++
			x.Todo = append(x.Todo, Advice{"ntsserve waits for the address " + v.Endpoints[i].Name, "see the log of ntsserve (journalctl -u ntsserve)"})
		}
	}
	if m.Rate != nil {
		plural := "s"
		if Figure(*m.Rate) == "1" {
			plural = ""
		}
		x.Clients += fmt.Sprintf(" ntsserve gets %s request%s a second.", Figure(*m.Rate), plural)
	}
	for i := range v.Certificates {
		if c := &v.Certificates[i]; c.Alarm {
			x.Todo = append(x.Todo, Advice{fmt.Sprintf("the certificate %s expires on %s", c.From, c.NotAfter.Format(time.DateOnly)), "renew it: refclockctl ca renew, or see the log of ntsserve about ACME"})
		}
	}
	if k := v.CookieKeys; k != nil && k.Keys == 0 {
		x.Todo = append(x.Todo, Advice{"NTS is not served: the file of the cookie keys cannot be used", "refclockctl doctor says why"})
	} else if k != nil && k.Overdue {
		x.Todo = append(x.Todo, Advice{"the secret of the cookie keys should have been replaced", "refclockctl keys show explains who renews it"})
	}
	if len(x.Todo) > 0 && x.Level == "good" {
		x.Level = "warn"
	}
}

// Add adds findings that are problems.
func (x *Summary) Add(found []doctor.Finding) {
	for _, f := range found {
		if f.Level == doctor.OK || f.Check == "snapshot" || f.Check == "counters" {
			continue // what is published says it better
		}
		if f.Level == doctor.Fail {
			x.Level = "bad"
		}
		x.Todo = append(x.Todo, Advice{f.What, f.Mend})
	}
}

// Words writes a reason as words.
func Words(reason string) string { return strings.ReplaceAll(reason, "_", " ") }

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// About writes a duration with two or three digits.
func About(d time.Duration) string {
	switch x := float64(d.Abs()); {
	case x < 1e3:
		return fmt.Sprintf("%.0f ns", x)
	case x < 1e6:
		return Figure(x/1e3) + " µs"
	case x < 1e9:
		return Figure(x/1e6) + " ms"
	default:
		return Figure(x/1e9) + " s"
	}
}

// Figure writes a number with two or three digits.
func Figure(x float64) string {
	switch {
	case x >= 99.5:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

// Span writes a time in seconds with its two largest units.
func Span(s float64) string {
	n := int64(s)
	for i, u := range [...]struct {
		s    int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}} {
		if n < u.s {
			continue
		}
		text := fmt.Sprintf("%d %s", n/u.s, u.name)
		rest := [...]struct {
			s    int64
			name string
		}{{3600, "h"}, {60, "min"}, {1, "s"}}[i]
		if r := n % u.s / rest.s; r > 0 {
			text += fmt.Sprintf(" %d %s", r, rest.name)
		}
		return text
	}
	return fmt.Sprintf("%d s", n)
}
