// Package access decides in etcd who may do what: each node is a user of its own, named
// by its certificate, with one role. It logs nothing.
//
// A node reads the whole fleet, because it plans for it. It writes the plan, drains,
// seals for others, which it draws or passes on, its own record and its own lines of the
// audit record. It registers no node, replaces no key to which others seal, and shows
// nothing in the name of another.
package access

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/identity"
	"noonmark/fleet/store"
)

const (
	// dial limits a connection to one server of etcd.
	dial = 5 * time.Second
	// keepAlive is how often an idle connection is examined, and how long an answer
	// may take: a cut cable is noticed within both together.
	keepAlive, keepAliveLimit = 10 * time.Second, 5 * time.Second
)

// ErrOpen says that etcd accepts everybody.
var ErrOpen = errors.New("etcd does not authenticate its clients; run: noonmark-fleet init, or enable its auth with the user root")

// Connect returns a client of etcd. It does not wait for the connection.
func Connect(endpoints []string, t *tls.Config) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: t, DialTimeout: dial, DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAliveLimit,
		RejectOldCluster: false, Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	return c, nil
}

// Enable makes the user that manages the fleet and switches authentication on. It may be
// repeated. The client has the certificate of identity.Admin.
func Enable(ctx context.Context, c *clientv3.Client) error {
	fail := func(err error) error { return fmt.Errorf("enable authentication of etcd: %w", err) }
	if err := addUser(ctx, c, identity.Admin); err != nil {
		return fail(err)
	}
	if _, err := c.RoleAdd(ctx, identity.Admin); err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
		return fail(err)
	}
	if _, err := c.UserGrantRole(ctx, identity.Admin, identity.Admin); err != nil {
		return fail(err)
	}
	if _, err := c.AuthEnable(ctx); err != nil {
		return fail(err)
	}
	return nil
}

// CheckClosed returns ErrOpen if the client, with the certificate of a node, may do what
// only the administrator may: then anybody who reaches etcd may.
func CheckClosed(ctx context.Context, c *clientv3.Client) error {
	_, err := c.UserList(ctx)
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return nil
	case err == nil:
		return ErrOpen
	}
	return fmt.Errorf("examine the authentication of etcd: %w", err)
}

// Admit makes the user and the role of a node. It may be repeated.
func Admit(ctx context.Context, c *clientv3.Client, fleet, node string) error {
	fail := func(err error) error { return fmt.Errorf("admit node %s to etcd: %w", node, err) }
	rights, err := store.Rights(fleet, node)
	if err != nil {
		return fail(err)
	}
	role := roleOf(fleet, node)
	if _, err := c.RoleAdd(ctx, role); err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
		return fail(err)
	}
	for _, r := range rights {
		if err := grant(ctx, c, role, r); err != nil {
			return fail(err)
		}
	}
	if err := addUser(ctx, c, node); err != nil {
		return fail(err)
	}
	if _, err := c.UserGrantRole(ctx, node, role); err != nil {
		return fail(err)
	}
	return nil
}

// Update grants an admitted node the rights of this version that its role lacks, and
// returns how many. Without a role it does nothing: a node that is being removed has its
// user and its role removed first, and must not get them back. It takes nothing away.
func Update(ctx context.Context, c *clientv3.Client, fleet, node string) (granted int, err error) {
	fail := func(err error) (int, error) {
		return granted, fmt.Errorf("update the rights of node %s in etcd: %w", node, err)
	}
	rights, err := store.Rights(fleet, node)
	if err != nil {
		return fail(err)
	}
	role := roleOf(fleet, node)
	got, err := c.RoleGet(ctx, role)
	if errors.Is(err, rpctypes.ErrRoleNotFound) {
		return 0, nil
	}
	if err != nil {
		return fail(err)
	}
	for _, r := range rights {
		end, kind := permission(r)
		if slices.ContainsFunc(got.Perm, func(p *authpb.Permission) bool {
			return string(p.Key) == r.Key && string(p.RangeEnd) == end && p.PermType == authpb.Permission_Type(kind)
		}) {
			continue // every grant makes all nodes authenticate their next request again
		}
		err := grant(ctx, c, role, r)
		if errors.Is(err, rpctypes.ErrRoleNotFound) { // it was removed meanwhile
			return granted, nil
		}
		if err != nil {
			return fail(err)
		}
		granted++
	}
	return granted, nil
}

func grant(ctx context.Context, c *clientv3.Client, role string, r store.Right) error {
	end, kind := permission(r)
	_, err := c.RoleGrantPermission(ctx, role, r.Key, end, kind)
	return err
}

// permission is a right in etcd's terms.
func permission(r store.Right) (end string, kind clientv3.PermissionType) {
	if r.Prefix {
		end = clientv3.GetPrefixRangeEnd(r.Key)
	}
	kind = clientv3.PermissionType(clientv3.PermRead)
	if r.Write {
		kind = clientv3.PermissionType(clientv3.PermReadWrite)
	}
	return end, kind
}

// Expel removes the user and the role of a node: etcd refuses its certificate from then
// on. It may be repeated.
func Expel(ctx context.Context, c *clientv3.Client, fleet, node string) error {
	fail := func(err error) error { return fmt.Errorf("remove node %s from etcd: %w", node, err) }
	if _, err := store.Rights(fleet, node); err != nil { // never the administrator
		return fail(err)
	}
	if _, err := c.UserDelete(ctx, node); err != nil && !errors.Is(err, rpctypes.ErrUserNotFound) {
		return fail(err)
	}
	if _, err := c.RoleDelete(ctx, roleOf(fleet, node)); err != nil && !errors.Is(err, rpctypes.ErrRoleNotFound) {
		return fail(err)
	}
	return nil
}

func roleOf(fleet, node string) string { return "noonmark/" + fleet + "/" + node }

// addUser adds a user without a password: only a certificate opens it.
func addUser(ctx context.Context, c *clientv3.Client, name string) error {
	_, err := c.UserAddWithOptions(ctx, name, "", &clientv3.UserAddOptions{NoPassword: true})
	if errors.Is(err, rpctypes.ErrUserAlreadyExist) {
		return nil
	}
	return err
}
