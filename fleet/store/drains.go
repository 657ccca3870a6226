package store

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Names returns the names of all registered nodes, in their order. It costs etcd a part of
// what Read does.
func (s *Store) Names(ctx context.Context) (list []string, err error) {
	r, err := s.etcd.Get(ctx, s.key("node", ""), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(MaxNodes))
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, kv := range r.Kvs {
		if name := s.last(kv.Key); CheckName(name) == nil {
			list = append(list, name)
		}
	}
	return list, nil
}

// DrainOf returns a node with its drain, without its key and its record. The error wraps
// ErrNoNode.
func (s *Store) DrainOf(ctx context.Context, name string) (Node, error) {
	n := Node{Name: name}
	r, err := s.etcd.Txn(ctx).Then(clientv3.OpGet(s.key("node", name), clientv3.WithCountOnly()), clientv3.OpGet(s.key("drain", name))).Commit()
	if err == nil && r.Responses[0].GetResponseRange().Count == 0 {
		err = ErrNoNode
	}
	if err != nil {
		return n, fmt.Errorf("read drain of %s: %w", name, err)
	}
	for _, kv := range r.Responses[1].GetResponseRange().Kvs {
		n.takeDrain(kv)
	}
	return n, nil
}

// ConfirmDrain says, of a node itself, that its disc has the drain that was read: without
// etcd, too, it serves no more. The node says it once; a drain that was lifted meanwhile,
// or replaced, stays as it is.
func (s *Store) ConfirmDrain(ctx context.Context, n Node) error {
	if n.Drain == "" || n.Read {
		return nil
	}
	key := s.key("drain", n.Name)
	_, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", n.drainRevision)},
		clientv3.OpPut(key, encode(drain{Why: n.Drain, Read: true, Deviates: n.Deviates})))
	if err != nil {
		return fmt.Errorf("confirm drain of %s: %w", n.Name, err)
	}
	return nil
}

// DrainDeviant drains a node whose time is not that of the others, for itself, if no drain
// of any node was written since the snapshot; else the error wraps ErrConflict. So of
// several that do it at once each knows how many have done it.
func (s *Store) DrainDeviant(ctx context.Context, snap *Snapshot, name, why string, e Entry) error {
	drains := clientv3.Compare(clientv3.ModRevision(s.key("drain", "")), "<", snap.Revision+1).WithPrefix()
	return s.deviant(ctx, name, e, drains, clientv3.OpPut(s.key("drain", name), encode(drain{Why: why, Deviates: true})))
}

// UndrainDeviant lifts the drain of a node, as it was read, that the node wrote by
// DrainDeviant. The error wraps ErrConflict if there is another one, or none.
func (s *Store) UndrainDeviant(ctx context.Context, n Node, e Entry) error {
	if !n.Deviates {
		return fmt.Errorf("%s %s: %w", e.Action, n.Name, ErrConflict)
	}
	key := s.key("drain", n.Name)
	return s.deviant(ctx, n.Name, e, clientv3.Compare(clientv3.ModRevision(key), "=", n.drainRevision), clientv3.OpDelete(key))
}

func (s *Store) deviant(ctx context.Context, name string, e Entry, condition clientv3.Cmp, op clientv3.Op) error {
	c, audit := s.audit(e)
	ok, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(s.key("node", name)), ">", 0), condition, c}, op, audit)
	if err == nil && !ok {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", e.Action, name, err)
	}
	return nil
}
