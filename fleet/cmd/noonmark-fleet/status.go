package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/certs"
	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/command"
)

// report is what status -json prints. Its keys are a contract.
type report struct {
	Fleet string    `json:"fleet"`
	Node  string    `json:"node"`
	Time  time.Time `json:"time"`

	// Etcd is empty if etcd was read; else why not, and nodes and roots are those of
	// the copy on this disc.
	Etcd    string       `json:"etcd_error"`
	Plan    uint64       `json:"plan"`
	Until   time.Time    `json:"until"`   // no root that is not listed begins before
	Without time.Time    `json:"without"` // this node serves without etcd until then
	Rotate  string       `json:"rotate"`
	Keep    int          `json:"keep"`
	Roots   []rootReport `json:"roots"`
	Nodes   []nodeReport `json:"nodes"`
	Serving int          `json:"serving"`

	Rollout     *rolloutReport `json:"rollout"`     // null: etcd was not read
	Certificate *orderReport   `json:"certificate"` // null: the fleet orders none, or etcd was not read
}

type rootReport struct {
	ID      roots.ID  `json:"id"`
	State   string    `json:"state"` // "sealing", "opens", "planned", "pending", "condemned"
	Since   time.Time `json:"since"` // zero: pending
	Holders int       `json:"holders"`
}

type nodeReport struct {
	Name    string  `json:"name"`
	Live    bool    `json:"live"`
	State   string  `json:"state"` // word of its readiness; "away": it has no lease
	Drain   string  `json:"drain"`
	Trusted bool    `json:"clock_trusted"`
	Clock   float64 `json:"clock_s"` // its clock - that of this machine, s; up to 10 s are the age of the record
	Plan    uint64  `json:"plan"`
	Holds   int     `json:"holds"`

	Health        *healthReport `json:"health"`        // null: it shows none
	Configuration *configReport `json:"configuration"` // null: etcd was not read
	Certificate   *certReport   `json:"certificate"`   // null: the fleet orders none, or etcd was not read
}

type healthReport struct {
	Announced bool     `json:"announced"`
	Healthy   bool     `json:"healthy"`
	Kept      bool     `json:"kept"` // announced although not healthy: no other node is
	Reasons   []string `json:"reasons"`
}

func (o *operator) prepareStatus(fl *flag.FlagSet, c command.Console) func([]string) error {
	o.flags(fl)
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		f, err := o.open()
		if err != nil {
			return err
		}
		defer f.etcd.Close()
		local, err := agent.ReadLocal(o.dir().Copy())
		if err != nil {
			return err
		}
		r := report{Fleet: f.node.Fleet, Node: f.node.Name, Time: time.Now().UTC(), Roots: []rootReport{}, Nodes: []nodeReport{}}
		snap, healths, configured, certified, failed := o.read(f)
		if failed != nil {
			r.Etcd = failed.Error()
			snap = &store.Snapshot{Plan: local.Plan}
		}
		r.fill(snap, local)
		r.judge(healths)
		if failed == nil {
			r.configure(configured)
			r.certify(certified)
		}
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

func (o *operator) read(f *fleet) (*store.Snapshot, []health.Entry, *rollout.State, *certs.Overview, error) {
	ctx, stop := o.within()
	defer stop()
	snap, err := f.store.Read(ctx)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	list, _, err := health.Read(ctx, f.store)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	configured, err := rollout.Of(f.store).Read(ctx)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	certified, err := certs.Of(f.store).Read(ctx)
	return snap, list, configured, certified, err
}

func (r *report) fill(s *store.Snapshot, local agent.Local) {
	p := s.Plan
	r.Plan, r.Until, r.Rotate, r.Keep = p.Version, stamp(p.Until()), p.Params.Rotate.String(), p.Params.Keep
	if local.Plan.Version > 0 && local.Plan.Until() > 0 {
		r.Without = stamp(local.Plan.Lasts(local.Holds))
	}
	now := r.Time.Unix()
	sealing, _ := p.Sealing(now)
	for _, x := range p.Roots {
		v := rootReport{ID: x.ID, State: "planned", Since: stamp(x.Since)}
		switch {
		case x.Condemned:
			v.State = "condemned"
		case x.Pending():
			v.State = "pending"
		case x.ID == sealing.ID:
			v.State = "sealing"
		case x.Since <= now:
			v.State = "opens"
		}
		for _, n := range s.Nodes {
			if slices.Contains(n.Record.Holds, x.ID) {
				v.Holders++
			}
		}
		r.Roots = append(r.Roots, v)
	}
	for _, n := range s.Nodes {
		v := nodeReport{Name: n.Name, Live: n.Live, State: "away", Drain: n.Drain}
		if n.Live {
			v.State, v.Trusted, v.Plan, v.Holds = n.Record.State, n.Record.Trusted, n.Record.Plan, len(n.Record.Holds)
			v.Clock = float64(n.Record.Clock - now)
		}
		if v.State == roots.Serves.Word() {
			r.Serving++
		}
		r.Nodes = append(r.Nodes, v)
	}
}

// judge adds what the nodes show of their health.
func (r *report) judge(list []health.Entry) {
	for i := range r.Nodes {
		for _, e := range list {
			if e.Name == r.Nodes[i].Name && e.Live {
				r.Nodes[i].Health = &healthReport{Announced: e.Up, Healthy: e.Record.Healthy, Kept: e.Record.Kept, Reasons: append([]string{}, e.Record.Reasons...)}
			}
		}
	}
}

// word is what the table shows.
func (h *healthReport) word() string {
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

// stamp is a time of the plan; 0 is none.
func stamp(s int64) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func (r *report) print(w io.Writer) error {
	w2 := &lines{w: w}
	w2.printf("fleet %s, seen from node %s: %d of %d nodes serve\n", r.Fleet, r.Node, r.Serving, len(r.Nodes))
	if r.Etcd != "" {
		w2.printf("etcd does not answer; this is the copy of this node\n")
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
		w2.printf("%-20s %-16s %-9s %-8s %6d %6d  %s\n", n.Name, n.State, n.Health.word(), clock, n.Plan, n.Holds, n.Drain)
	}
	for _, n := range r.Nodes {
		if n.Health == nil {
			continue
		}
		for _, why := range n.Health.Reasons {
			w2.printf("%s is not healthy: %s\n", n.Name, why)
		}
	}
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
