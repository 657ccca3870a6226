package roots

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

var (
	seeds = flag.Uint64("roots.seeds", 100, "how many random schedules of failures to play")
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
	revoked uint64
	alive   map[string]record
	drained map[string]bool
	seals   map[ID]map[string]secret
	members []string

	nodes   []*simNode
	clients []client

	rotations, requests int
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

	// On disc: the secrets, and the plan from which the key file was written.
	secrets map[ID]secret
	plan    Plan

	// In memory.
	ring      *nts.Ring
	ringOf    uint64
	confirmed int64 // true time, -1 never
	stale     *Decision
	staleOf   uint64
	staleAt   int64
	was       bool // served a tick ago
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
		t: t, rng: rand.New(rand.NewPCG(seed, 16)), seed: seed, now: 1_800_000_000 + int64(seed)*977, etcd: true,
		alive: map[string]record{}, drained: map[string]bool{}, seals: map[ID]map[string]secret{},
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
	l := Local{Now: time.Unix(n.clock(w.now), 0), Trusted: n.trusted, Drained: w.drained[n.name], Holds: n.holds(), Confirmed: -1}
	if n.cut || !w.etcd {
		l.Drained = false // it does not learn of it
	}
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

// sync is what an agent does with etcd: read, open seals, write to disc, acknowledge.
func (n *simNode) sync(w *world) {
	if n.cut || !w.etcd {
		return
	}
	if !n.full {
		for _, r := range w.plan.Roots {
			if s, ok := w.seals[r.ID][n.name]; ok {
				n.secrets[r.ID] = s
			}
		}
		for id := range n.secrets {
			if !slices.ContainsFunc(w.plan.Roots, func(r Root) bool { return r.ID == id }) {
				delete(n.secrets, id)
			}
		}
		n.plan = w.plan
		n.load(w)
	}
	if n.plan.Version == w.plan.Version {
		n.confirmed = w.now
	}
	w.alive[n.name] = record{w.now, Node{Name: n.name, Trusted: n.trusted, Clock: n.clock(w.now), Holds: n.holds()}}
	for _, r := range w.plan.Roots { // seal for those who joined later
		if s, ok := n.secrets[r.ID]; ok {
			w.seal(r.ID, s)
		}
	}
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
		x.Name, x.Live, x.Drained = m, r.at > 0 && w.now-r.at <= tick, w.drained[m]
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
	d, of := n.stale, n.staleOf
	n.stale = nil
	if d == nil || w.now-n.staleAt > tick { // a decision expires
		x, err := Step(w.plan, w.view(n))
		if err != nil {
			return
		}
		d, of = &x, w.plan.Version
		if w.rng.IntN(3) == 0 {
			n.stale, n.staleOf, n.staleAt = d, of, w.now
			return
		}
	}
	if of != w.plan.Version {
		return // the transaction fails
	}
	if d.Changed || len(d.Drain) > 0 {
		for _, name := range d.Drain {
			w.drained[name] = true
		}
		w.commit(d.Plan)
		return
	}
	if d.Draw > 0 {
		var ids []ID
		dies := w.rng.IntN(8) == 0
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

// commit writes a plan and checks the promise of the one before.
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
		}
	}
	w.plan = p
	if revokes {
		w.revoked = p.Version
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

// fail changes what works, at random.
func (w *world) fail() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch w.rng.IntN(16) {
	case 0, 1:
		n.down, n.ring, n.ringOf, n.confirmed, n.stale = true, nil, 0, -1, nil
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
		n.operator, w.drained[n.name] = true, true
	case 10:
		if len(w.nodes) < 6 {
			w.join()
		}
	case 11: // the disc is lost; the node has its key, or it would join anew
		n.down, n.ring, n.ringOf, n.confirmed, n.stale = true, nil, 0, -1, nil
		n.secrets, n.plan = map[ID]secret{}, Plan{}
	case 12:
		if w.etcd && w.rng.IntN(3) == 0 && len(w.plan.Roots) > 0 {
			w.revokeSome()
		}
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
	p, err := w.plan.Condemn(time.Unix(w.now, 0), ids...)
	if err != nil {
		w.failf("%v", err)
	}
	w.commit(p)
	w.revoked = p.Version
}

func (w *world) repair(n *simNode) {
	if n.down {
		n.down = false
		if n.plan.Version > 0 {
			n.load(w) // from the disc
		}
	}
	n.cut, n.full, n.trusted, n.offset, w.etcd = false, false, true, w.rng.Int64N(5)-2, true
	if w.drained[n.name] {
		delete(w.drained, n.name)
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

func (w *world) tick() {
	for _, n := range w.nodes {
		n.was = n.ring != nil && !n.down && n.readiness(w) == Serves
	}
	w.now += tick
	for _, i := range w.rng.Perm(len(w.nodes)) {
		if n := w.nodes[i]; !n.down {
			n.sync(w)
			if w.rng.IntN(2) == 0 {
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
	requests, rotations := 0, 0
	for seed := *first; seed < *first+*seeds; seed++ {
		w := newWorld(t, seed)
		for range 21 * 86400 / tick {
			if w.rng.IntN(20) == 0 {
				w.fail()
			}
			w.tick()
		}
		for range 3 * 86400 / tick {
			for _, n := range w.nodes {
				w.repair(n)
			}
			w.tick()
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
	}
	if n := int(*seeds); requests < 1000*n || rotations < 5*n {
		t.Errorf("%d requests and %d rotations are not a test", requests, rotations)
	}
	t.Logf("%d requests, %d rotations", requests, rotations)
}
