package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"noonmark/fleet/manager"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/command"
)

func (o *operator) prepareRevoke(fl *flag.FlagSet, c command.Console) func([]string) error {
	var ids []string
	o.flags(fl)
	command.Strings(fl, &ids, "root", "replace the root with this `ID` of `noonmark-fleet status`")
	all := fl.Bool("all", false, "replace all roots")
	return func(args []string) error {
		if *all != (len(args) == 0 && len(ids) == 0) || len(args) > 1 || len(args) == 1 && len(ids) > 0 {
			return command.Usagef("want one of: the NODE that was stolen, -root ID, -all")
		}
		if len(args) == 1 {
			return o.withManager(func(ctx context.Context, _ *fleet, m *manager.Manager) error {
				if err := m.Revoke(ctx, args[0]); err != nil {
					return err
				}
				return printf(c.Out, "node %s is shut out, all roots are being replaced; noonmark-fleet status shows when\n", args[0])
			})
		}
		list := make([]roots.ID, len(ids))
		for i, id := range ids {
			if err := list[i].UnmarshalText([]byte(id)); err != nil {
				return command.Usagef("-root %s: %w", id, err)
			}
		}
		return o.withFleet(func(ctx context.Context, f *fleet) error {
			if err := condemn(ctx, f, list); err != nil {
				return err
			}
			return printf(c.Out, "the roots are being replaced; noonmark-fleet status shows when\n")
		})
	}
}

// condemn revokes roots; none: all.
func condemn(ctx context.Context, f *fleet, ids []roots.ID) error {
	for {
		snap, err := f.store.Read(ctx)
		if err != nil {
			return err
		}
		p, err := snap.Plan.Condemn(ids...)
		if err != nil {
			return err
		}
		detail := "all roots"
		if len(ids) > 0 {
			detail = fmt.Sprintf("roots %v", ids)
		}
		err = f.store.Commit(ctx, snap, store.Change{Plan: p, Audit: []store.Entry{f.entry("revoke", detail)}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func (o *operator) prepareRemove(fl *flag.FlagSet, c command.Console) func(string) error {
	o.flags(fl)
	return func(node string) error {
		return o.withManager(func(ctx context.Context, _ *fleet, m *manager.Manager) error {
			if err := m.Remove(ctx, node); err != nil {
				return err
			}
			return printf(c.Out, "node %s is removed; the roots on its disc stay in use, so erase it\n", node)
		})
	}
}

func (o *operator) prepareDrain(fl *flag.FlagSet, c command.Console) func(string) error {
	o.flags(fl)
	why := fl.String("why", "operator", "the `REASON`, for status and for others")
	return o.onNode(c, "drained", func(ctx context.Context, f *fleet, node string) error {
		return f.store.Drain(ctx, node, *why, f.entry("drain", "node "+node+": "+*why))
	})
}

func (o *operator) prepareUndrain(fl *flag.FlagSet, c command.Console) func(string) error {
	o.flags(fl)
	return o.onNode(c, "not drained any more; it serves when it is ready", func(ctx context.Context, f *fleet, node string) error {
		return f.store.Undrain(ctx, node, f.entry("undrain", "node "+node))
	})
}

func (o *operator) onNode(c command.Console, done string, do func(context.Context, *fleet, string) error) func(string) error {
	return func(node string) error {
		return o.withFleet(func(ctx context.Context, f *fleet) error {
			if err := do(ctx, f, node); err != nil {
				return err
			}
			return printf(c.Out, "node %s is %s\n", node, done)
		})
	}
}

func (o *operator) prepareAudit(fl *flag.FlagSet, c command.Console) func() error {
	o.flags(fl)
	n := fl.Int("n", 50, "how many lines")
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	return func() error {
		if *n < 1 || *n > 100_000 {
			return command.Usagef("-n %d is out of range; want 1 to 100000", *n)
		}
		show := func(list []store.Entry, bad []store.Bad, err error) error {
			if err != nil {
				return err
			}
			for _, e := range list {
				if *asJSON {
					if err := json.NewEncoder(c.Out).Encode(e); err != nil {
						return command.Written(err)
					}
					continue
				}
				detail := e.Detail
				if e.Erased {
					detail += " (the node has removed this line)"
				}
				if err := printf(c.Out, "%s  %-20s %-16s %s\n", e.Time.UTC().Format(time.RFC3339), e.Node, e.Action, detail); err != nil {
					return err
				}
			}
			for _, b := range bad {
				printf(c.Err, "noonmark-fleet: audit: %s is refused: %v\n", b.Key, b.Err)
			}
			return nil
		}
		manages, err := o.dir().Manages()
		if err != nil {
			return err
		}
		if manages {
			return o.withManager(func(ctx context.Context, f *fleet, _ *manager.Manager) error {
				return show(f.store.AuditWithCopy(ctx, *n))
			})
		}
		return o.withFleet(func(ctx context.Context, f *fleet) error { return show(f.store.Audit(ctx, *n)) })
	}
}
