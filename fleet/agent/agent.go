// Package agent keeps one node of a fleet: it reads the plan and the node's seals from
// etcd, writes the key file that ntsserve re-reads, acknowledges what is on the disc,
// seals roots to nodes that lack them, and plans if its clock may be trusted. It logs
// nothing: each round returns a Report.
package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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

	mu        sync.Mutex // guards the rest
	disc      kept
	confirmed time.Time // when etcd last confirmed that the plan on disc is the present one
	drained   bool      // as etcd said last
}

// Report is the result of one round.
type Report struct {
	Readiness roots.Readiness
	Refusal   error         // why this node may not plan: a roots.Refusal; nil: it may
	Clock     error         // why the clock is not trusted
	Disc      error         // what could not be written; the node acknowledges nothing new
	Decided   []roots.Event // what this node has written, and for whom roots wait
	Drawn     int           // secrets that it has drawn
	Sealed    int           // secrets that it has sealed to others
	Bad       []store.Bad   // values in etcd that were refused
	Revision  int64         // of etcd
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

// Run makes rounds until ctx ends: at once after a change in etcd, else every
// Config.Every. observe gets each result. Without etcd it repeats with growing delays.
func (a *Agent) Run(ctx context.Context, observe func(Report, error)) error {
	var failed retry.Backoff
	for ctx.Err() == nil {
		r, err := a.Round(ctx)
		observe(r, err)
		if err != nil {
			retry.Sleep(ctx, failed.Next())
			continue
		}
		failed.Reset()
		wait, stop := context.WithTimeout(ctx, a.every())
		if err := a.store.Wait(wait, a.cfg.Node, r.Revision); err != nil {
			<-wait.Done() // etcd is gone or nothing has changed: the next round sees which
		}
		stop()
	}
	return ctx.Err()
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
	snap, err := a.store.Read(ctx)
	if err != nil {
		return r, err
	}
	r.Revision, r.Bad = snap.Revision, snap.Bad
	self := snap.Node(a.cfg.Node)
	if self == nil {
		return r, fmt.Errorf("node %s: %w", a.cfg.Node, store.ErrNoNode)
	}
	if self.Key != a.cfg.Key.Public() {
		return r, fmt.Errorf("node %s: %w", a.cfg.Node, store.ErrNameTaken)
	}
	next, bad, err := a.learn(ctx, snap)
	r.Bad = append(r.Bad, bad...)
	if err != nil {
		return r, err
	}
	r.Disc = a.keep(next, now)
	record := a.record(now, untrusted)
	if err := a.presence.Show(ctx, record); err != nil {
		return r, err
	}
	self.Live, self.Record = true, record
	if err := a.sealMissing(ctx, snap, &r); err != nil {
		return r, err
	}
	err = a.plan(ctx, snap, now, &r)
	if errors.Is(err, store.ErrConflict) {
		err = nil // another node was faster; the next round sees its plan
	}
	return r, err
}

// learn returns what the disc shall have: the plan of the snapshot and the secrets of
// its roots.
func (a *Agent) learn(ctx context.Context, snap *store.Snapshot) (kept, []store.Bad, error) {
	seals, bad, err := a.store.Seals(ctx, a.cfg.Node)
	if err != nil {
		return kept{}, bad, err
	}
	boxes := map[roots.ID][]byte{}
	for _, s := range seals {
		boxes[s.Root] = s.Box
	}
	next := kept{plan: snap.Plan, secrets: map[roots.ID]secret{}, drained: snap.Node(a.cfg.Node).Drain != ""}
	for _, r := range snap.Plan.Roots {
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
	return next, bad, nil
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
	a.drained = next.drained // also if the disc does not take it
	if err != nil {
		return fmt.Errorf("keep secrets: %w", err)
	}
	a.disc, a.confirmed = next, read
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
		State: a.readiness(now, untrusted).Word(),
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
		swept = swept || e.Kind == roots.Removed || e.Kind == roots.Revoked || e.Kind == roots.Abandoned
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
	case roots.Laggard:
		return fmt.Sprintf("node %s lacks root %v", e.Node, e.Root)
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

// draw draws secrets, seals them to every node, and then adds them to the plan. This
// node gets them from its own seal, like all others.
func (a *Agent) draw(ctx context.Context, snap *store.Snapshot, now time.Time, n int, r *Report) error {
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
