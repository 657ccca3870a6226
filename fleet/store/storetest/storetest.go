// Package storetest makes a fleet in a real etcd, for tests.
package storetest

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
)

// Name is the fleet of New.
const Name = "test"

// New makes the fleet Name with the default parameters.
func New(t testing.TB, etcd *clientv3.Client) *store.Store {
	t.Helper()
	return Found(t, etcd, Name, roots.Defaults())
}

// Found makes a fleet.
func Found(t testing.TB, etcd *clientv3.Client, name string, params roots.Params) *store.Store {
	t.Helper()
	s := Open(t, etcd, name)
	p, err := roots.New(params, time.Now())
	fleettest.Must(t, err)
	fleettest.Must(t, s.Init(fleettest.Within(t), p, Entry("init")))
	return s
}

// Open returns a fleet that there is, or will be.
func Open(t testing.TB, etcd *clientv3.Client, name string) *store.Store {
	t.Helper()
	s, err := store.New(etcd, name)
	fleettest.Must(t, err)
	return s
}

// Entry is what an operator does now.
func Entry(action string) store.Entry {
	return store.Entry{Time: time.Now(), Node: "operator", Action: action}
}
