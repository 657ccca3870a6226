package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/access"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/identity"
	"noonmark/fleet/manager"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/service"
	"noonmark/fleet/store"
	"noonmark/internal/exitcode"
	"noonmark/internal/freeports"
	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

var must = fleettest.Must

// configured is a fleet of one node with the certificates and rights of a real one.
type configured struct {
	t      *testing.T
	dir    identity.Dir
	file   rollout.File
	own    *store.Store
	keeper *rollout.Keeper
	shown  *store.Presence
	now    time.Duration
}

func newConfigured(t *testing.T) *configured {
	t.Helper()
	x := &configured{t: t, dir: identity.Dir(t.TempDir())}
	ports, err := freeports.Reserve(3)
	must(t, err)
	t.Cleanup(ports.Release)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	n, err := manager.Found(ctx, x.dir, manager.Founding{Fleet: "test", Node: "a", Addresses: []string{"127.0.0.1"}, Port: ports.First, Params: roots.Defaults()}, time.Now())
	must(t, err)
	member, err := manager.StartMember(ctx, x.dir, n, nil)
	must(t, err)
	t.Cleanup(member.Close)
	settings, err := x.dir.TLS()
	must(t, err)
	c, err := access.Connect(n.Endpoints, settings)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	x.own, err = store.New(c, n.Fleet)
	must(t, err)
	x.shown = x.own.NewPresence(n.Name, 10*time.Minute)
	x.file = service.ServerFile(proctest.Write(t, filepath.Join(t.TempDir(), "ntsserve.toml"), "[[endpoint]]\naddress = \"127.0.0.1:123\"\n"))
	x.file.Check[0] = proctest.Program(t, "ntsserve")
	x.file.Apply = func(context.Context, bool) error { return nil } // no ntsserve runs
	x.keeper, err = rollout.New(rollout.Of(x.own), rollout.Config{
		Node: n.Name, State: x.dir.Configuration(), Files: []rollout.File{x.file}, Health: func() []string { return nil },
		Mono: func() time.Duration { return x.now }, Now: time.Now,
	})
	must(t, err)
	return x
}

// rounds lets the node make rounds for a time.
func (x *configured) rounds(d time.Duration) {
	x.t.Helper()
	for end := x.now + d; x.now < end; x.now += 30 * time.Second {
		must(x.t, x.shown.Show(x.t.Context(), store.Record{}))
		_, err := x.keeper.Round(x.t.Context())
		must(x.t, err)
	}
}

// want runs a command on the node.
func (x *configured) want(code int, texts []string, args ...string) string {
	x.t.Helper()
	out, got := fleetCommand(x.t, append([]string{args[0], "-state", string(x.dir)}, args[1:]...)...)
	if got != code {
		x.t.Errorf("%q: exit code %d, want %d:\n%s", args, got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			x.t.Errorf("%q does not print %q:\n%s", args, text, out)
		}
	}
	return out
}

// TestAnOperatorAppliesAndTakesBack: with the rights of the manager and of a node, through
// all that can be refused.
func TestAnOperatorAppliesAndTakesBack(t *testing.T) {
	t.Parallel()
	x := newConfigured(t)
	file := func(name, text string) string { return proctest.Write(t, filepath.Join(t.TempDir(), name), text) }
	good := file("good.toml", "[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\n")

	x.want(exitcode.Unavailable, []string{"no healthy node can be the first one: a: it is away"}, "apply", good)
	x.rounds(time.Second)
	x.want(exitcode.Unavailable, []string{"a: ntsserve.toml is left alone, because there is no ntsserve.local.toml"}, "apply", good)
	x.want(exitcode.OK, []string{"no configuration was applied yet", "left alone: there is no ntsserve.local.toml"}, "status")
	proctest.Write(t, x.file.Local, "[[endpoint]]\naddress = \"127.0.0.1:123\"\n[access]\nallow = [\"127.0.0.1\"]\n")
	must(t, os.Remove(x.file.Path))
	x.rounds(time.Second)
	x.want(exitcode.OK, []string{"follows what is applied"}, "status")
	x.want(exitcode.DataErr, []string{"there is no rollout to undo: nothing was applied yet"}, "undo")

	x.want(exitcode.Unavailable, []string{"none.toml"}, "diff", "none.toml")
	x.want(exitcode.Config, []string{"user.toml:2: ntsserve.user: a fleet may not set this key"}, "apply", file("user.toml", "[ntsserve]\nuser = \"root\"\n"))
	x.want(exitcode.OK, []string{"+ node.a.alert.conditions.bound = '1us'"}, "diff", file("alert.toml", "[node.a.alert.conditions]\nbound = \"1us\"\n"))
	witness := "[[refclockd.witness]]\naddress = \"time.example\"\n"
	x.want(exitcode.Config, []string{"refclockd.witness.required: a fleet may not set this key"}, "apply", file("required.toml", witness+"required = true\n"))
	x.want(exitcode.Unavailable, []string{"a: it takes nothing for refclockd from the fleet, because refclockd.toml does not name the file of the agent"}, "apply", file("clock.toml", witness))
	x.want(exitcode.DataErr, []string{"node.z: there is no node of this name"}, "apply", file("z.toml", "[node.z.ntsserve.access]\ndeny = [\"192.0.2.1\"]\n"))
	x.want(exitcode.Unavailable, []string{"the fleet has no node b"}, "apply", good, "-canary", "b")
	x.want(exitcode.Usage, []string{"-soak"}, "apply", good, "-soak", "0s")

	x.want(exitcode.OK, []string{"+ ntsserve.access.deny = ['192.0.2.0/24']"}, "diff", good)
	x.want(exitcode.OK, []string{"+ ntsserve.access.deny", "rollout 1 of configuration ", "has begun with a; the others follow after 1m0s"}, "apply", good, "-soak", "1m")
	x.want(exitcode.TempFail, []string{"a rollout is in progress; wait for its end, or undo it"}, "apply", file("other.toml", "[ntsserve.ke]\nrate = 5\n"))
	x.rounds(time.Second)
	x.want(exitcode.OK, []string{"the first nodes have it on trial", "on trial\n"}, "status")
	x.rounds(3 * time.Minute)
	x.want(exitcode.OK, []string{"all nodes have it", "in place\n"}, "status")
	x.want(exitcode.OK, []string{"no difference"}, "diff", good)
	x.want(exitcode.DataErr, []string{"the fleet has this configuration already"}, "apply", good)

	more := file("more.toml", "[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\nallow = [\"198.51.100.0/24\"]\n")
	x.want(exitcode.OK, nil, "apply", more)
	x.rounds(time.Second)
	x.want(exitcode.OK, []string{"a: ntsserve.access.allow is that of the local file"}, "status")
	x.want(exitcode.OK, []string{"rollout 2 is taken back; all nodes return to configuration "}, "undo", "-why", "too much")
	x.rounds(time.Minute)
	x.want(exitcode.OK, []string{"all nodes have the one before (too much)"}, "status")
	x.want(exitcode.DataErr, []string{"rollout 2 is taken back already: too much; to change configuration "}, "undo")

	x.want(exitcode.OK, nil, "apply", file("bad.toml", "[ntsserve.access]\nrate_prefix4 = 99\n"))
	x.rounds(2 * time.Minute)
	x.want(exitcode.OK, []string{"all nodes have the one before (node a: ntsserve refuses the file", "99 is not a prefix length"}, "status")
	x.undoesWhatIsDone()
}

// undoesWhatIsDone applies another configuration, and takes it back when all have it.
func (x *configured) undoesWhatIsDone() {
	t := x.t
	empty := proctest.Write(t, filepath.Join(t.TempDir(), "empty.toml"), "")
	x.want(exitcode.OK, []string{"- ntsserve.access.deny = ['192.0.2.0/24']", "rollout 4 of configuration "}, "apply", empty)
	x.rounds(10 * time.Minute)
	x.want(exitcode.OK, []string{"rollout 5 of configuration ", "has begun with a"}, "undo", "-why", "still needed")
	x.rounds(10 * time.Minute)
	b, err := os.ReadFile(x.file.Path)
	must(t, err)
	if text := string(b); !strings.Contains(text, "192.0.2.0/24") || !strings.Contains(text, "127.0.0.1") {
		t.Errorf("the file after all:\n%s", text)
	}
	x.want(exitcode.OK, []string{"root                 apply            rollout 4: configuration ", "a                    undo             rollout 5: configuration ", ": still needed"}, "audit")
	var r struct {
		Rollout struct {
			Number uint64
			Phase  string
		}
		Nodes []struct {
			Configuration struct {
				Applied, State string
				Overrides      []rollout.Override
			}
		}
	}
	must(t, json.Unmarshal([]byte(x.want(exitcode.OK, nil, "status", "-json")), &r))
	if r.Rollout.Number != 5 || r.Rollout.Phase != "done" || len(r.Nodes) != 1 || r.Nodes[0].Configuration.State != "in place" || r.Nodes[0].Configuration.Applied == "" {
		t.Errorf("status -json: %+v", r)
	}
}
