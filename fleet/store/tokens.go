package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/seal"
)

// Invitation lets one machine join, once. Only the administrator reads it.
type Invitation struct {
	Node    string   `json:"node"`
	Hosts   []string `json:"hosts,omitempty"`  // names and addresses in its certificate
	Member  bool     `json:"member,omitempty"` // it becomes a member of etcd
	Port    int      `json:"port,omitempty"`   // first of the ports of a member
	Secret  string   `json:"secret"`           // SHA-256 of the secret of the token, hexadecimal
	Expires int64    `json:"expires"`          // POSIX seconds
}

// HashToken returns Invitation.Secret.
func HashToken(secret []byte) string {
	h := sha256.Sum256(secret)
	return hex.EncodeToString(h[:])
}

func (s *Store) closedKey(kind, id string) string { return s.closed + kind + "/" + id }

// Invite stores an invitation until it expires. etcd forgets it then; it is also refused
// by the clock of whoever checks it, whichever is first. The error wraps ErrNameTaken if
// there is a node of the name, or one was revoked: its connections, which nobody can cut,
// would get the rights of the new one.
func (s *Store) Invite(ctx context.Context, id string, i Invitation, now time.Time, e Entry) error {
	if err := errors.Join(CheckName(i.Node), CheckName(id)); err != nil {
		return fmt.Errorf("invite: %w", err)
	}
	lease, err := s.etcd.Grant(ctx, max(1, i.Expires-now.Unix()))
	if err != nil {
		return fmt.Errorf("invite node %s: %w", i.Node, err)
	}
	c, op := s.audit(e)
	ok, err := s.commit(ctx, []clientv3.Cmp{absent(s.key("node", i.Node)), absent(s.closedKey("gone", i.Node)), absent(s.closedKey("token", id)), c},
		clientv3.OpPut(s.closedKey("token", id), encode(i), clientv3.WithLease(lease.ID)), op)
	if err == nil && !ok {
		err = ErrNameTaken
	}
	if err != nil {
		return fmt.Errorf("invite node %s: %w", i.Node, err)
	}
	return nil
}

// Invited is an invitation whose secret was shown.
type Invited struct {
	Invitation
	id       string
	revision int64
}

// CheckToken returns the invitation that a token belongs to, and leaves it as it is. The
// error wraps ErrToken, whatever is wrong with it.
func (s *Store) CheckToken(ctx context.Context, id string, secret []byte, now time.Time) (*Invited, error) {
	if CheckName(id) != nil {
		return nil, fmt.Errorf("check token: %w", ErrToken)
	}
	r, err := s.etcd.Get(ctx, s.closedKey("token", id))
	if err != nil {
		return nil, fmt.Errorf("check token: %w", err)
	}
	i := &Invited{id: id}
	if len(r.Kvs) != 1 || decode(r.Kvs[0].Value, &i.Invitation) != nil || now.Unix() >= i.Expires ||
		subtle.ConstantTimeCompare([]byte(HashToken(secret)), []byte(i.Secret)) != 1 {
		return nil, fmt.Errorf("check token: %w", ErrToken)
	}
	i.revision = r.Kvs[0].ModRevision
	return i, nil
}

// Accept uses up an invitation and registers its node, in one transaction: a token
// registers one node. The error wraps ErrToken or ErrNameTaken.
func (s *Store) Accept(ctx context.Context, i *Invited, key seal.Public, serial *big.Int, e Entry) error {
	c, op := s.audit(e)
	token, node := s.closedKey("token", i.id), s.key("node", i.Node)
	r, err := s.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(token), "=", i.revision), absent(node), c).
		Then(clientv3.OpDelete(token), clientv3.OpPut(node, encode(registration{key})), s.issued(i.Node, serial), op).
		Else(clientv3.OpGet(node, clientv3.WithKeysOnly())).Commit()
	switch {
	case err != nil:
	case r.Succeeded:
		return nil
	case r.Responses[0].GetResponseRange().Count > 0:
		err = ErrNameTaken
	default:
		err = ErrToken
	}
	return fmt.Errorf("accept node %s: %w", i.Node, err)
}

// issued records a certificate, so that it can be revoked with its node.
func (s *Store) issued(node string, serial *big.Int) clientv3.Op {
	return clientv3.OpPut(s.closedKey("issued", node+"/"+serial.Text(16)), "{}")
}

// Issued records a further certificate of a node that is registered. The error wraps
// ErrNoNode.
func (s *Store) Issued(ctx context.Context, node string, serial *big.Int, e Entry) error {
	return s.onNode(ctx, node, e, s.issued(node, serial))
}

// Serials returns the serial numbers of the certificates of a node.
func (s *Store) Serials(ctx context.Context, node string) (list []*big.Int, err error) {
	r, err := s.etcd.Get(ctx, s.closedKey("issued", node+"/"), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("read certificates of %s: %w", node, err)
	}
	for _, kv := range r.Kvs {
		if n, ok := new(big.Int).SetString(s.last(kv.Key), 16); ok {
			list = append(list, n)
		}
	}
	return list, nil
}

// maxRevoked limits the length of the revocation list, octets.
const maxRevoked = 1 << 20

// Revoked returns the revocation list of the fleet, DER, and its revision in etcd. nil:
// nothing is revoked.
func (s *Store) Revoked(ctx context.Context) (list []byte, revision int64, err error) {
	r, err := s.etcd.Get(ctx, s.key("revoked"))
	if err != nil {
		return nil, 0, fmt.Errorf("read revocation list: %w", err)
	}
	if len(r.Kvs) == 0 {
		return nil, 0, nil
	}
	return slices.Clone(r.Kvs[0].Value), r.Kvs[0].ModRevision, nil
}

// SetRevoked replaces the revocation list if it is still that of the revision. The error
// wraps ErrConflict.
func (s *Store) SetRevoked(ctx context.Context, list []byte, revision int64) error {
	if len(list) > maxRevoked {
		return fmt.Errorf("write revocation list: %d octets, at most %d", len(list), maxRevoked)
	}
	ok, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.key("revoked")), "=", revision)}, clientv3.OpPut(s.key("revoked"), string(list)))
	if err == nil && !ok {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("write revocation list: %w", err)
	}
	return nil
}
