package interop

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// taiOffset is that of the test's snapshots; no test depends on its value.
const taiOffset = 37

// boundRate is the growth of the bound in ns/s: fast enough that a test can wait
// until it reaches the limit of 1 ms.
const boundRate = 2e5

// publish replaces refclockd: it publishes CLOCK_REALTIME as a locked clock every 250
// ms until stop is called. After that the bound grows, as after the end of refclockd.
func publish(t *testing.T, path string, edit func(*status.Snapshot)) (stop func()) {
	t.Helper()
	w, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	first := cross()
	put := func() {
		c := cross()
		s := status.Snapshot{
			State: status.Locked, Kind: status.SystemClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: -1,
			Mono: c.Mono, Clock: c.Clock, LineErr: c.Width/2 + 100, Bound: 2 * time.Microsecond, BoundRate: boundRate,
			Limit: time.Millisecond, TAIOffset: taiOffset, RefTime: c.Clock, Reason: "interop test",
		}
		if d := c.Mono - first.Mono; d > 1e9 { // the system clock may be steered, so its rate is measured
			s.RatePPB = (float64(c.Clock-first.Clock)/float64(d) - 1) * 1e9
		}
		if edit != nil {
			edit(&s)
		}
		w.Write(&s)
	}
	put()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				put()
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(quit)
			<-done
			w.Close()
		}
	}
	t.Cleanup(stop)
	return stop
}

// cross reads CLOCK_REALTIME between two readings of CLOCK_MONOTONIC_RAW: the
// narrowest of 16 brackets.
func cross() phc.Cross {
	var best phc.Cross
	for i := range 16 {
		a := phc.MonoRaw()
		real := time.Now().UnixNano()
		b := phc.MonoRaw()
		if w := time.Duration(b - a); i == 0 || w < best.Width {
			best = phc.Cross{Clock: tai.FromUnix(0, real, taiOffset), Real: real, Mono: a + (b-a)/2, Width: w}
		}
	}
	return best
}

// otherPort is a second port of ntsserve.
const otherPort = 1123

// server is a running ntsserve.
type server struct {
	*proc
	pki
	dir, conf string
	stopClock func()   // ends the snapshots
	leap      tai.Time // of endpoints
}

// serve starts ntsserve on our end and waits until it serves authenticated time.
// extra is further lines of [ke].
func serve(t *testing.T, dir, extra string) *server {
	t.Helper()
	s := prepare(t, dir, newPKI(t, dir), extra)
	s.start(t)
	return s
}

// prepare is serve without the start.
func prepare(t *testing.T, dir string, k pki, extra string) *server {
	t.Helper()
	s := &server{dir: dir, pki: k}
	path := filepath.Join(dir, "run", "status")
	s.stopClock = publish(t, path, nil)
	s.conf = write(t, dir, "ntsserve.toml", fmt.Sprintf(`
[source]
type = "snapshot"
path = %q

[[endpoint]]
address = "0.0.0.0:123"

[[endpoint]]
address = "[%s]:123"

[[endpoint]]
address = "0.0.0.0:%d"

[ke]
listen = "[::]:4460"
certificate = %q
key = %q
%s

[keys]
file = %q
`, path, ourAddr6, otherPort, s.cert, s.key, extra, s.keys()))
	return s
}

// measured enables the metrics of a server that is not yet started.
func (s *server) measured(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(s.conf)
	if err == nil {
		err = os.WriteFile(s.conf, append(b, "[metrics]\nlisten = \"127.0.0.1:9124\"\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// metric returns a metric of a measured server by name and labels, -1 if there is
// none.
func metric(t *testing.T, name string) float64 {
	t.Helper()
	r, err := http.Get("http://127.0.0.1:9124/metrics")
	if err != nil {
		return -1
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64); err == nil {
				return v
			}
		}
	}
	return -1
}

// keys is the path of the key ring.
func (s *server) keys() string { return filepath.Join(s.dir, "keys") }

func (s *server) start(t *testing.T) {
	t.Helper()
	s.proc = daemon(t, ours(t, "ntsserve"), "-config", s.conf)
	until(t, "ntsserve serves authenticated time", s.proc, func() (bool, string) {
		_, errs, code := tool(t, ours(t, "ntsquery"), "-ca", s.ca, ourAddr)
		return code == 0, errs + s.Output.String()
	})
}
