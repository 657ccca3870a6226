package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lease is a lease of etcd that one node keeps. It is got when it is first kept, and anew
// when it has ended or etcd has lost it. It is for one goroutine.
type Lease struct {
	etcd *clientv3.Client
	ttl  time.Duration
	id   clientv3.LeaseID
}

// NewLease returns a lease that ends ttl after it was last kept. Whole seconds; etcd may
// make it longer.
func (s *Store) NewLease(ttl time.Duration) *Lease { return &Lease{etcd: s.etcd, ttl: ttl} }

// ID is the lease in etcd; clientv3.NoLease: it was not kept yet.
func (l *Lease) ID() clientv3.LeaseID { return l.id }

// Keep renews the lease, or gets one. What was under a lease that has ended is gone.
func (l *Lease) Keep(ctx context.Context) error {
	if l.id != clientv3.NoLease {
		_, err := l.etcd.KeepAliveOnce(ctx, l.id)
		if err == nil {
			return nil
		}
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return fmt.Errorf("keep lease: %w", err)
		}
		l.id = clientv3.NoLease
	}
	g, err := l.etcd.Grant(ctx, int64(l.ttl/time.Second))
	if err != nil {
		return fmt.Errorf("get lease: %w", err)
	}
	l.id = g.ID
	return nil
}

// End gives the lease back, with all that is under it.
func (l *Lease) End(ctx context.Context) error {
	if l.id == clientv3.NoLease {
		return nil
	}
	_, err := l.etcd.Revoke(ctx, l.id)
	l.id = clientv3.NoLease
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("give lease back: %w", err)
	}
	return nil
}

// Holder is a key that one node at a time has, under its lease: for work that one node
// does for all. It limits load. What the work writes is safe by transactions, because a
// node that was held up learns late that it has lost the key. It is for one goroutine.
type Holder struct {
	store *Store
	key   string
	node  string
	lease *Lease
}

// NewHolder returns the key of the part as a node would have it.
func (p *Part) NewHolder(key, node string, lease *Lease) *Holder {
	return &Holder{store: p.store, key: p.Key(key), node: node, lease: lease}
}

// Held is who has the key of a Holder, at one revision of etcd.
type Held struct {
	Node     string // empty: nobody
	lease    clientv3.LeaseID
	created  int64
	modified int64
}

// HeldBy reads who has the key, from the answer to Holder.Get.
func HeldBy(kvs []*mvccpb.KeyValue) Held {
	if len(kvs) == 0 || len(kvs[0].Value) > maxName {
		return Held{}
	}
	return Held{Node: string(kvs[0].Value), lease: clientv3.LeaseID(kvs[0].Lease), created: kvs[0].CreateRevision, modified: kvs[0].ModRevision}
}

// Get reads the key.
func (h *Holder) Get() clientv3.Op { return clientv3.OpGet(h.key) }

// Mine reports whether this node has the key, by the lease that it keeps now.
func (h *Holder) Mine(x Held) bool {
	return x.Node == h.node && h.lease.id != clientv3.NoLease && x.lease == h.lease.id
}

// Free reports whether this node may take the key: nobody has it, or this node before its
// restart.
func (h *Holder) Free(x Held) bool { return x.Node == "" || x.Node == h.node && !h.Mine(x) }

// Take takes the key, if it is still as it was read. The error wraps ErrPartConflict if
// it is not.
func (h *Holder) Take(ctx context.Context, x Held) error {
	if err := h.lease.Keep(ctx); err != nil {
		return fmt.Errorf("take %s: %w", h.key, err)
	}
	same := clientv3.Compare(clientv3.ModRevision(h.key), "=", x.modified)
	ok, err := h.store.commit(ctx, []clientv3.Cmp{same}, clientv3.OpPut(h.key, h.node, clientv3.WithLease(h.lease.id)))
	if err == nil && !ok {
		err = ErrPartConflict
	}
	if err != nil {
		return fmt.Errorf("take %s: %w", h.key, err)
	}
	return nil
}

// Still are the conditions of a transaction that only who has the key may do.
func (h *Holder) Still(x Held) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(h.key), "=", x.created),
		clientv3.Compare(clientv3.LeaseValue(h.key), "=", h.lease.id),
	}
}

// Give gives the key back, if this node has it. The lease goes on.
func (h *Holder) Give(ctx context.Context) error {
	if h.lease.id == clientv3.NoLease {
		return nil
	}
	mine := clientv3.Compare(clientv3.LeaseValue(h.key), "=", h.lease.id)
	if _, err := h.store.commit(ctx, []clientv3.Cmp{mine}, clientv3.OpDelete(h.key)); err != nil {
		return fmt.Errorf("give %s back: %w", h.key, err)
	}
	return nil
}
