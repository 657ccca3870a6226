package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/health"
	"noonmark/fleet/store"
)

// TestStatusShowsHealth: what a node does not show is not known, and never healthy.
func TestStatusShowsHealth(t *testing.T) {
	t.Parallel()
	r := report{Fleet: "f", Node: "a", Time: time.Unix(0, 0)}
	live := func(name string) store.Node {
		return store.Node{Name: name, Live: true, Record: store.Record{State: "serves"}}
	}
	r.fill(&store.Snapshot{Nodes: []store.Node{live("a"), live("b"), {Name: "c"}, live("d")}}, agent.Local{})
	r.judge([]health.Entry{
		{Name: "a", Live: true, Up: true, Record: health.Record{Healthy: true, Announced: true}},
		{Name: "b", Live: true, Record: health.Record{Reasons: []string{"no-answer: timeout"}}},
		{Name: "c"},
		{Name: "d", Live: true, Up: true, Record: health.Record{Announced: true, Kept: true, Reasons: []string{"not-locked: acquiring"}}},
		{Name: "removed", Live: true, Up: true},
	})
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
	for _, line := range []string{"b is not healthy: no-answer: timeout\n", "d is not healthy: not-locked: acquiring\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q:\n%s", line, &out)
		}
	}
	b, err := json.Marshal(r.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"health":{"announced":true,"healthy":true,"kept":false,"reasons":[]}`, `"health":{"announced":false,"healthy":false,"kept":false,"reasons":["no-answer: timeout"]}`, `"health":null`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s: %s", want, b)
		}
	}
}
