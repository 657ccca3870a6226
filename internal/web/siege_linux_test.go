package web

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"noonmark/internal/proctest"
)

// Strangers who open connections and send nothing, half of a request, endless headers or
// noise, and watchers who leave without a word, cost the program neither its life nor
// descriptors, nor more memory than its unit gives. SIGKILL in the middle of that does
// not prevent the next start.
func TestPageSurvivesASiegeAndSIGKILL(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	listen := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	dir := proctest.ShortDir(t)
	conf := proctest.Write(t, filepath.Join(dir, "refclockweb.toml"), fmt.Sprintf("listen = %q\n[refclockd]\nsnapshot = %q\n", listen, filepath.Join(dir, "status")))
	program := proctest.Program(t, "refclockweb")
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	start := func() *proctest.Process {
		p := proctest.Start(t, program, "-config", conf)
		proctest.Until(t, "the page is shown", func() bool { return shown(client, listen) }, p)
		return p
	}
	p := start()
	idle := descriptors(t, p)
	besiege(listen, seed, 400)
	proctest.Until(t, "the page is shown again", func() bool { return shown(client, listen) }, p)
	proctest.Until(t, "the descriptors are closed", func() bool { return descriptors(t, p) <= idle+2 }, p)
	if peak, most := peakMemory(t, p), memoryOfTheUnit(t); peak > most {
		t.Errorf("up to %d kB of memory, the unit gives %d", peak, most)
	}
	for i := range 5 {
		var during sync.WaitGroup
		during.Go(func() { besiege(listen, seed+uint64(i)+1, 20) })
		p.Kill()
		during.Wait()
		p = start()
	}
	if err := p.Stop(); err != nil {
		t.Errorf("asked to end, it ends with %v", err)
	}
}

func shown(c *http.Client, listen string) bool {
	r, err := c.Get("http://" + listen + "/")
	if err != nil {
		return false
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil && r.StatusCode == http.StatusOK
}

// besiege makes n hostile connections.
func besiege(listen string, seed uint64, n int) {
	(&proctest.Siege{Addr: listen, Paths: []string{"/api/v1/status", "/api/v1/stream", "/"}, AtOnce: 50, Stay: 500 * time.Millisecond, Seed: seed}).Run(n)
}

func descriptors(t *testing.T, p *proctest.Process) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// peakMemory is the most that the process had in memory, kB.
func peakMemory(t *testing.T, p *proctest.Process) int {
	t.Helper()
	return found(t, fmt.Sprintf("/proc/%d/status", p.PID()), `(?m)^VmHWM:\s+(\d+) kB$`)
}

// memoryOfTheUnit is MemoryMax=, kB.
func memoryOfTheUnit(t *testing.T) int {
	t.Helper()
	return found(t, "../../systemd/refclockweb.service", `(?m)^MemoryMax=(\d+)M$`) << 10
}

// found returns the number that a pattern finds in a file.
func found(t *testing.T, file, pattern string) int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(b)
	if m == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
