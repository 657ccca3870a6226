package interop

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// memoryGroup is a control group with a limit of memory, as MemoryMax= of a unit makes
// one.
type memoryGroup struct{ dir string }

// newMemoryGroup makes a group below that of this test. It skips the test where that is
// not permitted.
func newMemoryGroup(t *testing.T, octets int) memoryGroup {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	parent, limit := "/sys/fs/cgroup", "memory.max"
	for line := range strings.Lines(string(own)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[1] == "memory" { // version 1
			parent, limit = filepath.Join("/sys/fs/cgroup/memory", f[2]), "memory.limit_in_bytes"
		}
	}
	g := memoryGroup{filepath.Join(parent, "noonmark-test-"+strings.ToLower(rand.Text()))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Skipf("no control group can be made, it needs root: %v", err)
	}
	t.Cleanup(func() {
		proctest.Until(t, "the control group is empty", func() bool { return os.Remove(g.dir) == nil })
	})
	if err := os.WriteFile(filepath.Join(g.dir, limit), []byte(strconv.Itoa(octets)), 0); err != nil {
		t.Skipf("the memory of a control group cannot be limited: %v", err)
	}
	for _, swap := range []string{"memory.swap.max", "memory.memsw.limit_in_bytes"} { // not on each kernel
		_ = os.WriteFile(filepath.Join(g.dir, swap), []byte(strconv.Itoa(octets)), 0)
	}
	return g
}

// start starts a program in the group.
func (g memoryGroup) start(t *testing.T, args ...string) *proc {
	t.Helper()
	return daemon(t, append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}, args...)...)
}

// ended returns how many processes the kernel has ended because the group had no memory.
func (g memoryGroup) ended(t *testing.T) int {
	t.Helper()
	for _, name := range []string{"memory.events", "memory.oom_control"} {
		b, err := os.ReadFile(filepath.Join(g.dir, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "oom_kill "); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(v))
				return n
			}
		}
	}
	t.Skip("this kernel does not count the processes that it ends for lack of memory: needs Linux 4.13")
	return 0
}

// Where the unit's limit has no room for the connections that the configuration permits,
// strangers who open them end the NTS-KE process. The kernel chooses it, NTP is answered
// all the time by the same process, keys are given again, and the log has warned.
func TestLackOfMemoryEndsOnlyTheKeyExchange(t *testing.T) {
	const limit = 40 << 20
	dir := setup(t)
	g := newMemoryGroup(t, limit)
	s := prepare(t, dir, newPKI(t, dir), "max_connections = 16384\ntimeout = \"30s\"")
	s.proc = g.start(t, ours(t, "ntsserve"), "-config", s.conf)
	until(t, "ntsserve serves authenticated time", s.proc, func() (bool, string) {
		_, errs, code := tool(t, ours(t, "ntsquery"), "-ca", s.ca, ourAddr)
		return code == 0, errs + s.Output.String()
	})
	if n := g.ended(t); n != 0 {
		t.Fatalf("%d processes have ended before the attack", n)
	}
	if out := s.Output.String(); !strings.Contains(out, "ke.max_connections: 16384 connections need up to") {
		t.Errorf("no warning that the limit is too low:\n%s", out)
	}
	before := s.Children(t, "nts-ke-process")

	hello := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xf0}, make([]byte, 15<<10)...) // a ClientHello without its end
	stop := flood(t, "127.0.0.1:4460", few, 2048, 100, func(_ context.Context, c net.Conn) {
		c.Write(hello)
		untilClosed(c)
	})
	c, err := ntsclient.New(ntsclient.Config{Host: addrPlain, Plain: true, Timeout: longWait})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	asked, lost := 0, 0
	until(t, "the kernel ends a process", s.proc, func() (bool, string) {
		asked++
		if _, err := c.Query(t.Context()); err != nil {
			lost++
			t.Logf("NTP request %d: %v", asked, err)
		}
		return g.ended(t) > 0, fmt.Sprintf("%d requests, %d lost", asked, lost)
	})
	for range 20 {
		asked++
		if _, err := c.Query(t.Context()); err != nil {
			lost++
			t.Logf("NTP request %d, after that: %v", asked, err)
		}
	}
	stop()
	if lost > 0 {
		t.Errorf("%d of %d NTP requests are lost", lost, asked)
	}
	until(t, "keys are given again", s.proc, func() (bool, string) {
		_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: 5 * time.Second})
		return err == nil, fmt.Sprint(err)
	})
	if after := s.Children(t, "nts-ke-process"); len(before) != 1 || len(after) != 1 || after[0] == before[0] {
		t.Errorf("NTS-KE processes: %v, then %v", before, after)
	}
	s.WaitFor(t, "nts-ke process has ended: signal: killed")
	t.Logf("%d processes ended at %d MB, %d NTP requests answered", g.ended(t), limit>>20, asked-lost)
}
