package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Part is a group of keys of the fleet that another package keeps: configuration,
// certificates. Its methods may be called from any goroutine.
type Part struct {
	store *Store
	name  string
}

// Part returns the keys below a name.
func (s *Store) Part(name string) *Part { return &Part{store: s, name: name} }

// Key returns a key of the part. Names of nodes in it must be checked (CheckName).
func (p *Part) Key(parts ...string) string {
	return p.store.key(append([]string{p.name}, parts...)...)
}

// Client is etcd's client.
func (p *Part) Client() *clientv3.Client { return p.store.etcd }

// Commit writes in one transaction, with an entry in the audit record if e has an
// action, if all conditions hold; else the error wraps ErrPartConflict.
func (p *Part) Commit(ctx context.Context, e Entry, conditions []clientv3.Cmp, ops ...clientv3.Op) error {
	if e.Action != "" {
		c, op := p.store.audit(e)
		conditions, ops = append(conditions[:len(conditions):len(conditions)], c), append(ops[:len(ops):len(ops)], op)
	}
	ok, err := p.store.commit(ctx, conditions, ops...)
	if err == nil && !ok {
		err = ErrPartConflict
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", p.name, err)
	}
	return nil
}

// ErrPartConflict is wrapped by the error of a Part.Commit whose conditions do not hold.
var ErrPartConflict = errors.New("another node has changed it; read it again")
