package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is where a rollout is.
type Phase string

// The phases. Nodes that were not granted the target run the base until it is Done.
const (
	Canary Phase = "canary" // the first nodes have it on trial
	Rest   Phase = "rest"   // further nodes have it on trial
	Done   Phase = "done"   // every node takes it
	Back   Phase = "back"   // every node returns to the base
	Undone Phase = "undone" // every live node has returned
)

// Params say how a rollout goes on. They are part of it.
type Params struct {
	// Canaries are the names of the first nodes; empty: the first healthy one by name.
	Canaries []string `json:"canaries,omitempty"`
	// Step is how many nodes are on trial at once after the canaries; 0: a quarter of
	// the nodes, rounded up.
	Step int `json:"step,omitempty"`
	// Soak is how long a node must be healthy before its trial is passed, s. 0: 300,
	// which is longer than a receiver needs to lock again after a restart.
	Soak int `json:"soak_s,omitempty"`
	// Patience is how long it may be unhealthy after it has taken a version, s; 0: 180.
	Patience int `json:"patience_s,omitempty"`
	// Missing is the number of granted nodes that may disappear without a result, after
	// the canaries; 0: none.
	Missing int `json:"missing,omitempty"`
	// Programs are those whose configuration the rollout changes; Apply sets it. Empty:
	// NTSServe, which is all that agents kept before. A node that does not keep all of
	// them can show no result, so it takes its part last.
	Programs []Program `json:"programs,omitempty"`
}

// programs is Programs, or its default.
func (p Params) programs() []Program {
	if len(p.Programs) == 0 {
		return []Program{NTSServe}
	}
	return p.Programs
}

// Defaults of Params, s.
const (
	defaultSoak     = 300
	defaultPatience = 180
)

func seconds(n, or int) time.Duration {
	if n <= 0 {
		n = or
	}
	return time.Duration(n) * time.Second
}

// SoakTime is Soak, or its default.
func (p Params) SoakTime() time.Duration { return seconds(p.Soak, defaultSoak) }

// PatienceTime is Patience, or its default.
func (p Params) PatienceTime() time.Duration { return seconds(p.Patience, defaultPatience) }

// Limit is how long a step may last: the longest trial of a node (see Node), and twice
// the patience for what is on the way.
func (p Params) Limit() time.Duration { return 4*p.SoakTime() + 3*p.PatienceTime() }

// Rollout is the state of the last rollout, one value in etcd. Every change is a
// transaction on the value that was read.
type Rollout struct {
	Number  uint64   `json:"number"` // counts rollouts; the version that people name
	Target  ID       `json:"target"` // the new configuration
	Base    ID       `json:"base"`   // the one before
	Phase   Phase    `json:"phase"`
	Granted []string `json:"granted"` // nodes that may take the target, sorted
	Params  Params   `json:"params"`
	Why     string   `json:"why,omitempty"` // of Back and Undone, and of a rollout that undoes one
}

// Errors of Start and Undo.
var (
	ErrBusy     = errors.New("a rollout is in progress; wait for its end, or undo it")
	ErrNoCanary = errors.New("no healthy node can be the first one")
	ErrIdle     = errors.New("there is no rollout to undo")
	ErrSame     = errors.New("the fleet has this configuration already")
)

// Desired is the configuration that a node shall have.
func (r Rollout) Desired(node string) ID {
	switch r.Phase {
	case Canary, Rest:
		if _, ok := slices.BinarySearch(r.Granted, node); ok {
			return r.Target
		}
	case Done:
		return r.Target
	}
	return r.Base
}

// InForce is the configuration that the fleet has, or returns to.
func (r Rollout) InForce() ID {
	if r.Phase == Done {
		return r.Target
	}
	return r.Base
}

// Running reports whether the rollout has not ended.
func (r Rollout) Running() bool { return r.Phase == Canary || r.Phase == Rest || r.Phase == Back }

// NodeView is what is known of a node.
type NodeView struct {
	Name    string
	Live    bool // it has a lease
	Drained bool
	Report  Report // its last one
}

// Unfit returns why the node cannot be granted a target that changes these programs, empty
// if it can: it must be able to show that the target does no harm.
func (n NodeView) Unfit(of ...Program) string {
	for _, p := range of {
		if len(n.Report.Unmanaged) == 0 && !n.Report.keeps(p) {
			return fmt.Sprintf("it takes nothing for %s from the fleet, because %s", p, p.howToKeep())
		}
	}
	switch {
	case !n.Live:
		return "it is away"
	case n.Drained:
		return "it is drained"
	case len(n.Report.Unmanaged) > 0:
		return fmt.Sprintf("%[1]s.toml is left alone, because there is no %[1]s.local.toml", n.Report.Unmanaged[0])
	case !n.Report.Healthy && len(n.Report.Reasons) == 0:
		return "it has not reported its health"
	case !n.Report.Healthy:
		return "it is not healthy: " + strings.Join(n.Report.Reasons, ", ")
	}
	return ""
}

// Start begins the rollout of a target. Its error wraps ErrBusy, ErrSame or ErrNoCanary.
func Start(last Rollout, target ID, p Params, nodes []NodeView) (Rollout, error) {
	if last.Running() {
		return last, ErrBusy
	}
	if target == last.InForce() {
		return last, ErrSame
	}
	canaries, err := chooseCanaries(p, nodes)
	if err != nil {
		return last, err
	}
	return Rollout{Number: last.Number + 1, Target: target, Base: last.InForce(), Phase: Canary, Granted: canaries, Params: p}, nil
}

// chooseCanaries returns the nodes that get the target first, sorted: those with the names, or
// without names the first one that can.
func chooseCanaries(p Params, nodes []NodeView) ([]string, error) {
	granted := []string{}
	for _, name := range p.Canaries {
		i := slices.IndexFunc(nodes, func(n NodeView) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: the fleet has no node %s", ErrNoCanary, name)
		}
		if why := nodes[i].Unfit(p.programs()...); why != "" {
			return nil, fmt.Errorf("%w: node %s: %s", ErrNoCanary, name, why)
		}
		granted = append(granted, name)
	}
	if len(granted) > 0 {
		slices.Sort(granted)
		return slices.Compact(granted), nil
	}
	var unfit []string
	for _, n := range nodes {
		why := n.Unfit(p.programs()...)
		if why == "" {
			return []string{n.Name}, nil
		}
		unfit = append(unfit, n.Name+": "+why)
	}
	return nil, fmt.Errorf("%w: %s", ErrNoCanary, strings.Join(unfit, "; "))
}

// Undo returns all nodes to the base, for an operator: at once if the rollout is in
// progress. One that is done is followed by a rollout of its base, because nodes have
// long had the target, and what was good before may not be good now. Its error wraps
// ErrIdle or is of Start.
func Undo(r Rollout, why string, nodes []NodeView) (Rollout, error) {
	switch r.Phase {
	case Canary, Rest:
		return r.back(why), nil
	case Done:
		p := r.Params
		p.Canaries = nil // those of then may be gone
		next, err := Start(r, r.Base, p, nodes)
		if err == nil {
			next.Why = why
		}
		return next, err
	case Back, Undone:
		return r, fmt.Errorf("%w: rollout %d is taken back already: %s; to change %s, apply another one", ErrIdle, r.Number, r.Why, r.Base.Word())
	}
	return r, fmt.Errorf("%w: nothing was applied yet", ErrIdle)
}

func (r Rollout) back(why string) Rollout {
	r.Phase, r.Why = Back, why
	return r
}

// Step returns the next state, or the same. waited is how long the caller has seen this
// state, by its monotonic clock: any node may call it, and one that begins anew waits
// anew. It never grants more than one step of nodes ahead of what was confirmed, and
// missing evidence confirms nothing: a granted node that shows no result for Limit ends
// the rollout, unless Params.Missing allows it.
func Step(r Rollout, nodes []NodeView, waited time.Duration) Rollout {
	switch r.Phase {
	case Canary, Rest:
	case Back:
		for _, n := range nodes {
			switch {
			case !n.Live || len(n.Report.Unmanaged) > 0 || n.Report.Applied != r.Target:
			case waited < r.Params.Limit():
				return r // it is on its way
			default:
				r.Why += fmt.Sprintf("; node %s has not returned", n.Name)
			}
		}
		r.Phase = Undone
		return r
	default:
		return r
	}
	late := waited >= r.Params.Limit()
	open, missing := 0, 0
	var lost string
	for _, name := range r.Granted {
		i := slices.IndexFunc(nodes, func(n NodeView) bool { return n.Name == name })
		switch {
		case i >= 0 && nodes[i].Report.Refused == r.Number:
			return r.back("node " + name + ": " + nodes[i].Report.Why)
		case i >= 0 && nodes[i].Report.confirms(r):
		case late:
			missing++
			lost = name
		default:
			open++
		}
	}
	if missing > 0 && (r.Phase == Canary || missing > r.Params.Missing) {
		return r.back(fmt.Sprintf("node %s has shown no result for %v", lost, r.Params.Limit()))
	}
	if open > 0 {
		return r
	}
	return r.advance(nodes)
}

// advance grants the target to the next nodes, or ends the rollout.
func (r Rollout) advance(nodes []NodeView) Rollout {
	step := r.Params.Step
	if step <= 0 {
		step = (len(nodes) + 3) / 4
	}
	granted := slices.Clone(r.Granted)
	for _, n := range nodes {
		if _, has := slices.BinarySearch(r.Granted, n.Name); !has && n.Unfit(r.Params.programs()...) == "" && len(granted) < len(r.Granted)+step {
			granted = append(granted, n.Name)
		}
	}
	if len(granted) == len(r.Granted) {
		r.Phase = Done
		return r
	}
	slices.Sort(granted)
	r.Granted, r.Phase = granted, Rest
	return r
}
