package snmp

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestTheClockOfARefclockdThatHasStoppedIsNotKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	if c := Look(path, filepath.Join(dir, "none")); c.Mode() != NotRunning || c.Tasks != nil || c.Serving != nil {
		t.Errorf("nothing is published: %+v", c)
	}
	w, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for age, want := range map[time.Duration]Mode{0: SyncToRefclock, 10 * time.Second: NotRunning} {
		now := tai.FromUnix(time.Now().Add(-age).Unix(), 0, 37)
		if err := w.Write(&status.Snapshot{State: status.Locked, Reason: "disciplined", Kind: status.PHCClock, Mono: phc.MonoRaw() - int64(age), Clock: now, RefTime: now, TAIOffset: 37, Bound: 120, BoundRate: 2, Limit: 1e5, Stratum: 1}); err != nil {
			t.Fatal(err)
		}
		if c := Look(path, ""); c.Mode() != want {
			t.Errorf("a snapshot of %v before: %v, want %v", age, c.Mode(), want)
		}
	}
	for _, x := range []struct {
		text string
		want int
	}{{"{", 0}, {`{"tasks":[{"task":"metrics","state":"waiting","why":"address in use"}]}`, 1}} {
		if err := os.WriteFile(filepath.Join(dir, daemon.StateFileName), []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c := Look(path, ""); len(c.Tasks) != x.want {
			t.Errorf("%s: tasks %+v", x.text, c.Tasks)
		}
	}
}

// A notification that cannot be sent is reported once, and is not sent again.
func TestANotificationThatCannotBeSentIsLost(t *testing.T) {
	t.Parallel()
	var n Notifier
	tail := events.NewTail(t.TempDir())
	var failed []string
	look := func(ctx context.Context, c *Clock) []string {
		failed = nil
		n.Notify(ctx, c, tail, filepath.Join(t.TempDir(), "none"), nil, func(err error) { failed = append(failed, err.Error()) })
		return failed
	}
	if got := look(t.Context(), locked()); len(got) != 0 {
		t.Errorf("the first look: %q", got)
	}
	gone := &Clock{Now: time.Now()}
	if got := look(t.Context(), gone); len(got) != 2 || !strings.HasPrefix(got[0], "mode changed from syncToRefclock to notRunning") || !strings.Contains(got[0], " is not sent: ") {
		t.Errorf("refclockd has gone: %q", got)
	}
	if got := look(t.Context(), gone); len(got) != 0 {
		t.Errorf("again: %q", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := look(ended, locked()); len(got) != 0 {
		t.Errorf("interrupted: %q", got)
	}
}
