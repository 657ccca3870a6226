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
	Load      float64  `json:"load"`               // requests a second
	NTSKE     string   `json:"nts_ke,omitempty"`   // where its NTS-KE alone is reached, HOST:PORT; empty: it is no witness
	NTSName   string   `json:"nts_name,omitempty"` // the name in its certificate
	NTP       string   `json:"ntp,omitempty"`      // where its NTP alone is reached, HOST:PORT
}

// Config is one node.
type Config struct {
	Node    string
	Reached func() Peer            // where others reach it; nil, or no address: it is no witness
	Metrics []string               // where Prometheus reaches its metrics, HOST:PORT each
	More    []prometheus.Collector // further metrics of this node
	Limits  Limits

	// Facts examines the node; that is Local.Facts with what the agent knows.
	Facts func(ctx context.Context) Facts
	Mono  func() time.Duration // a monotonic clock

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
	Counts  Counts  // as they were read last
	Nodes   []Entry // the last list that was read; see Keeper.WantNodes
	Etcd    error
	Bad     []store.Bad // of that list
	at      time.Duration

	up      bool   // etcd has this node as announced
	another string // a node that etcd has as announced
}

// Counts are the registered nodes by state.
type Counts struct{ Announced, Withdrawn, Drained, Gone int64 }

// Keeper decides for one node. Round is for one goroutine; the rest may be called from
// any.
type Keeper struct {
	cfg    Config
	store  *store.Store
	part   *store.Part
	lease  *store.Lease
	listed bool          // the targets are in etcd
	shown  time.Duration // when the record was written

	mu      sync.Mutex // guards the rest
	last    *Result
	wanted  time.Duration // until when somebody wants the list of nodes
	read    time.Duration // when it was read
	counted time.Duration // when the nodes were counted
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
	return &Keeper{
		cfg: c, store: s, part: s.Part(PartName), lease: s.NewLease(c.TTL), refused: map[string]uint64{},
		shown: never, wanted: never, read: never, counted: never,
	}
}

// Round examines the node once and decides. Without etcd a node that is announced stays
// so, unless the reason is firm.
func (k *Keeper) Round(ctx context.Context) Result {
	r := Result{Facts: k.cfg.Facts(ctx), Others: -1, at: k.cfg.Mono()}
	problems := Judge(r.Facts, k.cfg.Limits)
	was := k.Last()
	announced := was != nil && was.Verdict.Announce
	if was != nil {
		r.Nodes, r.Counts, r.Bad = was.Nodes, was.Counts, was.Bad
	}
	ctx, stop := context.WithTimeout(ctx, k.cfg.Timeout)
	defer stop()
	r.Etcd = k.look(ctx, &r)
	r.Verdict = Decide(problems, r.Facts.Drained, r.Others, announced)
	k.describe(&r, was)
	if r.Etcd == nil {
		r.Etcd = errors.Join(k.write(ctx, &r), k.list(ctx), k.readMore(ctx, &r))
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

const (
	// every is the time between two rounds of Run.
	every = 5 * time.Second
	// showEvery is the time between two records whose verdict is the same. The lease lasts
	// three of them.
	showEvery = 10 * time.Second
)

// Run makes rounds until ctx ends, then withdraws the node. observe gets each result.
func (k *Keeper) Run(ctx context.Context, observe func(Result)) error {
	retry.Stagger(ctx)
	wait := retry.Jitter(every) // nodes that started at once do not go on at once
	for ctx.Err() == nil {
		observe(k.Round(ctx))
		retry.Sleep(ctx, wait)
		wait = every
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

// Times of what is not needed to decide.
const (
	// listEvery is how old the list of nodes may become while somebody wants it, listFor how
	// long a wish lasts: longer than Prometheus waits between two looks at its targets.
	listEvery = 30 * time.Second
	listFor   = 5 * time.Minute
	// countEvery is the time between two counts for the metrics.
	countEvery = time.Minute
	// never is long before the monotonic clock began.
	never = -1 << 62
	// maxDrained limits of how many drained nodes the counts find out whether they are live.
	maxDrained = 100
)

// WantNodes asks for Result.Nodes, which is read in the rounds of the next minutes. What
// etcd sends for it grows with the number of nodes, and most nodes need no list.
func (k *Keeper) WantNodes() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = k.cfg.Mono() + listFor
}

// look reads what the verdict needs: whether this node is drained, and whether another one
// is announced.
func (k *Keeper) look(ctx context.Context, r *Result) error {
	self := k.part.Key("up", k.cfg.Node)
	got, err := k.part.Client().Txn(ctx).Then(
		clientv3.OpGet(k.store.DrainKey(k.cfg.Node), clientv3.WithCountOnly()), clientv3.OpGet(self, clientv3.WithCountOnly()),
		// One of two is not this node.
		clientv3.OpGet(k.part.Key("up", ""), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(2)),
	).Commit()
	if err != nil {
		return fmt.Errorf("read health: %w", err)
	}
	count := func(i int) int64 { return got.Responses[i].GetResponseRange().Count }
	r.Facts.Drained = r.Facts.Drained || count(0) > 0
	r.up = count(1) > 0
	r.Others = int(count(2) - count(1))
	for _, kv := range got.Responses[2].GetResponseRange().Kvs {
		if string(kv.Key) != self {
			r.another = strings.TrimPrefix(string(kv.Key), k.part.Key("up", ""))
		}
	}
	return nil
}

// readMore reads what others want to know from this node.
func (k *Keeper) readMore(ctx context.Context, r *Result) error {
	k.mu.Lock()
	list := r.at <= k.wanted && r.at-k.read >= listEvery
	counts := r.at-k.counted >= countEvery
	k.mu.Unlock()
	var errs []error
	if list {
		errs = append(errs, k.readNodes(ctx, r))
	}
	if counts {
		errs = append(errs, k.count(ctx, r))
	}
	return errors.Join(errs...)
}

func (k *Keeper) readNodes(ctx context.Context, r *Result) (err error) {
	if r.Nodes, r.Bad, err = Read(ctx, k.store); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read = r.at
	return nil
}

// count counts the nodes by state. Only of those that are drained it asks for each whether
// it is live: they are few.
func (k *Keeper) count(ctx context.Context, r *Result) error {
	number := func(key string) clientv3.Op {
		return clientv3.OpGet(key, clientv3.WithPrefix(), clientv3.WithCountOnly())
	}
	got, err := k.part.Client().Txn(ctx).Then(
		number(k.store.NodeKey("")), number(k.part.Key("at", "")), number(k.part.Key("up", "")),
		clientv3.OpGet(k.store.DrainKey(""), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(maxDrained)),
	).Commit()
	if err != nil {
		return fmt.Errorf("count nodes: %w", err)
	}
	n := func(i int) int64 { return got.Responses[i].GetResponseRange().Count }
	live, up := n(1), n(2)
	var ops []clientv3.Op
	for _, kv := range got.Responses[3].GetResponseRange().Kvs {
		name := strings.TrimPrefix(string(kv.Key), k.store.DrainKey(""))
		ops = append(ops, clientv3.OpGet(k.part.Key("at", name), clientv3.WithCountOnly()), clientv3.OpGet(k.part.Key("up", name), clientv3.WithCountOnly()))
	}
	for part := range slices.Chunk(ops, maxDrained) {
		got, err := k.part.Client().Txn(ctx).Then(part...).Commit()
		if err != nil {
			return fmt.Errorf("count nodes: %w", err)
		}
		for i, x := range got.Responses {
			if i%2 == 0 {
				live -= x.GetResponseRange().Count
			} else {
				up -= x.GetResponseRange().Count
			}
		}
	}
	r.Counts = Counts{Announced: up, Withdrawn: max(live-up, 0), Drained: n(3), Gone: max(n(0)-n(3)-live, 0)}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counted = r.at
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
	rec := Record{Healthy: r.Verdict.Healthy, Announced: r.Verdict.Announce, Kept: r.Verdict.Kept, State: r.Facts.State, Stratum: r.Facts.Stratum}
	if k.cfg.Reached != nil {
		p := k.cfg.Reached()
		rec.NTSKE, rec.NTSName, rec.NTP = p.Address, p.TLS, p.NTP
	}
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
	if was := k.Last(); was != nil && r.at-k.shown < showEvery && r.up == r.Verdict.Announce && r.Record.sameVerdict(was.Record) {
		return nil
	}
	err := k.put(ctx, r)
	if err == nil {
		k.shown = r.at
	}
	return err
}

// sameVerdict reports whether two records differ in figures only.
func (r Record) sameVerdict(x Record) bool {
	return r.Healthy == x.Healthy && r.Announced == x.Announced && r.Kept == x.Kept && slices.Equal(r.Reasons, x.Reasons)
}

func (k *Keeper) put(ctx context.Context, r *Result) error {
	if err := k.lease.Keep(ctx); err != nil {
		return err
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
	return k.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(up, "", clientv3.WithLease(k.lease.ID())), k.show(r))
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

// anotherIsUp is the condition of a withdrawal; none if it is firm, or if the node is
// withdrawn already: else one would come back because another withdraws at the same time.
func (k *Keeper) anotherIsUp(r *Result) []clientv3.Cmp {
	free := r.Facts.Drained || !r.up || r.another == ""
	for _, p := range r.Verdict.Problems {
		free = free || p.Reason.Firm()
	}
	if free {
		return nil
	}
	return []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(k.part.Key("up", r.another)), ">", 0)}
}

func (k *Keeper) show(r *Result) clientv3.Op {
	b, err := json.Marshal(r.Record)
	if err != nil {
		b = nil // impossible: numbers and texts
	}
	return clientv3.OpPut(k.part.Key("at", k.cfg.Node), string(b), clientv3.WithLease(k.lease.ID()))
}

// Leave withdraws the node and removes its record, for an orderly end.
func (k *Keeper) Leave(ctx context.Context) error { return k.lease.End(ctx) }
