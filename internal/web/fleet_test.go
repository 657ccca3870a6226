package web

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/fleetview"
	"noonmark/phc"
)

// fleetFile writes what an agent publishes.
func fleetFile(t *testing.T, path string, mono int64) {
	t.Helper()
	bound := int64(120)
	f := fleetview.File{
		PID: 7, Mono: mono, ReadMono: mono - int64(3*time.Second), Self: fleetview.Self{State: "drained", Why: "is drained", Drain: "new disc"},
		Fleet: fleetview.Fleet{
			Name: "f", Node: "a", Time: time.Unix(1790000000, 0), Serving: 1, Roots: []fleetview.Root{{ID: "1", State: "sealing"}},
			Nodes: []fleetview.Node{
				{Name: "a", Live: true, State: "drained", Drain: "<b>new disc</b>", Configuration: &fleetview.Configuration{State: "in place", Files: map[string]string{"ntsserve": "x"}}},
				{Name: "b", Live: true, State: fleetview.Serves, Health: &fleetview.Health{Reasons: []string{}, BoundNS: &bound}, Certificate: &fleetview.Certificate{State: "in place"}},
			},
			Rotation: &fleetview.Rotation{Waits: []fleetview.Waiter{{Node: "b"}}}, Rollout: &fleetview.Rollout{Granted: []string{}}, Certificate: &fleetview.Order{Names: []string{"time.test"}},
		},
	}
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// The fleet is answered where an agent publishes, with its age; what cannot be used is named;
// a request tells the agent that somebody looks.
func TestFleet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, wanted := filepath.Join(dir, fleetview.FileName), filepath.Join(dir, fleetview.WantedName)
	now := phc.MonoRaw()
	s := newServer(t, func(c *Config) {
		c.Fleet, c.Wanted, c.Mono = path, wanted, func() int64 { return now }
	})
	ask := func() (code int, a fleetAnswer, p problem, glance *fleetGlance) {
		t.Helper()
		w := ask(s, at("/api/v1/fleet"))
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		s.live.look()
		return w.Code, a, p, s.live.current().fleet
	}
	if code, _, p, g := ask(); code != 503 || !strings.Contains(p.Error, "no agent of a fleet") || g != nil {
		t.Errorf("no file: %d %+v %+v", code, p, g)
	}
	if err := os.WriteFile(path, []byte(`{"format":9}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, p, g := ask(); code != 503 || !strings.Contains(p.Error, "another version") || g == nil || g.State != "" || !strings.Contains(g.Why, "another version") {
		t.Errorf("a newer file: %d %+v %+v", code, p, g)
	}
	if _, err := os.Stat(wanted); err == nil {
		t.Error("there is a request to an agent that is not there")
	}
	fleetFile(t, path, now-int64(2*time.Second))
	code, a, _, g := ask()
	if code != 200 || a.Age != 2 || a.ReadAge == nil || *a.ReadAge != 5 || a.Stopped || a.Name != "f" || len(a.Nodes) != 2 || *a.Nodes[1].Health.BoundNS != 120 || a.Self.Drain != "new disc" {
		t.Errorf("%d %+v", code, a)
	}
	if g == nil || g.Node != "a" || g.State != "drained" || g.Stopped {
		t.Errorf("glance: %+v", g)
	}
	if fi, err := os.Stat(wanted); err != nil || fi.Mode().Perm() != 0o644 || time.Since(fi.ModTime()) > fleetview.WantedFor {
		t.Errorf("the agent does not learn that somebody looks: %v, %v", fi, err)
	}
	now += int64(2 * time.Minute)
	if code, a, _, g := ask(); code != 200 || !a.Stopped || !g.Stopped {
		t.Errorf("an agent that has ended: %d %+v %+v", code, a, g)
	}
}
