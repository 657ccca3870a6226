package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/store"
)

// defaultReturns is how long the time of a node must have agreed before it lifts its own
// drain: longer than a receiver needs that is going to be wrong again after a restart.
const defaultReturns = 10 * time.Minute

// deviatesPrefix begins the reason of a drain that a node wrote for its time.
const deviatesPrefix = "deviates: "

// ErrMinority says that a node whose time deviates goes on.
var ErrMinority = errors.New("the time of this node deviates, and as many others have drained themselves for that as may be")

// TrustConfig is one node.
type TrustConfig struct {
	Node    string
	Compare func(context.Context, []Peer) Compared // that is Comparison.Compare
	Mono    func() time.Duration                   // a monotonic clock
	Now     func() time.Time                       // for the audit record
	Returns time.Duration                          // how long the time must have agreed; 0 = 10 min
	Timeout time.Duration                          // for etcd; 0 = 3 s
}

// Trust drains its node while its time is not that of the other nodes. It lifts only the
// drain that it wrote. What the comparison finds is evidence of the daemons; etcd has the
// addresses and the drains, and decides no time. It is for one goroutine.
type Trust struct {
	cfg    TrustConfig
	store  *store.Store
	agreed time.Duration // when the time began to agree
	agrees bool          // the last comparison did

	order []string      // the other nodes, as they are asked
	found time.Duration // when order was read
}

const (
	// maxExamined limits how many records are read to find witnesses: where more nodes in a
	// row are not fit, the fleet has another problem.
	maxExamined = 8 * MaxWitnesses
	// orderFor is how long the names of more nodes than that are good for. If all nodes
	// read all names each time, what etcd sends would grow with the square of their
	// number. A node that has gone has no record, and the next one is asked.
	orderFor = time.Hour
)

// Trusted is the result of a round.
type Trusted struct {
	Compared
	Asked    int
	Drained  bool   // the node was drained in this round
	Returned bool   // its drain was lifted in this round
	Deviant  string // why the node is drained by itself; empty: it is not
	Refused  error  // why it is not, although its time deviates
}

// NewTrust returns the trust of a node that was not compared yet.
func NewTrust(s *store.Store, c TrustConfig) *Trust {
	if c.Returns == 0 {
		c.Returns = defaultReturns
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return &Trust{cfg: c, store: s}
}

// Round compares once and does what follows. The error is that of etcd: without it there
// is no list of witnesses, and nothing is drained or lifted.
func (t *Trust) Round(ctx context.Context) (r Trusted, err error) {
	self, peers, err := t.read(ctx)
	if err != nil {
		t.agrees = false
		return r, err
	}
	r.Asked = len(peers)
	r.Compared = t.cfg.Compare(ctx, peers)
	if r.Agrees && !t.agrees {
		t.agreed = t.cfg.Mono()
	}
	t.agrees = r.Agrees
	if self.Deviates {
		r.Deviant = strings.TrimPrefix(self.Drain, deviatesPrefix)
	}
	ctx, stop := context.WithTimeout(ctx, t.cfg.Timeout)
	defer stop()
	switch {
	case r.Deviates != "" && self.Drain == "":
		err = t.drain(ctx, &r)
	case self.Deviates && t.agrees && t.cfg.Mono()-t.agreed >= t.cfg.Returns:
		err = t.lift(ctx, self, &r)
	}
	if errors.Is(err, store.ErrConflict) {
		err = nil // another node or an operator was faster; the next round sees it
	}
	return r, err
}

// read returns this node with its drain, and its witnesses: the nearest on the circle that
// are live, healthy and reached. What etcd sends does not grow with the records of all.
func (t *Trust) read(ctx context.Context) (self store.Node, peers []Peer, err error) {
	ctx, stop := context.WithTimeout(ctx, t.cfg.Timeout)
	defer stop()
	if self, err = t.store.DrainOf(ctx, t.cfg.Node); err != nil {
		return self, nil, err
	}
	if err := t.arrange(ctx); err != nil {
		return self, nil, err
	}
	part := t.store.Part(PartName)
	for some := range slices.Chunk(t.order[:min(len(t.order), maxExamined)], 2*MaxWitnesses) {
		ops := make([]clientv3.Op, len(some))
		for i, name := range some {
			ops[i] = clientv3.OpGet(part.Key("at", name))
		}
		got, err := part.Client().Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return self, nil, fmt.Errorf("read witnesses: %w", err)
		}
		for i, name := range some {
			for _, kv := range got.Responses[i].GetResponseRange().Kvs {
				if p, fit := fitWitness(name, kv.Value); fit && len(peers) < MaxWitnesses {
					peers = append(peers, p)
				}
			}
		}
		if len(peers) == MaxWitnesses {
			break
		}
	}
	return self, peers, nil
}

// arrange reads which nodes there are, unless that is known.
func (t *Trust) arrange(ctx context.Context) error {
	if len(t.order) > maxExamined && t.cfg.Mono()-t.found < orderFor {
		return nil
	}
	names, err := t.store.Names(ctx)
	if err != nil {
		return err
	}
	if t.order = Order(t.cfg.Node, names); len(t.order) > maxExamined {
		t.found = t.cfg.Mono()
	}
	return nil
}

// fitWitness returns where a node is reached, from its record. One that is not healthy, its
// time doubted for instance, is no witness.
func fitWitness(name string, record []byte) (Peer, bool) {
	var r Record
	if len(record) > maxRecord || json.Unmarshal(record, &r) != nil || !r.Healthy || r.NTSKE == "" {
		return Peer{}, false
	}
	return Peer{Name: name, Address: r.NTSKE, TLS: r.NTSName, NTP: r.NTP}, true
}

func (t *Trust) drain(ctx context.Context, r *Trusted) error {
	snap, err := t.store.Read(ctx)
	if err != nil {
		return err
	}
	self := snap.Node(t.cfg.Node)
	if self == nil || self.Drain != "" {
		return store.ErrConflict
	}
	if !mayDeviate(snap.Nodes) {
		r.Refused = fmt.Errorf("%w: %s", ErrMinority, r.Deviates)
		return nil
	}
	why := deviatesPrefix + r.Deviates
	err = t.store.DrainDeviant(ctx, snap, t.cfg.Node, why, t.entry("drain", why))
	if err == nil {
		r.Drained, r.Deviant = true, r.Deviates
	}
	return err
}

func (t *Trust) lift(ctx context.Context, self store.Node, r *Trusted) error {
	why := fmt.Sprintf("the time of the node has agreed with its witnesses for %v", t.cfg.Returns)
	err := t.store.UndrainDeviant(ctx, self, t.entry("undrain", why))
	if err == nil {
		r.Returned, r.Deviant = true, ""
	}
	return err
}

func (t *Trust) entry(action, detail string) store.Entry {
	return store.Entry{Time: t.cfg.Now(), Node: t.cfg.Node, Action: action, Detail: detail}
}

// mayDeviate reports whether one more node may drain itself: those that have done so must
// be less than half of them and of the live nodes that are not drained.
func mayDeviate(nodes []store.Node) bool {
	all, deviants := 0, 0
	for _, n := range nodes {
		switch {
		case n.Deviates:
			all, deviants = all+1, deviants+1
		case n.Live && n.Drain == "":
			all++
		}
	}
	return 2*(deviants+1) < all
}
