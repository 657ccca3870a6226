package roots

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"noonmark/server/nts"
)

type secret = [SecretLen]byte

// world is a fleet: a linearizable store, nodes with discs, the cookie rings of
// their ntsserve, and clients.
type world struct {
	t    *testing.T
	rng  *rand.Rand
	now  int64 // true time, POSIX seconds
	seed uint64

	plan    Plan
	etcd    bool // it answers
	slow    bool // what a node reads it applies a tick later, and a planner decides by it
	elected bool // only who has the turn plans; else all do: safety does not rest on the turn
	planner string
	calm    bool // nothing fails any more
	revoked uint64
	alive   map[string]record
	drained map[string]bool
	read    map[string]bool // drains that the disc of the node has
	seals   map[ID]map[string]secret
	members []string

	nodes   []*simNode
	clients []client

	rotations, early, requests, turns int
}

type record struct {
	at   int64 // true time of the last renewal of the lease
	node Node
}

type simNode struct {
	name     string
	down     bool
	cut      bool // from etcd
	full     bool // the disc
	offset   int64
	trusted  bool
	operator bool // drained by an operator

	// On disc: the secrets, the plan from which the key file was written, and whether the
	// node is drained.
	secrets map[ID]secret
	plan    Plan
	kept    bool

	// In memory.
	drained   bool
	ring      *nts.Ring
	ringOf    uint64
	confirmed int64 // true time, -1 never
	stale     *Decision
	staleOf   uint64
	staleAt   int64
	turn      Turn
	late      *reading // of a slow etcd
	was       bool     // served a tick ago
}

// reading is what a node has read.
type reading struct {
	at      int64
	plan    Plan
	drained bool
	seals   map[ID]secret
}

// end ends the agent and ntsserve.
func (n *simNode) end() {
	n.down, n.ring, n.ringOf, n.confirmed, n.stale, n.late, n.turn = true, nil, 0, -1, nil, nil, Turn{}
}

type client struct {
	cookie []byte
	at     int64 // when it got the cookie
	plan   uint64
	every  int64
	root   ID
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 16)), seed: seed, now: 1_800_000_000 + int64(seed)*977, etcd: true, elected: seed%4 < 2,
		alive: map[string]record{}, drained: map[string]bool{}, read: map[string]bool{}, seals: map[ID]map[string]secret{},
	}
	var err error
	if w.plan, err = New(simParams, time.Unix(w.now, 0)); err != nil {
		t.Fatal(err)
	}
	for range 3 + w.rng.IntN(3) {
		w.join()
	}
	for i := range 6 {
		every := int64(tick) * (1 + int64(w.rng.IntN(12)))
		if i == 0 {
			every = guaranteed - 2*tick // asks as rarely as it may
		}
		w.clients = append(w.clients, client{every: every})
	}
	return w
}

func (w *world) join() {
	n := &simNode{name: fmt.Sprintf("n%d", len(w.members)), trusted: true, secrets: map[ID]secret{}, confirmed: -1, offset: int64(w.rng.IntN(5)) - 2}
	w.nodes = append(w.nodes, n)
	w.members = append(w.members, n.name)
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, day %.2f: %s", w.seed, float64(w.now-1_800_000_000-int64(w.seed)*977)/86400, fmt.Sprintf(format, args...))
}

func (n *simNode) clock(now int64) int64 { return now + n.offset }

// right reports whether the clock reads the true time.
func (n *simNode) right() bool { return n.offset >= -2 && n.offset <= 2 }

func (n *simNode) holds() (ids []ID) {
	for id := range n.secrets {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// readiness is the node's own decision, now.
func (n *simNode) readiness(w *world) Readiness {
	l := Local{Now: time.Unix(n.clock(w.now), 0), Trusted: n.trusted, Drained: n.drained, Holds: n.holds(), Confirmed: -1}
	if n.confirmed >= 0 {
		l.Confirmed = time.Duration(w.now-n.confirmed) * time.Second
	}
	if n.plan.Version == 0 {
		return NoRoot
	}
	return n.plan.Ready(l)
}

// reachable reports whether clients use the node: it serves, or did a tick ago.
func (n *simNode) reachable(w *world) bool {
	return !n.down && n.trusted && n.right() && n.ring != nil && (n.was || n.readiness(w) == Serves)
}

// read reads etcd. With a slow one the answer is that of the tick before; nil: there is
// none yet.
func (n *simNode) read(w *world) *reading {
	now := &reading{at: w.now, plan: w.plan, drained: w.drained[n.name], seals: map[ID]secret{}}
	for id, of := range w.seals {
		if s, ok := of[n.name]; ok {
			now.seals[id] = s
		}
	}
	if !w.slow {
		n.late = nil
		return now
	}
	r := n.late
	n.late = now
	if r != nil && w.now-r.at > tick { // a round that takes longer is given up
		return nil
	}
	return r
}

// sync is what an agent does with etcd: read, open seals, write to disc, acknowledge.
func (n *simNode) sync(w *world) {
	if n.cut || !w.etcd {
		n.late = nil
		return
	}
	read := n.read(w)
	if read == nil {
		return
	}
	if !n.full {
		for _, r := range read.plan.Roots {
			if s, ok := read.seals[r.ID]; ok {
				n.secrets[r.ID] = s
			}
		}
		for id := range n.secrets {
			if !slices.ContainsFunc(read.plan.Roots, func(r Root) bool { return r.ID == id }) {
				delete(n.secrets, id)
			}
		}
		n.plan, n.kept, n.drained = read.plan, read.drained, read.drained
		n.load(w)
		if n.drained {
			w.read[n.name] = true
		}
	}
	n.drained = n.drained || read.drained
	if n.plan.Version == read.plan.Version {
		n.confirmed = read.at
	}
	w.alive[n.name] = record{w.now, Node{
		Name: n.name, Trusted: n.trusted, Clock: n.clock(w.now), Holds: n.holds(), Plan: n.plan.Version, Rotates: true,
	}}
	if w.elected && w.planner != n.name {
		return // only a planner seals for those who joined later
	}
	for _, r := range w.plan.Roots {
		if s, ok := n.secrets[r.ID]; ok {
			w.seal(r.ID, s)
		}
	}
}

// live reports whether the lease of a node has not ended.
func (w *world) live(name string) bool {
	r := w.alive[name]
	return r.at > 0 && w.now-r.at <= tick
}

// hasTurn is what an agent decides about the turn.
func (n *simNode) hasTurn(w *world) bool {
	if w.planner != "" && !w.live(w.planner) {
		w.planner = ""
	}
	switch n.turn.Next(TurnView{
		Now: time.Duration(w.now) * time.Second, Term: 2 * tick * time.Second, Fit: n.trusted && !w.drained[n.name],
		Whole: w.plan.HoldsAll(n.holds()), Held: w.planner != "" && w.planner != n.name, Mine: w.planner == n.name,
	}) {
	case Begin:
		if !w.live(n.name) {
			return false
		}
		w.planner = n.name
		w.turns++
	case End:
		w.planner = ""
		return false
	case Pass:
		return false
	}
	return true
}

func (w *world) seal(id ID, s secret) {
	if w.seals[id] == nil {
		w.seals[id] = map[string]secret{}
	}
	for _, m := range w.members {
		w.seals[id][m] = s
	}
}

// load gives ntsserve the key file.
func (n *simNode) load(w *world) {
	var list []nts.RootSecret
	for _, r := range n.plan.Scheduled() {
		if s, ok := n.secrets[r.ID]; ok {
			list = append(list, nts.RootSecret{Since: time.Unix(r.Since, 0), Secret: s})
		}
	}
	if len(list) == 0 || n.ring != nil && n.ringOf == n.plan.Version*64+uint64(len(list)) {
		return
	}
	n.ringOf = n.plan.Version*64 + uint64(len(list))
	b, err := nts.FormatKeyFile(list)
	if err != nil {
		w.failf("%s: %v", n.name, err)
	}
	cfg := nts.RingConfig{Rotate: simParams.Rotate, Keep: simParams.Keep, Renew: nts.NeverRenew}
	if n.ring, err = nts.ImportRing(string(b), cfg, time.Unix(n.clock(w.now), 0)); err != nil {
		w.failf("%s: %v", n.name, err)
	}
}

// view is what a planner lists from etcd.
func (w *world) view(n *simNode) View {
	v := View{Self: n.name, Now: time.Unix(n.clock(w.now), 0)}
	for _, m := range w.members {
		r := w.alive[m]
		x := r.node
		x.Name, x.Live, x.Drained, x.Read = m, w.live(m), w.drained[m], w.read[m]
		x.Clock += w.now - r.at
		v.Nodes = append(v.Nodes, x)
	}
	return v
}

// planOnce lets a node plan. Some decisions are written only a tick later, when
// another planner may have written.
func (n *simNode) planOnce(w *world) {
	if n.cut || !w.etcd {
		return
	}
	turn := n.hasTurn(w)
	d, of := n.stale, n.staleOf // one that was held up writes, though the turn is another's now
	n.stale = nil
	if d == nil || w.now-n.staleAt > tick { // a decision expires
		if w.elected && !turn {
			return
		}
		x, err := Step(w.plan, w.view(n))
		n.turn.Planned(time.Duration(w.now)*time.Second, err == nil && w.plan.HoldsAll(n.holds()))
		if err != nil {
			return
		}
		d, of = &x, w.plan.Version
		if w.slow || w.rng.IntN(3) == 0 {
			n.stale, n.staleOf, n.staleAt = d, of, w.now
			return
		}
	}
	if of != w.plan.Version {
		return // the transaction fails
	}
	if d.Changed || len(d.Drain) > 0 {
		for _, name := range d.Drain {
			w.drain(name)
		}
		w.commit(d.Plan)
		return
	}
	if d.Draw > 0 {
		var ids []ID
		dies := !w.calm && w.rng.IntN(8) == 0
		for range d.Draw {
			var s secret
			for i := 0; i < len(s); i += 8 {
				binary.LittleEndian.PutUint64(s[i:], w.rng.Uint64())
			}
			id := Fingerprint(&s)
			ids = append(ids, id)
			if dies {
				continue // before anybody has the secret
			}
			w.seal(id, s)
			if !n.full {
				n.secrets[id] = s
			}
		}
		w.commit(w.plan.Add(time.Unix(n.clock(w.now), 0), ids...))
	}
}

// drain is one that the node has not read yet.
func (w *world) drain(name string) { w.drained[name], w.read[name] = true, false }
