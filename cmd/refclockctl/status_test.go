package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestStatusOfAPublishedSnapshot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if code, out, errs := ctl("status", "-snapshot", path); code != exitcode.Unavailable || out != "" || errs == "" {
		t.Errorf("nothing published: exit code %d: %s%s", code, out, errs)
	}
	w.Write(&status.Snapshot{State: status.Locked, Reason: "disciplined", Mono: phc.MonoRaw(), Clock: tai.FromUnix(1795435200, 0, 37), TAIOffset: 37, Bound: 100, Limit: 1e5})
	if out := must(t, "status", "-snapshot", path); !strings.Contains(out, "locked (disciplined)") {
		t.Error(out)
	}
	// The snapshot's texts are those of whoever wrote it: a terminal gets no escapes.
	w.Write(&status.Snapshot{State: status.Locked, Reason: "\x1b[2Jx", Mono: phc.MonoRaw(), Clock: tai.FromUnix(1795435200, 0, 37), TAIOffset: 37, Bound: 100, Limit: 1e5})
	if out := must(t, "status", "-snapshot", path); strings.Contains(out, "\x1b") {
		t.Errorf("escapes: %q", out)
	}
	out := must(t, "status", "-json", "-snapshot", path)
	var m map[string]any
	if err := json.Unmarshal([]byte(out), &m); err != nil || strings.Count(out, "\n") != 1 || m["state"] != "locked" {
		t.Errorf("%v: %s", err, out)
	}
}
