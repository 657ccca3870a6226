package manager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/access"
	"noonmark/fleet/embedded"
	"noonmark/fleet/identity"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/server/certs"
	"noonmark/server/nts"
)

// Founding is a new fleet with its first node.
type Founding struct {
	Fleet, Node string
	Addresses   []string // of the node: the first is where it admits others, and serves etcd
	Port        int      // first of its ports; 0 = DefaultPort
	Endpoints   []string // of an etcd that exists; empty: the node runs one
	Params      roots.Params
	TakeOver    []nts.RootSecret // of a server that has clients already, in ascending order
}

// Found makes a fleet and writes the membership of its first node. An authority that is
// in the folder already (Dir.ManagerDir) is used, else one is made; that of a fleet which
// exists is refused with identity.ErrCopied. After an error it may be repeated.
func Found(ctx context.Context, dir identity.Dir, f Founding, now time.Time) (n identity.Node, err error) {
	fail := func(err error) (identity.Node, error) { return n, fmt.Errorf("found fleet %s: %w", f.Fleet, err) }
	if err := errors.Join(store.CheckName(f.Fleet), store.CheckName(f.Node)); err != nil {
		return fail(err)
	}
	if len(f.Addresses) == 0 {
		return fail(errors.New("the node has no address"))
	}
	if f.Port == 0 {
		f.Port = DefaultPort
	}
	n = identity.Node{Fleet: f.Fleet, Name: f.Node, Endpoints: f.Endpoints, Manager: Address(f.Addresses[0], f.Port), Address: f.Addresses}
	if len(f.Endpoints) == 0 {
		client, peer := URLs(f.Addresses[0], f.Port)
		n.Member, n.Endpoints = &identity.Member{Client: client, Peer: peer}, []string{client}
	}
	if err := dir.Create(); err != nil {
		return fail(err)
	}
	copied, err := dir.Copied()
	if err != nil {
		return fail(err)
	}
	if copied {
		return fail(identity.ErrCopied)
	}
	leaf, err := certify(dir, n, now)
	if err != nil {
		return fail(err)
	}
	if n.Member != nil {
		e, err := StartMember(ctx, dir, n, nil)
		if err != nil {
			return fail(err)
		}
		defer e.Close()
	}
	settings, err := dir.AdminTLS()
	if err != nil {
		return fail(err)
	}
	etcd, err := access.Connect(n.Endpoints, settings)
	if err != nil {
		return fail(err)
	}
	defer etcd.Close()
	if err := f.fill(ctx, etcd, dir, n, leaf, now); err != nil {
		return fail(err)
	}
	return n, dir.Save(n) // last: it says that all is there
}

// certify makes the authority, the certificate of the administrator and that of the node.
func certify(dir identity.Dir, n identity.Node, now time.Time) (*certs.Leaf, error) {
	a, err := dir.Authority()
	if errors.Is(err, identity.ErrNoManager) {
		if a, err = certs.NewAuthority(certs.AuthorityConfig{Name: "Noonmark fleet " + n.Fleet}, now); err == nil {
			err = a.Save(dir.ManagerDir())
		}
	}
	if err != nil {
		return nil, err
	}
	admin, err := a.NewNode(identity.Admin, nil, 0, now)
	if err != nil {
		return nil, err
	}
	if err := admin.Save(dir.ManagerDir()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	key, err := dir.TLSKey()
	if err != nil {
		return nil, err
	}
	cert, err := a.IssueNode(n.Name, n.Address, 0, key.Public(), now)
	if err != nil {
		return nil, err
	}
	none, err := a.RevocationList(nil, 0, now)
	if err != nil {
		return nil, err
	}
	for _, err := range [...]error{dir.SaveCA(a.CertPEM()), dir.SaveCert(certPEM(cert)), dir.SaveRevoked(none)} {
		if err != nil {
			return nil, err
		}
	}
	return &certs.Leaf{Cert: cert}, nil
}

// fill writes the fleet into etcd. Nobody but the administrator reaches it before
// authentication is on.
func (f *Founding) fill(ctx context.Context, etcd *clientv3.Client, dir identity.Dir, n identity.Node, leaf *certs.Leaf, now time.Time) error {
	if err := access.Enable(ctx, etcd); err != nil {
		return err
	}
	s, err := store.New(etcd, f.Fleet)
	if err != nil {
		return err
	}
	key, err := dir.SealKey()
	if err != nil {
		return err
	}
	plan, seals, err := f.plan(n.Name, key.Public(), now)
	if err != nil {
		return err
	}
	entry := func(action string) store.Entry {
		return store.Entry{Time: now, Node: identity.Admin, Action: action, Detail: "node " + n.Name}
	}
	if err := s.PutSeals(ctx, seals); err != nil {
		return err
	}
	// A fleet that is there already is that of an attempt that was interrupted, if the
	// etcd is our own.
	if err := s.Init(ctx, plan, entry("init")); err != nil && (!errors.Is(err, store.ErrExists) || n.Member == nil) {
		return err
	}
	if err := access.Admit(ctx, etcd, f.Fleet, n.Name); err != nil {
		return err
	}
	if err := s.Register(ctx, n.Name, key.Public(), entry("join")); err != nil {
		return err
	}
	return s.Issued(ctx, n.Name, leaf.Cert.SerialNumber, entry("certificate"))
}

// plan returns the first plan, and the seals of the roots that it takes over.
func (f *Founding) plan(node string, to seal.Public, now time.Time) (roots.Plan, []store.Seal, error) {
	var ids []roots.Root
	var seals []store.Seal
	for _, r := range f.TakeOver {
		id := roots.Fingerprint(&r.Secret)
		box, err := seal.Seal(to, &r.Secret)
		if err != nil {
			return roots.Plan{}, nil, err
		}
		ids = append(ids, roots.Root{ID: id, Since: r.Since.Unix(), Published: now.Unix()})
		seals = append(seals, store.Seal{Node: node, Root: id, Box: box})
	}
	p, err := roots.TakeOver(f.Params, ids, now)
	return p, seals, err
}

// StartMember starts the member of etcd of a node and waits until it serves.
func StartMember(ctx context.Context, dir identity.Dir, n identity.Node, log *zap.Logger) (*embedded.Server, error) {
	return embedded.Start(ctx, embedded.Config{
		Dir: dir.Etcd(), Name: n.Name, Client: n.Member.Client, Peer: n.Member.Peer, Listen: n.Member.Listen,
		Members: n.Member.Members, Joins: len(n.Member.Members) > 0, Log: log,
		TLS: &embedded.TLS{Cert: dir.Cert(), Key: dir.Key(), CA: dir.CA(), Revoked: dir.Revoked()},
	})
}
