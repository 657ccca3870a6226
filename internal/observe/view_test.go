package observe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// published is the path of a snapshot that was written at an instant.
func published(t *testing.T, mono int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	defer w.Close()
	if err := w.Write(&status.Snapshot{State: status.Locked, PID: 1, Mono: mono, Clock: 2e18, RefTime: 2e18, Bound: 1, Limit: time.Second, Stratum: 1, TAIOffset: 37, Reason: "disciplined"}); err != nil {
		t.Fatal(err)
	}
	return path
}

// A configuration that exists, or that cannot be looked at, is no sign of a server
// without refclockd; nor is anything while refclockd publishes.
func TestMissingConfigurationDecidesTheRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := proctest.Write(t, filepath.Join(dir, "refclockd.toml"), "")
	now := phc.MonoRaw()
	fresh, stale := published(t, now), published(t, now-int64(time.Minute))
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
		m := Machine{Refclockd: c.config, Snapshot: c.snapshot, Mono: func() int64 { return now }}
		if v := m.Look(); v.Alone != c.want || v.Serves {
			t.Errorf("%s: %+v, want %v", c.name, v, c.want)
		}
	}
}

// ntsserve is expected where it is configured and started at boot, where its file lies, and where it has
// published since the look began.
func TestWhereAServerIsExpected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there, path := proctest.Write(t, filepath.Join(dir, "ntsserve.toml"), ""), filepath.Join(dir, ServingName)
	now := phc.MonoRaw()
	serves := func(age time.Duration) {
		t.Helper()
		b, err := json.Marshal(Serving{PID: 1, Mono: now - int64(age), Synchronised: true, Endpoints: []ServingEndpoint{{Workers: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		proctest.Write(t, path, string(b))
	}
	enabled := filepath.Join(dir, "enabled.service") // leads nowhere
	if err := os.Symlink(filepath.Join(dir, "unit.service"), enabled); err != nil {
		t.Fatal(err)
	}
	var seen, fleeting, manual Machine
	for _, c := range []struct {
		name   string
		m      *Machine
		config string
		boot   string
		change func()
		serves bool
		want   Answers
	}{
		{"nothing", &seen, "", "", func() {}, false, NotExpected},
		{"its configuration is missing", &Machine{}, there + ".none", "", func() {}, false, NotExpected},
		{"a configuration is installed, and never used", &manual, there, enabled + ".none", func() {}, false, NotExpected},
		{"its unit is enabled, without a configuration", &Machine{}, there + ".none", enabled, func() {}, false, NotExpected},
		{"it is configured", &Machine{}, there, "", func() {}, true, Silent},
		{"it is configured and enabled", &Machine{}, there, enabled, func() {}, true, Silent},
		{"it publishes", &seen, there + ".none", "", func() { serves(0) }, true, Synchronised},
		{"somebody started it", &manual, there, enabled + ".none", func() {}, true, Synchronised},
		{"its file is old", &fleeting, "", "", func() { serves(time.Minute) }, true, Silent},
		{"its file is gone", &seen, "", "", func() { os.Remove(path) }, true, Silent},
		{"what somebody started is gone", &manual, there, enabled + ".none", func() {}, true, Silent},
		{"nobody has seen it", &Machine{}, "", "", func() {}, false, NotExpected},
	} {
		c.change()
		c.m.Ntsserve, c.m.Boot, c.m.Snapshot, c.m.Serving, c.m.Mono = c.config, c.boot, "/nonexistent/status", path, func() int64 { return now }
		v := c.m.Look()
		if v.Serves != c.serves || v.Answers() != c.want || (v.Fault() != nil) != (c.want == Silent) {
			t.Errorf("%s: %+v, answers %v, fault %+v", c.name, v, v.Answers(), v.Fault())
		}
	}
}

func TestFaultsSayWhatToDo(t *testing.T) {
	t.Parallel()
	locked := &report.Status{State: "locked", Usable: true}
	open := []ServingEndpoint{{Workers: 0}, {Workers: 2}}
	for _, c := range []struct {
		name string
		v    View
		want string // part of it; empty: no fault
	}{
		{"no server", View{Status: locked}, ""},
		{"it answers", View{Status: locked, Serving: &Serving{Synchronised: true, Endpoints: open}}, ""},
		{"it is silent", View{Status: locked, Serves: true, NoServing: ErrNoServing}, "ntsserve publishes no counters"},
		{"it was killed", View{Status: locked, Serves: true, NoServing: ErrStaleServing}, ErrStaleServing.Error()},
		{"it waits", View{Status: locked, Serving: &Serving{Synchronised: true, Endpoints: open[:1]}}, "waits for all of its addresses"},
		{"it reads another snapshot", View{Status: locked, Serving: &Serving{Endpoints: open}}, "runtime_dir"},
		{"the clock of another program", View{Alone: true, Serving: &Serving{Endpoints: open}}, "chronyc tracking"},
	} {
		text := ""
		if f := c.v.Fault(); f != nil {
			text = f.Clients + f.What + f.Remedy
			if f.Clients == "" || f.What == "" || f.Remedy == "" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if (text == "") != (c.want == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
}

// The link whose absence says that ntsserve is not started is the one that its unit asks for.
func TestTheLinkIsThatOfTheUnit(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../systemd/" + filepath.Base(bootLink))
	if err != nil {
		t.Fatal(err)
	}
	want := "\nWantedBy=" + strings.TrimSuffix(filepath.Base(filepath.Dir(bootLink)), ".wants") + "\n"
	if !strings.Contains(string(b), want) {
		t.Errorf("%s: no %q", bootLink, want)
	}
}
