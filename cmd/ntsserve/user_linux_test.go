package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"noonmark/internal/daemon"
	"noonmark/internal/proctest"
)

// manager is a service manager that keeps what it hears.
type manager struct {
	mu   sync.Mutex
	said strings.Builder
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	m := &manager{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.said.Write(append(b[:n:n], '\n'))
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *manager) heard() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said.String()
}

// Root waits for its user without a socket or a file open, says so, and serves as that
// user once it exists.
func TestRootWaitsForItsUser(t *testing.T) {
	proctest.RequireRoot(t, "a mount namespace and another user")
	proctest.Require(t, "unshare")
	dir := proctest.ShortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(run, 0o777); err != nil {
		t.Fatal(err)
	}
	const before = "root:x:0:0::/:/bin/sh\n"
	users := proctest.Write(t, filepath.Join(dir, "passwd"), before)
	conf := proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf("user = \"noonmark-test\"\n[source]\npath = %q\n%s", filepath.Join(dir, "status"), endpoint))
	m := newManager(t, filepath.Join(dir, "notify"))
	start := func() *proctest.Process {
		cmd := program(t, "-config", conf)
		args := append([]string{"-m", "sh", "-c", `mount --bind "$1" /etc/passwd && shift && exec "$@"`, "sh", users, cmd.Path}, cmd.Args[1:]...)
		in := exec.Command("unshare", args...)
		in.Env = append(cmd.Environ(), "RUNTIME_DIRECTORY="+run, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
		return proctest.StartCmd(t, in)
	}
	waits := func(p *proctest.Process) {
		t.Helper()
		proctest.UntilState(t, "it waits", func() (bool, string) {
			r, err := daemon.ReadReport(filepath.Join(run, daemon.StateFileName))
			if err != nil {
				return false, err.Error()
			}
			s := r.Tasks[0]
			return len(r.Tasks) == 1 && s.Task == "user" && s.State == "waiting" && strings.Contains(s.Why, `t.toml:1: user: this machine has no user "noonmark-test" now`), fmt.Sprintf("%+v", r)
		}, p)
		if out := p.Output.String(); strings.Contains(out, "msg=listening") {
			t.Errorf("it listens:\n%s", out)
		}
	}

	p := start()
	waits(p)
	p.WaitFor(t, "waiting=user")
	if err := p.Stop(); err != nil {
		t.Errorf("asked to end, it ends with %v", err)
	}
	for _, want := range []string{"STATUS=0 of 1 tasks serve; user waiting: ", "STOPPING=1"} {
		proctest.UntilState(t, "the service manager hears "+want, func() (bool, string) {
			said := m.heard()
			return strings.Contains(said, want), said
		})
	}

	stops := strings.Count(m.heard(), "STOPPING=1")
	p = start()
	waits(p)
	proctest.Write(t, users, before+"noonmark-test:x:65531:65531::/:/bin/false\n") // in place, as the mount needs
	p.WaitFor(t, "uid=65531")
	proctest.Until(t, "NTP is served", func() bool {
		r, err := daemon.ReadReport(filepath.Join(run, daemon.StateFileName))
		return err == nil && r.Tasks[0].Task == "ntp" && r.Tasks[0].State == "serving"
	}, p)
	if n := strings.Count(m.heard(), "STOPPING=1"); n != stops {
		t.Errorf("the service manager heard that it stops:\n%s", m.heard())
	}
	if err := p.Stop(); err != nil {
		t.Errorf("ends with %v", err)
	}
}
