package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	config "noonmark/internal/config/alert"
)

// active is an instance of a condition that holds, or did until a moment ago.
type active struct {
	Condition string    `json:"condition"`
	Instance  string    `json:"instance"`
	Since     time.Time `json:"since"`
	Reported  bool      `json:"reported"`         // a Notice was made of it
	Gone      time.Time `json:"gone,omitzero"`    // since when it does not hold
	Summary   string    `json:"summary"`          // as it was last
	Figures   []Figure  `json:"figures"`          // likewise
	Remedy    string    `json:"remedy,omitempty"` // likewise
}

// engine decides what is new. It is for one goroutine and reads no clock.
type engine struct {
	host   string
	limits config.Conditions
	table  []condition
	state  engineState
}

// engineState is what outlives a restart.
type engineState struct {
	Active []active            `json:"active"`
	Once   map[string][]string `json:"once"` // by condition: instances that are known
}

// maxOnce is how many instances of a condition without an end are remembered.
const maxOnce = 16

func newEngine(host string, limits config.Conditions, state engineState) *engine {
	if state.Once == nil {
		state.Once = map[string][]string{}
	}
	return &engine{host: host, limits: limits, table: conditions(), state: state}
}

// step takes facts and returns what is to be reported. changed: the state differs
// from before.
func (e *engine) step(f *Facts) (notices []Notice, changed bool) {
	for i := range e.table {
		c := &e.table[i]
		if c.off(&e.limits) {
			continue
		}
		var raised []string
		for _, a := range e.state.Active {
			if a.Condition == c.name && a.Reported {
				raised = append(raised, a.Instance)
			}
		}
		all, known := c.eval(f, &e.limits, raised)
		if !known {
			continue
		}
		var more []Notice
		var moved bool
		if c.once {
			more, moved = e.happened(c, all, f.Now)
		} else {
			more, moved = e.holds(c, all, f.Now)
		}
		notices, changed = append(notices, more...), changed || moved
	}
	return notices, changed
}

// happened reports instances that are not known. The first one ever of a process is no news.
func (e *engine) happened(c *condition, all []found, now time.Time) (notices []Notice, changed bool) {
	for _, x := range all {
		known := e.state.Once[c.name]
		if slices.Contains(known, x.instance) {
			continue
		}
		changed = true
		if slices.ContainsFunc(known, func(k string) bool { return process(k) == process(x.instance) }) {
			notices = append(notices, e.notice(Firing, &active{c.name, x.instance, now, true, time.Time{}, x.summary, x.figures, x.remedy}, now))
		}
		known = append(known, x.instance)
		e.state.Once[c.name] = known[max(0, len(known)-maxOnce):]
	}
	return notices, changed
}

// process is the name in an instance that is a process and its number.
func process(instance string) string {
	name, _, _ := strings.Cut(instance, " ")
	return name
}

// holds reports instances that have held for long enough, and those that have not
// held for long enough.
func (e *engine) holds(c *condition, all []found, now time.Time) (notices []Notice, changed bool) {
	for _, x := range all {
		if x.unknown {
			continue
		}
		i := slices.IndexFunc(e.state.Active, func(a active) bool { return a.Condition == c.name && a.Instance == x.instance })
		if i < 0 {
			i = len(e.state.Active)
			e.state.Active = append(e.state.Active, active{Condition: c.name, Instance: x.instance, Since: now})
			changed = true
		}
		a := &e.state.Active[i]
		if !a.Gone.IsZero() {
			a.Gone, changed = time.Time{}, true
		}
		a.Summary, a.Figures, a.Remedy = x.summary, x.figures, x.remedy
		if !a.Reported && now.Sub(a.Since) >= c.after(&e.limits) {
			a.Reported, changed = true, true
			notices = append(notices, e.notice(Firing, a, now))
		}
	}
	e.state.Active = slices.DeleteFunc(e.state.Active, func(a active) bool {
		if a.Condition != c.name || slices.ContainsFunc(all, func(x found) bool { return x.instance == a.Instance }) {
			return false
		}
		if !a.Reported {
			changed = true
			return true // it was too short to be reported
		}
		return false
	})
	for i := range e.state.Active {
		a := &e.state.Active[i]
		if a.Condition == c.name && a.Gone.IsZero() && !slices.ContainsFunc(all, func(x found) bool { return x.instance == a.Instance }) {
			a.Gone, changed = now, true
		}
	}
	e.state.Active = slices.DeleteFunc(e.state.Active, func(a active) bool {
		if a.Condition != c.name || a.Gone.IsZero() || now.Sub(a.Gone) < e.limits.Clear.Duration {
			return false
		}
		changed = true
		notices = append(notices, e.notice(Resolved, &a, a.Gone))
		return true
	})
	return notices, changed
}

// notice makes a message.
func (e *engine) notice(status string, a *active, at time.Time) Notice {
	n := Notice{
		ID: fmt.Sprintf("%s/%s/%s/%d", e.host, a.Condition, a.Instance, a.Since.Unix()), Status: status, Condition: a.Condition, Instance: a.Instance, Host: e.host,
		Since: a.Since.UTC().Truncate(time.Second), Time: at.UTC().Truncate(time.Second), Summary: a.Summary, Figures: a.Figures, Remedy: a.Remedy,
	}
	if status == Resolved {
		n.Summary, n.Remedy = "ended: "+a.Summary, ""
	}
	if n.Figures == nil {
		n.Figures = []Figure{}
	}
	return n
}
