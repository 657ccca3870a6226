package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/fleetview"
	"noonmark/internal/observe"
	"noonmark/internal/servedclock"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

var errNotYet = errors.New("not yet")

// TestRealProgramsTakeWitnessesFromTheFleet: the command on the manager, three agents and three
// refclockd. The first node has them on trial; a witness that nobody runs is taken back there;
// a file that somebody else wrote is refused. No clock loses its lock.
func TestRealProgramsTakeWitnessesFromTheFleet(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	s, err := New(ctx, t.TempDir(), Options{Bin: programs(t), Params: params, Seed: 1, OwnClocks: true})
	must(t, err)
	defer s.Close()
	defer logFailure(t, s)
	_, err = s.Found(ctx, "a", 1)
	must(t, err)
	for _, name := range [...]string{"b", "c"} {
		_, err = s.Join(ctx, name, 1)
		must(t, err)
	}
	a, c := s.Nodes[0], s.Nodes[2]
	for _, n := range s.Nodes {
		must(t, s.until(ctx, "the clock of "+n.Name+" is trusted", func() error { return servedclock.Confirm(n.Snapshot()) }))
	}
	must(t, a.WaitForServing(ctx, 3))
	for _, n := range s.Nodes {
		must(t, n.StartServer(ctx))
	}
	must(t, s.until(ctx, "all nodes can take a configuration", func() error {
		v, err := a.view(ctx)
		for _, n := range v.Nodes {
			if x := n.Configuration; err == nil && (x == nil || !x.Healthy) {
				err = fmt.Errorf("%w: %s: %+v", errNotYet, n.Name, x)
			}
		}
		return err
	}))
	locks := map[string]uint32{}
	for _, n := range s.Nodes {
		locks[n.Name] = n.status(t).Clock.Epoch
	}
	apply := func(text string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "f.toml")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := a.Repeat(ctx, "apply", path, "-soak", "2s", "-patience", "20s", "-step", "2")
		must(t, err)
	}
	ended := func(phase, why string) {
		t.Helper()
		must(t, s.until(ctx, "the rollout is "+phase, func() error {
			v, err := a.view(ctx)
			if err == nil && (v.Rollout.Phase != phase || !strings.Contains(v.Rollout.Why, why)) {
				err = fmt.Errorf("%w: %+v", errNotYet, v.Rollout)
			}
			return err
		}))
	}
	inForce := func(n *Node) {
		t.Helper()
		must(t, s.until(ctx, "refclockd of "+n.Name+" uses what the fleet sets", func() error {
			text, err := os.ReadFile(n.Fragment())
			if f := n.status(t).Fleet; err == nil && (f == nil || f.Refused != "" || f.Content != config.FragmentContent(string(text))) {
				err = fmt.Errorf("%w: %+v", errNotYet, f)
			}
			return err
		}))
	}

	apply(fmt.Sprintf("[[refclockd.witness]]\naddress = \"127.0.0.1:%d\"\nnts = false\n", c.NTP))
	ended("done", "")
	good := map[string]string{}
	for _, n := range s.Nodes {
		inForce(n)
		text, err := os.ReadFile(n.Fragment())
		must(t, err)
		if good[n.Name] = string(text); !strings.Contains(good[n.Name], fmt.Sprint(c.NTP)) {
			t.Errorf("%s has\n%s", n.Name, text)
		}
	}

	apply("[[refclockd.witness]]\naddress = \"127.0.0.1:1\"\nnts = false\n")
	ended("undone", "node a: not healthy after the change: refclockd: witnesses: 127.0.0.1:1: no answer yet")
	for _, n := range s.Nodes {
		if text, err := os.ReadFile(n.Fragment()); err != nil || string(text) != good[n.Name] {
			t.Errorf("%s: %v\n%s", n.Name, err, text)
		}
		inForce(n)
	}

	must(t, os.WriteFile(c.Fragment(), []byte("[clock]\nsource = \"none\"\n"), 0o644))
	must(t, s.until(ctx, "refclockd refuses it, and the agent says so", func() error {
		v, err := c.view(ctx)
		f := c.status(t).Fleet
		for _, n := range v.Nodes {
			if err == nil && n.Name == "c" && (!strings.Contains(f.Refused, "clock: is not known") || !strings.Contains(n.Configuration.Files["refclockd"], "edited by hand")) {
				err = fmt.Errorf("%w: %+v, %+v", errNotYet, f, n.Configuration)
			}
		}
		return err
	}))
	must(t, os.Remove(c.Fragment()))
	inForce(c)

	for _, n := range s.Nodes {
		if x := n.status(t); x.State != status.Locked.String() || !x.Usable || x.Clock.Epoch != locks[n.Name] {
			t.Errorf("%s: the clock is %s (%s), generation %d, before %d", n.Name, x.State, x.Reason, x.Clock.Epoch, locks[n.Name])
		}
	}
}

// view is what status -json prints.
func (n *Node) view(ctx context.Context) (v fleetview.Fleet, err error) {
	b, err := n.Command(ctx, "status", "-json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err == nil && v.Rollout == nil {
		err = fmt.Errorf("%w: %s", errNotYet, v.Etcd)
	}
	return v, err
}

// status is what its refclockd publishes.
func (n *Node) status(t *testing.T) report.Status {
	t.Helper()
	s, err := observe.ReadStatus(n.Snapshot(), phc.MonoRaw)
	must(t, err)
	return s
}
