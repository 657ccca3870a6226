package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
)

var must, within = fleettest.Must, fleettest.Within

var start = time.Unix(1_800_000_000, 0).UTC()

func entry(action string) Entry { return Entry{Time: start, Node: "test", Action: action} }

func read(t *testing.T, s *Store) *Snapshot {
	t.Helper()
	snap, err := s.Read(within(t))
	must(t, err)
	return snap
}

// fleet creates a fleet with nodes a and b.
func fleet(t *testing.T, c *clientv3.Client, name string) (s *Store, a, b *seal.Private) {
	t.Helper()
	s, err := New(c, name)
	must(t, err)
	p, err := roots.New(roots.Defaults(), start)
	must(t, err)
	must(t, s.Init(within(t), p, Entry{Time: start.Add(-time.Second), Node: "test", Action: "init"}))
	a, b = seal.Generate(), seal.Generate()
	must(t, s.Register(within(t), "a", a.Public(), entry("join")))
	must(t, s.Register(within(t), "b", b.Public(), entry("join")))
	return s, a, b
}

// TestStore runs against one etcd, which takes a second to start. Each part has a fleet
// of its own.
func TestStore(t *testing.T) {
	c := fleettest.Client(t, fleettest.Etcd(t).Endpoint())
	for _, part := range []struct {
		name string
		run  func(t *testing.T, c *clientv3.Client, fleet string)
	}{
		{"there-is-no-fleet", testNoFleet},
		{"names", testNames},
		{"damaged-values", testDamaged},
		{"two-planners", testTwoPlanners},
		{"many-drains", testManyDrains},
		{"own-drains", testOwnDrains},
		{"presence", testPresence},
		{"own", testOwn},
		{"one-holder", testHolder},
		{"seals", testSeals},
		{"removed-node", testRemove},
		{"watch", testWatch},
		{"audit", testAudit},
		{"compaction", testCompaction}, // last: it compacts what the others wrote
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, c, part.name) })
	}
}

func testNoFleet(t *testing.T, c *clientv3.Client, name string) {
	s, err := New(c, name)
	must(t, err)
	if _, err := s.Read(within(t)); !errors.Is(err, ErrNoFleet) {
		t.Errorf("no fleet: %v", err)
	}
	fleet(t, c, name)
	p, err := roots.New(roots.Defaults(), start)
	must(t, err)
	if err := s.Init(within(t), p, entry("init")); !errors.Is(err, ErrExists) {
		t.Errorf("a fleet twice: %v", err)
	}
}

func testNames(t *testing.T, c *clientv3.Client, name string) {
	for _, bad := range []string{"", "a/b", "A", "-a", "..", "a b", "a\n", strings.Repeat("a", 64), "ü"} {
		if _, err := New(c, bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	s, a, _ := fleet(t, c, name)
	for _, bad := range []string{"", "a/b", "../plan"} {
		if err := errors.Join(s.Register(within(t), bad, a.Public(), entry("join"))); !errors.Is(err, ErrName) {
			t.Errorf("node %q: %v", bad, err)
		}
	}
	must(t, s.Register(within(t), "a", a.Public(), entry("join"))) // again, by the same node
	if err := s.Register(within(t), "a", seal.Generate().Public(), entry("join")); !errors.Is(err, ErrNameTaken) {
		t.Errorf("another node with the name: %v", err)
	}
	for action, err := range map[string]error{
		"drain":   s.Drain(within(t), "x", "", entry("drain")),
		"undrain": s.Undrain(within(t), "x", entry("undrain")),
		"remove":  s.Remove(within(t), "x", entry("remove")),
		"show":    s.NewPresence("x", time.Minute).Show(within(t), Record{}),
	} {
		if !errors.Is(err, ErrNoNode) {
			t.Errorf("%s of an unknown node: %v", action, err)
		}
	}
	if snap := read(t, s); len(snap.Nodes) != 2 || snap.Node("x") != nil {
		t.Errorf("nodes: %+v", snap.Nodes)
	}
}

func testDamaged(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	put := func(key, value string) {
		t.Helper()
		_, err := c.Put(within(t), s.key(key), value)
		must(t, err)
	}
	put("node/Z!", encode(registration{seal.Generate().Public()}))
	put("node/c", "{")
	put("node/d", `{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`)
	put("alive/a", `{"clock": "now"}`)
	put("alive/b", strings.Repeat(" ", maxValue)+"{}")
	put("alive/ghost", encode(Record{Trusted: true}))
	put("drain/a", "garbage")
	put("seal/a/short", "x")
	put("seal/a/"+roots.ID{1}.String(), "x")
	put("audit/0", "garbage")
	snap := read(t, s)
	if len(snap.Nodes) != 2 || len(snap.Bad) != 5 {
		t.Errorf("%d nodes, %d refused: %v", len(snap.Nodes), len(snap.Bad), snap.Bad)
	}
	if a := snap.Node("a"); !a.Live || a.Drain == "" || a.Record.Trusted {
		t.Errorf("a node whose record and drain cannot be read: %+v", a)
	}
	if list, bad, err := s.Seals(within(t), "a"); err != nil || len(list) != 0 || len(bad) != 2 {
		t.Errorf("seals: %v, refused %v, %v", list, bad, err)
	}
	if list, bad, err := s.Audit(within(t), 100); err != nil || len(list) != 3 || len(bad) != 1 || list[0].Action != "init" {
		t.Errorf("audit record: %v, refused %v, %v", list, bad, err)
	}
	put("plan", "{}")
	if _, err := s.Read(within(t)); !errors.Is(err, roots.ErrPlan) {
		t.Errorf("a damaged plan: %v", err)
	}
}

func testTwoPlanners(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	one, two := read(t, s), read(t, s)
	must(t, s.Commit(within(t), one, Change{Plan: one.Plan.Add(start, roots.ID{1}), Audit: []Entry{entry("draw")}}))
	err := s.Commit(within(t), two, Change{Plan: two.Plan.Add(start, roots.ID{2}), Drain: []string{"a"}, Audit: []Entry{entry("late")}})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("the second one: %v", err)
	}
	snap := read(t, s)
	if len(snap.Plan.Roots) != 1 || snap.Plan.Roots[0].ID != (roots.ID{1}) || snap.Node("a").Drain != "" {
		t.Errorf("plan %+v, nodes %+v", snap.Plan, snap.Nodes)
	}
	list, _, err := s.Audit(within(t), 100)
	if err != nil || slices.ContainsFunc(list, func(e Entry) bool { return e.Action == "late" }) {
		t.Errorf("audit record: %v, %v", list, err)
	}
	if err := s.Commit(within(t), snap, Change{Plan: snap.Plan}); !errors.Is(err, roots.ErrPlan) {
		t.Errorf("the same version again: %v", err)
	}
}

// testOwnDrains: what a node writes into its own drain never replaces what another wrote
// since it has read the fleet.
func testOwnDrains(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	free := read(t, s)
	must(t, s.DrainDeviant(within(t), free, "a", "slow", entry("drain")))
	if err := s.DrainDeviant(within(t), free, "b", "fast", entry("drain")); !errors.Is(err, ErrConflict) {
		t.Errorf("b has not read the drain of a: %v", err)
	}
	must(t, s.ConfirmDrain(within(t), *free.Node("b"))) // there is none
	deviant := read(t, s)
	if a, b := deviant.Node("a"), deviant.Node("b"); a.Drain != "slow" || !a.Deviates || a.Read || b.Drain != "" {
		t.Errorf("a %+v, b %+v", a, b)
	}
	must(t, s.ConfirmDrain(within(t), *deviant.Node("a")))
	confirmed := read(t, s)
	if one, err := s.DrainOf(within(t), "a"); err != nil || one.Drain != "slow" || !one.Deviates || !one.Read || one.drainRevision != confirmed.Node("a").drainRevision {
		t.Errorf("alone: %+v, %v", one, err)
	}
	if one, err := s.DrainOf(within(t), "b"); err != nil || one.Drain != "" {
		t.Errorf("b alone: %+v, %v", one, err)
	}
	if _, err := s.DrainOf(within(t), "x"); !errors.Is(err, ErrNoNode) {
		t.Errorf("the drain of none: %v", err)
	}
	if list, err := s.Names(within(t)); err != nil || !slices.Equal(list, []string{"a", "b"}) {
		t.Errorf("names: %v, %v", list, err)
	}
	if a := confirmed.Node("a"); a.Drain != "slow" || !a.Deviates || !a.Read {
		t.Errorf("confirmed: %+v", a)
	}
	if err := s.UndrainDeviant(within(t), *deviant.Node("a"), entry("undrain")); !errors.Is(err, ErrConflict) {
		t.Errorf("a has not read the present drain: %v", err)
	}
	must(t, s.UndrainDeviant(within(t), *confirmed.Node("a"), entry("undrain")))

	must(t, s.Drain(within(t), "a", "disc", entry("drain")))
	operators := read(t, s)
	must(t, s.Drain(within(t), "a", "again", entry("drain")))
	must(t, s.ConfirmDrain(within(t), *operators.Node("a")))
	for _, snap := range []*Snapshot{confirmed, read(t, s)} {
		if err := s.UndrainDeviant(within(t), *snap.Node("a"), entry("undrain")); !errors.Is(err, ErrConflict) {
			t.Errorf("a lifts the drain of an operator: %v", err)
		}
	}
	if a := read(t, s).Node("a"); a.Drain != "again" || a.Deviates || a.Read {
		t.Errorf("the drain of an operator: %+v", a)
	}
	must(t, s.Undrain(within(t), "a", entry("undrain")))
	if a := read(t, s).Node("a"); a.Drain != "" || a.Read {
		t.Errorf("lifted: %+v", a)
	}
	if err := s.DrainDeviant(within(t), read(t, s), "x", "fast", entry("drain")); !errors.Is(err, ErrConflict) {
		t.Errorf("a node that is not registered: %v", err)
	}
}

func testManyDrains(t *testing.T, c *clientv3.Client, name string) {
	s, a, _ := fleet(t, c, name)
	const n = 2*maxOps + 10
	ch := Change{}
	for i := range n {
		node := fmt.Sprintf("n%d", i)
		must(t, s.Register(within(t), node, a.Public(), entry("join")))
		ch.Drain, ch.Audit = append(ch.Drain, node), append(ch.Audit, entry("laggard"))
	}
	snap := read(t, s)
	ch.Plan = snap.Plan.Add(start, roots.ID{1})
	must(t, s.Commit(within(t), snap, ch))
	drained := 0
	for _, x := range read(t, s).View() {
		if x.Drained {
			drained++
		}
	}
	if drained != n {
		t.Errorf("%d of %d are drained", drained, n)
	}
	must(t, s.Undrain(within(t), "n0", entry("undrain")))
	if read(t, s).Node("n0").Drain != "" {
		t.Error("still drained")
	}
}

func testPresence(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	p := s.NewPresence("a", time.Minute)
	want := Record{Clock: start.Unix(), Trusted: true, Holds: []roots.ID{{1}}, Plan: 1, State: "serves"}
	must(t, p.Show(within(t), want))
	n := read(t, s).Node("a")
	if !n.Live || fmt.Sprint(n.Record) != fmt.Sprint(want) {
		t.Errorf("shown: %+v", n)
	}
	// etcd forgets the lease, as after a long partition.
	_, err := c.Revoke(within(t), p.ID())
	must(t, err)
	if read(t, s).Node("a").Live {
		t.Error("live without a lease")
	}
	must(t, p.Show(within(t), want))
	if !read(t, s).Node("a").Live {
		t.Error("not live with a new lease")
	}
	must(t, p.End(within(t)))
	must(t, p.End(within(t)))
	if read(t, s).Node("a").Live {
		t.Error("live after leaving")
	}
}

// testOwn: what a node reads of itself, and no more.
func testOwn(t *testing.T, c *clientv3.Client, name string) {
	s, a, _ := fleet(t, c, name)
	if _, err := s.ReadOwn(within(t), "x"); !errors.Is(err, ErrNoNode) {
		t.Errorf("a node that is none: %v", err)
	}
	none, err := New(c, name+"-none")
	must(t, err)
	if _, err := none.ReadOwn(within(t), "a"); !errors.Is(err, ErrNoFleet) {
		t.Errorf("no fleet: %v", err)
	}
	snap := read(t, s)
	must(t, s.Commit(within(t), snap, Change{Plan: snap.Plan.Add(start, roots.ID{1})}))
	for _, node := range []string{"a", "b"} {
		must(t, s.PutSeals(within(t), []Seal{{node, roots.ID{1}, make([]byte, seal.Len)}}))
	}
	_, err = c.Put(within(t), s.key("seal", "a", "short"), "x")
	must(t, err)
	must(t, s.Drain(within(t), "a", "disc", entry("drain")))
	o, err := s.ReadOwn(within(t), "a")
	must(t, err)
	if len(o.Plan.Roots) != 1 || o.Node.Key != a.Public() || o.Node.Drain != "disc" || len(o.Seals) != 1 || len(o.Bad) != 1 || o.Nodes != 2 || o.Planner.Node != "" {
		t.Errorf("own: %+v", o)
	}
	_, err = c.Put(within(t), s.key("node", "b"), "{")
	must(t, err)
	if _, err := s.ReadOwn(within(t), "b"); err == nil {
		t.Error("a registration that is damaged")
	}
	for _, x := range []struct {
		names []string
		want  bool
	}{{nil, true}, {[]string{"a", "b"}, true}, {[]string{"a", "c"}, false}, {[]string{"a/b"}, false}} {
		if all, err := s.Registered(within(t), x.names); err != nil || all != x.want {
			t.Errorf("registered %v: %t, %v", x.names, all, err)
		}
	}
}

// testHolder: one node at a time has a key, and what it writes with it is refused when it
// has lost the key.
func testHolder(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	pa, pb := s.NewPresence("a", time.Minute), s.NewPresence("b", time.Minute)
	a, b := s.NewPlanner(pa), s.NewPlanner(pb)
	held := func() Held {
		t.Helper()
		r, err := c.Txn(within(t)).Then(a.Get()).Commit()
		must(t, err)
		return HeldBy(r.Responses[0].GetResponseRange().Kvs)
	}
	write := func(h *Holder, x Held) bool {
		t.Helper()
		ok, err := s.commit(within(t), h.Still(x), clientv3.OpPut(s.key("written"), ""))
		must(t, err)
		return ok
	}
	nobody := held()
	must(t, a.Take(within(t), nobody))
	if err := b.Take(within(t), nobody); !errors.Is(err, ErrPartConflict) {
		t.Errorf("two take it: %v", err)
	}
	first := held()
	if !a.Mine(first) || b.Mine(first) || b.Free(first) || first.Node != "a" || !write(a, first) || write(b, first) {
		t.Errorf("a has it: %+v", first)
	}
	must(t, b.Give(within(t))) // it has it not
	if held() != first {
		t.Error("one gave back what another has")
	}

	// etcd loses the lease of a: the next one has it.
	_, err := c.Revoke(within(t), pa.ID())
	must(t, err)
	must(t, b.Take(within(t), held()))
	second := held()
	if a.Mine(second) || !b.Mine(second) || write(a, first) || write(a, second) {
		t.Errorf("b has it: %+v", second)
	}
	must(t, pa.Show(within(t), Record{}))
	must(t, a.Give(within(t)))

	// A restart of b: it takes over what it had.
	again := s.NewPlanner(s.NewPresence("b", time.Minute))
	if again.Mine(second) || !again.Free(second) {
		t.Error("after a restart")
	}
	must(t, again.Take(within(t), second))
	if third := held(); b.Mine(third) || !again.Mine(third) {
		t.Errorf("b has it again: %+v", third)
	}
	if got := read(t, s).Planner; got != "b" {
		t.Errorf("planner %q", got)
	}
	// A node that is removed has it no more, whoever keeps its lease.
	must(t, s.Remove(within(t), "a", entry("remove")))
	if held().Node != "b" {
		t.Error("the removal of another took it")
	}
	must(t, s.Remove(within(t), "b", entry("remove")))
	if x := held(); x != (Held{}) {
		t.Errorf("a removed node plans: %+v", x)
	}
}

func testSeals(t *testing.T, c *clientv3.Client, name string) {
	s, a, b := fleet(t, c, name)
	secret := [roots.SecretLen]byte{1, 2, 3}
	id := roots.Fingerprint(&secret)
	first := read(t, s)
	must(t, s.Commit(within(t), first, Change{Plan: first.Plan.Add(start, id)}))
	snap := read(t, s)
	missing, err := s.Missing(within(t), snap)
	if err != nil || len(missing) != 2 || missing[0] != (Want{"a", a.Public(), id}) || missing[1] != (Want{"b", b.Public(), id}) {
		t.Fatalf("missing: %v, %v", missing, err)
	}
	var list []Seal
	for _, w := range missing {
		box, err := seal.Seal(w.Key, &secret)
		must(t, err)
		list = append(list, Seal{w.Node, w.Root, box})
	}
	must(t, s.PutSeals(within(t), list))
	if missing, err := s.Missing(within(t), read(t, s)); err != nil || len(missing) != 0 {
		t.Errorf("still missing: %v, %v", missing, err)
	}
	got, bad, err := s.Seals(within(t), "b")
	if err != nil || len(got) != 1 || len(bad) != 0 {
		t.Fatalf("seals of b: %v, %v, %v", got, bad, err)
	}
	if opened, err := b.Open(got[0].Root, got[0].Box); err != nil || opened != secret {
		t.Errorf("opened: %v", err)
	}
	// No value in etcd has the secret.
	all, err := c.Get(within(t), s.prefix, clientv3.WithPrefix())
	must(t, err)
	for _, kv := range all.Kvs {
		if strings.Contains(string(kv.Value), string(secret[:])) {
			t.Errorf("%s has the secret", kv.Key)
		}
	}
	// The seals of a root that is not in the plan are deleted, by whoever has the plan.
	must(t, s.PutSeals(within(t), []Seal{{"a", roots.ID{7}, list[0].Box}}))
	stale := read(t, s)
	must(t, s.Commit(within(t), stale, Change{Plan: stale.Plan.Add(start, roots.ID{8})}))
	if n, err := s.Sweep(within(t), stale); n != 0 || !errors.Is(err, ErrConflict) {
		t.Errorf("with an old plan: %d deleted, %v", n, err)
	}
	if n, err := s.Sweep(within(t), read(t, s)); n != 1 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
	if got, _, err := s.Seals(within(t), "a"); err != nil || len(got) != 1 || got[0].Root != id {
		t.Errorf("left: %v, %v", got, err)
	}
}

func testRemove(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	must(t, s.PutSeals(within(t), []Seal{{"a", roots.ID{1}, make([]byte, seal.Len)}, {"b", roots.ID{1}, make([]byte, seal.Len)}}))
	must(t, s.Drain(within(t), "a", "stolen", entry("drain")))
	must(t, s.Remove(within(t), "a", entry("remove")))
	if snap := read(t, s); len(snap.Nodes) != 1 || snap.Nodes[0].Name != "b" {
		t.Errorf("nodes: %+v", snap.Nodes)
	}
	left, err := c.Get(within(t), s.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	must(t, err)
	for _, kv := range left.Kvs {
		if strings.Contains(string(kv.Key), "/a/") || strings.HasSuffix(string(kv.Key), "/a") {
			t.Errorf("%s is left", kv.Key)
		}
	}
}

func testWatch(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	w, other := s.NewWatch("a"), s.NewWatch("b")
	defer w.Close()
	defer other.Close()
	for _, change := range []struct {
		name string
		make func() error
	}{
		{"a seal", func() error { return s.PutSeals(within(t), []Seal{{"a", roots.ID{1}, make([]byte, seal.Len)}}) }},
		{"a drain", func() error { return s.Drain(within(t), "a", "", entry("drain")) }},
		{"an undrain", func() error { return s.Undrain(within(t), "a", entry("undrain")) }},
		{"a plan", func() error {
			snap := read(t, s)
			return s.Commit(within(t), snap, Change{Plan: snap.Plan.Add(start, roots.ID{1})})
		}},
	} {
		snap := read(t, s)
		must(t, change.make())
		if err := w.Wait(within(t), snap.Revision); err != nil {
			t.Errorf("%s: %v", change.name, err)
		}
	}
	// What was read does not wake, nor what is another node's. The context ends after the
	// events.
	must(t, s.Drain(within(t), "a", "again", entry("drain")))
	snap := read(t, s)
	must(t, s.Drain(within(t), "b", "", entry("drain")))
	must(t, s.NewPresence("b", time.Minute).Show(within(t), Record{}))
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- w.Wait(ctx, snap.Revision) }()
	if err := other.Wait(within(t), snap.Revision); err != nil { // delivered to one watcher
		t.Error(err)
	}
	stop()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("events of another node: %v", err)
	}
}

func testCompaction(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	old := read(t, s)
	must(t, s.Commit(within(t), old, Change{Plan: old.Plan.Add(start, roots.ID{1})}))
	now := read(t, s)
	_, err := c.Compact(within(t), now.Revision, clientv3.WithCompactPhysical())
	must(t, err)
	w := s.NewWatch("a")
	defer w.Close()
	if err := w.Wait(within(t), old.Revision-1); err != nil {
		t.Errorf("a watch from a compacted revision: %v", err)
	}
	go func() { c.Put(context.Background(), s.key("drain", "a"), "{}") }()
	if err := w.Wait(within(t), now.Revision); err != nil {
		t.Errorf("the watch after it: %v", err)
	}
	if missing, err := s.Missing(within(t), old); err != nil || len(missing) != 0 { // the old plan has no roots
		t.Errorf("missing: %v, %v", missing, err)
	}
	if snap := read(t, s); len(snap.Plan.Roots) != 1 {
		t.Errorf("plan after the compaction: %+v", snap.Plan)
	}
}

// TestTheStateSurvivesARestartOfEtcd: without etcd nothing is known, and afterwards all
// is there.
func TestTheStateSurvivesARestartOfEtcd(t *testing.T) {
	dir := t.TempDir()
	e := fleettest.EtcdIn(t, dir, true)
	s, _, _ := fleet(t, fleettest.Client(t, e.Endpoint()), "restart")
	snap := read(t, s)
	must(t, s.Commit(within(t), snap, Change{Plan: snap.Plan.Add(start, roots.ID{1})}))
	e.Close()
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if _, err := s.Read(ctx); err == nil || errors.Is(err, ErrNoFleet) {
		t.Errorf("without etcd: %v", err)
	}
	ctx, stop = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	w := s.NewWatch("a")
	defer w.Close()
	if err := w.Wait(ctx, snap.Revision); err == nil {
		t.Error("a watch without etcd knows of a change")
	}
	e = fleettest.EtcdIn(t, dir, true)
	defer e.Close()
	s, err := New(fleettest.Client(t, e.Endpoint()), "restart")
	must(t, err)
	if again := read(t, s); len(again.Plan.Roots) != 1 || len(again.Nodes) != 2 {
		t.Errorf("after the restart: %+v", again)
	}
}

// testAudit: what a node has removed or changed of its lines is shown, by the administrator's
// copy. A copy that was interrupted goes on, and says so if it cannot know.
func testAudit(t *testing.T, c *clientv3.Client, name string) {
	s, _, _ := fleet(t, c, name)
	follow := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.KeepAudit(ctx) }()
		return func() { cancel(); must(t, <-done) }
	}
	all := func() (list []Entry) {
		list, bad, err := s.AuditWithCopy(within(t), 100)
		must(t, err)
		if len(bad) > 0 {
			t.Errorf("refused: %+v", bad)
		}
		return list
	}
	copied := func(n int) {
		t.Helper()
		for {
			r, err := c.Get(within(t), s.closedKey("audit", ""), clientv3.WithPrefix(), clientv3.WithCountOnly())
			must(t, err)
			if r.Count == int64(n) {
				return
			}
		}
	}
	is := func(want ...string) {
		t.Helper()
		var got []string
		for _, e := range all() {
			word := e.Action
			if e.Erased {
				word += " erased"
			}
			got = append(got, word)
		}
		if !slices.Equal(got, want) {
			t.Errorf("lines %q, want %q", got, want)
		}
	}
	is("init", "join", "join") // nothing is copied yet
	stop := follow()
	copied(3)
	_, err := c.Put(within(t), s.key("audit", "test", "large"), strings.Repeat("x", maxValue)) // holds up nothing
	must(t, err)
	must(t, s.Drain(within(t), "a", "x", entry("drain")))
	copied(4)
	_, err = c.Delete(within(t), s.key("audit", "test", "large"))
	must(t, err)
	r, err := c.Get(within(t), s.key("audit", "test", ""), clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend))
	must(t, err)
	_, err = c.Delete(within(t), string(r.Kvs[0].Key))
	must(t, err)
	_, err = c.Put(within(t), string(r.Kvs[1].Key), encode(entry("nothing")))
	must(t, err)
	is("init", "join", "join", "drain erased")

	stop()
	must(t, s.Undrain(within(t), "a", entry("undrain")))
	is("init", "join", "join", "drain erased", "undrain") // it is not copied, and shown
	_, err = c.Delete(within(t), s.key("audit", "test", ""), clientv3.WithPrefix())
	must(t, err)
	stop = follow() // etcd remembers
	copied(5)
	is("init erased", "join erased", "join erased", "drain erased", "undrain erased")

	stop()
	d, err := c.Delete(within(t), s.key("audit", "test", ""), clientv3.WithPrefix())
	must(t, err)
	_, err = c.Compact(within(t), d.Header.Revision)
	must(t, err)
	stop = follow()
	copied(6)
	if list := all(); list[5].Action != "audit" || list[5].Erased || !strings.Contains(list[5].Detail, "interrupted") {
		t.Errorf("after a compaction: %+v", list[5])
	}
	stop()
}
