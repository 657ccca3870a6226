package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
)

type registration struct {
	Key seal.Public `json:"key"`
}

type drain struct {
	Why  string `json:"why"`
	Read bool   `json:"read,omitempty"` // the node itself says that its disc has it

	// Deviates: the node itself wrote it, because its time is not that of the others. It
	// may lift it.
	Deviates bool `json:"deviates,omitempty"`
}

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

// Init creates a fleet. The error wraps ErrExists if there is one.
func (s *Store) Init(ctx context.Context, p roots.Plan, e Entry) error {
	b, err := p.Encode()
	if err != nil {
		return err
	}
	if p.Version == 0 {
		return roots.ErrPlan
	}
	c, op := s.audit(e)
	ok, err := s.commit(ctx, []clientv3.Cmp{absent(s.key("plan")), c}, clientv3.OpPut(s.key("plan"), string(b)), op)
	if err == nil && !ok {
		err = ErrExists
	}
	if err != nil {
		return fmt.Errorf("create fleet: %w", err)
	}
	return nil
}

// Register adds a node. It may be repeated. The error wraps ErrNameTaken if a node with
// another key has the name.
func (s *Store) Register(ctx context.Context, name string, key seal.Public, e Entry) error {
	if err := CheckName(name); err != nil {
		return err
	}
	value := encode(registration{key})
	c, op := s.audit(e)
	r, err := s.etcd.Txn(ctx).If(absent(s.key("node", name)), c).
		Then(clientv3.OpPut(s.key("node", name), value), op).
		Else(clientv3.OpGet(s.key("node", name))).Commit()
	if err != nil {
		return fmt.Errorf("register node %s: %w", name, err)
	}
	if r.Succeeded {
		return nil
	}
	var has registration
	if kvs := r.Responses[0].GetResponseRange().Kvs; len(kvs) != 1 || decode(kvs[0].Value, &has) != nil || has.Key != key {
		return fmt.Errorf("register node %s: %w", name, ErrNameTaken)
	}
	return nil
}

// commit writes if all conditions hold, and reports whether they did.
func (s *Store) commit(ctx context.Context, conditions []clientv3.Cmp, ops ...clientv3.Op) (bool, error) {
	r, err := s.etcd.Txn(ctx).If(conditions...).Then(ops...).Commit()
	if err != nil {
		return false, err
	}
	return r.Succeeded, nil
}

// Change is what one transaction on the plan does.
type Change struct {
	Plan  roots.Plan
	Drain []string // nodes that are drained, with the reason "laggard"
	Audit []Entry
}

// Commit writes a change if the plan is still that of the snapshot; else the error
// wraps ErrConflict. More drains than one transaction has room for are written first.
// ctx must end within a sixth of the plan's lead after the snapshot was read: a since
// that is written late leaves nodes less time.
func (s *Store) Commit(ctx context.Context, snap *Snapshot, c Change) error {
	b, err := c.Plan.Encode()
	if err != nil {
		return err
	}
	same := clientv3.Compare(clientv3.ModRevision(s.key("plan")), "=", snap.planRevision)
	if c.Plan.Version <= snap.Plan.Version {
		return fmt.Errorf("commit plan: %w: version %d does not follow %d", roots.ErrPlan, c.Plan.Version, snap.Plan.Version)
	}
	conditions := []clientv3.Cmp{same}
	var ops []clientv3.Op
	flush := func() error {
		ok, err := s.commit(ctx, conditions, ops...)
		if err == nil && !ok {
			err = ErrConflict
		}
		if err != nil {
			return fmt.Errorf("commit plan %d: %w", c.Plan.Version, err)
		}
		conditions, ops = []clientv3.Cmp{same}, nil
		return nil
	}
	for _, n := range c.Drain {
		ops = append(ops, clientv3.OpPut(s.key("drain", n), encode(drain{Why: "laggard"})))
		if len(ops) == maxOps {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	for _, e := range c.Audit {
		cond, op := s.audit(e)
		if len(ops) == maxOps {
			if err := flush(); err != nil {
				return err
			}
		}
		conditions, ops = append(conditions, cond), append(ops, op)
	}
	ops = append(ops, clientv3.OpPut(s.key("plan"), string(b)))
	return flush()
}

// Drain says that a node shall not serve, and why. The error wraps ErrNoNode.
func (s *Store) Drain(ctx context.Context, name, why string, e Entry) error {
	if why == "" {
		why = "operator"
	}
	return s.onNode(ctx, name, e, clientv3.OpPut(s.key("drain", name), encode(drain{Why: why})))
}

// Undrain lets a node serve again when it is ready. The error wraps ErrNoNode.
func (s *Store) Undrain(ctx context.Context, name string, e Entry) error {
	return s.onNode(ctx, name, e, clientv3.OpDelete(s.key("drain", name)))
}

// Evict removes a node and writes a plan in which all roots that it has are condemned, in
// one transaction on the plan of the snapshot. Its name is not used again. It may be
// repeated. The error wraps ErrConflict.
func (s *Store) Evict(ctx context.Context, snap *Snapshot, name string, p roots.Plan, e Entry) error {
	if err := CheckName(name); err != nil {
		return err
	}
	b, err := p.Encode()
	if err != nil {
		return err
	}
	c, op := s.audit(e)
	ok, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.key("plan")), "=", snap.planRevision), c},
		append(s.removal(name), clientv3.OpPut(s.closedKey("gone", name), "{}"), clientv3.OpPut(s.key("plan"), string(b)), op)...)
	if err == nil && !ok {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", e.Action, name, err)
	}
	return nil
}

// Known reports whether there is a node of a name, or was one until it was evicted.
func (s *Store) Known(ctx context.Context, name string) (bool, error) {
	if err := CheckName(name); err != nil {
		return false, err
	}
	r, err := s.etcd.Txn(ctx).If(absent(s.key("node", name)), absent(s.closedKey("gone", name))).Commit()
	if err != nil {
		return false, fmt.Errorf("read node %s: %w", name, err)
	}
	return !r.Succeeded, nil
}

// removal removes all that the fleet has of a node. What is under its lease would stay as
// long as the node keeps that.
func (s *Store) removal(name string) []clientv3.Op {
	planner := s.key(plannerKey)
	return []clientv3.Op{
		clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(planner), "=", name)}, []clientv3.Op{clientv3.OpDelete(planner)}, nil),
		clientv3.OpDelete(s.key("health", "at", name)), clientv3.OpDelete(s.key("health", "up", name)), clientv3.OpDelete(s.key("health", "target", name)),
		clientv3.OpDelete(s.key("node", name)), clientv3.OpDelete(s.key("alive", name)), clientv3.OpDelete(s.key("drain", name)),
		clientv3.OpDelete(s.key("seal", name, ""), clientv3.WithPrefix()), clientv3.OpDelete(s.closedKey("issued", name+"/"), clientv3.WithPrefix()),
	}
}

// Remove removes a node, its seals and its record. What it has on its disc it keeps:
// revoke the roots if it was stolen.
func (s *Store) Remove(ctx context.Context, name string, e Entry) error {
	return s.onNode(ctx, name, e, s.removal(name)...)
}

func (s *Store) onNode(ctx context.Context, name string, e Entry, ops ...clientv3.Op) error {
	if err := CheckName(name); err != nil {
		return err
	}
	c, op := s.audit(e)
	ok, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(s.key("node", name)), ">", 0), c}, append(ops, op)...)
	if err == nil && !ok {
		err = ErrNoNode
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", e.Action, name, err)
	}
	return nil
}

// Presence is the lease of one node with its record. It is for one goroutine.
type Presence struct {
	*Lease
	store *Store
	name  string
}

// NewPresence returns the presence of a node, which ends ttl after the last Show.
func (s *Store) NewPresence(name string, ttl time.Duration) *Presence {
	return &Presence{Lease: s.NewLease(ttl), store: s, name: name}
}

// Show renews the lease and writes the record. A lease that has ended, or that etcd has
// lost, is replaced.
func (p *Presence) Show(ctx context.Context, r Record) error {
	err := p.Keep(ctx)
	if err == nil {
		var ok bool
		ok, err = p.store.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(p.store.key("node", p.name)), ">", 0)},
			clientv3.OpPut(p.store.key("alive", p.name), encode(r), clientv3.WithLease(p.ID())))
		if err == nil && !ok {
			err = ErrNoNode
		}
	}
	if err != nil {
		return fmt.Errorf("show node %s: %w", p.name, err)
	}
	return nil
}
