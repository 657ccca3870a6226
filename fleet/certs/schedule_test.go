package certs

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"noonmark/fleet/roots"
)

var (
	seeds = flag.Uint64("certs.seeds", 1000, "how many random schedules of failures to play")
	first = flag.Uint64("certs.first", 1, "the seed of the first one")
)

const (
	tick = time.Minute
	life = 600 * tick // of a certificate
	ttl  = 5          // of the lease, ticks
)

// simOrder is an order at the simulated ACME server.
type simOrder struct {
	status Status
	key    roots.ID // of the request that finalized it
	end    time.Time
}

// issued is a certificate.
type issuedCert struct {
	generation uint64
	key        roots.ID
	published  bool
}

// simNode is a node: what it has opened is on its disc, what it is about to do is in
// memory.
type simNode struct {
	name    string
	down    bool
	cut     bool // from etcd
	trusted bool
	held    int // ticks for which it does nothing
	lease   int64
	keys    map[roots.ID]bool // sealed to it
	todo    []func()
}

// sim is a fleet with a linearizable store and an ACME server.
type sim struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	calm   bool
	nodes  []*simNode
	orders map[string]*simOrder
	certs  []*issuedCert

	state    State
	revision int64
	holder   *simNode
	fence    int64
	kept     time.Time // when the lease was last kept alive
	end      time.Time // of the certificate in force
	nextID   byte
	failures int
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d, %v: %s\nstate %+v, order %+v", s.seed, s.now.Sub(time.Unix(1_800_000_000, 0)), fmt.Sprintf(format, args...), s.state, s.state.Order)
}

func (s *sim) id() roots.ID {
	s.nextID++
	return roots.ID{s.nextID, 1}
}

func (s *sim) seal(id roots.ID) {
	for _, n := range s.nodes {
		if s.rng.IntN(10) > 0 || s.calm { // the others have joined later
			n.keys[id] = true
		}
	}
}

// commit writes the state if revision and fence are those that were read, and the node
// reaches etcd.
func (s *sim) commit(n *simNode, revision, fence int64, next State) {
	if n.cut || s.revision != revision || s.fence != fence || n.lease != s.fence {
		return
	}
	if next.Generation != s.state.Generation {
		for _, c := range s.certs {
			if c.key == next.Key {
				c.published = true
			}
		}
	}
	s.state = next
	s.revision++
}

// round lets a node read, and queues what it does then.
func (s *sim) round(n *simNode) {
	if n.cut {
		return
	}
	holds := n.lease != 0 && n.lease == s.fence && s.holder == n
	if holds {
		s.kept = s.now
	}
	state, revision, fence := s.state, s.revision, s.fence
	v := View{Now: s.now, Trusted: n.trusted, Names: []string{"a"}, Holder: holds, Held: s.holder != nil, HasAccount: n.keys[state.Account]}
	if state.Generation > 0 {
		v.NotAfter, v.Life, v.Covers = s.end, life, true
	}
	var order *simOrder
	if o := state.Order; o != nil {
		v.HasKey = n.keys[o.Key]
		if order = s.orders[o.URL]; order != nil && holds && v.HasAccount {
			v.Status = order.status
		}
	}
	n.todo = s.plan(n, state.Next(v), state, order, revision, fence, v.Now)
}

// plan returns the steps of an act. Between two of them anything may happen.
func (s *sim) plan(n *simNode, a Act, state State, order *simOrder, revision, fence int64, now time.Time) []func() {
	commit := func(next State) func() { return func() { s.commit(n, revision, fence, next) } }
	switch a {
	case Campaign:
		return []func(){func() {
			if s.holder == nil && !n.cut {
				s.revision++ // of etcd; the state has its own in the real one
				s.fence = s.revision
				s.holder, n.lease, s.kept = n, s.fence, s.now
			}
		}}
	case Resign:
		return []func(){func() {
			if s.holder == n && !n.cut {
				s.holder, n.lease = nil, 0
			}
		}}
	case Register, Begin:
		id := s.id()
		next := state
		if a == Register {
			next.Account = id
		} else {
			next = state.began(n.name, "", 0, []string{"a"}, id, now)
		}
		return []func(){func() { s.seal(id); n.keys[id] = true }, commit(next)}
	case Open:
		url := fmt.Sprint("order", len(s.orders))
		return []func(){func() { s.orders[url] = &simOrder{status: Pending} }, func() { s.commit(n, revision, fence, state.opened(url)) }}
	case Authorize:
		return []func(){func() {
			if order.status == Pending {
				order.status = Ready
				if !s.calm && s.rng.IntN(4) == 0 {
					order.status = Invalid
				}
			}
		}}
	case Finalize:
		return []func(){
			func() { s.finalize(state, order) },
			func() {
				if order.status == Valid {
					s.publish(n, revision, fence, state, order)
				}
			},
		}
	case Fetch:
		return []func(){func() {}, func() { s.publish(n, revision, fence, state, order) }}
	case Abandon:
		s.failures++
		return []func(){commit(state.failed("x", 0, now))}
	}
	return nil
}

func (s *sim) publish(n *simNode, revision, fence int64, state State, o *simOrder) {
	before := s.revision
	s.commit(n, revision, fence, state.issued("chain"))
	if s.revision != before {
		s.end = o.end
	}
}

// finalize is what the server does: one certificate for an order.
func (s *sim) finalize(state State, o *simOrder) {
	if o.status != Ready {
		return
	}
	o.status, o.key, o.end = Valid, state.Order.Key, s.now.Add(life)
	for _, c := range s.certs {
		switch {
		case c.generation == state.Order.Generation || c.key == o.key:
			s.fail("certificate %d is issued twice", c.generation)
		case !c.published:
			s.fail("certificate %d is issued before %d is in force", state.Order.Generation, c.generation)
		}
	}
	if s.state.Generation > 0 && s.now.Before(s.end.Add(-life/renewFraction)) {
		s.fail("certificate %d is issued before it is due", state.Order.Generation)
	}
	s.certs = append(s.certs, &issuedCert{generation: state.Order.Generation, key: o.key})
}

func (s *sim) step() {
	s.now = s.now.Add(tick)
	if s.holder != nil && s.now.Sub(s.kept) >= ttl*tick {
		s.holder = nil // the lease has ended; its node may not know
	}
	if !s.calm && s.rng.IntN(3) == 0 {
		s.disturb()
	}
	for _, i := range s.rng.Perm(len(s.nodes)) {
		n := s.nodes[i]
		switch {
		case n.down:
		case n.held > 0:
			n.held--
		case len(n.todo) > 0:
			do := n.todo[0]
			n.todo = n.todo[1:]
			do()
			if !s.calm && s.rng.IntN(6) == 0 {
				n.held = s.rng.IntN(4 * ttl) // longer than the lease
			}
		default:
			s.round(n)
		}
	}
}

func (s *sim) disturb() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch s.rng.IntN(8) {
	case 0:
		n.down = true
	case 1, 2:
		if n.down {
			n.down, n.todo, n.lease, n.held = false, nil, 0, 0
		}
	case 3:
		n.cut = true
	case 4, 5:
		n.cut = false
	case 6:
		n.trusted = s.rng.IntN(2) == 0
	case 7: // the late ones get their seals
		for id := range s.nodes[0].keys {
			n.keys[id] = true
		}
	}
}

func TestNoCertificateIsOrderedTwice(t *testing.T) {
	t.Parallel()
	t.Logf("seeds %d to %d", *first, *first+*seeds-1)
	certs, failures, takeovers := 0, 0, 0
	for seed := *first; seed < *first+*seeds; seed++ {
		s := &sim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 17)), now: time.Unix(1_800_000_000, 0), orders: map[string]*simOrder{}}
		for i := range 1 + s.rng.IntN(5) {
			s.nodes = append(s.nodes, &simNode{name: fmt.Sprint("n", i), trusted: true, keys: map[roots.ID]bool{}})
		}
		for range 1500 {
			s.step()
		}
		s.calm = true
		for _, n := range s.nodes {
			if n.down {
				n.down, n.todo, n.lease = false, nil, 0
			}
			n.cut, n.trusted, n.held = false, true, 0
			for _, other := range s.nodes {
				for id := range other.keys {
					n.keys[id] = true
				}
			}
		}
		s.settle()
		for _, c := range s.certs {
			if !c.published {
				s.fail("certificate %d never came into force", c.generation)
			}
		}
		certs, failures = certs+len(s.certs), failures+s.failures
		takeovers += len(s.orders) - len(s.certs)
	}
	t.Logf("%d certificates, %d orders given up, %d orders that were opened for nothing", certs, failures, takeovers)
	if certs < int(*seeds)*2 || failures < int(*seeds)/4 || takeovers < int(*seeds)/4 {
		t.Error("the schedules are one-sided")
	}
}

// settle requires that the fleet has a certificate that is not due within the longest
// wait after failures, and two hours.
func (s *sim) settle() {
	for range int((maxWait + 2*time.Hour) / tick) {
		s.step()
		if s.state.Generation > 0 && s.now.Before(s.end.Add(-life/renewFraction)) && s.state.Order == nil {
			return
		}
	}
	s.fail("no certificate in the end")
}
