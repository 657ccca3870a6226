package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/store"
	"noonmark/internal/retry"
)

// PartName is the part of the keys of a fleet that this package keeps.
//
//	health/at/NODE Record of a node, under its lease
//	health/up/NODE exists while the node is announced, under the same lease
//	health/target/NODE its Config.Metrics, which remain when the node is gone
const PartName = "health"

// Record is what a node shows of itself. Its JSON keys only grow.
type Record struct {
	Healthy   bool     `json:"healthy"`
	Announced bool     `json:"announced"`
	Kept      bool     `json:"kept,omitempty"` // it is not healthy, and the last one
	Reasons   []string `json:"reasons,omitempty"`
	State     string   `json:"state"`
	BoundNS   *int64   `json:"bound_ns"` // null: there is none
	Stratum   int      `json:"stratum"`
	Load      float64  `json:"load"` // requests a second
	NTSKE     string   `json:"nts_ke,omitempty"`
}

// Config is one node.
type Config struct {
	Node    string
	NTSKE   string                 // where others reach its NTS-KE, HOST:PORT; empty: it is no witness
	Metrics []string               // where Prometheus reaches its metrics, HOST:PORT each
	More    []prometheus.Collector // further metrics of this node
	Limits  Limits

	// Facts examines the node; that is Local.Facts with what the agent knows.
	Facts func(ctx context.Context) Facts
	Mono  func() time.Duration // a monotonic clock
	Now   func() time.Time     // for the audit record

	TTL     time.Duration // of the lease; 0 = 30 s
	Timeout time.Duration // for etcd; 0 = 3 s
}

const (
	defaultTTL     = 30 * time.Second
	defaultTimeout = 3 * time.Second
	// staleAfter is how long a verdict holds. A round takes a few seconds at most, also
	// without etcd.
	staleAfter = time.Minute
	maxRecord  = 8 << 10 // octets
)

// Entry is a node with its record.
type Entry struct {
	Name    string
	Live    bool // it has a record
	Drained bool
	Up      bool // it is announced
	Metrics []string
	Record  Record
}

// Result is what one round found.
type Result struct {
	Verdict Verdict
	Facts   Facts
	Record  Record
	Others  int     // announced nodes besides this one; negative: not known
	Nodes   []Entry // the last that were read
	Etcd    error
	Bad     []store.Bad
	at      time.Duration
}

// Keeper decides for one node. Round is for one goroutine; the rest may be called from
// any.
type Keeper struct {
	cfg    Config
	store  *store.Store
	part   *store.Part
	lease  clientv3.LeaseID
	listed bool // the targets are in etcd

	mu      sync.Mutex // guards the rest
	last    *Result
	rounds  uint64
	failed  uint64 // rounds without etcd
	refused map[string]uint64
}

// New returns the keeper of a node. Before its first round it is not announced.
func New(s *store.Store, c Config) *Keeper {
	if c.TTL == 0 {
		c.TTL = defaultTTL
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return &Keeper{cfg: c, store: s, part: s.Part(PartName), refused: map[string]uint64{}}
}

// Round examines the node once and decides. Without etcd a node that is announced stays
// so, unless the reason is firm.
func (k *Keeper) Round(ctx context.Context) Result {
	r := Result{Facts: k.cfg.Facts(ctx), Others: -1, at: k.cfg.Mono()}
	problems := Judge(r.Facts, k.cfg.Limits)
	was := k.Last()
	announced := was != nil && was.Verdict.Announce
	if was != nil {
		r.Nodes = was.Nodes
	}
	ctx, stop := context.WithTimeout(ctx, k.cfg.Timeout)
	defer stop()
	r.Etcd = k.read(ctx, &r)
	r.Verdict = Decide(problems, r.Facts.Drained, r.Others, announced)
	k.describe(&r, was)
	if r.Etcd == nil {
		r.Etcd = errors.Join(k.write(ctx, &r), k.list(ctx), k.drain(ctx, &r))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = &r
	k.rounds++
	if r.Etcd != nil {
		k.failed++
	}
	return r
}

// every is the time between two rounds of Run.
const every = 5 * time.Second

// Run makes rounds until ctx ends, then withdraws the node. observe gets each result.
func (k *Keeper) Run(ctx context.Context, observe func(Result)) error {
	for ctx.Err() == nil {
		observe(k.Round(ctx))
		retry.Sleep(ctx, every)
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), k.cfg.Timeout)
	defer stop()
	return errors.Join(ctx.Err(), k.Leave(last))
}

// Last is the result of the last round, nil before the first.
func (k *Keeper) Last() *Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

func (k *Keeper) read(ctx context.Context, r *Result) error {
	nodes, bad, err := Read(ctx, k.store)
	if err != nil {
		return err
	}
	r.Nodes, r.Bad, r.Others = nodes, bad, 0
	for _, e := range nodes {
		switch {
		case e.Name == k.cfg.Node:
			r.Facts.Drained = r.Facts.Drained || e.Drained
		case e.Up:
			r.Others++
		}
	}
	return nil
}

// Read returns all registered nodes with what they show, in the order of their names, and
// the values that were refused.
func Read(ctx context.Context, s *store.Store) (nodes []Entry, bad []store.Bad, err error) {
	snap, err := s.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	part := s.Part(PartName)
	got, err := part.Client().Txn(ctx).Then(
		clientv3.OpGet(part.Key("at", ""), clientv3.WithPrefix(), clientv3.WithLimit(store.MaxNodes)),
		clientv3.OpGet(part.Key("up", ""), clientv3.WithPrefix(), clientv3.WithLimit(store.MaxNodes), clientv3.WithKeysOnly()),
		clientv3.OpGet(part.Key("target", ""), clientv3.WithPrefix(), clientv3.WithLimit(store.MaxNodes)),
	).Commit()
	if err != nil {
		return nil, nil, fmt.Errorf("read health: %w", err)
	}
	for _, n := range snap.Nodes {
		nodes = append(nodes, Entry{Name: n.Name, Drained: n.Drain != ""})
	}
	entry := func(key []byte, kind string) *Entry {
		name := strings.TrimPrefix(string(key), part.Key(kind, ""))
		i := slices.IndexFunc(nodes, func(e Entry) bool { return e.Name == name })
		if i < 0 {
			return &Entry{} // it was removed
		}
		return &nodes[i]
	}
	for _, kv := range got.Responses[0].GetResponseRange().Kvs {
		e := entry(kv.Key, "at")
		e.Live = true
		if err := json.Unmarshal(kv.Value, &e.Record); err != nil || len(kv.Value) > maxRecord {
			e.Record = Record{}
			bad = append(bad, store.Bad{Key: string(kv.Key), Err: fmt.Errorf("record of %d octets is damaged: %w", len(kv.Value), err)})
		}
	}
	for _, kv := range got.Responses[1].GetResponseRange().Kvs {
		entry(kv.Key, "up").Up = true
	}
	for _, kv := range got.Responses[2].GetResponseRange().Kvs {
		e := entry(kv.Key, "target")
		if err := json.Unmarshal(kv.Value, &e.Metrics); err != nil || len(kv.Value) > maxRecord {
			e.Metrics = nil
			bad = append(bad, store.Bad{Key: string(kv.Key), Err: fmt.Errorf("targets of %d octets are damaged: %w", len(kv.Value), err)})
		}
	}
	return nodes, bad, nil
}

// describe fills the record.
func (k *Keeper) describe(r *Result, was *Result) {
	rec := Record{Healthy: r.Verdict.Healthy, Announced: r.Verdict.Announce, Kept: r.Verdict.Kept, State: r.Facts.State, Stratum: r.Facts.Stratum, NTSKE: k.cfg.NTSKE}
	for _, p := range r.Verdict.Problems {
		rec.Reasons = append(rec.Reasons, p.String())
	}
	if r.Facts.Bound >= 0 {
		ns := int64(r.Facts.Bound)
		rec.BoundNS = &ns
	}
	if was != nil && r.at > was.at {
		rec.Load = float64(r.Facts.Asked) / (r.at - was.at).Seconds()
	}
	r.Record = rec
}

// write announces or withdraws the node. A withdrawal that is not firm is a transaction
// with the condition that another node is announced: of two that would withdraw at once,
// one stays.
func (k *Keeper) write(ctx context.Context, r *Result) error {
	err := k.put(ctx, r)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		k.lease = clientv3.NoLease
		err = k.put(ctx, r)
	}
	return err
}

func (k *Keeper) put(ctx context.Context, r *Result) error {
	if k.lease == clientv3.NoLease {
		g, err := k.part.Client().Grant(ctx, int64(k.cfg.TTL/time.Second))
		if err != nil {
			return fmt.Errorf("get lease: %w", err)
		}
		k.lease = g.ID
	} else if _, err := k.part.Client().KeepAliveOnce(ctx, k.lease); err != nil {
		return fmt.Errorf("keep lease: %w", err)
	}
	up := k.part.Key("up", k.cfg.Node)
	if !r.Verdict.Announce {
		conditions := k.anotherIsUp(r)
		err := k.part.Commit(ctx, store.Entry{}, conditions, clientv3.OpDelete(up), k.show(r))
		if !errors.Is(err, store.ErrPartConflict) {
			return err
		}
		// The other one was faster: this node is the last, until the next round.
		r.Verdict.Announce, r.Verdict.Kept = true, true
		r.Record.Announced, r.Record.Kept = true, true
	}
	return k.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(up, "", clientv3.WithLease(k.lease)), k.show(r))
}

// list writes the targets once.
func (k *Keeper) list(ctx context.Context) error {
	if k.listed {
		return nil
	}
	b, err := json.Marshal(k.cfg.Metrics)
	if err == nil {
		err = k.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(k.part.Key("target", k.cfg.Node), string(b)))
	}
	k.listed = err == nil
	return err
}

// drain drains this node if its time deviates. Only an operator undrains it.
func (k *Keeper) drain(ctx context.Context, r *Result) error {
	if r.Facts.Deviates == "" || r.Facts.Drained {
		return nil
	}
	why := "deviates: " + r.Facts.Deviates
	return k.store.Drain(ctx, k.cfg.Node, why, store.Entry{Time: k.cfg.Now(), Node: k.cfg.Node, Action: "drain", Detail: why})
}

// anotherIsUp is the condition of a withdrawal; none if it is firm, or if the node is
// withdrawn already: else one would come back because another withdraws at the same time.
func (k *Keeper) anotherIsUp(r *Result) []clientv3.Cmp {
	free := r.Facts.Drained || !slices.ContainsFunc(r.Nodes, func(e Entry) bool { return e.Up && e.Name == k.cfg.Node })
	for _, p := range r.Verdict.Problems {
		free = free || p.Reason.Firm()
	}
	for _, e := range r.Nodes {
		if e.Up && e.Name != k.cfg.Node && !free {
			return []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(k.part.Key("up", e.Name)), ">", 0)}
		}
	}
	return nil
}

func (k *Keeper) show(r *Result) clientv3.Op {
	b, err := json.Marshal(r.Record)
	if err != nil {
		b = nil // impossible: numbers and texts
	}
	return clientv3.OpPut(k.part.Key("at", k.cfg.Node), string(b), clientv3.WithLease(k.lease))
}

// Leave withdraws the node and removes its record, for an orderly end.
func (k *Keeper) Leave(ctx context.Context) error {
	if k.lease == clientv3.NoLease {
		return nil
	}
	_, err := k.part.Client().Revoke(ctx, k.lease)
	k.lease = clientv3.NoLease
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// Witnesses are the peers that this node shall ask, from the last list of nodes that was
// read. Drained nodes and those whose time is doubted are none.
func (r *Result) Witnesses(self string) []Peer {
	var list []Peer
	for _, e := range r.Nodes {
		switch {
		case e.Name == self:
			list = append(list, Peer{Name: self})
		case e.Live && !e.Drained && e.Record.Healthy:
			list = append(list, Peer{e.Name, e.Record.NTSKE})
		}
	}
	return Peers(self, list)
}
