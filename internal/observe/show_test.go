package observe

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestShowStatusOfARefclockdThatHasStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	m := &Machine{Snapshot: path, Serving: filepath.Join(dir, ServingName), Mono: phc.MonoRaw}
	var out strings.Builder
	if err := ShowStatus(&out, m, false); !errors.Is(err, status.ErrNone) || !strings.Contains(err.Error(), "systemctl start refclockd") || out.Len() > 0 {
		t.Errorf("nothing is published: %v, %q", err, &out)
	}
	w, err := status.Create(path)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	defer w.Close()
	if err := w.Write(&status.Snapshot{State: status.Locked, Reason: "disciplined", Mono: phc.MonoRaw() - int64(time.Minute), Clock: tai.FromUnix(1795435200, 0, 37), TAIOffset: 37, Bound: 1500, Limit: 1e5}); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		asJSON bool
		want   string
	}{{false, "\nstate      locked (disciplined)\n"}, {true, `{"state":"locked",`}} {
		out.Reset()
		if err := ShowStatus(&out, m, x.asJSON); !errors.Is(err, ErrStopped) || !strings.Contains(out.String(), x.want) {
			t.Errorf("JSON %v: %v, %q", x.asJSON, err, &out)
		}
	}
}

// A clock that clients do not get is not shown as if they got it; and where there is no
// refclockd, status names the command that shows the server.
func TestShowStatusNamesTheFaultOfTheServer(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), phc.MonoRaw()
	m := &Machine{Snapshot: published(t, now), Serving: filepath.Join(dir, ServingName), Mono: func() int64 { return now }}
	show := func() (string, error) {
		var out strings.Builder
		err := ShowStatus(&out, m, false)
		return out.String(), err
	}
	if out, err := show(); err != nil || strings.Contains(out, "ntsserve") {
		t.Errorf("no server: %v, %s", err, out)
	}
	m.Ntsserve = proctest.Write(t, filepath.Join(dir, "ntsserve.toml"), "")
	if out, err := show(); err != nil || !strings.Contains(out, "SERVER     ntsserve publishes nothing") || !strings.Contains(out, "remedy: start ntsserve") {
		t.Errorf("it has ended: %v, %s", err, out)
	}
	b, err := json.Marshal(Serving{PID: 1, Mono: now})
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, m.Serving, string(b))
	m.Snapshot, m.Refclockd = filepath.Join(dir, "none"), filepath.Join(dir, "none.toml")
	if out, err := show(); err == nil || out != "" || !strings.Contains(err.Error(), "refclockctl server") || strings.Contains(err.Error(), "start it") {
		t.Errorf("a server without refclockd: %v, %s", err, out)
	}
}

func TestShowServingAndItsClients(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ServingName)
	publish := func(s Serving) {
		t.Helper()
		s.PID, s.Mono = 1, phc.MonoRaw()
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	show := func(name string, asJSON bool) (string, error) {
		var b strings.Builder
		if name == "clients" {
			err := ShowClients(&b, path, asJSON)
			return b.String(), err
		}
		err := ShowServing(&b, path, asJSON)
		return b.String(), err
	}
	for _, name := range []string{"server", "clients"} {
		if out, err := show(name, false); !errors.Is(err, ErrNoServing) || out != "" {
			t.Errorf("%s, nothing is published: %v, %q", name, err, out)
		}
	}
	publish(Serving{Synchronised: true})
	if out, err := show("clients", true); !errors.Is(err, ErrNoClients) || out != "" {
		t.Errorf("clients that are not counted: %v, %q", err, out)
	}
	publish(Serving{Synchronised: true, Clients: &ServingClients{Networks: 1, List: []ServingClient{{Prefix: "192.0.2.0/24", Requests: 7}}}})
	for _, x := range []struct {
		name   string
		asJSON bool
		want   string
	}{
		{"server", false, " answers as synchronised\n"}, {"server", true, `"synchronised":true`},
		{"clients", false, "\n192.0.2.0/24 "}, {"clients", true, `{"networks":1,"list":[{"prefix":"192.0.2.0/24","requests":7,`},
	} {
		if out, err := show(x.name, x.asJSON); err != nil || !strings.Contains(out, x.want) {
			t.Errorf("%s, JSON %v: %v, %q", x.name, x.asJSON, err, out)
		}
	}
	full, err := os.Open(path) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := ShowServing(full, path, true); !errors.Is(err, command.ErrOutput) {
		t.Errorf("an output that takes nothing: %v", err)
	}
}

func TestWhatCannotBeAwaited(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]string{
		"lokced": "lokced is not known; did you mean locked?",
		"":       " is not known; want one of synchronised, system-clock, unlocked, acquiring, locked, holdover, faulty",
		"ever":   "ever is not known; want one of synchronised, system-clock, unlocked, acquiring, locked, holdover, faulty",
	} {
		if err := CheckAwaited(what); err == nil || err.Error() != want {
			t.Errorf("%q: %v", what, err)
		}
	}
	for _, what := range awaitable() {
		if err := CheckAwaited(what); err != nil {
			t.Error(err)
		}
	}
}
