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
	// maxOps is below etcd's limit of 128 operations a transaction.
	maxOps = 100
)

// Errors that callers distinguish.
var (
	ErrConflict  = errors.New("another node has changed the plan; read it again")
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
}

// Node is a registered node.
type Node struct {
	Name   string
	Key    seal.Public
	Live   bool   // it has a lease
	Drain  string // why it shall not serve; empty: it may
	Record Record // of a live node
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
	Bad      []Bad

	planRevision int64
}

// View is the snapshot as a planner sees it.
func (s *Snapshot) View() []roots.Node {
	list := make([]roots.Node, len(s.Nodes))
	for i, n := range s.Nodes {
		list[i] = roots.Node{Name: n.Name, Live: n.Live, Drained: n.Drain != "", Trusted: n.Record.Trusted, Clock: n.Record.Clock, Holds: n.Record.Holds}
	}
	return list
}

// Read returns the present state: the read is linearizable, so it confirms that the
// plan is the present one. The error wraps ErrNoFleet, roots.ErrPlan, or is etcd's.
func (s *Store) Read(ctx context.Context) (*Snapshot, error) {
	prefix := func(kind string) clientv3.Op {
		return clientv3.OpGet(s.key(kind, ""), clientv3.WithPrefix(), clientv3.WithLimit(MaxNodes))
	}
	r, err := s.etcd.Txn(ctx).Then(clientv3.OpGet(s.key("plan")), prefix("node"), prefix("alive"), prefix("drain")).Commit()
	if err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	snap := &Snapshot{Revision: r.Header.Revision}
	part := func(i int) []*mvccpb.KeyValue { return r.Responses[i].GetResponseRange().Kvs }
	if len(part(0)) == 0 {
		return nil, fmt.Errorf("read fleet: %w", ErrNoFleet)
	}
	if snap.Plan, err = roots.Parse(part(0)[0].Value); err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	snap.planRevision = part(0)[0].ModRevision
	for _, kv := range part(1) {
		n := Node{Name: s.last(kv.Key)}
		var v registration
		if err := decode(kv.Value, &v); err != nil || CheckName(n.Name) != nil {
			snap.Bad = append(snap.Bad, Bad{string(kv.Key), errors.Join(err, CheckName(n.Name))})
			continue
		}
		n.Key = v.Key
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
			n.Drain = drainReason(kv.Value)
		}
	}
	return snap, nil
}

// Node returns the node of a name, nil if there is none.
func (s *Snapshot) Node(name string) *Node {
	i, ok := slices.BinarySearchFunc(s.Nodes, name, func(n Node, name string) int { return strings.Compare(n.Name, name) })
	if !ok {
		return nil
	}
	return &s.Nodes[i]
}

// drainReason never returns an empty text: a drain that cannot be read is a drain.
func drainReason(b []byte) string {
	var d drain
	if err := decode(b, &d); err != nil || d.Why == "" {
		return "unknown"
	}
	return d.Why
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
