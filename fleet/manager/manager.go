// Package manager is what the node does on which a fleet began: it has the authority,
// invites and admits nodes, renews their certificates, revokes them, and keeps the
// members of the embedded etcd. The other side, joining, is here too.
package manager

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"noonmark/fleet/access"
	"noonmark/fleet/identity"
	"noonmark/fleet/store"
	"noonmark/internal/retry"
	"noonmark/server/certs"
)

// Limits.
const (
	// TokenLife is how long a token is valid unless the operator says otherwise.
	TokenLife = time.Hour
	// MaxTokenLife limits what the operator says.
	MaxTokenLife = 7 * 24 * time.Hour
	// voters is how many members of etcd vote: three survive the loss of one.
	voters = 3
	// settled is how long members of etcd may take to agree on one more or less: etcd does
	// nothing before the others have been connected for 5 s.
	settled = 10 * time.Second
)

// The ports of a node, counted from the first one.
const (
	DefaultPort = 2379 // of etcd for agents; the next ones:
	peerOffset  = 1    // of etcd for other members
	joinOffset  = 2    // of the manager
)

// ErrMembers is wrapped by errors about members of etcd.
var ErrMembers = errors.New("no further member of etcd is possible")

// Manager manages one fleet. Its methods may be called from any goroutine.
type Manager struct {
	node      identity.Node
	store     *store.Store
	etcd      *clientv3.Client // of the administrator
	authority *certs.Authority
	now       func() time.Time
}

// Open returns the manager of the fleet of a folder; the client is that of the
// administrator. The error wraps identity.ErrNoManager on other nodes.
func Open(dir identity.Dir, etcd *clientv3.Client, now func() time.Time) (*Manager, error) {
	n, err := dir.Load()
	if err != nil {
		return nil, err
	}
	a, err := dir.Authority()
	if err != nil {
		return nil, err
	}
	s, err := store.New(etcd, n.Fleet)
	if err != nil {
		return nil, err
	}
	return &Manager{node: n, store: s, etcd: etcd, authority: a, now: now}, nil
}

func (m *Manager) entry(action, detail string) store.Entry {
	return store.Entry{Time: m.now(), Node: identity.Admin, Action: action, Detail: detail}
}

// KeepAudit copies the audit record until ctx ends, or etcd does not answer.
func (m *Manager) KeepAudit(ctx context.Context) error { return m.store.KeepAudit(ctx) }

// Invitation says who may join.
type Invitation struct {
	Node      string
	Addresses []string // of its certificate; of a member of etcd the first is where it serves
	Member    bool     // it becomes a member of the embedded etcd
	Port      int      // first of its ports; 0 = DefaultPort
	Life      time.Duration
}

// Invite makes a token for one machine.
func (m *Manager) Invite(ctx context.Context, i Invitation) (*Token, error) {
	if i.Life == 0 {
		i.Life = TokenLife
	}
	if i.Life < time.Second || i.Life > MaxTokenLife {
		return nil, fmt.Errorf("invite node %s: a life of %v is not from 1 s to %v", i.Node, i.Life, MaxTokenLife)
	}
	if i.Port == 0 {
		i.Port = DefaultPort
	}
	if i.Member {
		if err := m.checkMember(ctx, i); err != nil {
			return nil, fmt.Errorf("invite node %s: %w", i.Node, err)
		}
	}
	t := &Token{Manager: m.node.Manager, ID: strings.ToLower(rand.Text()), Secret: make([]byte, secretLen), Fingerprint: Fingerprint(m.authority.Cert)}
	rand.Read(t.Secret)
	now := m.now()
	err := m.store.Invite(ctx, t.ID, store.Invitation{
		Node: i.Node, Hosts: i.Addresses, Member: i.Member, Port: i.Port, Secret: store.HashToken(t.Secret), Expires: now.Add(i.Life).Unix(),
	}, now, m.entry("token", "for node "+i.Node))
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (m *Manager) checkMember(ctx context.Context, i Invitation) error {
	switch {
	case m.node.Member == nil:
		return fmt.Errorf("%w: etcd is not embedded", ErrMembers)
	case len(i.Addresses) == 0:
		return fmt.Errorf("%w: want the address at which the others reach it", ErrMembers)
	}
	if _, err := netip.ParseAddr(i.Addresses[0]); err != nil {
		return fmt.Errorf("%w: %q is no IP address", ErrMembers, i.Addresses[0])
	}
	r, err := m.etcd.MemberList(ctx)
	if err != nil {
		return err
	}
	if len(r.Members) >= voters {
		return fmt.Errorf("%w: there are %d, and %d survive the loss of one; join without -member", ErrMembers, len(r.Members), voters)
	}
	return nil
}

// URLs returns where a member of etcd serves agents and other members.
func URLs(address string, port int) (client, peer string) {
	url := func(p int) string { return "https://" + net.JoinHostPort(address, strconv.Itoa(p)) }
	return url(port), url(port + peerOffset)
}

// Address returns where a manager admits nodes.
func Address(address string, port int) string {
	return net.JoinHostPort(address, strconv.Itoa(port+joinOffset))
}

// addMember adds a node to the members of etcd, as one that does not vote yet. It may be
// repeated.
func (m *Manager) addMember(ctx context.Context, i *store.Invited) (*identity.Member, error) {
	if len(i.Hosts) == 0 {
		return nil, fmt.Errorf("%w: the invitation has no address", ErrMembers)
	}
	client, peer := URLs(i.Hosts[0], i.Port)
	err := onceSettled(ctx, func() (bool, error) {
		_, err := m.etcd.MemberAddAsLearner(ctx, []string{peer})
		if errors.Is(err, rpctypes.ErrPeerURLExist) || errors.Is(err, rpctypes.ErrMemberExist) {
			err = nil
		}
		return !errors.Is(err, rpctypes.ErrUnhealthy), err
	})
	if err != nil {
		return nil, fmt.Errorf("add member %s: %w", i.Node, err)
	}
	r, err := m.etcd.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("add member %s: %w", i.Node, err)
	}
	all := map[string]string{}
	for _, x := range r.Members {
		name := x.Name
		switch {
		case slices.Contains(x.PeerURLs, peer):
			name = i.Node
		case name == "": // it has not started yet
			name = strconv.FormatUint(x.ID, 16)
		}
		if len(x.PeerURLs) > 0 {
			all[name] = x.PeerURLs[0]
		}
	}
	return &identity.Member{Client: client, Peer: peer, Members: all}, nil
}

// Promote lets members vote. One that is alone with the first one does not vote yet: two
// voters survive the loss of none. The result says whether all that shall vote do.
func (m *Manager) Promote(ctx context.Context) (done bool, err error) {
	if m.node.Member == nil {
		return true, nil
	}
	r, err := m.etcd.MemberList(ctx)
	if err != nil {
		return false, fmt.Errorf("promote members: %w", err)
	}
	learners := slices.DeleteFunc(slices.Clone(r.Members), func(x *etcdserverpb.Member) bool { return !x.IsLearner })
	if len(learners) == 0 {
		return true, nil
	}
	if len(r.Members) < voters || slices.ContainsFunc(learners, func(x *etcdserverpb.Member) bool { return x.Name == "" }) {
		return false, nil
	}
	lead, err := m.leader(ctx, r.Members)
	if err != nil {
		return false, fmt.Errorf("promote members: %w", err)
	}
	defer lead.Close()
	for _, x := range learners {
		if _, err := etcdserverpb.NewClusterClient(lead).MemberPromote(ctx, &etcdserverpb.MemberPromoteRequest{ID: x.ID}); err != nil {
			if err = rpctypes.Error(err); errors.Is(err, rpctypes.ErrMemberLearnerNotReady) {
				return false, nil
			}
			return false, fmt.Errorf("promote member %s: %w", x.Name, err)
		}
	}
	return true, nil
}

// leader connects to the member that leads the others. Another one would pass a promotion on
// without the name of the user, be refused, and repeat that without a pause until the request
// ends.
func (m *Manager) leader(ctx context.Context, members []*etcdserverpb.Member) (*grpc.ClientConn, error) {
	var failed error
	for _, url := range clientURLs(members) {
		one, stop := context.WithTimeout(ctx, patience/4)
		r, err := m.etcd.Status(one, url)
		stop()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", url, err))
			continue
		}
		i := slices.IndexFunc(members, func(x *etcdserverpb.Member) bool { return x.ID == r.Leader && len(x.ClientURLs) > 0 })
		if i < 0 { // it may be cut off from the others
			failed = errors.Join(failed, fmt.Errorf("%s: %w", url, rpctypes.ErrNoLeader))
			continue
		}
		return m.etcd.Dial(members[i].ClientURLs[0])
	}
	return nil, cmp.Or(failed, rpctypes.ErrNoLeader)
}

// UpdateRights brings the rights of all registered nodes in etcd up to date: those of a
// node that an older version has admitted lack what newer ones need. It returns the nodes
// that got some, and may be repeated.
func (m *Manager) UpdateRights(ctx context.Context) (changed []string, err error) {
	snap, err := m.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, n := range snap.Nodes {
		granted, err := access.Update(ctx, m.etcd, m.node.Fleet, n.Name)
		failed = errors.Join(failed, err)
		if granted > 0 {
			changed = append(changed, n.Name)
		}
	}
	return changed, failed
}

// endpoints returns where agents find etcd.
func (m *Manager) endpoints(ctx context.Context) ([]string, error) {
	if m.node.Member == nil {
		return m.node.Endpoints, nil
	}
	r, err := m.etcd.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	if all := clientURLs(r.Members); len(all) > 0 {
		return all, nil
	}
	return m.node.Endpoints, nil
}

// Revoke shuts out a node that was stolen: etcd refuses its certificates, nothing more is
// sealed to it, and all roots that it has are replaced. Clients whose cookies are of these
// roots repeat the key exchange. It may be repeated. The error wraps store.ErrNoNode.
func (m *Manager) Revoke(ctx context.Context, node string) error {
	if known, err := m.store.Known(ctx, node); err != nil || !known {
		return fmt.Errorf("revoke node %s: %w", node, cmp.Or(err, store.ErrNoNode))
	}
	if err := m.shutOut(ctx, node); err != nil {
		return err
	}
	for {
		snap, err := m.store.Read(ctx)
		if err != nil {
			return err
		}
		plan, err := snap.Plan.Condemn()
		if err != nil {
			return err
		}
		err = m.store.Evict(ctx, snap, node, plan, m.entry("revoke", "node "+node+" and all roots"))
		if err == nil {
			return m.removeMember(ctx, node)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Remove removes a node that is retired: its disc must have been erased, because the
// roots on it stay in use. It may be repeated.
func (m *Manager) Remove(ctx context.Context, node string) error {
	if err := m.shutOut(ctx, node); err != nil {
		return err
	}
	err := m.store.Remove(ctx, node, m.entry("remove", "node "+node))
	if err != nil && !errors.Is(err, store.ErrNoNode) {
		return err
	}
	// Its member of etcd may be left from an attempt that was interrupted.
	return cmp.Or(m.removeMember(ctx, node), err)
}

// shutOut makes etcd refuse a node: first its requests, then its connections.
func (m *Manager) shutOut(ctx context.Context, node string) error {
	if node == m.node.Name {
		return fmt.Errorf("node %s manages the fleet and cannot be removed; if it was stolen, make a new fleet on another machine", node)
	}
	if err := access.Expel(ctx, m.etcd, m.node.Fleet, node); err != nil {
		return err
	}
	return m.revokeCertificates(ctx, node)
}

// removeMember removes a node from the members of etcd, which comes last: requests that are
// at that member fail, even one for its own removal that is carried out. So it is asked
// again whether the node is a member.
func (m *Manager) removeMember(ctx context.Context, node string) error {
	if m.node.Member == nil {
		return nil
	}
	err := onceSettled(ctx, func() (bool, error) { return m.tryRemoveMember(ctx, node) })
	if err != nil {
		return fmt.Errorf("remove member %s: %w", node, err)
	}
	return nil
}

// onceSettled tries to change the members of etcd until it is done, or until members that
// can agree would have agreed. It returns the last error.
func onceSettled(ctx context.Context, try func() (done bool, err error)) error {
	limited, stop := context.WithTimeout(ctx, settled)
	defer stop()
	for {
		done, err := try()
		if done || limited.Err() != nil {
			return err
		}
		retry.Sleep(limited, settled/10)
	}
}

// tryRemoveMember asks the members that stay to remove a node. done: it is none of them.
func (m *Manager) tryRemoveMember(ctx context.Context, node string) (done bool, err error) {
	r, err := m.etcd.MemberList(ctx)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(r.Members, func(x *etcdserverpb.Member) bool { return x.Name == node })
	if i < 0 {
		return true, nil
	}
	if stay := clientURLs(slices.Delete(slices.Clone(r.Members), i, i+1)); len(stay) > 0 {
		m.etcd.SetEndpoints(stay...)
	}
	_, err = m.etcd.MemberRemove(ctx, r.Members[i].ID)
	if errors.Is(err, rpctypes.ErrMemberNotFound) {
		err = nil
	}
	return err == nil, err
}

// clientURLs returns where agents find members that vote.
func clientURLs(members []*etcdserverpb.Member) (all []string) {
	for _, x := range members {
		if !x.IsLearner {
			all = append(all, x.ClientURLs...)
		}
	}
	return all
}

// revokeCertificates adds the certificates of a node to the revocation list, which the
// members of etcd apply to connections.
func (m *Manager) revokeCertificates(ctx context.Context, node string) error {
	serials, err := m.store.Serials(ctx, node)
	if err != nil {
		return err
	}
	for {
		old, revision, err := m.store.Revoked(ctx)
		if err != nil {
			return err
		}
		all, number := serials, int64(1)
		if old != nil {
			list, err := x509.ParseRevocationList(old)
			if err != nil {
				return fmt.Errorf("read revocation list: %w", err)
			}
			if err := list.CheckSignatureFrom(m.authority.Cert); err != nil {
				return fmt.Errorf("read revocation list: %w", err)
			}
			number = list.Number.Int64() + 1
			for _, e := range list.RevokedCertificateEntries {
				if !slices.ContainsFunc(all, func(s *big.Int) bool { return s.Cmp(e.SerialNumber) == 0 }) {
					all = append(all, e.SerialNumber)
				}
			}
		}
		der, err := m.authority.RevocationList(all, number, m.now())
		if err != nil {
			return err
		}
		if err := m.store.SetRevoked(ctx, der, revision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
