package rollout

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	seeds = flag.Uint64("rollout.seeds", 1000, "how many random schedules of failures to play")
	first = flag.Uint64("rollout.first", 1, "the seed of the first one")
)

const tick = 10 * time.Second

// quality is what a configuration does to a node.
type quality struct {
	name    string
	refused func(node int) bool // its check fails
	harms   func(node int) bool // the node is not healthy with it
}

func none(int) bool { return false }

func qualities(n int, rng *rand.Rand) []quality {
	one, most := rng.IntN(n), 1+rng.IntN(n)
	return []quality{
		{"good", none, none},
		{"bad for all", none, func(int) bool { return true }},
		{"refused by all", func(int) bool { return true }, none},
		{"bad for one", none, func(i int) bool { return i == one }},
		{"refused by one", func(i int) bool { return i == one }, none},
		{"bad for some", none, func(i int) bool { return i >= most }},
	}
}

// simNode is a node: what is on its disc, and what it has in memory.
type simNode struct {
	name            string
	kept            Kept
	trial           Trial
	down, cut, sick bool

	seen  uint64 // version of the rollout that it conducts
	since time.Duration
	stale *Rollout // a decision that is written later
	rev   uint64

	// True time for which it has been healthy with the target, -1: it is not; and the
	// longest such time of this rollout.
	good, best time.Duration
}

// world is a fleet with a linearizable store.
type world struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	now    time.Duration
	r      Rollout
	rev    uint64
	report map[string]Report
	nodes  []*simNode
	q      quality
	calm   bool
	tried  map[string]bool // nodes that ever had the target of this rollout
	sick   bool            // an illness of another cause came during the rollout
}

func (w *world) healthy(i int) bool {
	n := w.nodes[i]
	return !n.sick && (n.kept.Applied != w.r.Target || w.r.Target == "" || !w.q.harms(i))
}

func (w *world) views() (list []NodeView) {
	for _, n := range w.nodes {
		list = append(list, NodeView{Name: n.name, Live: !n.down && !n.cut, Report: w.report[n.name]})
	}
	return list
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, %v, %q, rollout %+v: %s", w.seed, w.now, w.q.name, w.r, fmt.Sprintf(format, args...))
}

// round is one round of a node's agent.
func (w *world) round(i int) {
	n := w.nodes[i]
	healthy := w.healthy(i)
	act, id := n.kept.Next(n.name, w.r, !n.cut, healthy, &n.trial, w.now)
	switch act {
	case Take:
		if id == w.r.Target && w.q.refused(i) {
			n.kept = n.kept.refused(w.r, "check failed")
			break
		}
		n.kept, n.trial = n.kept.took(id, w.r, nil, healthy), Trial{}
	case Confirm:
		n.kept.Trial = false
	case Return:
		n.kept, n.trial = n.kept.returned([]string{"sick"}), Trial{}
	}
	if n.kept.Applied == w.r.Target && w.r.Target != "" {
		w.tried[n.name] = true
		if w.q.refused(i) {
			w.fail("%s has a configuration that its check refuses", n.name)
		}
	}
	if n.cut {
		return
	}
	p := n.kept.report()
	p.Healthy = w.healthy(i)
	w.report[n.name] = p
	w.conduct(n)
}

func (w *world) conduct(n *simNode) {
	if n.stale != nil { // it was held up between reading and writing
		if n.rev == w.rev {
			w.commit(*n.stale)
		}
		n.stale = nil
		return
	}
	if n.seen != w.rev {
		n.seen, n.since = w.rev, w.now
	}
	next := Step(w.r, w.views(), w.now-n.since)
	if next.Phase == w.r.Phase && len(next.Granted) == len(w.r.Granted) {
		return
	}
	if !w.calm && w.rng.IntN(4) == 0 {
		n.stale, n.rev = &next, w.rev
		return
	}
	w.commit(next)
}

func (w *world) commit(next Rollout) {
	if next.Phase == Rest || next.Phase == Done {
		missing := 0
		for _, name := range w.r.Granted {
			i := slices.IndexFunc(w.nodes, func(n *simNode) bool { return n.name == name })
			if w.nodes[i].best+tick < w.r.Params.SoakTime() {
				missing++
			}
		}
		if missing > w.r.Params.Missing || w.r.Phase == Canary && missing > 0 {
			w.fail("%s with %d granted nodes that were not healthy for the soak", next.Phase, missing)
		}
	}
	if next.Phase == Back && next.Why == "" {
		w.fail("back without a reason")
	}
	w.r = next
	w.rev++
}

// disturb changes something at random.
func (w *world) disturb() {
	i := w.rng.IntN(len(w.nodes))
	n := w.nodes[i]
	switch w.rng.IntN(12) {
	case 0:
		n.down = true
	case 1, 2:
		if n.down { // what is in memory is lost
			n.down, n.trial, n.seen, n.stale = false, Trial{}, 0, nil
		}
	case 3:
		n.cut = true
	case 4, 5:
		n.cut = false
	case 6:
		n.sick, w.sick = true, true
	case 7, 8:
		n.sick = false
	}
}

func (w *world) step() {
	w.now += tick
	for i, n := range w.nodes { // what is true of the interval that has ended
		switch {
		case n.kept.Applied != w.r.Target || !w.healthy(i):
			n.good = -1
		case n.good < 0:
			n.good = 0
		default:
			n.good += tick
		}
		n.best = max(n.best, n.good)
	}
	if !w.calm && w.rng.IntN(3) == 0 {
		w.disturb()
	}
	for _, i := range w.rng.Perm(len(w.nodes)) {
		if n := w.nodes[i]; !n.down {
			w.round(i)
		}
	}
	trials := 0
	for _, n := range w.nodes {
		if n.kept.Applied == w.r.Target && n.kept.Trial && slices.Contains(w.r.Granted, n.name) {
			trials++
		}
		if n.kept.Refused > 0 && n.kept.Why == "" && n.kept.Rollout < n.kept.Refused {
			w.fail("%s does not say why", n.name)
		}
	}
	switch {
	case w.r.Phase == Canary && trials > max(1, len(w.r.Params.Canaries)),
		w.r.Phase == Rest && trials > w.r.Params.Step+w.r.Params.Missing:
		w.fail("%d nodes are on trial at once", trials)
	}
}

// settle lets all failures end, and time pass until the rollout has ended.
func (w *world) settle() {
	w.calm = true
	for _, n := range w.nodes {
		if n.down {
			n.down, n.trial, n.seen, n.stale = false, Trial{}, 0, nil
		}
		n.cut, n.sick = false, false
	}
	limit := w.now + time.Duration(len(w.nodes)+3)*w.r.Params.Limit()
	for quiet := 0; quiet < 3; quiet++ {
		if w.step(); w.now > limit {
			w.fail("the rollout does not end: %+v", w.report)
		}
		if w.r.Running() || slices.ContainsFunc(w.nodes, func(n *simNode) bool { return n.kept.Trial }) {
			quiet = 0
		}
	}
}

// rollout plays one rollout, and checks its end.
func (w *world) rollout(number int) {
	n := len(w.nodes)
	list := qualities(n, w.rng)
	w.q = list[w.rng.IntN(len(list))]
	p := Params{Step: 1 + w.rng.IntN(n), Soak: 60 + w.rng.IntN(300), Patience: 30 + w.rng.IntN(120), Missing: w.rng.IntN(2)}
	if w.rng.IntN(2) == 0 {
		p.Canaries = []string{w.nodes[w.rng.IntN(n)].name}
	}
	w.tried, w.sick = map[string]bool{}, false
	base := w.r.InForce()
	next, err := Start(w.r, ID(fmt.Sprint("config", number)), p, w.views())
	if err != nil {
		w.fail("start: %v", err)
	}
	w.r, w.rev = next, w.rev+1
	for _, x := range w.nodes {
		x.good, x.best = -1, -1
	}
	w.calm = false
	canaries := next.Granted
	if !slices.Equal(canaries, p.Canaries) && len(p.Canaries) > 0 {
		w.fail("canaries %v", canaries)
	}
	for range w.rng.IntN(200) {
		w.step()
	}
	w.settle()
	w.checkEnd(len(canaries))
	w.checkNodes(base)
	// The next rollout begins with nodes that are healthy: what harmed them is replaced.
	w.q = list[0]
	for range 2 {
		w.step()
	}
}

// checkEnd checks how the rollout ended.
func (w *world) checkEnd(canaries int) {
	bad, n := 0, len(w.nodes)
	for i := range w.nodes {
		if w.q.harms(i) || w.q.refused(i) {
			bad++
		}
	}
	switch {
	case bad == n && w.r.Phase != Undone:
		w.fail("a configuration that is bad for all ends as %s", w.r.Phase)
	case bad == n && len(w.tried) > canaries:
		w.fail("bad for all, and %v had it", w.tried)
	case bad == 0 && !w.sick && !w.everMissing() && w.r.Phase != Done:
		w.fail("a good configuration ends as %s", w.r.Phase)
	}
}

// checkNodes checks what the nodes have in the end.
func (w *world) checkNodes(base ID) {
	for i, x := range w.nodes {
		at, want := x.kept.Applied, w.r.InForce()
		left := w.r.Phase == Done && x.kept.Refused == w.r.Number
		switch {
		case at != want && !left:
			w.fail("%s has %q in the end, want %q: %+v", x.name, at, want, x.kept)
		case at == w.r.Target && (w.q.harms(i) || w.q.refused(i)) && !x.kept.Unjudged:
			w.fail("%s keeps a configuration that harms it", x.name)
		case w.r.Phase == Undone && at != base:
			w.fail("%s has %q, not the base %q", x.name, at, base)
		}
	}
}

// everMissing reports whether the end blames a node that was gone.
func (w *world) everMissing() bool { return w.r.Why != "" }

func TestRolloutsUnderRandomFailures(t *testing.T) {
	t.Parallel()
	t.Logf("seeds %d to %d", *first, *first+*seeds-1)
	phases := map[Phase]int{}
	for seed := *first; seed < *first+*seeds; seed++ {
		rng := rand.New(rand.NewPCG(seed, 16))
		w := &world{t: t, seed: seed, rng: rng, report: map[string]Report{}, q: quality{"none", none, none}, calm: true}
		for i := range 1 + rng.IntN(7) {
			w.nodes = append(w.nodes, &simNode{name: fmt.Sprint("n", i)})
		}
		w.step()
		for i := range 4 {
			w.rollout(i + 1)
			phases[w.r.Phase]++
		}
	}
	t.Logf("ends: %v", phases)
	if phases[Done] < int(*seeds)/2 || phases[Undone] < int(*seeds)/2 {
		t.Errorf("the schedules are one-sided: %v", phases)
	}
}
