package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/cardsetup"
	"noonmark/internal/daemon"
	"noonmark/internal/proctest"
)

// The real program, started by root and as the unit starts it: its process for cards is
// killed and comes back; the keeper of that is killed, and the file of states asks for a
// restart. No other task notices either.
func TestCardSetupIsATaskWithAState(t *testing.T) {
	proctest.RequireRoot(t, "CAP_NET_ADMIN")
	for name, attr := range map[string]*syscall.SysProcAttr{
		"by root":               nil,
		"as the unit starts it": {Credential: &syscall.Credential{Uid: nobodyUID, Gid: nobodyUID}, AmbientCaps: []uintptr{10, 12}},
	} {
		t.Run(name, func(t *testing.T) { cardSetup(t, attr) })
	}
}

func cardSetup(t *testing.T, attr *syscall.SysProcAttr) {
	dir := t.TempDir()
	conf := proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf("[source]\npath = %q\n%s", filepath.Join(dir, "status"), endpoint))
	cmd := program(t, "-config", conf)
	cmd.Env = append(cmd.Environ(), "RUNTIME_DIRECTORY="+dir)
	if attr != nil {
		cmd.Path, cmd.SysProcAttr = reachable(t, cmd.Path, dir), attr
		for _, path := range []string{filepath.Dir(dir), dir, conf} {
			if err := os.Chown(path, nobodyUID, nobodyUID); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := proctest.StartCmd(t, cmd)
	p.WaitFor(t, "privileges dropped")
	state := func() daemon.Status {
		r, err := daemon.ReadReport(filepath.Join(dir, daemon.StateFileName))
		if err != nil {
			return daemon.Status{} // not yet
		}
		for _, s := range r.Tasks {
			if s.Task == "card setup" {
				return s
			}
			if s.Failures > 0 {
				t.Errorf("another task: %+v", s)
			}
		}
		return daemon.Status{}
	}
	is := func(what, want, why string, failures uint64) {
		t.Helper()
		proctest.UntilState(t, what, func() (bool, string) {
			s := state()
			return s.State == want && s.Failures == failures && strings.Contains(s.Why, why), fmt.Sprintf("%+v", s)
		}, p)
	}
	child := func(pid int) int {
		t.Helper()
		pids := proctest.ChildrenOf(t, pid, cardsetup.Argument)
		if len(pids) != 1 {
			t.Fatalf("children of %d: %v", pid, pids)
		}
		return pids[0]
	}
	kill := func(pid int) {
		t.Helper()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	is("cards can be set up", "serving", "", 0)
	keeper := child(p.PID())
	first := child(keeper)
	uid := os.Getuid()
	if attr != nil {
		uid = nobodyUID
	}
	checkThreads(t, keeper, uid, "1000", "0")
	checkThreads(t, first, uid, "1000", "0")
	kill(first)
	is("cards can be set up again", "serving", "", 1)
	if child(keeper) == first {
		t.Error("the process that was killed runs")
	}
	kill(keeper)
	is("a restart is asked for", "waiting", "restart ntsserve at a good moment", 2)
	if err := p.Stop(); err != nil {
		t.Errorf("ends with %v", err)
	}
}
