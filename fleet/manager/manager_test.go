package manager

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"noonmark/fleet/access"
	"noonmark/fleet/embedded"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/identity"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/freeports"
	"noonmark/internal/proctest"
	"noonmark/server/certs"
	"noonmark/server/nts"
)

const loopback = "127.0.0.1"

var must = fleettest.Must

var within = fleettest.Within

// freePorts reserves three ports in a row until the test ends, and returns the first.
func freePorts(t *testing.T) int {
	t.Helper()
	r, err := freeports.Reserve(3)
	must(t, err)
	t.Cleanup(r.Release)
	return r.First
}

// fleet is a fleet with a running manager.
type fleet struct {
	t       *testing.T
	dir     identity.Dir
	member  *embedded.Server // nil: etcd is another program
	node    identity.Node
	manager *Manager
	counts  Counts
	etcd    *clientv3.Client
}

// found founds a fleet and runs its manager.
func found(t *testing.T, f Founding) *fleet {
	t.Helper()
	return foundIn(t, identity.Dir(t.TempDir()), f)
}

func foundIn(t *testing.T, dir identity.Dir, f Founding) *fleet {
	t.Helper()
	x := &fleet{t: t, dir: dir}
	f.Fleet, f.Node, f.Addresses = "test", "a", []string{loopback}
	if f.Port == 0 {
		f.Port = freePorts(t)
	}
	if f.Params == (roots.Params{}) {
		f.Params = roots.Defaults()
	}
	var err error
	x.node, err = Found(within(t), x.dir, f, time.Now())
	must(t, err)
	if x.node.Member != nil {
		x.member = start(t, x.dir, x.node)
	}
	settings, err := x.dir.AdminTLS()
	must(t, err)
	x.etcd, err = access.Connect(x.node.Endpoints, settings)
	must(t, err)
	t.Cleanup(func() { x.etcd.Close() })
	x.manager, err = Open(x.dir, x.etcd, time.Now)
	must(t, err)
	l, err := net.Listen("tcp", x.node.Manager)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- x.manager.Serve(ctx, Admission{l, x.dir, &x.counts, slog.New(slog.DiscardHandler)}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return x
}

func start(t *testing.T, dir identity.Dir, n identity.Node) *embedded.Server {
	t.Helper()
	e, err := StartMember(within(t), dir, n, nil)
	must(t, err)
	t.Cleanup(e.Close)
	return e
}

// join joins a node and returns its folder.
func (x *fleet) join(i Invitation) (identity.Dir, identity.Node) {
	x.t.Helper()
	token, err := x.manager.Invite(within(x.t), i)
	must(x.t, err)
	token, err = ParseToken(token.String())
	must(x.t, err)
	dir := identity.Dir(x.t.TempDir())
	_, err = Join(within(x.t), dir, token)
	must(x.t, err)
	n, err := dir.Load()
	must(x.t, err)
	return dir, n
}

// client is etcd with the certificate of a node.
func client(t *testing.T, dir identity.Dir, endpoints []string) (*clientv3.Client, *store.Store) {
	t.Helper()
	settings, err := dir.TLS()
	must(t, err)
	c, err := access.Connect(endpoints, settings)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	s, err := store.New(c, "test")
	must(t, err)
	return c, s
}

// TestAuthenticatedFleet runs against one etcd with TLS, which takes seconds to start.
func TestAuthenticatedFleet(t *testing.T) {
	authenticated(t, found(t, Founding{}))
}

// TestAuthenticatedFleetOnDebiansEtcd is the same with an etcd that another program runs,
// a version that many sites have.
func TestAuthenticatedFleetOnDebiansEtcd(t *testing.T) {
	dir := identity.Dir(t.TempDir())
	authenticated(t, foundIn(t, dir, Founding{Endpoints: []string{debian(t, dir)}}))
}

func authenticated(t *testing.T, x *fleet) {
	must(t, access.Enable(within(t), x.etcd)) // again
	nobody(t, x)
	_, a := client(t, x.dir, x.node.Endpoints)
	dir, n := x.join(Invitation{Node: "b"})
	etcd, b := client(t, dir, n.Endpoints)
	must(t, access.CheckClosed(within(t), etcd))
	if err := access.CheckClosed(within(t), x.etcd); !errors.Is(err, access.ErrOpen) {
		t.Errorf("the administrator sees an etcd that is closed to it: %v", err)
	}
	rights(t, x, etcd, b)
	older(t, x, etcd)
	tokens(t, x)
	renews(t, x, dir, n)
	snap, err := a.Read(within(t))
	must(t, err)
	if snap.Node("a") == nil || snap.Node("b") == nil {
		t.Fatalf("nodes: %+v", snap.Nodes)
	}
	stolen(t, x, dir, etcd, b)
}

// nobody: without a certificate, or with one of another authority, there is no etcd.
func nobody(t *testing.T, x *fleet) {
	t.Helper()
	other := identity.Dir(t.TempDir())
	must(t, other.Create())
	_, err := certify(other, identity.Node{Fleet: "test", Name: "root", Address: []string{loopback}}, time.Now())
	must(t, err)
	settings, err := other.TLS()
	must(t, err)
	settings.InsecureSkipVerify = true
	for name, s := range map[string]*tls.Config{"none": {InsecureSkipVerify: true}, "of another authority": settings} {
		c, err := access.Connect(x.node.Endpoints, s)
		must(t, err)
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := c.Get(ctx, "/"); err == nil {
			t.Errorf("certificate %s: etcd answers", name)
		}
		stop()
		c.Close()
	}
}

// rights: a node writes what it must, and nothing in the name of others.
func rights(t *testing.T, x *fleet, etcd *clientv3.Client, s *store.Store) {
	t.Helper()
	e := store.Entry{Time: time.Now(), Node: "b", Action: "test"}
	must(t, s.NewPresence("b", time.Minute).Show(within(t), store.Record{}))
	must(t, s.Drain(within(t), "a", "test", e))
	must(t, s.Undrain(within(t), "a", e))
	snap, err := s.Read(within(t))
	must(t, err)
	must(t, s.DrainDeviant(within(t), snap, "b", "deviates", e))
	snap, err = s.Read(within(t))
	must(t, err)
	must(t, s.ConfirmDrain(within(t), *snap.Node("b")))
	snap, err = s.Read(within(t))
	must(t, err)
	must(t, s.UndrainDeviant(within(t), *snap.Node("b"), e))
	must(t, s.PutSeals(within(t), []store.Seal{{Node: "a", Root: roots.ID{1}, Box: make([]byte, seal.Len)}}))
	snap, err = s.Read(within(t))
	must(t, err)
	must(t, s.Commit(within(t), snap, store.Change{Plan: snap.Plan.Add(time.Now(), roots.ID{1}), Audit: []store.Entry{e}}))
	w := s.NewWatch("b")
	defer w.Close()
	must(t, w.Wait(within(t), snap.Revision)) // it may watch
	presence := s.NewPresence("b", time.Minute)
	must(t, s.NewPlanner(presence).Take(within(t), store.Held{})) // it may have the turn to plan
	for name, err := range map[string]error{
		"a record of another node":  s.NewPresence("a", time.Minute).Show(within(t), store.Record{}),
		"a node":                    s.Register(within(t), "c", seal.Generate().Public(), e),
		"an entry of another node":  s.Drain(within(t), "a", "test", store.Entry{Time: time.Now(), Node: "a", Action: "test"}),
		"an entry of the operator":  s.Drain(within(t), "a", "test", store.Entry{Time: time.Now(), Node: "root", Action: "test"}),
		"the revocation list":       s.SetRevoked(within(t), nil, 0),
		"a removal":                 s.Remove(within(t), "a", e),
		"an invitation":             s.Invite(within(t), "x", store.Invitation{Node: "c", Expires: time.Now().Add(time.Hour).Unix()}, time.Now(), e),
		"rights for another":        access.Admit(within(t), etcd, "test", "c"),
		"its own removal":           access.Expel(within(t), etcd, "test", "b"),
		"authentication":            second(etcd.AuthDisable(within(t))),
		"a key of another fleet":    second(etcd.Get(within(t), "/noonmark/other/plan")),
		"the keys of the operator":  second(etcd.Get(within(t), "/noonmark-admin/test/", clientv3.WithPrefix())),
		"all keys":                  second(etcd.Get(within(t), "/", clientv3.WithPrefix())),
		"a write behind its record": second(etcd.Put(within(t), "/noonmark/test/alive/b2", "")),
	} {
		if !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("%s: %v, want %v", name, err, rpctypes.ErrPermissionDenied)
		}
	}
	list, _, err := s.Audit(within(t), 1000)
	must(t, err)
	if !slices.ContainsFunc(list, func(e store.Entry) bool { return e.Node == "b" && e.Action == "test" }) {
		t.Errorf("audit record: %v", list)
	}
	if n := x.counts.Refused()["token"]; n != 0 {
		t.Errorf("%d tokens refused", n)
	}
}

// older: a node that a version without health has admitted gets its rights when the
// manager starts; one that is being removed gets none back.
func older(t *testing.T, x *fleet, etcd *clientv3.Client) {
	t.Helper()
	const role, key = "noonmark/test/b", "/noonmark/test/health/at/b"
	if changed, err := x.manager.UpdateRights(within(t)); err != nil || len(changed) > 0 {
		t.Errorf("rights that are up to date: %v changed, %v", changed, err)
	}
	must(t, second(x.etcd.RoleRevokePermission(within(t), role, key, "")))
	must(t, second(x.etcd.RoleRevokePermission(within(t), role, "/noonmark/test/drain/", clientv3.GetPrefixRangeEnd("/noonmark/test/drain/"))))
	if _, err := etcd.Put(within(t), key, "{}"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a write without the right: %v", err)
	}
	if _, err := access.Update(within(t), etcd, "test", "b"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a node updates its own rights: %v", err)
	}
	changed, err := x.manager.UpdateRights(within(t))
	if err != nil || !slices.Equal(changed, []string{"b"}) {
		t.Errorf("rights of an older version: %v changed, %v", changed, err)
	}
	must(t, second(etcd.Put(within(t), key, "{}")))
	must(t, second(etcd.Put(within(t), "/noonmark/test/drain/c", "{}")))
	must(t, second(x.etcd.Delete(within(t), "/noonmark/test/drain/c")))

	// A removal that was interrupted: etcd refuses the node, the registry has it still.
	must(t, x.manager.store.Register(within(t), "gone", seal.Generate().Public(), x.manager.entry("join", "test")))
	must(t, access.Admit(within(t), x.etcd, "test", "gone"))
	must(t, access.Expel(within(t), x.etcd, "test", "gone"))
	if changed, err := x.manager.UpdateRights(within(t)); err != nil || len(changed) > 0 {
		t.Errorf("a node that is being removed: %v changed, %v", changed, err)
	}
	if _, err := x.etcd.UserGet(within(t), "gone"); !errors.Is(err, rpctypes.ErrUserNotFound) {
		t.Errorf("the user of a removed node: %v", err)
	}
	must(t, x.manager.store.Remove(within(t), "gone", x.manager.entry("remove", "test")))
}

func second[T any](_ T, err error) error { return err }

// tokens: each admits one node, once, in time, and only where the fleet is.
func tokens(t *testing.T, x *fleet) {
	t.Helper()
	good, err := x.manager.Invite(within(t), Invitation{Node: "c"})
	must(t, err)
	wrong := *good
	wrong.Secret = slices.Clone(good.Secret)
	wrong.Secret[0] ^= 1
	unknown := *good
	unknown.ID = "x"
	elsewhere := *good
	elsewhere.Fingerprint = make([]byte, len(good.Fingerprint))
	for name, c := range map[string]struct {
		token *Token
		want  error
	}{"wrong secret": {&wrong, ErrRefused}, "unknown": {&unknown, ErrRefused}, "another authority": {&elsewhere, ErrPin}} {
		if _, err := Join(within(t), identity.Dir(t.TempDir()), c.token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	later, err := Open(x.dir, x.etcd, func() time.Time { return time.Now().Add(2 * time.Hour) })
	must(t, err)
	if _, err := later.store.CheckToken(within(t), good.ID, good.Secret, later.now()); !errors.Is(err, store.ErrToken) {
		t.Errorf("expired: %v", err)
	}
	// Two machines with one token: one is admitted.
	results := make(chan error)
	for range 2 {
		dir := identity.Dir(t.TempDir())
		go func() { _, err := Join(t.Context(), dir, good); results <- err }()
	}
	if one, two := <-results, <-results; (one == nil) == (two == nil) || !errors.Is(errors.Join(one, two), ErrRefused) {
		t.Errorf("one token for two machines: %v, %v", one, two)
	}
	if _, err := Join(within(t), identity.Dir(t.TempDir()), good); !errors.Is(err, ErrRefused) {
		t.Errorf("a used token: %v", err)
	}
	if n := x.counts.Refused(); n["token"]+n["name-taken"] != 4 {
		t.Errorf("refusals: %v", n)
	}
	for name, i := range map[string]Invitation{
		"a node that is there": {Node: "b"}, "no name": {}, "the administrator": {Node: "root"}, "too long": {Node: "d", Life: MaxTokenLife + 1},
		"a member without an address": {Node: "d", Member: true},
	} {
		if _, err := x.manager.Invite(within(t), i); err == nil {
			t.Errorf("invited: %s", name)
		}
	}
}

// renews: a node gets a new certificate with the present one when it is time.
func renews(t *testing.T, x *fleet, dir identity.Dir, n identity.Node) {
	t.Helper()
	if done, err := Renew(within(t), dir, n, time.Now()); done || err != nil {
		t.Errorf("renewed too early: %t, %v", done, err)
	}
	before, err := tls.LoadX509KeyPair(dir.Cert(), dir.Key())
	must(t, err)
	done, err := Renew(within(t), dir, n, time.Now().Add(300*24*time.Hour))
	must(t, err)
	after, err := tls.LoadX509KeyPair(dir.Cert(), dir.Key())
	must(t, err)
	if !done || after.Leaf.SerialNumber.Cmp(before.Leaf.SerialNumber) == 0 || after.Leaf.Subject.CommonName != n.Name {
		t.Errorf("renewed: %t, %v of %s", done, after.Leaf.SerialNumber, after.Leaf.Subject.CommonName)
	}
	_, s := client(t, dir, n.Endpoints)
	_, err = s.Read(within(t))
	must(t, err)
	serials, err := x.manager.store.Serials(within(t), n.Name)
	must(t, err)
	if len(serials) != 2 {
		t.Errorf("certificates of %s: %v", n.Name, serials)
	}
}

// stolen: a node that is revoked can do nothing more.
func stolen(t *testing.T, x *fleet, dir identity.Dir, etcd *clientv3.Client, s *store.Store) {
	t.Helper()
	if err := x.manager.Revoke(within(t), "a"); err == nil {
		t.Error("the manager revokes itself")
	}
	before, err := x.manager.store.Read(within(t))
	must(t, err)
	if err := x.manager.Revoke(within(t), "bb"); !errors.Is(err, store.ErrNoNode) {
		t.Errorf("a name that no node has: %v", err)
	}
	if now, err := x.manager.store.Read(within(t)); err != nil || now.Plan.Version != before.Plan.Version {
		t.Errorf("a wrong name replaces roots: %v, plan %d, before %d", err, now.Plan.Version, before.Plan.Version)
	}
	must(t, x.manager.Revoke(within(t), "b"))
	must(t, x.manager.Revoke(within(t), "b")) // again
	if _, err := s.Read(within(t)); err == nil {
		t.Error("the stolen node reads")
	}
	if _, err := etcd.Put(within(t), "/noonmark/test/alive/b", "{}"); err == nil {
		t.Error("the stolen node writes")
	}
	snap, err := x.manager.store.Read(within(t))
	must(t, err)
	if snap.Node("b") != nil || len(snap.Plan.Roots) == 0 || slices.ContainsFunc(snap.Plan.Roots, func(r roots.Root) bool { return !r.Condemned }) {
		t.Errorf("after the revocation: node %v, roots %+v", snap.Node("b"), snap.Plan.Roots)
	}
	if _, err := x.manager.Invite(within(t), Invitation{Node: "b"}); !errors.Is(err, store.ErrNameTaken) {
		t.Errorf("the name of a stolen node is used again: %v", err)
	}
	// The members of the embedded etcd refuse its certificates, as soon as they have the list.
	list, _, err := x.manager.store.Revoked(within(t))
	must(t, err)
	for i, want := range []bool{true, false} {
		if done, err := x.dir.TakeRevoked(list); done != want || err != nil {
			t.Errorf("list taken over for the %d. time: %t, %v", i+1, done, err)
		}
	}
	if _, err := x.dir.TakeRevoked(nil); err == nil {
		t.Error("an empty list is taken over")
	}
	if x.node.Member == nil {
		return
	}
	for _, at := range []string{x.node.Member.Client, x.node.Member.Peer} {
		if text := get(t, x.dir, at+"/version"); !strings.Contains(text, "etcdserver") {
			t.Errorf("%s does not answer a node: %q", at, text)
		}
		if text := get(t, dir, at+"/version"); text != "" {
			t.Errorf("%s answers a stolen node: %q", at, text)
		}
	}
}

// get is what a server answers to a client with the certificate of a node; empty: nothing.
func get(t *testing.T, dir identity.Dir, url string) string {
	t.Helper()
	settings, err := dir.TLS()
	must(t, err)
	tr := &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true}
	r, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Get(url)
	if err != nil {
		t.Logf("%s with the certificate of %s: %v", url, dir, err)
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return string(b)
}

// TestMembersJoinOneByOne: a member votes once there are three, and any of them may then
// be lost.
func TestMembersJoinOneByOne(t *testing.T) {
	x := found(t, Founding{})
	voting := func() (n int) {
		r, err := x.etcd.MemberList(within(t))
		must(t, err)
		for _, m := range r.Members {
			if !m.IsLearner {
				n++
			}
		}
		return n
	}
	member := func(name string) *embedded.Server {
		dir, n := x.join(Invitation{Node: name, Addresses: []string{loopback}, Member: true, Port: freePorts(t)})
		return start(t, dir, n)
	}
	b := member("b")
	if done, err := x.manager.Promote(within(t)); done || err != nil || voting() != 1 {
		t.Errorf("the second member: done %t, %v, %d vote", done, err, voting())
	}
	member("c")
	proctest.Until(t, "three members vote", func() bool {
		done, err := x.manager.Promote(within(t))
		must(t, err)
		return done
	})
	if n := voting(); n != 3 {
		t.Fatalf("%d members vote", n)
	}
	b.Close()
	must(t, second(x.etcd.Put(within(t), "/test", ""))) // one may be lost
	if _, err := x.manager.Invite(within(t), Invitation{Node: "d", Addresses: []string{loopback}, Member: true}); !errors.Is(err, ErrMembers) {
		t.Errorf("a fourth member: %v", err)
	}
	must(t, x.manager.Remove(within(t), "b"))
	if n := voting(); n != 2 {
		t.Errorf("after one was removed %d vote", n)
	}
	removedUnanswered(t, x)
	if n := voting(); n != 1 {
		t.Errorf("after two were removed %d vote", n)
	}
}

// removedUnanswered: a member to which its own removal was sent stops and does not confirm
// it.
func removedUnanswered(t *testing.T, x *fleet) {
	t.Helper()
	settings, err := x.dir.AdminTLS()
	must(t, err)
	all, err := x.manager.endpoints(within(t))
	must(t, err)
	removals := 0
	stops := func(ctx context.Context, method string, req, reply any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, c, opts...)
		if _, is := req.(*etcdserverpb.MemberRemoveRequest); is && err == nil {
			removals++
			err = rpctypes.ErrGRPCStopped
		}
		return err
	}
	etcd := fleettest.ClientOf(t, clientv3.Config{Endpoints: all, TLS: settings, DialTimeout: fleettest.Patience, DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(stops)}})
	m, err := Open(x.dir, etcd, time.Now)
	must(t, err)
	must(t, m.Remove(within(t), "c"))
	if removals != 1 {
		t.Errorf("%d requests removed the member", removals)
	}
}

// TestALostManagerIsReplaced: a copy of its folder manager and the other members of etcd are
// enough.
func TestALostManagerIsReplaced(t *testing.T) {
	port := freePorts(t)
	x := found(t, Founding{Port: port})
	for _, name := range []string{"b", "c"} {
		dir, n := x.join(Invitation{Node: name, Addresses: []string{loopback}, Member: true, Port: freePorts(t)})
		start(t, dir, n)
	}
	proctest.Until(t, "three members vote", func() bool {
		done, err := x.manager.Promote(within(t))
		must(t, err)
		return done
	})
	before, err := x.manager.store.Read(within(t))
	must(t, err)
	all, err := x.manager.endpoints(within(t))
	must(t, err)
	left := slices.DeleteFunc(all, func(url string) bool { return url == x.node.Member.Client })
	x.member.Close()

	dir := identity.Dir(t.TempDir())
	must(t, os.CopyFS(dir.ManagerDir(), os.DirFS(x.dir.ManagerDir())))
	for _, name := range []string{certs.AuthorityKey, certs.ServerKey} {
		must(t, os.Chmod(filepath.Join(dir.ManagerDir(), name), 0o600))
	}
	if _, err := dir.Load(); !errors.Is(err, identity.ErrCopied) {
		t.Errorf("a copy is no membership: %v", err)
	}
	if _, err := Found(within(t), dir, Founding{Fleet: "test", Node: "a", Addresses: []string{loopback}, Port: port, Params: roots.Defaults()}, time.Now()); !errors.Is(err, identity.ErrCopied) {
		t.Errorf("a second fleet of the same authority: %v", err)
	}
	r := Restoring{Fleet: "test", Node: "a", Addresses: []string{loopback}, Port: port, Endpoints: left}
	other := r
	other.Fleet = "other"
	proctest.Until(t, "the other members have elected one of them", func() bool {
		_, err = Restore(within(t), dir, other, time.Now())
		var of rpctypes.EtcdError
		return !errors.As(err, &of) || of.Code() != codes.Unavailable
	})
	if !errors.Is(err, store.ErrNoFleet) {
		t.Errorf("another fleet: %v", err)
	}
	copied := func() bool {
		c, err := dir.Copied()
		must(t, err)
		return c
	}
	if !copied() {
		t.Error("what was refused has left something")
	}
	wrong := r
	wrong.Node = "x"
	if _, err := Restore(within(t), dir, wrong, time.Now()); !errors.Is(err, store.ErrNoNode) || !copied() {
		t.Errorf("the address of another node: %v", err)
	}
	// An attempt that was interrupted has removed the node and not its member.
	admin, err := x.dir.AdminTLS()
	must(t, err)
	interrupted, err := access.Connect(left, admin)
	must(t, err)
	t.Cleanup(func() { interrupted.Close() })
	record, err := store.New(interrupted, "test")
	must(t, err)
	first := &Manager{node: identity.Node{Fleet: "test"}, store: record, etcd: interrupted, authority: x.manager.authority, now: time.Now}
	must(t, first.shutOut(within(t), "a"))
	must(t, record.Remove(within(t), "a", first.entry("remove", "node a")))
	authority, err := dir.Authority() // the copy is older than the certificate in it lives
	must(t, err)
	for _, name := range []string{certs.ServerCert, certs.ServerKey} {
		must(t, os.Remove(filepath.Join(dir.ManagerDir(), name)))
	}
	expired, err := authority.NewNode(identity.Admin, nil, time.Hour, time.Now().Add(-2*time.Hour))
	must(t, err)
	must(t, expired.Save(dir.ManagerDir()))
	n, err := Restore(within(t), dir, r, time.Now())
	must(t, err)
	start(t, dir, n)
	settings, err := dir.AdminTLS()
	must(t, err)
	etcd, err := access.Connect(n.Endpoints, settings)
	must(t, err)
	t.Cleanup(func() { etcd.Close() })
	m, err := Open(dir, etcd, time.Now)
	must(t, err)
	proctest.Until(t, "three members vote again", func() bool {
		done, err := m.Promote(within(t))
		if err != nil {
			t.Log(err)
		}
		return err == nil && done
	})
	must(t, second(m.Invite(within(t), Invitation{Node: "d"})))
	after, err := m.store.Read(within(t))
	must(t, err)
	lost, a := before.Node("a"), after.Node("a")
	if len(after.Nodes) != 3 || a == nil || a.Key == lost.Key || after.Plan.Version != before.Plan.Version {
		t.Errorf("nodes %+v", after.Nodes)
	}
	list, _, err := m.store.Revoked(within(t))
	must(t, err)
	old, err := identity.ReadPair(x.dir.Cert(), x.dir.Key())
	must(t, err)
	crl, err := x509.ParseRevocationList(list)
	must(t, err)
	if len(crl.RevokedCertificateEntries) != 1 || crl.RevokedCertificateEntries[0].SerialNumber.Cmp(old.Leaf.SerialNumber) != 0 {
		t.Errorf("revoked: %+v", crl.RevokedCertificateEntries)
	}
}

// TestAServerIsTakenOver: the first node of a fleet goes on with the roots that its
// clients have cookies of.
func TestAServerIsTakenOver(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	old := []nts.RootSecret{{Since: now.Add(-24 * time.Hour), Secret: [32]byte{1}}, {Since: now.Add(-time.Hour), Secret: [32]byte{2}}}
	x := found(t, Founding{TakeOver: old})
	snap, err := x.manager.store.Read(within(t))
	must(t, err)
	key, err := x.dir.SealKey()
	must(t, err)
	seals, _, err := x.manager.store.Seals(within(t), "a")
	must(t, err)
	if len(snap.Plan.Roots) != 2 || len(seals) != 2 {
		t.Fatalf("roots %+v, %d seals", snap.Plan.Roots, len(seals))
	}
	for i, r := range snap.Plan.Roots {
		j := slices.IndexFunc(seals, func(s store.Seal) bool { return s.Root == r.ID })
		secret, err := key.Open(r.ID, seals[j].Box)
		if err != nil || secret != old[i].Secret || r.Since != old[i].Since.Unix() {
			t.Errorf("root %d: %v, %+v", i, err, r)
		}
	}
}

func TestTextsThatAreNoTokens(t *testing.T) {
	t.Parallel()
	good := Token{Manager: "192.0.2.1:2381", ID: "x", Secret: make([]byte, secretLen), Fingerprint: make([]byte, 32)}
	short, nowhere := good, good
	short.Secret, nowhere.Manager = nil, "192.0.2.1"
	for _, text := range []string{"", "nmf1.", "nmf1.!", "nmf2" + good.String()[4:], good.String() + "x", short.String(), nowhere.String(), tokenPrefix + strings.Repeat("A", maxToken+1)} {
		if _, err := ParseToken(text); !errors.Is(err, ErrTokenText) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	if _, err := ParseToken(" " + good.String() + "\n"); err != nil {
		t.Error(err)
	}
}

// debian starts the etcd of another project, if it is there, and returns its URL. It trusts
// the authority of the folder.
func debian(t *testing.T, dir identity.Dir) string {
	t.Helper()
	program := proctest.Require(t, "etcd")
	must(t, dir.Create())
	a, err := certs.NewAuthority(certs.AuthorityConfig{Name: "site"}, time.Now())
	must(t, err)
	must(t, a.Save(dir.ManagerDir()))
	server, err := a.NewNode("etcd", []string{loopback}, 0, time.Now())
	must(t, err)
	own := filepath.Join(t.TempDir(), "tls")
	must(t, server.Save(own))
	port := freePorts(t)
	client, peer := URLs(loopback, port)
	cert, key, ca := filepath.Join(own, certs.ServerCert), filepath.Join(own, certs.ServerKey), filepath.Join(dir.ManagerDir(), certs.AuthorityCert)
	p := proctest.Start(t, program, "--data-dir", t.TempDir(), "--name", "site", "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "site="+peer,
		"--client-cert-auth", "--trusted-ca-file", ca, "--cert-file", cert, "--key-file", key,
		"--peer-client-cert-auth", "--peer-trusted-ca-file", ca, "--peer-cert-file", cert, "--peer-key-file", key)
	p.WaitFor(t, "ready to serve client requests")
	return client
}
