package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/health"
	"noonmark/fleet/identity"
	"noonmark/fleet/rollout"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// configSite is a fleet: a real etcd, and nodes with a real ntsserve and the task that
// keeps its configuration.
type configSite struct {
	t      *testing.T
	store  *store.Store
	fleet  *rollout.Fleet
	server string // the program
	clock  func() // publishes a good clock
	dir    string
	nodes  []*configNode
}

type configNode struct {
	name string
	file rollout.File
	proc *proctest.Process
	log  proctest.Output
	task *configTask
}

func newConfigSite(t *testing.T) *configSite {
	t.Helper()
	s := &configSite{t: t, server: proctest.Program(t, "ntsserve"), dir: t.TempDir()}
	s.store = storetest.New(t, fleettest.Client(t, fleettest.Etcd(t).Endpoint()))
	s.fleet = rollout.Of(s.store)
	w, err := status.Create(filepath.Join(s.dir, "status"))
	must(t, err)
	t.Cleanup(func() { w.Close() })
	var mu sync.Mutex
	s.clock = func() {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		at := tai.FromUnix(now.Unix(), int64(now.Nanosecond()), 37)
		if err := w.Write(&status.Snapshot{
			State: status.Locked, Kind: status.SystemClock, Stratum: 1, PHCIndex: -1, Mono: phc.MonoRaw(), Clock: at,
			LineErr: time.Microsecond, Bound: time.Microsecond, BoundRate: 10, Limit: time.Second, TAIOffset: 37, RefTime: at,
		}); err != nil {
			t.Error(err)
		}
	}
	s.clock()
	return s
}

func (s *configSite) entry(action string) store.Entry {
	return store.Entry{Time: time.Now(), Node: "operator", Action: action}
}

// join adds a node: ntsserve runs, and the task as in noonmark-fleet run.
func (s *configSite) join(name, local string) *configNode {
	s.t.Helper()
	must(s.t, s.store.Register(s.t.Context(), name, seal.Generate().Public(), s.entry("join")))
	must(s.t, s.store.NewPresence(name, 10*time.Minute).Show(s.t.Context(), store.Record{}))
	dir := filepath.Join(s.dir, name)
	must(s.t, os.Mkdir(dir, 0o700))
	address := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(s.t, 1)[0])
	text := fmt.Sprintf("[source]\npath = %q\n[[endpoint]]\naddress = %q\nworkers = 1\n%s", filepath.Join(s.dir, "status"), address, local)
	n := &configNode{name: name, file: ServerFile(proctest.Write(s.t, filepath.Join(dir, "ntsserve.toml"), text))}
	proctest.Write(s.t, n.file.Local, text)
	cmd := exec.Command(s.server, "-config", n.file.Path)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir)
	n.proc = proctest.StartCmd(s.t, cmd)
	n.proc.WaitFor(s.t, "msg=ready")
	n.file.Check[0] = s.server
	n.file.Apply = func(ctx context.Context, restart bool) error { // systemd sends the same signal
		if restart {
			s.t.Errorf("%s: an access list needs no restart", name)
		}
		return fleettest.Reload(ctx, n.proc)
	}
	s.run(n, identity.Dir(dir), netip.MustParseAddrPort(address))
	s.nodes = append(s.nodes, n)
	return n
}

func (s *configSite) run(n *configNode, dir identity.Dir, ntp netip.AddrPort) {
	local := &health.Local{Status: filepath.Join(s.dir, "status"), Serving: dir.Path("serving.json"), NTP: ntp, Timeout: 500 * time.Millisecond}
	log := slog.New(slog.NewTextHandler(&n.log, nil))
	n.task = &configTask{
		Service: &Service{
			cfg:  Config{Dir: dir, Server: &Server{NTP: ntp}, Config: Configuration{File: n.file}, Log: log},
			node: identity.Node{Fleet: "test", Name: n.name}, own: s.store,
		},
		facts: func(ctx context.Context) health.Facts {
			s.clock()
			return local.Facts(ctx, time.Now())
		},
		limit: health.Limits{Gate: true, Sample: 3}, every: 100 * time.Millisecond, log: observer{log: log, now: time.Now},
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.task.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != context.Canceled {
			s.t.Errorf("%s: the task ends with %v", n.name, err)
		}
	})
}

func (s *configSite) until(what string, ok func(*rollout.State) bool) {
	s.t.Helper()
	var procs []*proctest.Process
	for _, n := range s.nodes {
		procs = append(procs, n.proc)
	}
	proctest.UntilState(s.t, what, func() (bool, string) {
		st, err := s.fleet.Read(s.t.Context())
		must(s.t, err)
		return ok(st), fmt.Sprintf("%+v", st)
	}, procs...)
}

func (s *configSite) ended(phase rollout.Phase) {
	s.t.Helper()
	s.until("the rollout is "+string(phase)+" everywhere", func(st *rollout.State) bool {
		for _, n := range st.Nodes {
			if n.Report.Trial || len(n.Report.Unmanaged) == 0 && n.Report.Applied != st.Rollout.InForce() {
				return false
			}
		}
		return st.Rollout.Phase == phase
	})
}

func (s *configSite) apply(text string) {
	s.t.Helper()
	set, err := rollout.ParseSet("f.toml", []byte(text))
	must(s.t, err)
	_, err = s.fleet.Apply(s.t.Context(), set, rollout.Params{Step: 2, Soak: 1, Patience: 10}, s.entry("apply"))
	must(s.t, err)
}

func (s *configSite) text(n *configNode) string {
	s.t.Helper()
	b, err := os.ReadFile(n.file.Path)
	must(s.t, err)
	return string(b)
}

// TestTheTaskRollsOutToThreeServers: with real ntsserves that take the file over, the gate
// that asks them, and -check of the program. A fourth node is left alone.
func TestTheTaskRollsOutToThreeServers(t *testing.T) {
	t.Parallel()
	s := newConfigSite(t)
	a, b, c := s.join("a", ""), s.join("b", "[access]\nallow = [\"127.0.0.0/8\"]\n"), s.join("c", "")
	d := s.join("d", "")
	must(t, os.Remove(d.file.Local))
	alone := s.text(d)
	s.until("the nodes show their health", func(st *rollout.State) bool {
		fit := 0
		for _, n := range st.Nodes {
			if n.Unfit() == "" {
				fit++
			}
		}
		return fit == 3 && len(st.Nodes[3].Report.Unmanaged) == 1
	})

	s.apply("[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\nallow = [\"127.0.0.1\", \"203.0.113.0/24\"]\n[node.c.ntsserve.access]\ndeny = [\"198.51.100.0/24\"]\n")
	s.until("the canary has it on trial, and it alone", func(st *rollout.State) bool {
		others := s.text(b) + s.text(c)
		return st.Rollout.Phase != rollout.Canary || strings.Contains(s.text(a), "192.0.2.0/24") && !strings.Contains(others, "203.0.113.0/24")
	})
	s.ended(rollout.Done)
	for n, want := range map[*configNode][2]string{a: {"192.0.2.0/24", "203.0.113.0/24"}, b: {"192.0.2.0/24", "127.0.0.0/8"}, c: {"198.51.100.0/24", "203.0.113.0/24"}} {
		if text := s.text(n); !strings.Contains(text, want[0]) || !strings.Contains(text, want[1]) {
			t.Errorf("%s has not %q:\n%s", n.name, want, text)
		}
		n.proc.WaitFor(t, "msg=reloaded")
	}

	before := [3]string{s.text(a), s.text(b), s.text(c)}
	unchanged := func(what string) {
		t.Helper()
		if now := [3]string{s.text(a), s.text(b), s.text(c)}; now != before {
			t.Errorf("%s: the files are %q, want %q", what, now, before)
		}
	}
	s.apply("[ntsserve.access]\nrate_prefix4 = 99\n")
	s.ended(rollout.Undone)
	unchanged("a fragment that ntsserve -check refuses")
	a.wantLog(t, "the configuration was not written", "99 is not a prefix length")

	// It passes the check and the trials of a and b; then c answers nobody any more.
	s.apply("[ntsserve.access]\nnts_only = [\"192.0.2.9\"]\n[node.c.ntsserve.access]\ndeny = [\"0.0.0.0/0\"]\n")
	s.ended(rollout.Undone)
	unchanged("a fragment that harms one node")
	a.wantLog(t, "the configuration has passed its trial", "rollout=3")
	c.wantLog(t, "the configuration before is in place again", "no-answer")

	s.undo(a, c)
	if s.text(d) != alone {
		t.Errorf("a node without a local file was not left alone:\n%s", s.text(d))
	}
	d.wantLog(t, "the configuration is left alone", d.file.Local)
}

// undo takes the configuration back that is in place everywhere.
func (s *configSite) undo(a, c *configNode) {
	s.t.Helper()
	before := s.text(a) + s.text(c)
	s.apply("[ntsserve.access]\ndeny = [\"203.0.113.9\"]\n")
	s.ended(rollout.Done)
	if !strings.Contains(s.text(c), "203.0.113.9") {
		s.t.Errorf("c has not what was applied:\n%s", s.text(c))
	}
	_, err := s.fleet.Undo(s.t.Context(), "test", s.entry("undo"))
	must(s.t, err)
	s.ended(rollout.Done)
	if now := s.text(a) + s.text(c); now != before {
		s.t.Errorf("after the undo the files are\n%s\nwant\n%s", now, before)
	}
	s.until("all answer", func(st *rollout.State) bool {
		n := 0
		for _, x := range st.Nodes {
			if x.Report.Healthy {
				n++
			}
		}
		return n == len(s.nodes)
	})
}

func (n *configNode) wantLog(t *testing.T, words ...string) {
	t.Helper()
	proctest.UntilState(t, fmt.Sprintf("%s logs %q", n.name, words), func() (bool, string) {
		text := n.log.String()
		for line := range strings.Lines(text) {
			has := 0
			for _, w := range words {
				if strings.Contains(line, w) {
					has++
				}
			}
			if has == len(words) {
				return true, ""
			}
		}
		return false, text
	})
}

// TestTheTaskSaysWhatIsWrong: in its state, until the operator has repaired the local file.
func TestTheTaskSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newConfigSite(t)
	n := s.join("a", "")
	proctest.UntilState(t, "the file is made from the local file", func() (bool, string) {
		return strings.HasPrefix(s.text(n), "# Written by noonmark-fleet"), s.text(n)
	}, n.proc)
	good := s.text(n)
	proctest.Write(t, n.file.Local, good+"[access]\ndeny = [\"192.0.2.0/33\"]\n")
	state := func() (bool, string) {
		err := n.task.Waiting()
		return err != nil && strings.Contains(err.Error(), "ntsserve.toml is not as it shall be: ntsserve refuses the file") && strings.Contains(err.Error(), "access.deny"), fmt.Sprint(err)
	}
	proctest.UntilState(t, "the task waits for a good local file", state, n.proc)
	if s.text(n) != good {
		t.Errorf("the file changed:\n%s", s.text(n))
	}
	proctest.Write(t, n.file.Local, good+"[access]\ndeny = [\"192.0.2.5\"]\n")
	proctest.UntilState(t, "the file is written", func() (bool, string) {
		return n.task.Waiting() == nil && strings.Contains(s.text(n), "192.0.2.5"), s.text(n)
	}, n.proc)
}
