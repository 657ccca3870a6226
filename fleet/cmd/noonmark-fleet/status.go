package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/overview"
	"noonmark/internal/command"
	"noonmark/internal/fleetview"
)

// report is what status prints.
type report struct{ fleetview.Fleet }

func (o *operator) prepareStatus(fl *flag.FlagSet, c command.Console) func() error {
	o.flags(fl)
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func() error {
		f, err := o.open()
		if err != nil {
			return err
		}
		defer f.etcd.Close()
		local, err := agent.ReadLocal(o.dir().Copy())
		if err != nil {
			return err
		}
		src, failed := o.read(f)
		r := report{overview.Of(f.node.Fleet, f.node.Name, time.Now(), src, local, failed)}
		if *asJSON {
			err = command.Written(json.NewEncoder(c.Out).Encode(r))
		} else {
			err = r.print(c.Out)
		}
		if err == nil && failed != nil {
			err = failed
		}
		return err
	}
}

// read reads the fleet. Without etcd the sources are empty.
func (o *operator) read(f *fleet) (*overview.Sources, error) {
	ctx, stop := o.within()
	defer stop()
	src, err := overview.Read(ctx, f.store)
	if err != nil {
		return &overview.Sources{}, err
	}
	return src, nil
}

// announced is what the table shows.
func announced(h *fleetview.Health) string {
	switch {
	case h == nil:
		return "-"
	case h.Announced && h.Kept:
		return "kept"
	case h.Announced:
		return "yes"
	}
	return "no"
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func (r *report) print(w io.Writer) error {
	w2 := &lines{w: w}
	w2.printf("fleet %s, seen from node %s: %d of %d nodes serve\n", r.Name, r.Node, r.Serving, len(r.Nodes))
	if r.Etcd != "" {
		w2.printf("etcd does not answer; this is the copy of this node\n")
	}
	switch {
	case r.Planner != "":
		w2.printf("node %s plans for all\n", r.Planner)
	case r.Etcd == "":
		w2.printf("no node plans now; one that trusts its clock begins within a minute\n")
	}
	w2.printf("plan %d until %s; without etcd this node serves until %s\nkeys.rotate %s, keys.keep %d\n\n", r.Plan, when(r.Until), when(r.Without), r.Rotate, r.Keep)
	if len(r.Nodes) > 0 {
		w2.printf("%-20s %-16s %-9s %-8s %6s %6s  %s\n", "NODE", "STATE", "ANNOUNCED", "CLOCK", "PLAN", "ROOTS", "DRAINED")
	}
	for _, n := range r.Nodes {
		clock := "-"
		if n.Live {
			clock = "wrong?"
			if n.Trusted {
				clock = "trusted"
			}
		}
		w2.printf("%-20s %-16s %-9s %-8s %6d %6d  %s\n", n.Name, n.State, announced(n.Health), clock, n.Plan, n.Holds, n.Drain)
	}
	for _, n := range r.Nodes {
		if n.Health == nil {
			continue
		}
		for _, why := range n.Health.Reasons {
			w2.printf("%s is not healthy: %s\n", n.Name, why)
		}
	}
	printRotation(w2, r.Rotation)
	r.printRollout(w2)
	r.printCertificate(w2)
	w2.printf("\n%-32s %-10s %-20s %s\n", "ROOT", "STATE", "BEGINS", "HOLDERS")
	for _, x := range r.Roots {
		w2.printf("%-32s %-10s %-20s %d\n", x.ID, x.State, when(x.Since), x.Holders)
	}
	return command.Written(w2.err)
}

// lines prints until the first error.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) printf(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format, args...)
	}
}
