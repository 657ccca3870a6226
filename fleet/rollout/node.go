package rollout

import (
	"slices"
	"strings"
	"time"
)

// Report is what a node shows of its configuration. It is not under the lease of the
// node: it remains when the node is gone.
type Report struct {
	Applied ID     `json:"applied"` // in its files
	Rollout uint64 `json:"rollout"` // that brought it
	Trial   bool   `json:"trial"`   // it has not been healthy for long enough yet
	Refused uint64 `json:"refused"` // rollout whose target it has refused, or left again
	Why     string `json:"why,omitempty"`

	Healthy bool     `json:"healthy"` // locked, bound within its limit, requests answered
	Reasons []string `json:"reasons,omitempty"`
	// Unjudged: the node was not healthy when it took the version, after others had
	// confirmed it.
	Unjudged bool `json:"unjudged,omitempty"`

	// Unmanaged are the programs of a node that takes nothing from the fleet, for none of
	// them; it confirms nothing. Empty: it takes its part for some.
	Unmanaged []Program `json:"unmanaged,omitempty"`
	// Managed are the programs for which the node takes what the fleet sets; empty, with
	// Unmanaged: NTSServe, by an agent that keeps no other. Skipped are those for which
	// the fleet sets something and the node does not take it.
	Managed []Program `json:"managed,omitempty"`
	Skipped []Program `json:"skipped,omitempty"`

	Overrides []Override         `json:"overrides,omitempty"`
	Files     map[Program]string `json:"files,omitempty"` // what is wrong with a file
}

// keeps reports whether the node takes what the fleet sets for a program.
func (p Report) keeps(x Program) bool {
	switch {
	case len(p.Unmanaged) > 0:
		return false
	case len(p.Managed) == 0:
		return x == NTSServe
	}
	return slices.Contains(p.Managed, x)
}

// confirms reports whether the node has passed the trial of this rollout, with all programs
// that it changes.
func (p Report) confirms(r Rollout) bool {
	for _, x := range r.Params.programs() {
		if !p.keeps(x) {
			return false
		}
	}
	return p.Applied == r.Target && p.Rollout == r.Number && !p.Trial && p.Refused != r.Number
}

// Kept is what a node keeps on its disc about its configuration. A trial that was
// interrupted begins again.
type Kept struct {
	Applied  ID     `json:"applied"`
	Rollout  uint64 `json:"rollout"`
	Trial    bool   `json:"trial"`
	Unjudged bool   `json:"unjudged,omitempty"`
	Refused  uint64 `json:"refused"`
	Why      string `json:"why,omitempty"`
	Params   Params `json:"params"` // of the trial

	// Texts of the applied configuration, and of the last confirmed one: a node without
	// etcd goes back too.
	Fragments map[Program][]Fragment `json:"fragments"`
	Before    ID                     `json:"before"`
	BeforeOf  uint64                 `json:"before_of"` // rollout that brought it
	Earlier   map[Program][]Fragment `json:"earlier"`
}

// Act is what a node does next.
type Act int

// The acts.
const (
	Keep    Act = iota // nothing
	Take               // check and write the desired configuration
	Confirm            // the trial is passed
	Return             // write the configuration before
)

// Trial measures the trial of a node, by its monotonic clock. The zero value is the
// beginning. It is for one goroutine.
type Trial struct {
	began, good, bad time.Duration // instants; good and bad: since when the health is so
	running, healthy bool
}

// Observe takes the health of a node on trial at an instant, and returns what follows:
// Confirm after a soak of unbroken health, Return after as long a time without health as
// the patience allows, or if there was no result within four soaks and the patience.
func (t *Trial) Observe(now time.Duration, healthy bool, p Params) Act {
	if !t.running {
		*t = Trial{began: now, good: now, bad: now, running: true, healthy: healthy}
	}
	if healthy != t.healthy {
		t.healthy, t.good, t.bad = healthy, now, now
	}
	switch {
	case healthy && now-t.good >= p.SoakTime():
		return Confirm
	case !healthy && now-t.bad >= p.PatienceTime():
		return Return
	case now-t.began >= 4*p.SoakTime()+p.PatienceTime():
		return Return
	}
	return Keep
}

// Next returns what a node does, and which configuration it takes. known: r is what
// etcd has now; a node that does not know goes on with a trial, and takes nothing.
func (k Kept) Next(node string, r Rollout, known, healthy bool, t *Trial, now time.Duration) (Act, ID) {
	if known {
		want := r.Desired(node)
		again := want == r.Target && want != r.Base && k.Rollout != r.Number // has it already, and shall confirm it
		if (want != k.Applied || again) && !k.waits(r, want, healthy) {
			return Take, want
		}
	}
	if k.Trial {
		return t.Observe(now, healthy, k.Params), k.Applied
	}
	return Keep, k.Applied
}

// waits reports whether a node does not take what it shall have: it has refused it, or
// its health can show nothing while others are on trial.
func (k Kept) waits(r Rollout, want ID, healthy bool) bool {
	if want == r.Target && want != r.Base && k.Refused == r.Number {
		return true
	}
	return !healthy && (r.Phase == Canary || r.Phase == Rest) && want == r.Target
}

// took returns what is kept after the desired configuration was written.
func (k Kept) took(id ID, r Rollout, f map[Program][]Fragment, healthy bool) Kept {
	if !k.Trial { // what is on trial is nothing to return to
		k.Before, k.BeforeOf, k.Earlier = k.Applied, k.Rollout, k.Fragments
	}
	k.Applied, k.Rollout, k.Fragments, k.Why = id, r.Number, f, ""
	forward := id == r.Target && (r.Phase == Canary || r.Phase == Rest || r.Phase == Done)
	k.Trial, k.Unjudged, k.Params = forward && healthy, forward && !healthy, r.Params
	return k
}

// refused returns what is kept after the check of a configuration failed.
func (k Kept) refused(r Rollout, why string) Kept {
	k.Refused, k.Why = r.Number, why
	return k
}

// returned returns what is kept after the node went back by itself.
func (k Kept) returned(reasons []string) Kept {
	why := "not healthy for long enough after the change"
	if len(reasons) > 0 {
		why = "not healthy after the change: " + strings.Join(slices.Compact(slices.Clone(reasons)), ", ")
	}
	k.Refused, k.Why = k.Rollout, why
	k.Applied, k.Rollout, k.Fragments = k.Before, k.BeforeOf, k.Earlier
	k.Trial, k.Unjudged = false, false
	return k
}

func (k Kept) report() Report {
	return Report{Applied: k.Applied, Rollout: k.Rollout, Trial: k.Trial, Refused: k.Refused, Why: k.Why, Unjudged: k.Unjudged}
}
