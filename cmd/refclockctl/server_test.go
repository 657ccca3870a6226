package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/phc"
)

// serving writes what an ntsserve publishes just now, and returns the name of the file.
func serving(t *testing.T, s observe.Serving) string {
	t.Helper()
	s.PID, s.Mono = os.Getpid(), phc.MonoRaw()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), observe.ServingName)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServerShowsCounters(t *testing.T) {
	t.Parallel()
	absent := filepath.Join(t.TempDir(), "absent")
	for _, name := range []string{"server", "clients"} {
		if code, out, errs := ctl(name, "-counters", absent); code != exitcode.Unavailable || out != "" || !strings.HasPrefix(errs, "refclockctl: "+name+": "+absent+": ntsserve publishes no counters") {
			t.Errorf("%s, nothing published: exit code %d: %s%s", name, code, out, errs)
		}
	}
	// Names in certificates are those of whoever made them: a terminal gets no escapes.
	path := serving(t, observe.Serving{Synchronised: true, Certificates: []observe.CertificateState{{From: "\x1b[2Jx"}}})
	if out := must(t, "server", "-counters", path); !strings.Contains(out, "answers as synchronised\n") || strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
	var s observe.Serving
	if out := must(t, "server", "-json", "-counters", path); json.Unmarshal([]byte(out), &s) != nil || !s.Synchronised || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
	if code, out, errs := ctl("clients", "-counters", path); code != exitcode.Config || out != "" || !strings.Contains(errs, `want clients = "prefixes"`) {
		t.Errorf("clients that are not counted: exit code %d: %s%s", code, out, errs)
	}
}

func TestClientsShowsNetworks(t *testing.T) {
	t.Parallel()
	path := serving(t, observe.Serving{Clients: &observe.ServingClients{Networks: 3, List: []observe.ServingClient{{Prefix: "192.0.2.0/24", Requests: 7}}}})
	if out := must(t, "clients", "-counters", path); strings.Count(out, "\n") != 3 || !strings.Contains(out, "\n192.0.2.0/24 ") || !strings.HasSuffix(out, "and 2 more\n") {
		t.Errorf("%s", out)
	}
	var c observe.ServingClients
	if out := must(t, "clients", "-json", "-counters", path); json.Unmarshal([]byte(out), &c) != nil || c.Networks != 3 || c.List[0].Requests != 7 {
		t.Errorf("%s", out)
	}
}
