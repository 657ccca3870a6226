package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc/tai"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

func write(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "r.toml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExitCodes(t *testing.T) {
	good := write(t, "")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"-nope"}, 64},
		{[]string{"extra"}, 64},
		{[]string{"-config", filepath.Join(t.TempDir(), "none")}, 78},
		{[]string{"-check", "-config", good}, 0},
		{[]string{"-version"}, 0},
		{[]string{"-h"}, 0},
	} {
		var out bytes.Buffer
		if got := run(c.args, &out); got != c.want {
			t.Errorf("%q: exit code %d, want %d: %s", c.args, got, c.want, &out)
		}
	}
}

// The daemon itself, on the virtual appliance, for as long as it takes to
// publish: nothing but its own directory is touched.
func TestServe(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a pseudo-terminal: not on", runtime.GOOS)
	}
	dir := t.TempDir()
	p := write(t, "runtime_dir = \""+dir+"\"\nstate_dir = \""+dir+"\"\n[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n[sim]\nstart = \"2026-11-23T12:00:00Z\"\n")
	s, err := refclockd.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, p, s, slog.New(slog.DiscardHandler)) }()
	snap := filepath.Join(dir, "status")
	var got status.Snapshot
	for got.MsgMono == 0 { // until a message came all the way through the pseudo-terminal
		if r, err := status.Open(snap); err == nil {
			if err := r.LoadAll(&got); err != nil && !errors.Is(err, status.ErrNone) {
				t.Fatal(err)
			}
			r.Close()
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if got.Kind != status.SimClock || got.ClockDev != "sim" || got.Pulse != "sim" || !strings.HasPrefix(got.Receiver, "/dev/pts/") || string(got.RefID[:3]) != "GPS" {
		t.Errorf("snapshot %+v", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, "sim-truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tr truth
	if err := json.Unmarshal(b, &tr); err != nil || tai.Time(tr.TAI0) != tai.FromUnix(1795435200, 0, 37) {
		t.Errorf("truth %s: %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, report.DetailsName)); err != nil || !json.Valid(b) {
		t.Errorf("details %q: %v", b, err)
	}
	// A second one must not publish over the first.
	if err := serve(ctx, p, s, slog.New(slog.DiscardHandler)); exitcode.Of(err) != exitcode.Unavailable {
		t.Errorf("second daemon: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("end: %v", err)
	}
}

// TestLearnedFile: only the state of real clocks is kept.
func TestLearnedFile(t *testing.T) {
	for source, want := range map[string]string{"sim": "", "none": "", "phc": "eth0", "system": "system"} {
		s := &refclockd.Settings{File: refclockd.Default()}
		s.StateDir, s.Clock.Source, s.Clock.Device = "/state", source, "eth0"
		if f := learnedFile(s); f.Clock != want || (f.Path != "") != (want != "") {
			t.Errorf("%s: %+v", source, f)
		}
	}
}
