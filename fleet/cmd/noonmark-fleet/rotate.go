package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/command"
	"noonmark/internal/fleetview"
)

// errAbsent says that a rotation would wait for nodes that do not come by themselves.
var errAbsent = errors.New("not all nodes can confirm a root that begins early")

func (o *operator) prepareRotate(fl *flag.FlagSet, c command.Console) func() error {
	o.flags(fl)
	wait := fl.Duration("wait", 0, "let the order wait this `TIME` for nodes that are away; 0: refuse it then")
	end := fl.Bool("end", false, "end the order")
	return func() error {
		if *wait < 0 || *end && *wait != 0 {
			return command.Usagef("want either -wait TIME, such as -wait 24h, or -end")
		}
		return o.withFleet(func(ctx context.Context, f *fleet) error {
			if *end {
				if _, err := changePlan(ctx, f, endRotation); err != nil {
					return err
				}
				return printf(c.Out, "the rotation is ended; the schedule goes on as it was\n")
			}
			waits, err := changePlan(ctx, f, func(f *fleet, s *store.Snapshot, v roots.View) (change, error) { return orderRotation(f, s, v, *wait) })
			if err != nil {
				return err
			}
			for _, w := range waits {
				if err := printf(c.Out, "it waits: node %s %v\n", w.Node, w.Why); err != nil {
					return err
				}
			}
			return printf(c.Out, "new roots are being drawn; noonmark-fleet status shows when they begin\n")
		})
	}
}

// change is what an order does to the plan.
type change struct {
	store.Change
	waits []roots.Waiter
}

// changePlan writes a change of the plan, on the newest plan. how gets what this node
// sees of the fleet.
func changePlan(ctx context.Context, f *fleet, how func(*fleet, *store.Snapshot, roots.View) (change, error)) ([]roots.Waiter, error) {
	for {
		snap, err := f.store.Read(ctx)
		if err != nil {
			return nil, err
		}
		c, err := how(f, snap, roots.View{Self: f.node.Name, Now: time.Now(), Nodes: snap.View()})
		if err != nil {
			return nil, err
		}
		err = f.store.Commit(ctx, snap, c.Change)
		if !errors.Is(err, store.ErrConflict) {
			return c.waits, err
		}
	}
}

// orderRotation orders a rotation that is in force for a time; 0: as long as nodes need
// that are all there, and if one is not, it is refused.
func orderRotation(f *fleet, snap *store.Snapshot, v roots.View, life time.Duration) (c change, err error) {
	for _, w := range snap.Plan.Lacking(v.Nodes) {
		if !w.Why.Passing() {
			c.waits = append(c.waits, w)
		}
	}
	if life == 0 {
		life = snap.Plan.Params.OrderTime()
		if len(c.waits) > 0 {
			return c, absent(c.waits)
		}
	}
	if c.Plan, err = snap.Plan.Rotate(v, life); err != nil {
		return c, fmt.Errorf("rotate: %w", err)
	}
	c.Audit = []store.Entry{f.entry("rotate", "ordered until "+time.Unix(c.Plan.Rotation.Ends, 0).UTC().Format(time.RFC3339))}
	return c, nil
}

func absent(list []roots.Waiter) error {
	var b strings.Builder
	for _, w := range list {
		fmt.Fprintf(&b, "\n  node %s %v", w.Node, w.Why)
	}
	return fmt.Errorf("rotate: %w, as long as:%s\nor let the order wait for them, such as: noonmark-fleet rotate -wait 24h", errAbsent, &b)
}

func endRotation(f *fleet, snap *store.Snapshot, v roots.View) (c change, err error) {
	if c.Plan, err = snap.Plan.EndRotation(v); err != nil {
		return c, fmt.Errorf("rotate -end: %w", err)
	}
	c.Audit = []store.Entry{f.entry("rotate-end", "")}
	return c, nil
}

func printRotation(w *lines, r *fleetview.Rotation) {
	if r == nil {
		return
	}
	step := "all nodes get new roots"
	if !r.Early.IsZero() {
		step = "all nodes have new roots, which may begin from " + when(r.Early) + " on; all must know it"
	}
	w.printf("\nrotation ordered %s, given up %s: %s\n", when(r.Ordered), when(r.Ends), step)
	for _, x := range r.Waits {
		w.printf("it waits: node %s %v\n", x.Node, x.Why)
	}
}
