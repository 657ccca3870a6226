package roots

import (
	"slices"
	"time"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// commit writes a plan and checks the promise of the one before, and of all by which a
// node may serve.
func (w *world) commit(p Plan) {
	if p.Version <= w.plan.Version {
		p.Version = w.plan.Version + 1
	}
	b, err := p.Encode()
	if err == nil {
		p, err = Parse(b)
	}
	if err != nil {
		w.failf("a planner writes a plan that is refused: %v", err)
	}
	revokes := slices.ContainsFunc(w.plan.Roots, func(r Root) bool { return r.Condemned })
	if !revokes {
		w.checkPromises(p)
	}
	begins := false
	for _, r := range p.Scheduled() {
		i := slices.IndexFunc(w.plan.Roots, func(x Root) bool { return x.ID == r.ID })
		switch {
		case i >= 0 && w.plan.Roots[i].Since == r.Since || revokes || len(w.plan.Scheduled()) == 0:
		case r.Since < w.plan.Until():
			w.failf("root %v begins %d s before the plan's until", r.ID, w.plan.Until()-r.Since)
		case r.Since < w.now+seconds(simParams.Lead-simParams.Tolerance)-tick: // the decision may be a tick old
			w.failf("root %v begins only %d s after its publication", r.ID, r.Since-w.now)
		default:
			w.rotations++
			if w.plan.Rotation != nil && !begins { // the first one of an order
				w.early++
			}
			begins = true
		}
	}
	w.plan = p
	if revokes {
		w.revoked = p.Version
	}
}

// checkPromises compares a new plan with the one on each disc, also of nodes that are cut
// off or down. Only a node that has read its drain serves no more by its plan.
func (w *world) checkPromises(p Plan) {
	same := func(list []Root, r Root) bool {
		return slices.ContainsFunc(list, func(x Root) bool { return x.ID == r.ID && x.Since == r.Since })
	}
	for _, n := range w.nodes {
		if n.plan.Version == 0 || n.kept || !w.comparable(n.plan.Version) || len(n.plan.Scheduled()) == 0 {
			continue
		}
		for _, r := range p.Scheduled() {
			if !same(n.plan.Roots, r) && r.Since < n.plan.Until() {
				w.failf("root %v begins %d s before the until of plan %d, by which %s may serve", r.ID, n.plan.Until()-r.Since, n.plan.Version, n.name)
			}
		}
		for _, r := range n.plan.Scheduled() {
			if !same(p.Roots, r) && w.now < r.Since && r.Since < n.plan.Until() {
				w.failf("root %v of plan %d, by which %s may serve, is gone before it begins", r.ID, n.plan.Version, n.name)
			}
		}
	}
}

// comparable reports whether two plans know the last revocation: before it is known
// everywhere, cookies are refused, as it is meant to be.
func (w *world) comparable(plans ...uint64) bool {
	return slices.Min(plans) >= w.revoked
}

// checkSealing: what one node seals with, every other one has.
func (w *world) checkSealing() {
	for _, a := range w.nodes {
		if !a.reachable(w) {
			continue
		}
		s, ok := a.plan.Sealing(a.clock(w.now))
		if !ok { // all were revoked a moment ago, and it served a tick ago
			if a.readiness(w) == Serves {
				w.failf("%s serves without a root", a.name)
			}
			continue
		}
		for _, b := range w.nodes {
			if a == b || !b.reachable(w) || !w.comparable(a.plan.Version, b.plan.Version) {
				continue
			}
			_, has := b.secrets[s.ID]
			i := slices.IndexFunc(b.plan.Scheduled(), func(r Root) bool { return r.ID == s.ID })
			if !has || i < 0 || b.plan.Roots[i].Since != s.Since {
				w.failf("%s (plan %d) seals with root %v, and %s (plan %d) cannot open it", a.name, a.plan.Version, s.ID, b.name, b.plan.Version)
			}
		}
	}
}

func (w *world) ask(c *client) {
	var up []*simNode
	for _, n := range w.nodes {
		if n.reachable(w) {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return
	}
	n := up[w.rng.IntN(len(up))]
	n.ring.Rotate(time.Unix(n.clock(w.now), 0))
	var keys nts.SessionKeys
	var scratch nts.Scratch
	age := w.now - c.at
	if c.cookie != nil && age <= guaranteed {
		w.requests++
		if err := n.ring.Load().OpenCookie(c.cookie, &keys, &scratch); err != nil && w.comparable(c.plan, n.plan.Version) {
			w.failf("%s (plan %d) refuses a cookie of root %v that is %d s old (plan %d): %v", n.name, n.plan.Version, c.root, age, c.plan, err)
		}
	}
	keys = nts.SessionKeys{AEAD: aead.AESSIVCMAC256}
	cookie, err := n.ring.Load().SealCookie(c.cookie[:0], &keys, &scratch)
	if err != nil {
		w.failf("%s: %v", n.name, err)
	}
	s, _ := n.plan.Sealing(n.clock(w.now))
	c.cookie, c.at, c.plan, c.root = cookie, w.now, n.plan.Version, s.ID
}
