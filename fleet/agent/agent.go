// Package agent keeps one node of a fleet: it reads the plan and the node's seals from
// etcd, writes the key file that ntsserve re-reads, and acknowledges what is on the disc.
// One node at a time also reads what all others show, seals roots to those that lack them,
// and plans. It logs nothing: each round returns a Report.
package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/durable"
	"noonmark/internal/retry"
	"noonmark/server/nts"
)

// maxKeyFile limits what is read of the present key file, octets.
const maxKeyFile = 64 << 10

// Config is one node.
type Config struct {
	Node    string
	Key     *seal.Private
	Copy    string // file with the plan and all secrets, mode 0600
	KeyFile string // of ntsserve, keys.file

	// Clock returns the time of the clock with which ntsserve rotates keys. Its error
	// says why that time may be wrong. The time has a monotonic reading.
	Clock func() (time.Time, error)

	// Rotate and Keep are keys.rotate and keys.keep of ntsserve. A node where they differ
	// from those of the fleet does not serve. Rotate 0: they are the same.
	Rotate time.Duration
	Keep   int

	Every time.Duration // between two records; 0 = 10 s, less with a small tolerance
	TTL   time.Duration // of the lease; 0 = 60 s
}

// Agent is the agent of one node. Round and Run are for one goroutine; Readiness may be
// called from any.
type Agent struct {
	cfg      Config
	store    *store.Store
	presence *store.Presence
	planner  *store.Holder // under the lease of presence: a planner that is gone is one no more
	turn     roots.Turn
	begun    time.Time // of its clock, for the monotonic reading

	mu        sync.Mutex // guards the rest
	disc      kept
	confirmed time.Time // when etcd last confirmed that the plan on disc is the present one
	drained   bool      // as etcd said last
}

// Report is the result of one round.
type Report struct {
	Readiness roots.Readiness
	Drain     string        // why this node is drained, as etcd says; empty: it is not
	Plans     bool          // this node has the turn to plan for all
	Refusal   error         // why it may not plan although it has the turn: a roots.Refusal; nil: it may
	Clock     error         // why the clock is not trusted
	Disc      error         // what could not be written; the node acknowledges nothing new
	Decided   []roots.Event // what this node has written, and for whom roots wait
	Drawn     int           // secrets that it has drawn
	Sealed    int           // secrets that it has sealed to others
	Bad       []store.Bad   // values in etcd that were refused
	Revision  int64         // of etcd
	Nodes     int           // registered ones
	Waiting   bool          // a root in the plan waits for acknowledgements
}

// New returns the agent of a node. It reads the copy and writes the key file from it, so
// that a restart without etcd serves. The error wraps ErrCopy for a damaged copy.
func New(s *store.Store, c Config) (*Agent, error) {
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	if c.TTL == 0 {
		c.TTL = time.Minute
	}
	a := &Agent{cfg: c, store: s, presence: s.NewPresence(c.Node, c.TTL)}
	a.planner = s.NewPlanner(a.presence)
	a.begun, _ = c.Clock()
	var err error
	if a.disc, err = readCopy(c.Copy); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	a.drained = a.disc.drained
	if err := a.writeKeys(a.disc); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	return a, nil
}

// Times that keep many agents from asking etcd at the same instant.
const (
	// roundTime is what one round may take etcd, so that a change of the plan, which wakes
	// all, is 200 rounds a second. etcd carries that on two busy processors
	// (docs/results/fleet-scale.md).
	roundTime = 5 * time.Millisecond
	// maxSpread is the longest wait after such a change. It reaches every node far sooner
	// than half a lead, which is 15 s at least.
	maxSpread = 5 * time.Second
	// waitingEvery is the time between two looks of the planner at the records of all nodes
	// while a root waits for acknowledgements, or the planner for nodes that confirm its
	// clock: these wake nobody.
	waitingEvery = 2 * time.Second
	// resignLimit is how long the end of Run may take to give the turn back.
	resignLimit = 2 * time.Second
)

// Run makes rounds until ctx ends: soon after a change in etcd, else every Config.Every.
// observe gets each result. Without etcd it repeats with growing delays.
func (a *Agent) Run(ctx context.Context, observe func(Report, error)) error {
	var failed retry.Backoff
	watch := a.store.NewWatch(a.cfg.Node)
	defer watch.Close()
	retry.Stagger(ctx) // ntsserve does not wait: New has written its file
	for ctx.Err() == nil {
		r, err := a.Round(ctx)
		observe(r, err)
		if err != nil {
			retry.Sleep(ctx, retry.Jitter(failed.Next()))
			continue
		}
		failed.Reset()
		every := a.every()
		if r.Plans && (r.Waiting || r.Refusal != nil) {
			every = min(every, waitingEvery)
		}
		wait, stop := context.WithTimeout(ctx, every)
		if err := watch.Wait(wait, r.Revision); err != nil {
			<-wait.Done() // etcd is gone or nothing has changed: the next round sees which
		} else if !r.Plans {
			retry.Sleep(wait, mathrand.N(spread(r.Nodes)))
		}
		stop()
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), resignLimit)
	defer stop()
	a.planner.Give(last) // else the others wait for the end of the lease
	return ctx.Err()
}

// spread is how long a node waits at most after a change that wakes all nodes.
func spread(nodes int) time.Duration {
	return min(max(time.Duration(nodes), 1)*roundTime, maxSpread)
}

// every is the time between two records: their age counts as a difference of clocks.
func (a *Agent) every() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.disc.plan; p.Version > 0 {
		return min(a.cfg.Every, max(p.Params.Tolerance/4, time.Second))
	}
	return a.cfg.Every
}

// Readiness reports whether ntsserve may serve now.
func (a *Agent) Readiness() roots.Readiness {
	now, untrusted := a.cfg.Clock()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readiness(now, untrusted)
}

// readiness needs mu.
func (a *Agent) readiness(now time.Time, untrusted error) roots.Readiness {
	l := roots.Local{
		Now: now, Trusted: untrusted == nil, Drained: a.drained, Holds: a.disc.holds(), Confirmed: -1, Rotate: a.cfg.Rotate, Keep: a.cfg.Keep,
	}
	if !a.confirmed.IsZero() {
		// CLOCK_MONOTONIC stands still while the machine sleeps, the wall clock does not.
		l.Confirmed = max(now.Sub(a.confirmed), now.Round(0).Sub(a.confirmed.Round(0)), 0)
	}
	return a.disc.plan.Ready(l)
}

func (k kept) holds() []roots.ID {
	return slices.SortedFunc(maps.Keys(k.secrets), func(x, y roots.ID) int { return bytes.Compare(x[:], y[:]) })
}

// Round reads etcd once and does what follows. The error is that of etcd; what needs no
// etcd is done nevertheless.
func (a *Agent) Round(ctx context.Context) (r Report, err error) {
	now, untrusted := a.cfg.Clock()
	r.Clock = untrusted
	defer func() { r.Readiness = a.Readiness() }()
	limit := roots.Defaults().Lead / 6
	a.mu.Lock()
	if p := a.disc.plan; p.Version > 0 {
		limit = p.Params.Lead / 6
	}
	a.mu.Unlock()
	ctx, stop := context.WithTimeout(ctx, min(limit, 10*time.Second)) // of a decision, see store.Commit
	defer stop()
	own, err := a.store.ReadOwn(ctx, a.cfg.Node)
	if err != nil {
		return r, err
	}
	r.Revision, r.Nodes, r.Waiting = own.Revision, own.Nodes, len(own.Plan.Waiting()) > 0
	if own.Node.Key != a.cfg.Key.Public() {
		return r, fmt.Errorf("node %s: %w", a.cfg.Node, store.ErrNameTaken)
	}
	r.Drain = own.Node.Drain
	var next kept
	next, r.Bad = a.learn(own)
	r.Disc = a.keep(next, now)
	if err := a.presence.Show(ctx, a.record(now, untrusted)); err != nil {
		return r, err
	}
	if r.Disc == nil { // the disc has the drain, if there is one
		if err := a.store.ConfirmDrain(ctx, own.Node); err != nil {
			return r, err
		}
	}
	return r, a.take(ctx, own, now, &r)
}

// take decides whether this node has the turn to plan, and plans.
func (a *Agent) take(ctx context.Context, own *store.Own, now time.Time, r *Report) error {
	mono := now.Sub(a.begun)
	mine := a.planner.Mine(own.Planner)
	act := a.turn.Next(roots.TurnView{
		Now: mono, Term: a.cfg.TTL, Fit: r.Clock == nil && own.Node.Drain == "", Whole: own.Plan.HoldsAll(a.disc.holds()),
		Held: !mine && !a.planner.Free(own.Planner), Mine: mine,
	})
	switch act {
	case roots.Pass:
		return nil
	case roots.End:
		return a.planner.Give(ctx)
	case roots.Begin:
		err := a.planner.Take(ctx, own.Planner)
		switch {
		case errors.Is(err, store.ErrPartConflict):
			return nil // another node was faster
		case errors.Is(err, rpctypes.ErrPermissionDenied): // the manager is of a version without this key: all plan, as they did
		case err != nil:
			return err
		}
	}
	r.Plans = true
	err := a.planForAll(ctx, now, r)
	a.turn.Planned(mono, err == nil && r.Refusal == nil && a.disc.plan.HoldsAll(a.disc.holds()))
	if errors.Is(err, store.ErrConflict) {
		err = nil // an operator was faster; the next round sees the plan
	}
	return err
}

// planForAll reads what all nodes show, and does what follows for them.
func (a *Agent) planForAll(ctx context.Context, now time.Time, r *Report) error {
	snap, err := a.store.Read(ctx)
	if err != nil {
		return err
	}
	r.Bad = append(r.Bad, snap.Bad...)
	if err := a.sealMissing(ctx, snap, r); err != nil {
		return err
	}
	return a.plan(ctx, snap, now, r)
}

// learn returns what the disc shall have: the plan that was read and the secrets of its
// roots.
func (a *Agent) learn(own *store.Own) (kept, []store.Bad) {
	boxes := map[roots.ID][]byte{}
	for _, s := range own.Seals {
		boxes[s.Root] = s.Box
	}
	bad := own.Bad
	next := kept{plan: own.Plan, secrets: map[roots.ID]secret{}, drained: own.Node.Drain != ""}
	for _, r := range own.Plan.Roots {
		if s, ok := a.disc.secrets[r.ID]; ok {
			next.secrets[r.ID] = s
		} else if box, ok := boxes[r.ID]; ok {
			s, err := a.cfg.Key.Open(r.ID, box)
			if err != nil {
				bad = append(bad, store.Bad{Key: "seal of " + r.ID.String(), Err: err})
				continue
			}
			next.secrets[r.ID] = s
		}
	}
	return next, bad
}

// keep brings the copy and the key file to the disc. Only then they count.
func (a *Agent) keep(next kept, read time.Time) error {
	var err error
	if next.plan.Version != a.disc.plan.Version || next.drained != a.disc.drained || !maps.Equal(next.secrets, a.disc.secrets) {
		if err = next.write(a.cfg.Copy); err == nil {
			err = a.writeKeys(next)
		}
	} else {
		err = a.writeKeys(next) // an operator may have removed it
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.drained = a.drained || next.drained // one that is lifted lets the node serve by a plan that the disc does not have
		return fmt.Errorf("keep secrets: %w", err)
	}
	a.disc, a.drained, a.confirmed = next, next.drained, read
	return nil
}

// writeKeys writes ntsserve's key file if it has another content. Without a root that
// has a since there is nothing to write.
func (a *Agent) writeKeys(k kept) error {
	var list []nts.RootSecret
	for _, r := range k.plan.Scheduled() {
		if s, ok := k.secrets[r.ID]; ok {
			list = append(list, nts.RootSecret{Since: time.Unix(r.Since, 0), Secret: s})
		}
	}
	if len(list) == 0 {
		return nil
	}
	b, err := nts.FormatKeyFile(list)
	if err != nil {
		return err
	}
	if has, mode, err := durable.ReadFile(a.cfg.KeyFile, maxKeyFile); err == nil && mode.Perm() == 0o600 && bytes.Equal(has, b) {
		return nil
	}
	return durable.WriteFile(a.cfg.KeyFile, b, 0o600, true)
}

func (a *Agent) record(now time.Time, untrusted error) store.Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	return store.Record{
		Clock: now.Unix(), Trusted: untrusted == nil, Holds: a.disc.holds(), Plan: a.disc.plan.Version,
		State: a.readiness(now, untrusted).Word(), Rotates: true,
	}
}

// sealMissing seals the roots that this node holds to the nodes that lack them: those
// that have joined later.
func (a *Agent) sealMissing(ctx context.Context, snap *store.Snapshot, r *Report) error {
	missing, err := a.store.Missing(ctx, snap)
	if err != nil {
		return err
	}
	var seals []store.Seal
	for _, w := range missing {
		s, ok := a.disc.secrets[w.Root]
		if !ok {
			continue
		}
		box, err := seal.Seal(w.Key, &s)
		if err != nil {
			r.Bad = append(r.Bad, store.Bad{Key: "node/" + w.Node, Err: err})
			continue
		}
		seals = append(seals, store.Seal{Node: w.Node, Root: w.Root, Box: box})
	}
	r.Sealed = len(seals)
	return a.store.PutSeals(ctx, seals)
}

// plan decides and writes.
func (a *Agent) plan(ctx context.Context, snap *store.Snapshot, now time.Time, r *Report) error {
	d, err := roots.Step(snap.Plan, roots.View{Self: a.cfg.Node, Now: now, Nodes: snap.View()})
	if err != nil {
		r.Refusal = err
		return nil
	}
	change := store.Change{Plan: d.Plan, Drain: d.Drain}
	swept := false
	for _, e := range d.Events {
		if e.Kind == roots.Waits {
			r.Decided = append(r.Decided, e)
			continue
		}
		swept = swept || e.Kind == roots.Removed || e.Kind == roots.Revoked || e.Kind == roots.Abandoned || e.Kind == roots.Replaced
		change.Audit = append(change.Audit, store.Entry{Time: now, Node: a.cfg.Node, Action: e.Kind.String(), Detail: detail(e)})
	}
	switch {
	case d.Changed || len(d.Drain) > 0:
		if err := a.store.Commit(ctx, snap, change); err != nil {
			return err
		}
		r.Decided = d.Events
		if swept {
			return a.sweep(ctx)
		}
	case d.Draw > 0:
		return a.draw(ctx, snap, now, d.Draw, r)
	}
	return nil
}

func detail(e roots.Event) string {
	switch e.Kind {
	case roots.Activated:
		return fmt.Sprintf("root %v begins %s", e.Root, time.Unix(e.Since, 0).UTC().Format(time.RFC3339))
	case roots.Rotated:
		return fmt.Sprintf("with root %v, which begins %s", e.Root, time.Unix(e.Since, 0).UTC().Format(time.RFC3339))
	case roots.EarlyAllowed:
		return "new roots may begin from " + time.Unix(e.Since, 0).UTC().Format(time.RFC3339)
	case roots.Laggard:
		return fmt.Sprintf("node %s lacks root %v", e.Node, e.Root)
	case roots.EarlyWithdrawn, roots.GivenUp:
		return "not all nodes have confirmed it in time"
	}
	return "root " + e.Root.String()
}

// sweep deletes the seals of roots that the new plan does not have.
func (a *Agent) sweep(ctx context.Context) error {
	snap, err := a.store.Read(ctx)
	if err != nil {
		return err
	}
	_, err = a.store.Sweep(ctx, snap)
	return err
}

// maxDrawn limits the seals that one round writes, so that a slow disc of etcd takes them
// within the time of a round: 20 transactions.
const maxDrawn = 2000

// draw draws secrets, seals them to every node, and then adds them to the plan. This
// node gets them from its own seal, like all others. A large fleet gets its roots in
// several rounds.
func (a *Agent) draw(ctx context.Context, snap *store.Snapshot, now time.Time, n int, r *Report) error {
	n = min(n, max(maxDrawn/max(len(snap.Nodes), 1), 1))
	var ids []roots.ID
	var seals []store.Seal
	for range n {
		var s secret
		rand.Read(s[:])
		id := roots.Fingerprint(&s)
		ids = append(ids, id)
		for _, node := range snap.Nodes {
			box, err := seal.Seal(node.Key, &s)
			if err != nil {
				r.Bad = append(r.Bad, store.Bad{Key: "node/" + node.Name, Err: err})
				continue
			}
			seals = append(seals, store.Seal{Node: node.Name, Root: id, Box: box})
		}
	}
	if err := a.store.PutSeals(ctx, seals); err != nil {
		return err
	}
	e := store.Entry{Time: now, Node: a.cfg.Node, Action: "drawn", Detail: fmt.Sprintf("%d roots", n)}
	if err := a.store.Commit(ctx, snap, store.Change{Plan: snap.Plan.Add(now, ids...), Audit: []store.Entry{e}}); err != nil {
		return err
	}
	r.Drawn = n
	return nil
}
