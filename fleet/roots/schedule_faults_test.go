package roots

import (
	"errors"
	"time"
)

// fail changes what works, at random.
func (w *world) fail() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch w.rng.IntN(19) {
	case 0, 1:
		n.end()
	case 2, 3:
		n.cut = true
	case 4:
		for i, x := range w.nodes { // a partition
			x.cut = i%2 == 0
		}
	case 5:
		n.full = true
	case 6: // a wrong clock that refclockd does not trust
		n.trusted = false
		n.offset = (w.rng.Int64N(2*365*86400) - 365*86400) / (1 + 8760*w.rng.Int64N(2))
	case 7: // a wrong clock that refclockd trusts
		n.offset = w.rng.Int64N(2*365*86400) - 365*86400
	case 8:
		w.etcd = false
	case 9:
		n.operator = true
		w.drain(n.name)
	case 10:
		if len(w.nodes) < 6 {
			w.join()
		}
	case 11: // the disc is lost; the node has its key, or it would join anew
		n.end()
		n.secrets, n.plan, n.kept, n.drained = map[ID]secret{}, Plan{}, false, false
	case 12:
		if w.etcd && w.rng.IntN(3) == 0 && len(w.plan.Roots) > 0 {
			w.revokeSome()
		}
	case 13: // etcd loses the lease of the planner, which learns it late
		w.alive[w.planner] = record{}
		w.planner = ""
	case 14:
		for _, x := range w.nodes { // the planner is cut off while it plans
			x.cut = x.cut || x.name == w.planner
		}
	case 15:
		w.slow = true
	default:
		w.repair(n)
	}
	w.keepRightMajority()
}

func (w *world) revokeSome() {
	var ids []ID
	if w.rng.IntN(2) == 0 { // else all
		ids = append(ids, w.plan.Roots[w.rng.IntN(len(w.plan.Roots))].ID)
	}
	p, err := w.plan.Condemn(ids...)
	if err != nil {
		w.failf("%v", err)
	}
	w.commit(p)
	w.revoked = p.Version
}

// rotate orders a rotation, or ends one.
func (w *world) rotate() {
	v := w.view(w.nodes[w.rng.IntN(len(w.nodes))])
	life := simParams.OrderTime() + time.Duration(w.rng.Int64N(int64(simParams.Renew-simParams.OrderTime())))
	p, err := w.plan.Rotate(v, life)
	if errors.Is(err, ErrRotating) && !w.calm && w.rng.IntN(2) == 0 {
		p, err = w.plan.EndRotation(v)
	}
	if err == nil { // else it is refused
		w.commit(p)
	}
}

func (w *world) repair(n *simNode) {
	if n.down {
		n.down, n.drained = false, n.kept
		if n.plan.Version > 0 {
			n.load(w) // from the disc
		}
	}
	n.cut, n.full, n.trusted, n.offset, w.etcd, w.slow = false, false, true, w.rng.Int64N(5)-2, true, false
	if w.drained[n.name] {
		delete(w.drained, n.name)
		delete(w.read, n.name)
		n.operator = false
	}
}

// keepRightMajority repairs wrong clocks that are trusted when they are not a
// minority of those that can be heard: no vote can detect that.
func (w *world) keepRightMajority() {
	right, wrong := 0, 0
	for _, n := range w.nodes {
		switch {
		case !n.trusted:
		case !n.right():
			wrong++
		case !n.down && !n.cut && !w.drained[n.name]:
			right++
		}
	}
	if wrong == 0 || wrong < right {
		return
	}
	for _, n := range w.nodes {
		if n.trusted && !n.right() {
			n.offset = 0
		}
	}
}
