package certs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
)

// user gives a node its rights. Users have passwords here, and
// certificates in a fleet; the rights are the same.
func user(t *testing.T, admin *clientv3.Client, name string) {
	t.Helper()
	rights, err := store.Rights("test", name)
	must(t, err)
	_, err = admin.RoleAdd(t.Context(), name)
	must(t, err)
	for _, r := range rights {
		end, kind := "", clientv3.PermissionType(clientv3.PermRead)
		if r.Prefix {
			end = clientv3.GetPrefixRangeEnd(r.Key)
		}
		if r.Write {
			kind = clientv3.PermissionType(clientv3.PermReadWrite)
		}
		_, err = admin.RoleGrantPermission(t.Context(), name, r.Key, end, kind)
		must(t, err)
	}
	_, err = admin.UserAdd(t.Context(), name, "password")
	must(t, err)
	_, err = admin.UserGrantRole(t.Context(), name, name)
	must(t, err)
}

func connectAs(t *testing.T, endpoint, name string) *store.Store {
	t.Helper()
	c := fleettest.ClientOf(t, clientv3.Config{Endpoints: []string{endpoint}, Username: name, Password: "password"})
	return storetest.Open(t, c, storetest.Name)
}

// TestTheRightsOfANodeSuffice: with the role that a node has in etcd, and no more, nodes
// order a certificate, roll a configuration out, are announced and drain themselves.
// They write no records of others.
func TestTheRightsOfANodeSuffice(t *testing.T) {
	t.Parallel()
	p := certstest.Start(t)
	endpoint := startEtcd(t)
	const ip = "127.0.81.1"
	s := newSite(t, endpoint, "test", p, []string{ip})
	admin := s.store.Part("x").Client()
	_, err := admin.UserAdd(t.Context(), "root", "password")
	must(t, err)
	_, err = admin.UserGrantRole(t.Context(), "root", "root")
	must(t, err)
	s.join("a", fmt.Sprintf("%s:%d", ip, p.HTTPPort))
	s.join("b", fmt.Sprintf("127.0.81.2:%d", p.HTTPPort))
	for _, n := range s.nodes {
		user(t, admin, n.name)
	}
	_, err = admin.AuthEnable(t.Context())
	must(t, err)

	s.store = connectAs(t, endpoint, "root")
	var keepers []*rollout.Keeper
	var healths []*health.Keeper
	mono := func() time.Duration { return time.Duration(time.Now().UnixNano()) }
	for _, n := range s.nodes {
		own := connectAs(t, endpoint, n.name)
		n.presence = own.NewPresence(n.name, 10*time.Minute)
		must(t, n.presence.Show(t.Context(), store.Record{}))
		all := s.store
		s.store = own
		s.open(n)
		s.store = all
		path := proctest.Write(t, filepath.Join(n.dir, "ntsserve.toml"), "[[endpoint]]\naddress = \"127.0.0.1:123\"\n")
		proctest.Write(t, rollout.LocalPath(path), "[[endpoint]]\naddress = \"127.0.0.1:123\"\n")
		file := rollout.File{
			Program: rollout.NTSServe, Path: path, Local: rollout.LocalPath(path), Check: []string{proctest.Program(t, "ntsserve"), "-check", "-config"},
			Apply: func(context.Context, bool) error { return nil },
		}
		k, err := rollout.New(rollout.Of(own), rollout.Config{
			Node: n.name, State: filepath.Join(n.dir, "state"), Files: []rollout.File{file}, Health: func() []string { return nil }, Mono: mono, Now: time.Now,
		})
		must(t, err)
		keepers = append(keepers, k)
		healths = append(healths, health.New(own, health.Config{
			Node: n.name, Mono: mono, Facts: func(context.Context) health.Facts { return health.Facts{Usable: true, Synced: true} },
		}))
	}
	s.until("the nodes have the certificate", s.generation(1))

	for _, k := range keepers {
		_, err := k.Round(t.Context())
		must(t, err)
	}
	set, err := rollout.ParseSet("f.toml", []byte("[ntsserve.access]\nkiss_rate = 1\n"))
	must(t, err)
	fleet := rollout.Of(s.store)
	_, err = fleet.Apply(t.Context(), set, rollout.Params{Soak: 1}, s.entry("apply"))
	must(t, err)
	s.until("the configuration is everywhere", func() bool {
		for _, k := range keepers {
			_, err := k.Round(t.Context())
			must(t, err)
		}
		st, err := fleet.Read(t.Context())
		must(t, err)
		return st.Rollout.Phase == rollout.Done
	})

	for range 2 {
		for i, h := range healths {
			if r := h.Round(t.Context()); r.Etcd != nil || !r.Verdict.Announce {
				t.Errorf("%s: %v, announced %t", s.nodes[i].name, r.Etcd, r.Verdict.Announce)
			}
		}
	}
	a := s.nodes[0].keeper.store
	snap, err := a.Read(t.Context())
	must(t, err)
	must(t, a.DrainDeviant(t.Context(), snap, "a", "deviates", store.Entry{Time: time.Now(), Node: "a", Action: "drain"}))
	if r := healths[0].Round(t.Context()); r.Etcd != nil || r.Verdict.Announce {
		t.Errorf("a deviant: %v, announced %t", r.Etcd, r.Verdict.Announce)
	}
	for _, key := range []string{a.Part(PartName).Key("at", "b"), a.Part(PartName).Key("settings"), a.Part("config").Key("at", "b"), a.Part("config").Key("list", "x"), a.Part("health").Key("up", "b")} {
		if _, err := a.Part(PartName).Client().Put(t.Context(), key, "{}"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("a writes %s: %v", key, err)
		}
	}
}
