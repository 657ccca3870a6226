package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"noonmark/fleet/access"
	"noonmark/fleet/identity"
	"noonmark/fleet/store"
)

// ErrNoEtcd says that a fleet has no etcd which could know of it.
var ErrNoEtcd = errors.New("none of its members of etcd is given; without one, begin a new fleet with init on a node that has its key file: its clients keep their cookies")

// Restoring is the machine that takes the place of a lost manager.
type Restoring struct {
	Fleet, Node string   // Node: the name of the lost one
	Addresses   []string // the first is the one of the lost manager, at which the nodes renew their certificates
	Port        int      // first of its ports; 0 = DefaultPort
	Endpoints   []string // of the members of etcd that are left
}

// Restore makes a machine the manager of a fleet whose manager was lost. All that it needs
// of that one is its authority (Dir.ManagerDir). The lost node is removed, with its member of
// etcd, and its certificates are revoked; the machine is registered in its place, with keys
// of its own. After an error it may be repeated. The error wraps identity.ErrNoManager if
// the authority is not there, store.ErrNoFleet, or ErrNoEtcd.
func Restore(ctx context.Context, dir identity.Dir, r Restoring, now time.Time) (n identity.Node, err error) {
	fail := func(err error) (identity.Node, error) {
		return n, fmt.Errorf("restore manager of fleet %s: %w", r.Fleet, err)
	}
	switch err := errors.Join(store.CheckName(r.Fleet), store.CheckName(r.Node)); {
	case err != nil:
		return fail(err)
	case len(r.Addresses) == 0:
		return fail(errors.New("the node has no address"))
	case len(r.Endpoints) == 0:
		return fail(ErrNoEtcd)
	}
	if r.Port == 0 {
		r.Port = DefaultPort
	}
	if err := dir.Create(); err != nil {
		return fail(err)
	}
	a, err := dir.Authority()
	if err != nil {
		return fail(err)
	}
	if err := dir.SaveCA(a.CertPEM()); err != nil {
		return fail(err)
	}
	if err := RenewAdmin(dir, now); err != nil { // the copy may be older than its certificate lives
		return fail(err)
	}
	settings, err := dir.AdminTLS()
	if err != nil {
		return fail(err)
	}
	etcd, err := access.Connect(r.Endpoints, settings)
	if err != nil {
		return fail(err)
	}
	defer etcd.Close()
	s, err := store.New(etcd, r.Fleet)
	if err != nil {
		return fail(err)
	}
	snap, err := s.Read(ctx) // before anything is made
	if err != nil {
		return fail(err)
	}
	n = identity.Node{Fleet: r.Fleet, Name: r.Node, Endpoints: r.Endpoints, Manager: Address(r.Addresses[0], r.Port), Address: r.Addresses}
	m := &Manager{node: identity.Node{Fleet: r.Fleet}, store: s, etcd: etcd, authority: a, now: func() time.Time { return now }}
	if err := m.replace(ctx, dir, &n, snap, r.Port); err != nil {
		os.Remove(dir.Key()) // it is a copy only, as before, so that init refuses it
		return fail(err)
	}
	return n, dir.Save(n) // last: it says that all is there
}

// replace removes the lost node of a name and registers that of the folder.
func (m *Manager) replace(ctx context.Context, dir identity.Dir, n *identity.Node, snap *store.Snapshot, port int) error {
	leaf, err := certify(dir, *n, m.now())
	if err != nil {
		return err
	}
	key, err := dir.SealKey()
	if err != nil {
		return err
	}
	members, err := m.etcd.MemberList(ctx)
	if err != nil {
		return err
	}
	_, peer := URLs(n.Address[0], port)
	embedded := slices.ContainsFunc(members.Members, func(x *etcdserverpb.Member) bool { return x.Name == n.Name || slices.Contains(x.PeerURLs, peer) })
	if embedded {
		m.node.Member = &identity.Member{} // so that the lost one is removed
		if _, err := os.Lstat(dir.Etcd()); err == nil {
			return fmt.Errorf("%s has the data of a member that the fleet gives up; move it away", dir.Etcd())
		}
	}
	for _, x := range members.Members {
		if x.Name != "" && x.Name != n.Name && slices.Contains(x.PeerURLs, peer) {
			return fmt.Errorf("%s is of node %s and not of %s: %w", peer, x.Name, n.Name, store.ErrNoNode)
		}
	}
	if lost := snap.Node(n.Name); lost != nil && lost.Key != key.Public() {
		err = m.Remove(ctx, n.Name)
	} else {
		err = m.removeMember(ctx, n.Name) // that an interrupted attempt has left; ours has no name yet
	}
	if err != nil {
		return err
	}
	if err := access.Admit(ctx, m.etcd, m.node.Fleet, n.Name); err != nil {
		return err
	}
	if embedded {
		if n.Member, err = m.addMember(ctx, &store.Invited{Invitation: store.Invitation{Node: n.Name, Hosts: n.Address, Port: port}}); err != nil {
			return err
		}
		if n.Endpoints, err = m.endpoints(ctx); err != nil {
			return err
		}
	}
	list, err := m.revocations(ctx)
	if err != nil {
		return err
	}
	if err := dir.SaveRevoked(list); err != nil {
		return err
	}
	if err := m.store.Register(ctx, n.Name, key.Public(), m.entry("join", "node "+n.Name)); err != nil {
		return err
	}
	return m.store.Issued(ctx, n.Name, leaf.Cert.SerialNumber, m.entry("restore", "node "+n.Name))
}
