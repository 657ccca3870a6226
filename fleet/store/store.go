// Package store keeps the state of a fleet in etcd: the plan of root secrets, the nodes
// and their seals, who is drained, and the audit record. It starts no goroutine of its
// own and logs nothing; all values from etcd are checked.
package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
)

// Limits.
const (
	// MaxNodes limits what is read of a fleet.
	MaxNodes = 10_000
	// maxValue limits a value of a node, octets; a record of 32 roots has 2 kB.
	maxValue = 16 << 10
	// maxSeals limits what is read of the seals of one node; a plan has 32 roots at most.
	maxSeals = 1000
	maxName  = 63 // octets
	// maxOps is below etcd's limit of 128 operations a transaction.
	maxOps = 100
)

// Errors that callers distinguish.
var (
	ErrConflict  = errors.New("another node has changed the plan or a drain; read it again")
	ErrNoFleet   = errors.New("there is no fleet of this name in etcd; run: noonmark-fleet init")
	ErrExists    = errors.New("there is a fleet of this name in etcd already")
	ErrName      = errors.New("name is not possible; want 1 to 63 of a-z, 0-9, '.' and '-', with a letter or digit first, and not root")
	ErrNameTaken = errors.New("another node with another key has this name, or a node of this name was revoked; choose another")
	ErrToken     = errors.New("token is unknown, used or expired; get another with: noonmark-fleet token NODE")
	ErrNoNode    = errors.New("there is no node of this name; `noonmark-fleet status` lists them")
)

var names = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// administrator is the user of etcd that may do everything, so no node has its name.
const administrator = "root"

// CheckName refuses what is no name of a fleet or node: names become parts of keys.
func CheckName(name string) error {
	if !names.MatchString(name) || name == administrator {
		return fmt.Errorf("name %.80q: %w", name, ErrName)
	}
	return nil
}

// Store is one fleet in etcd. Its methods may be called from any goroutine. Each takes
// as long as ctx allows: etcd may be gone.
type Store struct {
	etcd   *clientv3.Client
	prefix string // ends with a slash
	closed string // the same, of keys that only the administrator reads
}

// New returns the store of a fleet. The caller closes the client.
func New(etcd *clientv3.Client, fleet string) (*Store, error) {
	if err := CheckName(fleet); err != nil {
		return nil, err
	}
	return &Store{etcd: etcd, prefix: prefix(fleet), closed: closedPrefix(fleet)}, nil
}

// prefix is that of the keys which all nodes read.
func prefix(fleet string) string { return "/noonmark/" + fleet + "/" }

// closedPrefix is that of the keys which only the administrator reads.
func closedPrefix(fleet string) string { return "/noonmark-admin/" + fleet + "/" }

func (s *Store) key(parts ...string) string { return s.prefix + strings.Join(parts, "/") }

// Record is what a node shows of itself under its lease.
type Record struct {
	Clock   int64      `json:"clock"`   // POSIX seconds
	Trusted bool       `json:"trusted"` // its refclockd trusts its clock
	Holds   []roots.ID `json:"holds"`   // roots whose secrets are on its disc
	Plan    uint64     `json:"plan"`    // version of the plan from which its key file was written
	State   string     `json:"state"`   // word of its roots.Readiness
	Rotates bool       `json:"rotates"` // its agent knows plans with a rotation
}

// Node is a registered node.
type Node struct {
	Name   string
	Key    seal.Public
	Live   bool   // it has a lease
	Drain  string // why it shall not serve; empty: it may
	Read   bool   // its disc says that it is drained
	Record Record // of a live node

	// Deviates: it has drained itself, because its time is not that of the others.
	Deviates bool

	drainRevision int64
}

// Bad is a value in etcd that was refused. It counts as absent.
type Bad struct {
	Key string
	Err error
}

// Snapshot is the state of a fleet at one revision of etcd.
type Snapshot struct {
	Revision int64
	Plan     roots.Plan
	Nodes    []Node // in the order of their names
	Planner  string // the node that plans for all now; empty: none
	Bad      []Bad

	planRevision int64
}

// View is the snapshot as a planner sees it.
func (s *Snapshot) View() []roots.Node {
	list := make([]roots.Node, len(s.Nodes))
	for i, n := range s.Nodes {
		list[i] = roots.Node{
			Name: n.Name, Live: n.Live, Drained: n.Drain != "", Read: n.Read, Trusted: n.Record.Trusted, Clock: n.Record.Clock,
			Holds: n.Record.Holds, Plan: n.Record.Plan, Rotates: n.Record.Rotates,
		}
	}
	return list
}

// Read returns the present state: the read is linearizable, so it confirms that the
// plan is the present one. The error wraps ErrNoFleet, roots.ErrPlan, or is etcd's.
func (s *Store) Read(ctx context.Context) (*Snapshot, error) {
	prefix := func(kind string) clientv3.Op {
		return clientv3.OpGet(s.key(kind, ""), clientv3.WithPrefix(), clientv3.WithLimit(MaxNodes))
	}
	r, err := s.etcd.Txn(ctx).Then(clientv3.OpGet(s.key("plan")), prefix("node"), prefix("alive"), prefix("drain"), clientv3.OpGet(s.key(plannerKey))).Commit()
	if err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	part := func(i int) []*mvccpb.KeyValue { return r.Responses[i].GetResponseRange().Kvs }
	snap := &Snapshot{Revision: r.Header.Revision, Planner: HeldBy(part(4)).Node}
	if snap.Plan, snap.planRevision, err = parsePlan(part(0)); err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	for _, kv := range part(1) {
		n, err := s.registered(kv)
		if err != nil {
			snap.Bad = append(snap.Bad, Bad{string(kv.Key), err})
			continue
		}
		snap.Nodes = append(snap.Nodes, n)
	}
	for _, kv := range part(2) {
		if n := snap.Node(s.last(kv.Key)); n != nil {
			n.Live = true
			if err := decode(kv.Value, &n.Record); err != nil {
				n.Record = Record{}
				snap.Bad = append(snap.Bad, Bad{string(kv.Key), err})
			}
		}
	}
	for _, kv := range part(3) {
		if n := snap.Node(s.last(kv.Key)); n != nil {
			n.takeDrain(kv)
		}
	}
	return snap, nil
}

// plannerKey has the name of the node that plans.
const plannerKey = "planner"

// NewPlanner returns the key of the node that plans for all, under the lease of a presence.
func (s *Store) NewPlanner(p *Presence) *Holder {
	return &Holder{store: s, key: s.key(plannerKey), node: p.name, lease: p.Lease}
}

func parsePlan(kvs []*mvccpb.KeyValue) (p roots.Plan, revision int64, err error) {
	if len(kvs) == 0 {
		return p, 0, ErrNoFleet
	}
	p, err = roots.Parse(kvs[0].Value)
	return p, kvs[0].ModRevision, err
}

func (s *Store) registered(kv *mvccpb.KeyValue) (Node, error) {
	n := Node{Name: s.last(kv.Key)}
	var v registration
	err := errors.Join(decode(kv.Value, &v), CheckName(n.Name))
	n.Key = v.Key
	return n, err
}

// Own is what one node needs of the fleet, at one revision of etcd.
type Own struct {
	Revision int64
	Plan     roots.Plan
	Node     Node // without what is under its lease
	Seals    []Seal
	Planner  Held
	Nodes    int // registered ones
	Bad      []Bad
}

// ReadOwn returns the present state for one node. Like Read it confirms the plan, but what
// etcd sends does not grow with the number of nodes. The error wraps ErrNoFleet, ErrNoNode,
// roots.ErrPlan, or is etcd's.
func (s *Store) ReadOwn(ctx context.Context, node string) (*Own, error) {
	if err := CheckName(node); err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	r, err := s.etcd.Txn(ctx).Then(
		clientv3.OpGet(s.key("plan")), clientv3.OpGet(s.key("node", node)), clientv3.OpGet(s.key("drain", node)),
		clientv3.OpGet(s.key("seal", node, ""), clientv3.WithPrefix(), clientv3.WithLimit(maxSeals)), clientv3.OpGet(s.key(plannerKey)),
		clientv3.OpGet(s.key("node", ""), clientv3.WithPrefix(), clientv3.WithCountOnly()),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	part := func(i int) []*mvccpb.KeyValue { return r.Responses[i].GetResponseRange().Kvs }
	o := &Own{Revision: r.Header.Revision, Planner: HeldBy(part(4)), Nodes: int(r.Responses[5].GetResponseRange().Count)}
	if o.Plan, _, err = parsePlan(part(0)); err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	if len(part(1)) == 0 {
		return nil, fmt.Errorf("node %s: %w", node, ErrNoNode)
	}
	if o.Node, err = s.registered(part(1)[0]); err != nil {
		return nil, fmt.Errorf("node %s: its registration is damaged, remove it and let it join again: %w", node, err)
	}
	for _, kv := range part(2) {
		o.Node.takeDrain(kv)
	}
	o.Seals, o.Bad = s.parseSeals(node, part(3))
	return o, nil
}

// NodeKey and DrainKey are the keys of the registration and of the drain of a node; an
// empty name: what all begin with.
func (s *Store) NodeKey(name string) string { return s.key("node", name) }

// DrainKey is described at NodeKey.
func (s *Store) DrainKey(name string) string { return s.key("drain", name) }

// Registered reports for names whether there is a node of each.
func (s *Store) Registered(ctx context.Context, names []string) (all bool, err error) {
	ops := make([]clientv3.Op, 0, len(names))
	for _, n := range names {
		if CheckName(n) != nil {
			return false, nil
		}
		ops = append(ops, clientv3.OpGet(s.key("node", n), clientv3.WithCountOnly()))
	}
	if len(ops) > maxOps {
		return false, fmt.Errorf("read nodes: %d names, at most %d", len(ops), maxOps)
	}
	r, err := s.etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return false, fmt.Errorf("read nodes: %w", err)
	}
	for _, x := range r.Responses {
		if x.GetResponseRange().Count == 0 {
			return false, nil
		}
	}
	return true, nil
}

// Node returns the node of a name, nil if there is none.
func (s *Snapshot) Node(name string) *Node {
	i, ok := slices.BinarySearchFunc(s.Nodes, name, func(n Node, name string) int { return strings.Compare(n.Name, name) })
	if !ok {
		return nil
	}
	return &s.Nodes[i]
}

// takeDrain never leaves an empty reason: a drain that cannot be read is a drain.
func (n *Node) takeDrain(kv *mvccpb.KeyValue) {
	var d drain
	if err := decode(kv.Value, &d); err != nil || d.Why == "" {
		d = drain{Why: "unknown"}
	}
	n.Drain, n.Read, n.Deviates, n.drainRevision = d.Why, d.Read, d.Deviates, kv.ModRevision
}

func (s *Store) last(key []byte) string {
	return string(key[bytes.LastIndexByte(key, '/')+1:])
}

// decode reads one JSON value of a limited length. Unknown keys are those of newer
// agents.
func decode(b []byte, v any) error {
	if len(b) > maxValue {
		return fmt.Errorf("value of %d octets, at most %d", len(b), maxValue)
	}
	return json.Unmarshal(b, v)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // impossible: only texts, numbers and fingerprints are encoded
	}
	return string(b)
}
