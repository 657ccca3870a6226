package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	r, err := s.etcd.Get(ctx, s.key("seal", node, ""), clientv3.WithPrefix(), clientv3.WithLimit(1000))
	if err != nil {
		return nil, nil, fmt.Errorf("read seals of %s: %w", node, err)
	}
	for _, kv := range r.Kvs {
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
	return seals, bad, nil
}

// Want is a seal that does not exist.
type Want struct {
	Node string
	Key  seal.Public
	Root roots.ID
}

// Missing returns the seals that nodes of the snapshot lack of roots in its plan. A node
// that holds a root needs none.
func (s *Store) Missing(ctx context.Context, snap *Snapshot) ([]Want, error) {
	has, err := s.sealed(ctx, snap.Revision)
	if err != nil {
		return nil, err
	}
	var list []Want
	for _, n := range snap.Nodes {
		for _, r := range snap.Plan.Roots {
			if !has[Seal{Node: n.Name, Root: r.ID}.id()] && !slices.Contains(n.Record.Holds, r.ID) {
				list = append(list, Want{n.Name, n.Key, r.ID})
			}
		}
	}
	return list, nil
}

func (x Seal) id() string { return x.Node + "/" + x.Root.String() }

// sealed lists the seals without their content. A revision that is compacted meanwhile
// is replaced by the present one.
func (s *Store) sealed(ctx context.Context, revision int64) (map[string]bool, error) {
	prefix := s.key("seal", "")
	get := func(rev int64) (*clientv3.GetResponse, error) {
		return s.etcd.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(rev))
	}
	r, err := get(revision)
	if errors.Is(err, rpctypes.ErrCompacted) {
		r, err = get(0)
	}
	if err != nil {
		return nil, fmt.Errorf("list seals: %w", err)
	}
	has := make(map[string]bool, len(r.Kvs))
	for _, kv := range r.Kvs {
		has[strings.TrimPrefix(string(kv.Key), prefix)] = true
	}
	return has, nil
}

// Sweep deletes the seals of roots that are not in the plan of the snapshot any more,
// if the plan is still that one. The seals of a root that another node is about to add
// may be among them; whoever holds the root seals it again.
func (s *Store) Sweep(ctx context.Context, snap *Snapshot) (deleted int, err error) {
	has, err := s.sealed(ctx, snap.Revision)
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

// Audit returns the last entries of the audit record in the order in which etcd has
// got them, the oldest first.
func (s *Store) Audit(ctx context.Context, n int) (list []Entry, bad []Bad, err error) {
	r, err := s.etcd.Get(ctx, s.key("audit", ""), clientv3.WithPrefix(), clientv3.WithLimit(int64(n)),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend))
	if err != nil {
		return nil, nil, fmt.Errorf("read audit record: %w", err)
	}
	for _, kv := range slices.Backward(r.Kvs) {
		var e Entry
		if err := decode(kv.Value, &e); err != nil {
			bad = append(bad, Bad{string(kv.Key), err})
			continue
		}
		e.Node, _, _ = strings.Cut(strings.TrimPrefix(string(kv.Key), s.key("audit", "")), "/") // not what it says of itself
		list = append(list, e)
	}
	return list, bad, nil
}

// Wait returns when the plan, the seals of the node or its drain have changed after a
// revision, or when etcd cannot know, because that revision is compacted: the caller
// reads all again in either case. The error is that of ctx or of the connection; then
// nothing is known.
func (s *Store) Wait(ctx context.Context, node string, revision int64) error {
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	from := clientv3.WithRev(revision + 1)
	plan := s.etcd.Watch(ctx, s.key("plan"), from)
	seals := s.etcd.Watch(ctx, s.key("seal", node, ""), clientv3.WithPrefix(), from)
	drains := s.etcd.Watch(ctx, s.key("drain", node), from)
	for {
		var r clientv3.WatchResponse
		var ok bool
		select {
		case r, ok = <-plan:
		case r, ok = <-seals:
		case r, ok = <-drains:
		}
		switch err := r.Err(); {
		case ctx.Err() != nil:
			return fmt.Errorf("watch fleet: %w", ctx.Err())
		case errors.Is(err, rpctypes.ErrCompacted):
			return nil
		case err != nil:
			return fmt.Errorf("watch fleet: %w", err)
		case !ok:
			return errors.New("watch fleet: etcd has ended the watch")
		case len(r.Events) > 0:
			return nil
		}
	}
}
