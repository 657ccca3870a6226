package main

import (
	"bytes"
	"strings"
	"testing"

	"noonmark/internal/fleetview"
)

// TestStatusShowsHealth: what a node does not show is not known, and never healthy.
func TestStatusShowsHealth(t *testing.T) {
	t.Parallel()
	node := func(name string, h *fleetview.Health) fleetview.Node {
		return fleetview.Node{Name: name, Live: true, State: fleetview.Serves, Health: h}
	}
	r := report{fleetview.Fleet{Name: "f", Node: "a", Nodes: []fleetview.Node{
		node("a", &fleetview.Health{Announced: true, Healthy: true}),
		node("b", &fleetview.Health{Reasons: []string{"no-answer: timeout"}}),
		{Name: "c", State: "away"},
		node("d", &fleetview.Health{Announced: true, Kept: true, Reasons: []string{"not-locked: acquiring"}}),
	}}}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	for _, line := range strings.Split(out.String(), "\n") {
		if f := strings.Fields(line); len(f) >= 6 && !strings.Contains(line, "healthy:") {
			words[f[0]] = f[len(f)-4]
		}
	}
	for name, want := range map[string]string{"NODE": "CLOCK", "a": "yes", "b": "no", "c": "-", "d": "kept"} {
		if words[name] != want {
			t.Errorf("%s: %q, want %q:\n%s", name, words[name], want, &out)
		}
	}
	for _, line := range []string{"no node plans now", "b is not healthy: no-answer: timeout\n", "d is not healthy: not-locked: acquiring\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q:\n%s", line, &out)
		}
	}
}

// TestStatusNamesThePlanner: and says nothing of it when etcd was not read.
func TestStatusNamesThePlanner(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fleet      fleetview.Fleet
		want, hold string
	}{
		{fleetview.Fleet{Planner: "b"}, "node b plans for all\n", "no node plans"},
		{fleetview.Fleet{}, "no node plans now", "plans for all"},
		{fleetview.Fleet{Etcd: "timeout"}, "etcd does not answer", "plans"},
	} {
		var out bytes.Buffer
		r := report{c.fleet}
		if err := r.print(&out); err != nil {
			t.Fatal(err)
		}
		if s := out.String(); !strings.Contains(s, c.want) || strings.Contains(s, c.hold) {
			t.Errorf("%+v: want %q and not %q:\n%s", c.fleet, c.want, c.hold, s)
		}
	}
}
