package roots

import (
	"flag"
	"testing"
	"time"
)

var (
	seeds = flag.Uint64("roots.seeds", 1000, "how many random schedules of failures to play")
	first = flag.Uint64("roots.first", 1, "the seed of the first one")
)

// tick is the step of the simulation. It is also how long clients still use a node
// after it has ceased to serve, and how long a decision of a planner may be old.
const tick = 10 * 60

// simParams rotate fast, so that a month has many rotations.
var simParams = Params{
	Rotate: 6 * time.Hour, Keep: 4, Renew: 24 * time.Hour, Horizon: 5 * 24 * time.Hour,
	Lead: time.Hour, Ack: time.Hour, Tolerance: 5 * time.Minute,
}

// guaranteed is how long a cookie is valid at least.
var guaranteed = int64(simParams.Keep-1) * seconds(simParams.Rotate)

func (w *world) tick() {
	for _, n := range w.nodes {
		n.was = n.ring != nil && !n.down && n.readiness(w) == Serves
	}
	w.now += tick
	for _, i := range w.rng.Perm(len(w.nodes)) {
		if n := w.nodes[i]; !n.down {
			n.sync(w)
			if w.elected || w.rng.IntN(2) == 0 {
				n.planOnce(w)
			}
		}
	}
	w.checkSealing()
	for i := range w.clients {
		if c := &w.clients[i]; w.now-c.at >= c.every {
			w.ask(c)
		}
	}
}

// TestNoFailureOfTheFleetCostsAClientItsAssociation plays random failures for three
// weeks, longer than the horizon, with the cookie rings of the server. Then all is
// repaired, and the fleet must be whole again.
func TestNoFailureOfTheFleetCostsAClientItsAssociation(t *testing.T) {
	t.Parallel()
	t.Logf("seeds %d to %d", *first, *first+*seeds-1)
	requests, rotations, early, turns := 0, 0, 0, 0
	for seed := *first; seed < *first+*seeds; seed++ {
		w := newWorld(t, seed)
		every := 20 + 100*int(seed%2) // ticks between two failures: rotations by order need all nodes
		for range 21 * 86400 / tick {
			if w.rng.IntN(every) == 0 {
				w.fail()
			}
			if w.etcd && w.rng.IntN(150) == 0 {
				w.rotate()
			}
			w.tick()
		}
		early += w.early
		w.early = 0
		w.calm = true
		for i := range 3 * 86400 / tick {
			for _, n := range w.nodes {
				w.repair(n)
			}
			if i > 86400/tick && w.early == 0 { // an order of before is over
				w.rotate()
			}
			w.tick()
		}
		if w.early == 0 {
			w.failf("after all is repaired an order to rotate is not done: %+v", w.plan.Rotation)
		}
		for _, n := range w.nodes {
			if r := n.readiness(w); r != Serves {
				w.failf("after all is repaired %s does not serve: %v", n.name, r)
			}
		}
		if ahead := w.plan.Until() - w.now; ahead < seconds(simParams.Horizon) {
			w.failf("after all is repaired the plan reaches %d s ahead", ahead)
		}
		requests += w.requests
		rotations += w.rotations
		turns += w.turns
	}
	if n := int(*seeds); requests < 1000*n || rotations < 5*n || early < n || turns < 2*n {
		t.Errorf("%d requests, %d rotations, %d that were ordered and %d planners are not a test", requests, rotations, early, turns)
	}
	t.Logf("%d requests, %d rotations, %d roots began early by an order, %d planners", requests, rotations, early, turns)
}
