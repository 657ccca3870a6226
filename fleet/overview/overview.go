// Package overview makes the view of all nodes that status prints and that the agent
// publishes, from what is in etcd and on the disc of a node.
package overview

import (
	"context"
	"fmt"
	"slices"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/certs"
	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/fleetview"
)

// Sources is what was read of the fleet in etcd. The zero value is an etcd that was not read.
type Sources struct {
	At            time.Time // when it was read
	Fleet         *store.Snapshot
	Health        []health.Entry
	Configuration *rollout.State
	Certificate   *certs.Overview
}

// Read reads the fleet: five requests, each limited to store.MaxNodes keys a kind.
func Read(ctx context.Context, s *store.Store) (*Sources, error) {
	snap, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	src := &Sources{At: time.Now(), Fleet: snap}
	if src.Health, _, err = health.Read(ctx, s); err != nil {
		return nil, err
	}
	if src.Configuration, err = rollout.Of(s).Read(ctx); err != nil {
		return nil, err
	}
	if src.Certificate, err = certs.Of(s).Read(ctx); err != nil {
		return nil, err
	}
	return src, nil
}

// Of returns the view of a node at an instant. local is what it has on its disc; why is why
// etcd was not read, nil: src is the present state.
func Of(fleet, node string, now time.Time, src *Sources, local agent.Local, why error) fleetview.Fleet {
	v := fleetview.Fleet{Name: fleet, Node: node, Time: now.UTC(), Roots: []fleetview.Root{}, Nodes: []fleetview.Node{}}
	if why != nil {
		v.Etcd = why.Error()
	}
	p := local.Plan
	if src.Fleet != nil && src.Fleet.Plan.Version >= p.Version {
		p = src.Fleet.Plan
	}
	v.Plan, v.Until, v.Rotate, v.Keep = p.Version, stamp(p.Until()), p.Params.Rotate.String(), p.Params.Keep
	if local.Plan.Version > 0 && local.Plan.Until() > 0 {
		v.Without = stamp(local.Plan.Lasts(local.Holds))
	}
	v.Roots, v.Rotation = rootsOf(p, now.Unix(), src.Fleet), rotation(p, src.Fleet)
	if src.Fleet != nil {
		v.Planner = src.Fleet.Planner
		nodes(&v, src)
	}
	if src.Configuration != nil {
		configure(&v, src.Configuration)
	}
	if src.Certificate != nil {
		certify(&v, src.Certificate)
	}
	return v
}

// rootsOf describes the schedule. snap may be nil: then nobody is known to hold a root.
func rootsOf(p roots.Plan, now int64, snap *store.Snapshot) []fleetview.Root {
	list := []fleetview.Root{}
	sealing, _ := p.Sealing(now)
	for i, x := range p.Roots {
		r := fleetview.Root{ID: x.ID.String(), State: "planned", Since: stamp(x.Since)}
		switch {
		case x.Condemned:
			r.State = "condemned"
		case x.Pending():
			r.State = "pending"
		case x.ID == sealing.ID:
			r.State = "sealing"
		case x.Since <= now:
			r.State = "opens"
		}
		if !x.Pending() {
			end := p.Until()
			if i+1 < len(p.Roots) && !p.Roots[i+1].Pending() {
				end = p.Roots[i+1].Since
			}
			r.Until, r.Expires = stamp(end), stamp(p.Expires(end))
		}
		if snap != nil {
			for _, n := range snap.Nodes {
				if slices.Contains(n.Record.Holds, x.ID) {
					r.Holders++
				}
			}
		}
		list = append(list, r)
	}
	return list
}

// rotation describes an order, nil if there is none. snap may be nil: then it is not known for
// whom it waits.
func rotation(p roots.Plan, snap *store.Snapshot) *fleetview.Rotation {
	o := p.Rotation
	if o == nil {
		return nil
	}
	r := &fleetview.Rotation{Ordered: stamp(o.Ordered), Ends: stamp(o.Ends), Early: stamp(o.Early), Waits: []fleetview.Waiter{}}
	if snap != nil {
		for _, w := range p.Lacking(snap.View()) {
			r.Waits = append(r.Waits, fleetview.Waiter{Node: w.Node, Reason: w.Why.Word(), Why: w.Why.String()})
		}
	}
	return r
}

// nodes adds the nodes and what they show of their health.
func nodes(v *fleetview.Fleet, src *Sources) {
	shown := map[string]*health.Entry{}
	for i := range src.Health {
		if e := &src.Health[i]; e.Live {
			shown[e.Name] = e
		}
	}
	for _, n := range src.Fleet.Nodes {
		x := fleetview.Node{Name: n.Name, Live: n.Live, State: "away", Drain: n.Drain}
		if n.Live {
			x.State, x.Trusted, x.Plan, x.Holds = n.Record.State, n.Record.Trusted, n.Record.Plan, len(n.Record.Holds)
			x.Clock = float64(n.Record.Clock - src.At.Unix())
		}
		if x.State == fleetview.Serves {
			v.Serving++
		}
		if e := shown[n.Name]; e != nil {
			x.Health = Health(e.Record)
			x.Health.Announced = e.Up
		}
		v.Nodes = append(v.Nodes, x)
	}
}

// Health is a record of a node for a view.
func Health(r health.Record) *fleetview.Health {
	return &fleetview.Health{
		Announced: r.Announced, Healthy: r.Healthy, Kept: r.Kept, Reasons: append([]string{}, r.Reasons...),
		Clock: r.State, BoundNS: r.BoundNS, Stratum: r.Stratum, Load: r.Load,
	}
}

// configure adds the last rollout and what the nodes show of it.
func configure(v *fleetview.Fleet, s *rollout.State) {
	x := s.Rollout
	v.Rollout = &fleetview.Rollout{Number: x.Number, Phase: string(x.Phase), Target: string(x.Target), Base: string(x.Base), Granted: append([]string{}, x.Granted...), Why: x.Why}
	views := map[string]rollout.NodeView{}
	for _, n := range s.Nodes {
		views[n.Name] = n
	}
	for i := range v.Nodes {
		if n, ok := views[v.Nodes[i].Name]; ok {
			v.Nodes[i].Configuration = configuration(n, x)
		}
	}
}

func configuration(n rollout.NodeView, r rollout.Rollout) *fleetview.Configuration {
	p := n.Report
	c := &fleetview.Configuration{
		Applied: string(p.Applied), Rollout: p.Rollout, Trial: p.Trial, Refused: p.Refused, Why: p.Why, Healthy: p.Healthy,
		Reasons: slices.Clone(p.Reasons), Unjudged: p.Unjudged, State: configState(n, r),
	}
	for _, name := range p.Unmanaged {
		c.Unmanaged = append(c.Unmanaged, string(name))
	}
	for _, name := range p.Skipped {
		c.Skipped = append(c.Skipped, string(name))
	}
	for _, o := range p.Overrides {
		c.Overrides = append(c.Overrides, fleetview.Override{Program: string(o.Program), Key: o.Key, By: o.By})
	}
	for name, why := range p.Files {
		if c.Files == nil {
			c.Files = map[string]string{}
		}
		c.Files[string(name)] = why
	}
	return c
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

// certify adds the certificate of the fleet, and what the nodes show of it.
func certify(v *fleetview.Fleet, o *certs.Overview) {
	if o.Settings == nil {
		return
	}
	x := o.State
	v.Certificate = &fleetview.Order{
		Names: append([]string{}, o.Settings.Names...), Directory: o.Settings.Directory, Challenge: o.Settings.Challenge,
		Generation: x.Generation, Expires: stamp(x.NotAfter()), Holder: o.Holder, Failures: x.Failures, Why: x.Why,
	}
	if x.Order != nil {
		v.Certificate.Ordering = x.Order.Node
	}
	if x.Failures > 0 && o.Settings.Revision <= x.Settings {
		v.Certificate.Next = stamp(x.NotBefore)
	}
	for i := range v.Nodes {
		p := o.Reports[v.Nodes[i].Name]
		v.Nodes[i].Certificate = &fleetview.Certificate{Generation: p.Generation, NotAfter: p.NotAfter, Serves: p.Serves, Why: p.Why, Alone: p.Alone, State: certState(p, x)}
	}
}

// certState says in words what a node has.
func certState(p certs.Report, s certs.State) string {
	switch {
	case p.Why != "":
		return p.Why
	case s.Generation == 0:
		return "waits for the first one"
	case p.Generation != s.Generation:
		return "has not taken it yet"
	}
	return "in place"
}

// stamp is a time of the plan; 0 is none.
func stamp(s int64) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
