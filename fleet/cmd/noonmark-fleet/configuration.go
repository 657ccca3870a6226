package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"noonmark/fleet/manager"
	"noonmark/fleet/rollout"
	"noonmark/fleet/service"
	"noonmark/internal/command"
	"noonmark/internal/config"
	"noonmark/internal/durable"
)

// readSet reads the file of an operator. Each error has file, line, key and remedy.
func readSet(name string) (rollout.Set, error) {
	text, _, err := durable.ReadFile(name, config.MaxSize)
	if err != nil {
		return rollout.Set{}, fmt.Errorf("read configuration: %w", err)
	}
	s, err := rollout.ParseSet(name, text)
	if err != nil {
		return s, err
	}
	return s, kept(name, s)
}

// kept refuses programs whose configuration no agent keeps.
func kept(name string, s rollout.Set) error {
	var errs []error
	check := func(prefix string, f rollout.Fragments) {
		for _, p := range slices.Sorted(maps.Keys(f)) {
			if !slices.Contains(service.Programs(), p) {
				errs = append(errs, fmt.Errorf("%s: %s%s: %w; set it on each node", name, prefix, p, rollout.ErrNoFile))
			}
		}
	}
	check("", s.All)
	for _, n := range slices.Sorted(maps.Keys(s.Nodes)) {
		check("node."+n+".", s.Nodes[n])
	}
	return errors.Join(errs...)
}

func (o *operator) prepareDiff(fl *flag.FlagSet, c command.Console) func([]string) error {
	o.flags(fl)
	return func(args []string) error {
		name, err := command.OneArg(args, "FILE")
		if err != nil {
			return err
		}
		s, err := readSet(name)
		if err != nil {
			return err
		}
		return o.withFleet(func(ctx context.Context, f *fleet) error {
			return printDiff(ctx, c.Out, rollout.Of(f.store), s)
		})
	}
}

// printDiff prints what a set changes.
func printDiff(ctx context.Context, w io.Writer, of *rollout.Fleet, s rollout.Set) error {
	text, err := of.Diff(ctx, s)
	if err != nil {
		return err
	}
	if text == "" {
		text = "no difference: the fleet has " + s.ID().Word() + "\n"
	}
	return printf(w, "%s", text)
}

func (o *operator) prepareApply(fl *flag.FlagSet, c command.Console) func([]string) error {
	var p rollout.Params
	o.flags(fl)
	command.Strings(fl, &p.Canaries, "canary", "the `NODE` that takes it first; repeat it for several (default: the first healthy one by name)")
	fl.IntVar(&p.Step, "step", 0, "how many nodes are on trial at once after the canaries; 0: a quarter of all")
	fl.IntVar(&p.Missing, "missing", 0, "how many nodes may disappear without a result after the canaries")
	soak := fl.Duration("soak", rollout.Params{}.SoakTime(), "how long a node must be healthy to pass its trial")
	patience := fl.Duration("patience", rollout.Params{}.PatienceTime(), "how long a node may be unhealthy before it goes back")
	return func(args []string) error {
		name, err := command.OneArg(args, "FILE")
		if err != nil {
			return err
		}
		if p.Step < 0 || p.Missing < 0 || *soak < time.Second || *patience < time.Second {
			return command.Usagef("want -step and -missing of 0 or more, -soak and -patience of 1s or more")
		}
		p.Soak, p.Patience = int(*soak/time.Second), int(*patience/time.Second)
		s, err := readSet(name)
		if err != nil {
			return err
		}
		return o.withManager(func(ctx context.Context, f *fleet, _ *manager.Manager) error {
			of := rollout.Of(f.store)
			diff, err := of.Diff(ctx, s)
			if err != nil {
				return err
			}
			r, err := of.Apply(ctx, s, p, f.entry("apply", ""))
			if err != nil {
				return fmt.Errorf("apply %s: %w", name, err)
			}
			return printf(c.Out, "%s%s", diff, begun(r))
		})
	}
}

// begun says how a rollout begins and goes on.
func begun(r rollout.Rollout) string {
	return fmt.Sprintf("rollout %d of %s has begun with %s; the others follow after %v of health\nhow it goes on: noonmark-fleet status\ntake it back:   noonmark-fleet undo\n",
		r.Number, r.Target.Word(), strings.Join(r.Granted, ", "), r.Params.SoakTime())
}

func (o *operator) prepareUndo(fl *flag.FlagSet, c command.Console) func([]string) error {
	o.flags(fl)
	why := fl.String("why", "operator", "the `REASON`, for status and for others")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		return o.withFleet(func(ctx context.Context, f *fleet) error {
			r, err := rollout.Of(f.store).Undo(ctx, *why, f.entry("undo", ""))
			if err != nil {
				return fmt.Errorf("undo: %w", err)
			}
			if r.Phase == rollout.Back {
				return printf(c.Out, "rollout %d is taken back; all nodes return to %s\nhow it goes on: noonmark-fleet status\n", r.Number, r.Base.Word())
			}
			return printf(c.Out, "%s", begun(r))
		})
	}
}

// rolloutReport is the last rollout in status -json.
type rolloutReport struct {
	Number  uint64        `json:"number"` // 0: nothing was applied yet
	Phase   rollout.Phase `json:"phase"`
	Target  rollout.ID    `json:"target"` // empty: the empty configuration
	Base    rollout.ID    `json:"base"`
	Granted []string      `json:"granted"`
	Why     string        `json:"why"`
}

// configReport is what a node shows of its configuration.
type configReport struct {
	rollout.Report
	State string `json:"state"` // a sentence for people
}

// configure adds the last rollout and what the nodes show of it.
func (r *report) configure(s *rollout.State) {
	x := s.Rollout
	r.Rollout = &rolloutReport{Number: x.Number, Phase: x.Phase, Target: x.Target, Base: x.Base, Granted: append([]string{}, x.Granted...), Why: x.Why}
	for i := range r.Nodes {
		for _, n := range s.Nodes {
			if n.Name == r.Nodes[i].Name {
				r.Nodes[i].Configuration = &configReport{n.Report, configState(n, x)}
			}
		}
	}
}

// configState says in words where a node is.
func configState(n rollout.NodeView, r rollout.Rollout) string {
	p := n.Report
	switch {
	case len(p.Unmanaged) > 0:
		return fmt.Sprintf("left alone: there is no %s.local.toml", p.Unmanaged[0])
	case r.Number == 0:
		return "follows what is applied"
	case p.Refused == r.Number && r.Desired(n.Name) == r.Target:
		return "refused: " + p.Why
	case p.Trial:
		return "on trial"
	case p.Unjudged:
		return "taken while it was not healthy"
	case p.Applied != r.Desired(n.Name) && !n.Live:
		return "away; it follows when it is back"
	case p.Applied != r.Desired(n.Name):
		return "has not taken it yet"
	case r.Running() && r.Phase != rollout.Back && p.Applied != r.Target:
		return "waits for its turn"
	}
	return "in place"
}

// printRollout prints the configuration of the nodes, if any was applied, or why it
// cannot be.
func (r *report) printRollout(w *lines) {
	if r.Rollout == nil {
		return
	}
	x := r.Rollout
	if x.Number == 0 {
		w.printf("\nno configuration was applied yet\n")
	} else {
		w.printf("\nrollout %d of %s: %s", x.Number, x.Target.Word(), phaseText(x.Phase))
		if x.Why != "" {
			w.printf(" (%s)", x.Why)
		}
		w.printf("\n")
	}
	w.printf("%-20s %-33s %s\n", "NODE", "CONFIGURATION", "STATE")
	for _, n := range r.Nodes {
		c := n.Configuration
		if c == nil {
			continue
		}
		id := string(c.Applied)
		if id == "" {
			id = "-"
		}
		w.printf("%-20s %-33s %s\n", n.Name, id, c.State)
	}
	for _, n := range r.Nodes {
		if c := n.Configuration; c != nil {
			c.printDetails(w, n.Name)
		}
	}
}

// phaseText says in words how far a rollout is.
func phaseText(p rollout.Phase) string {
	switch p {
	case rollout.Canary:
		return "the first nodes have it on trial"
	case rollout.Rest:
		return "further nodes have it on trial"
	case rollout.Done:
		return "all nodes have it, or take it when they are back"
	case rollout.Back:
		return "all nodes return to the one before"
	case rollout.Undone:
		return "all nodes have the one before"
	}
	return string(p)
}

func (c *configReport) printDetails(w *lines, node string) {
	for _, p := range slices.Sorted(maps.Keys(c.Files)) {
		w.printf("%s: %s.toml: %s\n", node, p, c.Files[p])
	}
	for _, o := range c.Overrides {
		w.printf("%s: %s.%s is that of the %s file\n", node, o.Program, o.Key, o.By)
	}
}
