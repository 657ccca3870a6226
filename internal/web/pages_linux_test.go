package web

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"noonmark/internal/appliance"
	"noonmark/internal/proctest"
	"noonmark/phc"
)

// Sixteen pages at once, each of which shows a day, its events and its stability, and live data, take less
// than 20 MB, also over TLS.
func TestSixteenPagesTakeLessThan20MB(t *testing.T) {
	t.Parallel()
	keep := filepath.Join(t.TempDir(), "history")
	from, first := keepAll(t, keep, 86400)
	day := fmt.Sprintf("from=%d&to=%d", from, from+86400)
	heavy := []string{"/api/v1/history?points=1500&" + day, fmt.Sprintf("/api/v1/events?limit=300&from=%d", first), "/api/v1/stability?" + day}
	site, err := appliance.Write(proctest.ShortDir(t), appliance.Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	ca, err := os.ReadFile(filepath.Join(site.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, c := range []struct{ scheme, config string }{
		{"http", ""},
		{"https", fmt.Sprintf("[[certificate]]\nfile = %q\nkey = %q\n", filepath.Join(site.Dir, "server.pem"), filepath.Join(site.Dir, "server.key"))},
	} {
		t.Run(c.scheme, func(t *testing.T) {
			t.Parallel()
			listen := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
			conf := proctest.Write(t, filepath.Join(t.TempDir(), "refclockweb.toml"),
				fmt.Sprintf("listen = %q\n%s[refclockd]\nsnapshot = %q\nhistory = %q\n", listen, c.config, publish(t, snapshot(phc.MonoRaw())), keep))
			cmd := exec.Command(proctest.Program(t, "refclockweb"), "-config", conf)
			cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { // what make test sets for the tests themselves
				name, _, _ := strings.Cut(v, "=")
				return name == "GOGC" || name == "GOMEMLIMIT" || name == "GOMAXPROCS"
			})
			p := proctest.StartCmd(t, cmd)
			p.WaitFor(t, "msg=ready")
			idle := peakMemory(t, p)
			var pages sync.WaitGroup
			for range 16 {
				pages.Go(func() { showPage(t, c.scheme+"://"+listen, &tls.Config{RootCAs: roots}, heavy) })
			}
			pages.Wait()
			peak := peakMemory(t, p)
			now := found(t, fmt.Sprintf("/proc/%d/status", p.PID()), `(?m)^RssAnon:\s+(\d+) kB$`)
			t.Logf("at most %d kB with 16 pages, %d kB before; without files %d kB now", peak, idle, now)
			if peak >= 20<<10 {
				t.Errorf("up to %d kB of memory, want less than 20 MB", peak)
			}
		})
	}
}

// showPage asks for what a page asks for, and three times for some paths at once, while it watches the stream.
func showPage(t *testing.T, base string, trust *tls.Config, heavy []string) {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer c.CloseIdleConnections()
	get := func(path string) {
		r, err := c.Get(base + path)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Body.Close()
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", path, r.StatusCode, err)
		}
	}
	stream, err := c.Get(base + "/api/v1/stream")
	if err != nil {
		t.Error(err)
		return
	}
	defer stream.Body.Close()
	if line, err := bufio.NewReader(stream.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "event: now") {
		t.Errorf("the stream begins with %q, %v", line, err)
	}
	for _, path := range []string{"/", "/app.js", "/history.js", "/api/v1/live", "/api/v1/doctor", "/api/v1/summary"} {
		get(path)
	}
	for range 3 {
		var asked sync.WaitGroup
		for _, path := range heavy {
			asked.Go(func() { get(path) })
		}
		asked.Wait()
	}
}
