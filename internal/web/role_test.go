package web

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/observe"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/report"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// Health is that of refclockd wherever it may be, and that of ntsserve only where there is
// no refclockd.
func TestHealthIsJudgedByRole(t *testing.T) {
	t.Parallel()
	open := []observe.ServingEndpoint{{Name: "a:123", Workers: 1}}
	good := &observe.Serving{Synchronised: true, Endpoints: open}
	locked := &report.Status{State: "locked", Usable: true}
	for _, c := range []struct {
		name string
		in   moment
		good bool
		want string
	}{
		{"refclockd is to be here and is not", moment{serving: good}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"refclockd","serving":null}`},
		{"nothing is published", moment{alone: true}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"ntsserve","serving":false}`},
		{"ntsserve has no time", moment{alone: true, serving: &observe.Serving{Endpoints: open}}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"ntsserve","serving":true}`},
		{"ntsserve waits for its only address", moment{alone: true, serving: &observe.Serving{Synchronised: true, Endpoints: []observe.ServingEndpoint{{Name: "a:123"}}}}, false, `{"publishes":false,"state":"absent","synchronised":true,"judged_by":"ntsserve","serving":false}`},
		{"the snapshot of a refclockd that is no longer here", moment{alone: true, status: &report.Status{State: "locked", Usable: true, AgeS: 60}}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"ntsserve","serving":false}`},
		{"ntsserve alone", moment{alone: true, serving: good}, true, `{"publishes":false,"state":"absent","synchronised":true,"judged_by":"ntsserve","serving":true}`},
		{"refclockd", moment{status: locked}, true, `{"publishes":true,"state":"locked","synchronised":true,"judged_by":"refclockd","serving":null}`},
	} {
		x, ok := c.in.health()
		b, err := json.Marshal(x)
		if err != nil || ok != c.good || string(b) != c.want {
			t.Errorf("%s: %v, %v\n%s, want\n%s", c.name, err, ok, b, c.want)
		}
	}
}

// A configuration that exists, or that cannot be looked at, is no sign of a server
// without refclockd; nor is anything while refclockd publishes.
func TestMissingConfigurationDecidesTheRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := proctest.Write(t, filepath.Join(dir, "refclockd.toml"), "")
	now := phc.MonoRaw()
	fresh := publish(t, snapshot(now))
	stale := publish(t, snapshot(now-int64(time.Minute)))
	for _, c := range []struct {
		name, config, snapshot string
		want                   bool
	}{
		{"it exists", there, "/nonexistent/status", false},
		{"below a file", filepath.Join(there, "refclockd.toml"), "/nonexistent/status", false},
		{"none is named", "", "/nonexistent/status", false},
		{"refclockd runs with another one", filepath.Join(dir, "none"), fresh, false},
		{"refclockd is no longer here", filepath.Join(dir, "none"), stale, true},
		{"it is missing", filepath.Join(dir, "none"), "/nonexistent/status", true},
	} {
		m := newLive(c.config, c.snapshot, "/nonexistent/serving.json", func() int64 { return now }, nil).read()
		if m.alone != c.want {
			t.Errorf("%s: %v, want %v", c.name, m.alone, c.want)
		}
	}
}

// A server without refclockd is healthy while a real ntsserve answers from a clock that
// is synchronised, and not after it has ended.
func TestHealthOfAServerWithoutRefclockd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := snapshot(phc.MonoRaw())
	clock.BoundRate, clock.Limit = 1, time.Hour
	port := proctest.FreePorts(t, 1)[0]
	conf := proctest.Write(t, filepath.Join(dir, "ntsserve.toml"), fmt.Sprintf("[source]\npath = %q\n[[endpoint]]\naddress = \"127.0.0.1:%d\"\n", publish(t, clock), port))
	cmd := exec.Command(proctest.Program(t, "ntsserve"), "-config", conf)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir)
	p := proctest.StartCmd(t, cmd)
	s := newServer(t, func(c *Config) {
		c.Refclockd, c.Serving = filepath.Join(dir, "refclockd.toml"), filepath.Join(dir, observe.ServingName)
	})
	healthy := func() (bool, string) {
		s.live.look()
		w := ask(s, at("/healthz"))
		return w.Code == 200, w.Body.String()
	}
	proctest.UntilState(t, "the page calls the server healthy", healthy, p)
	if w := ask(s, at("/api/v1/summary")); !strings.Contains(w.Body.String(), "This machine has no refclockd") || strings.Contains(w.Body.String(), "start refclockd") {
		t.Errorf("summary: %s", w.Body)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if ok, body := healthy(); ok {
		t.Errorf("it is healthy without ntsserve: %s", body)
	}
}
