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
	"noonmark/refclock/status"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// The clock is that of refclockd wherever it may be, and that of ntsserve only where there is
// no refclockd. Where there is an ntsserve, clients must get the clock from it.
func TestHealthIsJudgedByRole(t *testing.T) {
	t.Parallel()
	open := []observe.ServingEndpoint{{Name: "a:123", Workers: 1}}
	good := &observe.Serving{Synchronised: true, Endpoints: open}
	closed := observe.Serving{Synchronised: true, Endpoints: []observe.ServingEndpoint{{Name: "a:123"}}}
	locked := &report.Status{State: "locked", Usable: true}
	for _, c := range []struct {
		name string
		in   observe.View
		good bool
		want string
	}{
		{"refclockd is to be here and is not", observe.View{Serving: good}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"refclockd","serving":true}`},
		{"nothing is published", observe.View{Alone: true}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"ntsserve","serving":false}`},
		{"ntsserve has no time", observe.View{Alone: true, Serving: &observe.Serving{Endpoints: open}}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"ntsserve","serving":true}`},
		{"ntsserve waits for its only address", observe.View{Alone: true, Serving: &closed}, false, `{"publishes":false,"state":"absent","synchronised":true,"judged_by":"ntsserve","serving":false}`},
		{"the snapshot of a refclockd that is no longer here", observe.View{Alone: true, Status: &report.Status{State: "locked", Usable: true, AgeS: 60}}, false, `{"publishes":false,"state":"absent","synchronised":false,"judged_by":"ntsserve","serving":false}`},
		{"ntsserve alone", observe.View{Alone: true, Serving: good}, true, `{"publishes":false,"state":"absent","synchronised":true,"judged_by":"ntsserve","serving":true}`},
		{"refclockd, and no server", observe.View{Status: locked}, true, `{"publishes":true,"state":"locked","synchronised":true,"judged_by":"refclockd","serving":null}`},
		{"both", observe.View{Status: locked, Serving: good, Serves: true}, true, `{"publishes":true,"state":"locked","synchronised":true,"judged_by":"refclockd","serving":true}`},
		{"ntsserve has ended", observe.View{Status: locked, Serves: true}, false, `{"publishes":true,"state":"locked","synchronised":true,"judged_by":"refclockd","serving":false}`},
		{"ntsserve has no open address", observe.View{Status: locked, Serving: &closed, Serves: true}, false, `{"publishes":true,"state":"locked","synchronised":true,"judged_by":"refclockd","serving":false}`},
		{"ntsserve serves another clock", observe.View{Status: locked, Serving: &observe.Serving{Endpoints: open}, Serves: true}, false, `{"publishes":true,"state":"locked","synchronised":true,"judged_by":"refclockd","serving":true}`},
	} {
		x, ok := (&moment{View: c.in}).health()
		b, err := json.Marshal(x)
		if err != nil || ok != c.good || string(b) != c.want {
			t.Errorf("%s: %v, %v\n%s, want\n%s", c.name, err, ok, b, c.want)
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

// A page beside a real ntsserve that is killed says so, however well the clock is kept.
func TestHealthAfterNtsserveWasKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	w, err := status.Create(path)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	defer w.Close()
	publish := func(mono int64) {
		t.Helper()
		clock := snapshot(mono)
		clock.BoundRate, clock.Limit = 1, time.Hour
		if err := w.Write(clock); err != nil {
			t.Fatal(err)
		}
	}
	publish(phc.MonoRaw())
	port := proctest.FreePorts(t, 1)[0]
	conf := proctest.Write(t, filepath.Join(dir, "ntsserve.toml"), fmt.Sprintf("[source]\npath = %q\n[[endpoint]]\naddress = \"127.0.0.1:%d\"\n", path, port))
	cmd := exec.Command(proctest.Program(t, "ntsserve"), "-config", conf)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir)
	p := proctest.StartCmd(t, cmd)
	counters := filepath.Join(dir, observe.ServingName)
	s := newServer(t, func(c *Config) { c.Snapshot, c.Serving = path, counters })
	healthy := func() (bool, string) {
		publish(phc.MonoRaw())
		s.live.look()
		w := ask(s, at("/healthz"))
		return w.Code == 200, w.Body.String()
	}
	proctest.UntilState(t, "the page calls the server healthy", func() (bool, string) {
		ok, body := healthy()
		return ok && strings.Contains(body, `"serving":true`), body
	}, p)
	p.Kill()
	left, err := observe.ReadServing(counters, phc.MonoRaw())
	if err != nil {
		t.Fatal(err)
	}
	left.Mono -= int64(90 * time.Second) // as if that time had passed
	b, err := json.Marshal(left)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, counters, string(b))
	if ok, body := healthy(); ok || !strings.Contains(body, `"state":"locked","synchronised":true`) || !strings.Contains(body, `"serving":false`) {
		t.Errorf("it is healthy without ntsserve: %s", body)
	}
	if w := ask(s, at("/api/v1/summary")); !strings.Contains(w.Body.String(), `"level":"bad"`) || strings.Contains(w.Body.String(), "Clients get") || !strings.Contains(w.Body.String(), "systemctl start ntsserve") {
		t.Errorf("summary: %s", w.Body)
	}
}
