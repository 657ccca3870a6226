package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
)

// Seal is the secret of one root, sealed to one node.
type Seal struct {
	Node string
	Root roots.ID
	Box  []byte
}

// PutSeals writes seals; those that exist are replaced. It may be repeated.
func (s *Store) PutSeals(ctx context.Context, seals []Seal) error {
	for part := range slices.Chunk(seals, maxOps) {
		ops := make([]clientv3.Op, len(part))
		for i, x := range part {
			ops[i] = clientv3.OpPut(s.key("seal", x.Node, x.Root.String()), string(x.Box))
		}
		if _, err := s.commit(ctx, nil, ops...); err != nil {
			return fmt.Errorf("write seals: %w", err)
		}
	}
	return nil
}

// Seals returns the seals for a node. Values that are none are in bad.
func (s *Store) Seals(ctx context.Context, node string) (seals []Seal, bad []Bad, err error) {
	r, err := s.etcd.Get(ctx, s.key("seal", node, ""), clientv3.WithPrefix(), clientv3.WithLimit(maxSeals))
	if err != nil {
		return nil, nil, fmt.Errorf("read seals of %s: %w", node, err)
	}
	seals, bad = s.parseSeals(node, r.Kvs)
	return seals, bad, nil
}

func (s *Store) parseSeals(node string, kvs []*mvccpb.KeyValue) (seals []Seal, bad []Bad) {
	for _, kv := range kvs {
		x := Seal{Node: node, Box: kv.Value}
		err := x.Root.UnmarshalText([]byte(s.last(kv.Key)))
		if err == nil && len(kv.Value) != seal.Len {
			err = fmt.Errorf("%w: %d octets", seal.ErrSeal, len(kv.Value))
		}
		if err != nil {
			bad = append(bad, Bad{string(kv.Key), err})
			continue
		}
		seals = append(seals, x)
	}
	return seals, bad
}

// Want is a seal that does not exist.
type Want struct {
	Node string
	Key  seal.Public
	Root roots.ID
}

// Missing returns the seals that nodes of the snapshot lack of roots in its plan. A node
// that holds a root needs none, so nothing is read while all hold all.
func (s *Store) Missing(ctx context.Context, snap *Snapshot) ([]Want, error) {
	var list []Want
	var names []string
	for _, n := range snap.Nodes {
		before := len(list)
		for _, r := range snap.Plan.Roots {
			if !slices.Contains(n.Record.Holds, r.ID) {
				list = append(list, Want{n.Name, n.Key, r.ID})
			}
		}
		if len(list) > before {
			names = append(names, n.Name)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	has, err := s.sealed(ctx, snap.Revision, names)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(w Want) bool { return has[Seal{Node: w.Node, Root: w.Root}.id()] }), nil
}

func (x Seal) id() string { return x.Node + "/" + x.Root.String() }

// sealed lists the seals of nodes without their content; no names: of all. A revision that
// is compacted meanwhile is replaced by the present one.
func (s *Store) sealed(ctx context.Context, revision int64, names []string) (map[string]bool, error) {
	prefix := s.key("seal", "")
	below := []string{prefix}
	if n := len(names); n > 0 && n <= maxOps {
		below = nil
		for _, name := range names {
			below = append(below, s.key("seal", name, ""))
		}
	}
	get := func(rev int64) (*clientv3.TxnResponse, error) {
		ops := make([]clientv3.Op, len(below))
		for i, key := range below {
			ops[i] = clientv3.OpGet(key, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(rev))
		}
		return s.etcd.Txn(ctx).Then(ops...).Commit()
	}
	r, err := get(revision)
	if errors.Is(err, rpctypes.ErrCompacted) {
		r, err = get(0)
	}
	if err != nil {
		return nil, fmt.Errorf("list seals: %w", err)
	}
	has := map[string]bool{}
	for _, x := range r.Responses {
		for _, kv := range x.GetResponseRange().Kvs {
			has[strings.TrimPrefix(string(kv.Key), prefix)] = true
		}
	}
	return has, nil
}

// Sweep deletes the seals of roots that are not in the plan of the snapshot any more,
// if the plan is still that one. The seals of a root that another node is about to add
// may be among them; whoever holds the root seals it again.
func (s *Store) Sweep(ctx context.Context, snap *Snapshot) (deleted int, err error) {
	has, err := s.sealed(ctx, snap.Revision, nil)
	if err != nil {
		return 0, err
	}
	var ops []clientv3.Op
	for id := range has {
		_, root, _ := strings.Cut(id, "/")
		if !slices.ContainsFunc(snap.Plan.Roots, func(r roots.Root) bool { return r.ID.String() == root }) {
			ops = append(ops, clientv3.OpDelete(s.key("seal", id)))
		}
	}
	same := clientv3.Compare(clientv3.ModRevision(s.key("plan")), "=", snap.planRevision)
	for part := range slices.Chunk(ops, maxOps) {
		ok, err := s.commit(ctx, []clientv3.Cmp{same}, part...)
		if err == nil && !ok {
			err = ErrConflict
		}
		if err != nil {
			return deleted, fmt.Errorf("delete seals: %w", err)
		}
		deleted += len(part)
	}
	return deleted, nil
}
