package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"noonmark/fleet/manager"
	"noonmark/fleet/rollout"
	"noonmark/internal/command"
	"noonmark/internal/config"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
)

// readSet reads the file of an operator. Each error has file, line, key and remedy.
func readSet(name string) (rollout.Set, error) {
	text, _, err := durable.ReadFile(name, config.MaxSize)
	if err != nil {
		return rollout.Set{}, fmt.Errorf("read configuration: %w", err)
	}
	return rollout.ParseSet(name, text)
}

func (o *operator) prepareDiff(fl *flag.FlagSet, c command.Console) func(string) error {
	o.flags(fl)
	return func(name string) error {
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

func (o *operator) prepareApply(fl *flag.FlagSet, c command.Console) func(string) error {
	var p rollout.Params
	o.flags(fl)
	command.Strings(fl, &p.Canaries, "canary", "the `NODE` that takes it first; repeat it for several (default: the first healthy one by name)")
	fl.IntVar(&p.Step, "step", 0, "how many nodes are on trial at once after the canaries; 0: a quarter of all")
	fl.IntVar(&p.Missing, "missing", 0, "how many nodes may disappear without a result after the canaries")
	soak := fl.Duration("soak", rollout.Params{}.SoakTime(), "how long a node must be healthy to pass its trial")
	patience := fl.Duration("patience", rollout.Params{}.PatienceTime(), "how long a node may be unhealthy before it goes back")
	return func(name string) error {
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

func (o *operator) prepareUndo(fl *flag.FlagSet, c command.Console) func() error {
	o.flags(fl)
	why := fl.String("why", "operator", "the `REASON`, for status and for others")
	return func() error {
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
		w.printf("\nrollout %d of %s: %s", x.Number, rollout.ID(x.Target).Word(), phaseText(rollout.Phase(x.Phase)))
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
		id := c.Applied
		if id == "" {
			id = "-"
		}
		w.printf("%-20s %-33s %s\n", n.Name, id, c.State)
	}
	for _, n := range r.Nodes {
		if c := n.Configuration; c != nil {
			printDetails(w, n.Name, c)
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

func printDetails(w *lines, node string, c *fleetview.Configuration) {
	for _, p := range slices.Sorted(maps.Keys(c.Files)) {
		w.printf("%s: %s.toml: %s\n", node, p, c.Files[p])
	}
	for _, p := range c.Skipped {
		w.printf("%s: %s: what the fleet sets is not taken; %s.toml does not name the file of the agent, or the program does not run\n", node, p, p)
	}
	for _, o := range c.Overrides {
		w.printf("%s: %s.%s is that of the %s file\n", node, o.Program, o.Key, o.By)
	}
}
