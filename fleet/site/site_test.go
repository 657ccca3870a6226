package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/access"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/identity"
	"noonmark/fleet/roots"
	"noonmark/internal/proctest"
	"noonmark/server/nts"
	"noonmark/server/ntsclient"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// params rotate the roots every half minute, the shortest that is possible.
var params = roots.Params{
	Rotate: time.Minute, Keep: 2, Renew: 30 * time.Second, Horizon: time.Minute,
	Lead: 30 * time.Second, Ack: 20 * time.Second, Tolerance: 5 * time.Second,
}

var must = fleettest.Must

// logFailure logs what the programs of a failed test wrote.
func logFailure(t *testing.T, s *Site) {
	if !t.Failed() {
		return
	}
	for _, n := range s.Nodes {
		t.Log(n.Logs())
	}
}

// programs builds all programs and returns their folder.
func programs(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(proctest.EnvPrograms); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "noonmark-fleet")); err == nil {
			return dir
		}
	}
	dir := t.TempDir()
	for _, name := range [...]string{"refclockd", "ntsserve"} {
		must(t, os.Symlink(proctest.Program(t, name), filepath.Join(dir, name)))
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "../cmd/noonmark-fleet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build noonmark-fleet: %v\n%s", err, out)
	}
	return dir
}

// asker is a client whose cookies wander over the nodes.
type asker struct {
	client *ntsclient.Client
	stop   func()

	mu                       sync.Mutex // guards the rest
	requests, answered, naks int
	lost                     []error
}

func ask(t *testing.T, s *Site, port int) *asker {
	t.Helper()
	c, err := ntsclient.New(ntsclient.Config{Host: "localhost", Port: port, Network: "udp4", RootCAs: s.Trusted(), Timeout: AnswerLimit})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	a := &asker{client: c}
	done := make(chan struct{})
	a.stop = sync.OnceFunc(func() { stop(); <-done; c.Close() })
	t.Cleanup(a.stop)
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			_, err := c.Query(ctx)
			a.note(err, ctx.Err() != nil)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return a
}

func (a *asker) note(err error, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case over:
		return
	case err == nil:
		a.answered++
	case errors.Is(err, ntsclient.ErrNAK):
		a.naks++
	default:
		a.lost = append(a.lost, err)
	}
	a.requests++
}

// TestThreeRotationsOfRealProgramsThroughFailures: while everything happens to three nodes
// that can, no cookie is refused. Then a node is stolen, and its roots open nothing.
func TestThreeRotationsOfRealProgramsThroughFailures(t *testing.T) {
	if testing.Short() {
		t.Skip("needs two minutes: without -short")
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	router, err := NewAnycast()
	must(t, err)
	defer router.Close()
	s, err := New(ctx, t.TempDir(), Options{Bin: programs(t), Params: params, Seed: 1})
	must(t, err)
	defer s.Close()
	defer logFailure(t, s)
	a, err := s.Found(ctx, "a", router.Port())
	must(t, err)
	b, err := s.Join(ctx, "b", router.Port())
	must(t, err)
	c, err := s.Join(ctx, "c", router.Port())
	must(t, err)
	must(t, s.WaitForClock(ctx))
	must(t, a.WaitForServing(ctx, 3))
	for _, n := range s.Nodes {
		must(t, n.StartServer(ctx))
	}
	for _, n := range s.Nodes {
		must(t, n.WaitForHealth(ctx, http.StatusOK))
	}
	router.Announce(s.Nodes...)
	client := ask(t, s, a.KE)
	first, err := b.Begun(time.Now())
	must(t, err)

	t.Log("compaction")
	compact(t, ctx, a)
	t.Log("a minority does not hear the others: c")
	frozen(t, ctx, 8*time.Second, c)
	t.Log("a majority is gone: b and c; a goes on")
	frozen(t, ctx, 8*time.Second, b, c)
	must(t, a.WaitForServing(ctx, 3))
	t.Log("the manager loses power")
	router.Announce(b, c)
	a.Kill()
	must(t, a.WaitForHealth(ctx, 0))
	must(t, b.WaitForServing(ctx, 2)) // without the manager
	must(t, b.WaitForHealth(ctx, http.StatusOK))
	must(t, c.WaitForHealth(ctx, http.StatusOK))
	must(t, a.StartAgent())
	must(t, a.StartServer(ctx))
	must(t, b.WaitForServing(ctx, 3))
	must(t, a.WaitForHealth(ctx, http.StatusOK))
	router.Announce(s.Nodes...)
	t.Log("two nodes restart at once")
	for _, n := range []*Node{b, c} {
		n.agent.Stop()
	}
	for _, n := range []*Node{b, c} {
		must(t, n.StartAgent())
	}
	must(t, a.WaitForServing(ctx, 3))
	t.Log("b is drained, then ntsserve of c dies")
	router.Announce(a)
	drained(t, ctx, s)
	must(t, a.WaitForServing(ctx, 3))
	router.Announce(s.Nodes...)
	must(t, s.until(ctx, "three rotations", func() error {
		n, err := b.Begun(time.Now())
		if err == nil && n < first+3 {
			err = fmt.Errorf("%d roots have begun, %d before", n, first)
		}
		return errors.Join(err, a.Alive(), b.Alive(), c.Alive())
	}))
	client.stop()
	t.Logf("%d requests, %d answered, %d NAKs, by node %v, lost %v", client.requests, client.answered, client.naks, router.Answers(), client.lost)
	// One request may be at a node when it loses power.
	if client.naks > 0 || client.requests < 100 || client.requests-client.answered > 1 {
		t.Errorf("%d requests, %d answered, %d NAKs", client.requests, client.answered, client.naks)
	}
	stolen(t, ctx, s)
}

// drained: the endpoint of a drained node says 503, and so does that of a node whose
// ntsserve is dead. Status and the other nodes show it.
func drained(t *testing.T, ctx context.Context, s *Site) {
	t.Helper()
	a, b, c := s.Nodes[0], s.Nodes[1], s.Nodes[2]
	_, err := a.Repeat(ctx, "drain", "b", "-why", "test")
	must(t, err)
	says := func(n *Node, reason string) {
		t.Helper()
		must(t, s.until(ctx, n.Name+" is "+reason, func() error { // one that has just started has not examined itself
			h, err := n.Health(ctx)
			if err == nil && (h.Node != n.Name || h.Announce || len(h.Reasons) == 0 || h.Reasons[len(h.Reasons)-1].Reason != reason && h.Reasons[0].Reason != reason) {
				err = fmt.Errorf("%+v", h)
			}
			return err
		}))
	}
	says(b, "drained")
	must(t, a.WaitForHealth(ctx, http.StatusOK))
	must(t, c.WaitForHealth(ctx, http.StatusOK))
	c.server.Kill()
	c.server = nil
	says(c, "no-answer")
	must(t, s.until(ctx, "status shows what the nodes say", func() error {
		st, err := a.Status(ctx)
		if err != nil || len(st.Nodes) != 3 {
			return errors.Join(err, fmt.Errorf("status: %+v", st))
		}
		for i, want := range [...]bool{true, false, false} {
			if h := st.Nodes[i].Health; h == nil || h.Announced != want || h.Healthy == (i == 2) || (len(h.Reasons) > 0) != (i == 2) {
				return fmt.Errorf("%s: %+v", st.Nodes[i].Name, h)
			}
		}
		return nil
	}))
	must(t, s.until(ctx, "all nodes are targets", func() error { // after a pause the first request only has them read
		code, body, err := a.Get(ctx, "/targets")
		for _, n := range s.Nodes {
			if want := fmt.Sprintf(`{"targets":["127.0.0.1:%d"],"labels":{"node":%q}}`, n.HTTP, n.Name); err == nil && (code != http.StatusOK || !bytes.Contains(body, []byte(want))) {
				err = fmt.Errorf("targets: %d %s, want %s", code, body, want)
			}
		}
		return err
	}))
	must(t, s.until(ctx, "the metrics of a show all nodes", func() error {
		code, body, err := a.Get(ctx, "/metrics")
		for _, line := range [...]string{
			"noonmark_fleet_announced 1\n", "noonmark_fleet_nodes{state=\"announced\"} 1\n", "noonmark_fleet_nodes{state=\"drained\"} 1\n", "noonmark_fleet_nodes{state=\"withdrawn\"} 1\n",
		} {
			if err == nil && (code != http.StatusOK || !bytes.Contains(body, []byte(line))) {
				err = fmt.Errorf("metrics: %d, no line %q", code, line)
			}
		}
		return err
	}))
	_, err = a.Repeat(ctx, "undrain", "b")
	must(t, err)
	must(t, c.StartServer(ctx))
	must(t, b.WaitForHealth(ctx, http.StatusOK))
	must(t, c.WaitForHealth(ctx, http.StatusOK))
}

// stolen: c is revoked. What it has is worth nothing to the others, and it gets nothing
// more.
func stolen(t *testing.T, ctx context.Context, s *Site) {
	t.Helper()
	a, b, c := s.Nodes[0], s.Nodes[1], s.Nodes[2]
	has, err := nts.ReadKeyFile(c.KeyFile())
	must(t, err)
	_, err = a.Command(ctx, "revoke", "c")
	must(t, err)
	if out, err := c.Command(ctx, "drain", "a"); err == nil {
		t.Errorf("the stolen node drains another: %s", out)
	}
	must(t, s.until(ctx, "a and b have other roots", func() error {
		for _, n := range []*Node{a, b} {
			list, err := nts.ReadKeyFile(n.KeyFile())
			if err != nil {
				return err
			}
			for _, r := range list {
				for _, old := range has {
					if r.Secret == old.Secret {
						return fmt.Errorf("%s opens cookies of a root that was stolen", n.Name)
					}
				}
			}
		}
		return nil
	}))
	fresh, err := nts.ReadKeyFile(a.KeyFile())
	must(t, err)
	later, err := nts.ReadKeyFile(c.KeyFile())
	must(t, err)
	for _, x := range later {
		for _, y := range fresh {
			if x.Secret == y.Secret {
				t.Error("the stolen node has a new root")
			}
		}
	}
	must(t, a.WaitForServing(ctx, 2))
}

// frozen stops the agents of nodes, with their members of etcd, for a while. To the others
// they are cut off; their ntsserve answer.
func frozen(t *testing.T, ctx context.Context, d time.Duration, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		must(t, n.agent.Signal(syscall.SIGSTOP))
	}
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
	}
	for _, n := range nodes {
		must(t, n.agent.Signal(syscall.SIGCONT))
	}
}

// compact makes etcd forget everything but the present.
func compact(t *testing.T, ctx context.Context, n *Node) {
	t.Helper()
	dir := identity.Dir(n.State())
	settings, err := dir.AdminTLS()
	must(t, err)
	node, err := dir.Load()
	must(t, err)
	c, err := access.Connect(node.Endpoints, settings)
	must(t, err)
	defer c.Close()
	r, err := c.Get(ctx, "x")
	must(t, err)
	_, err = c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
	must(t, err)
}

// TestAFullDisc: an etcd whose disc is full ends, and says why; ntsserve answers on, and
// the node comes back once there is room.
func TestAFullDisc(t *testing.T) {
	proctest.RequireRoot(t, "it mounts a small file system")
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	bin := programs(t)
	s, err := New(ctx, t.TempDir(), Options{Bin: bin, Params: params, Seed: 1})
	must(t, err)
	defer s.Close()
	disc := filepath.Join(s.Dir, "node-a")
	must(t, os.MkdirAll(disc, 0o700))
	if err := syscall.Mount("tmpfs", disc, "tmpfs", 0, "size=200m,mode=0700"); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	defer syscall.Unmount(disc, syscall.MNT_DETACH)
	a, err := s.Found(ctx, "a", 1)
	must(t, err)
	defer func() {
		if t.Failed() {
			t.Log(a.Logs())
		}
	}()
	must(t, s.WaitForClock(ctx))
	must(t, a.WaitForServing(ctx, 1))
	must(t, a.StartServer(ctx))
	full := filepath.Join(disc, "full")
	fill(t, full)
	// A running member has its log allocated in advance: a start needs room.
	a.agent.Stop()
	must(t, a.StartAgent())
	must(t, s.until(ctx, "the full disc is reported", func() error {
		b, err := os.ReadFile(a.path("agent.log"))
		if err == nil && !bytes.Contains(b, []byte("no space left")) {
			err = errors.New("no line names the full disc")
		}
		return err
	}))
	select {
	case <-a.server.Ended():
		t.Error("ntsserve has ended")
	default:
	}
	c, err := ntsclient.New(ntsclient.Config{Host: "localhost", Port: a.KE, NTPPort: a.NTP, Network: "udp4", RootCAs: s.Trusted(), Timeout: AnswerLimit})
	must(t, err)
	defer c.Close()
	_, err = c.Query(ctx)
	must(t, err)
	must(t, os.Remove(full))
	a.agent.Stop()
	must(t, a.StartAgent())
	must(t, a.WaitForServing(ctx, 1))
}

// fill fills a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	block := make([]byte, 1<<20)
	for {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if len(block) == 1 {
				return
			}
			block = block[:len(block)/2]
		}
	}
}
