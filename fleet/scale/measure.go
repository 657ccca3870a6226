package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/access"
	"noonmark/fleet/agent"
	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/retry"
)

// fleetName is the fleet of a run.
const fleetName = "scale"

// result is what one run has measured.
type result struct {
	agents  int
	settled time.Duration // from the start of all agents until all hold the first roots
	early   int64         // rounds until then
	failed  int64         // of them; see site.errors
	cpuEtcd float64       // s, of etcd until then
	reasons []string      // of failed rounds, of all parts

	// A second, after that.
	rounds, puts, sent, received, syncs float64
	etcd, nodes                         float64 // processors
	failures                            int64
	syncTime                            float64 // s, of one
	leases                              int
	keys, watchers, database            float64
}

// site is the fleet of a run.
type site struct {
	dir    string
	etcd   *etcd
	admin  *clientv3.Client
	store  *store.Store
	nodes  []*node
	rounds atomic.Int64
	failed atomic.Int64

	mu      sync.Mutex
	reasons map[string]bool
}

// node is one node, with what noonmark-fleet run runs on it, and a connection of its own.
type node struct {
	agent  *agent.Agent
	health *health.Keeper
	config *rollout.Keeper
}

// measure runs a fleet of n nodes.
func measure(ctx context.Context, n int, span time.Duration, dir string) (*result, error) {
	dir, err := os.MkdirTemp(dir, "noonmark-scale")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := &site{dir: dir, reasons: map[string]bool{}}
	if s.etcd, err = startEtcd(filepath.Join(dir, "etcd")); err != nil {
		return nil, err
	}
	defer s.etcd.stop()
	if s.admin, s.store, err = s.connect(); err != nil {
		return nil, err
	}
	defer s.admin.Close()
	if err := s.found(ctx, n); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	before, err := s.etcd.counts()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for _, x := range s.nodes {
		s.run(ctx, x, &all)
	}
	r := &result{agents: n}
	if err := s.settle(ctx, begun); err != nil {
		return nil, err
	}
	r.settled, r.early, r.failed = time.Since(begun), s.rounds.Load(), s.failed.Load()
	after, err := s.etcd.counts()
	if err != nil {
		return nil, err
	}
	r.cpuEtcd = after.CPU - before.CPU
	return r, s.count(ctx, r, span)
}

func (s *site) connect() (*clientv3.Client, *store.Store, error) {
	c, err := access.Connect([]string{"http://" + s.etcd.endpoint}, nil)
	if err != nil {
		return nil, nil, err
	}
	of, err := store.New(c, fleetName)
	return c, of, err
}

// found makes the fleet and its nodes. They do not run yet.
func (s *site) found(ctx context.Context, n int) error {
	entry := store.Entry{Time: time.Now(), Node: "root", Action: "scale"}
	p, err := roots.New(roots.Defaults(), time.Now())
	if err != nil {
		return err
	}
	if err := s.store.Init(ctx, p, entry); err != nil {
		return err
	}
	begun := time.Now()
	for i := range n {
		name := fmt.Sprintf("n%04d", i)
		dir := filepath.Join(s.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		key := seal.Generate()
		if err := s.store.Register(ctx, name, key.Public(), entry); err != nil {
			return err
		}
		_, own, err := s.connect()
		if err != nil {
			return err
		}
		x := &node{}
		mono := func() time.Duration { return time.Since(begun) }
		if x.agent, err = agent.New(own, agent.Config{
			Node: name, Key: key, Copy: filepath.Join(dir, "copy"), KeyFile: filepath.Join(dir, "keys"), Clock: func() (time.Time, error) { return time.Now(), nil },
		}); err != nil {
			return err
		}
		x.health = health.New(own, health.Config{Node: name, Metrics: []string{"192.0.2.1:9123"}, Facts: facts, Mono: mono})
		if x.config, err = rollout.New(rollout.Of(own), rollout.Config{
			Node: name, State: filepath.Join(dir, "state"), Health: func() []string { return nil }, Mono: mono, Now: time.Now,
		}); err != nil {
			return err
		}
		s.nodes = append(s.nodes, x)
	}
	return nil
}

// facts are those of a healthy node, whose figures change.
func facts(context.Context) health.Facts {
	return health.Facts{
		State: "locked, pulses agree", Usable: true, Bound: time.Duration(100 + rand.IntN(50)), Stratum: 1, Synced: true, Asked: uint64(rand.IntN(50_000)),
	}
}

// run lets a node run until ctx ends.
func (s *site) run(ctx context.Context, x *node, all *sync.WaitGroup) {
	observe := func(err error) {
		s.rounds.Add(1)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.failed.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.reasons) < 5 {
			s.reasons[err.Error()] = true
		}
	}
	all.Go(func() { x.agent.Run(ctx, func(_ agent.Report, err error) { observe(err) }) })
	all.Go(func() { x.health.Run(ctx, func(r health.Result) { observe(r.Etcd) }) })
	all.Go(func() { x.config.Run(ctx, func(_ rollout.Result, err error) { observe(err) }) })
}

// settle waits until every node shows that it holds every root, and every root has its
// since.
func (s *site) settle(ctx context.Context, begun time.Time) error {
	for ctx.Err() == nil {
		retry.Sleep(ctx, 500*time.Millisecond)
		snap, err := s.store.Read(ctx)
		if err != nil {
			return err
		}
		settled := len(snap.Plan.Scheduled()) > 0 && len(snap.Plan.Waiting()) == 0
		for _, n := range snap.Nodes {
			settled = settled && len(n.Record.Holds) == len(snap.Plan.Roots) && n.Record.State == roots.Serves.Word()
		}
		if settled {
			return nil
		}
		if time.Since(begun) > settleLimit {
			return fmt.Errorf("after %v not all hold all roots; failed rounds: %v", settleLimit, s.why())
		}
	}
	return ctx.Err()
}

func (s *site) why() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := range s.reasons {
		list = append(list, text)
	}
	return list
}

// count counts what happens in a span.
func (s *site) count(ctx context.Context, r *result, span time.Duration) error {
	first, err := s.etcd.counts()
	if err != nil {
		return err
	}
	own, err := cpu()
	if err != nil {
		return err
	}
	begun, rounds, failed := time.Now(), s.rounds.Load(), s.failed.Load()
	retry.Sleep(ctx, span)
	last, err := s.etcd.counts()
	if err != nil {
		return err
	}
	spent, err := cpu()
	if err != nil {
		return err
	}
	d := time.Since(begun).Seconds()
	r.rounds, r.failures = float64(s.rounds.Load()-rounds)/d, s.failed.Load()-failed
	r.puts, r.sent, r.received, r.syncs = (last.Puts-first.Puts)/d, (last.Sent-first.Sent)/d, (last.Received-first.Received)/d, (last.Syncs-first.Syncs)/d
	r.etcd, r.nodes = (last.CPU-first.CPU)/d, (spent-own)/d
	r.syncTime = (last.SyncTime - first.SyncTime) / max(last.Syncs-first.Syncs, 1)
	r.keys, r.watchers, r.database, r.reasons = last.Keys, last.Watchers, last.Database, s.why()
	leases, err := s.admin.Leases(ctx)
	if err != nil {
		return err
	}
	r.leases = len(leases.Leases)
	return ctx.Err()
}
