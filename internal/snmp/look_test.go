package snmp

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/internal/observe"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestTheClockOfARefclockdThatHasStoppedIsNotKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	m := &observe.Machine{Snapshot: path, Serving: filepath.Join(dir, "none"), Mono: phc.MonoRaw}
	if c := Look(m); c.Mode() != NotRunning || c.Tasks != nil || c.Serving != nil {
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
		if c := Look(m); c.Mode() != want {
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
		if c := Look(m); len(c.Tasks) != x.want {
			t.Errorf("%s: tasks %+v", x.text, c.Tasks)
		}
	}
}

// A clock that clients do not get is not one that they are synchronised to.
func TestTheModeIsThatOfClients(t *testing.T) {
	t.Parallel()
	for answers, want := range map[observe.Answers]Mode{observe.NotExpected: SyncToRefclock, observe.Synchronised: SyncToRefclock, observe.Unsynchronised: NotSynchronised, observe.Closed: NotRunning, observe.Silent: NotRunning} {
		c := locked()
		if c.Answers = answers; c.Mode() != want || (c.Stratum() == 1) != (want == SyncToRefclock) {
			t.Errorf("%v: %v, stratum %d; want %v", answers, c.Mode(), c.Stratum(), want)
		}
	}
}

// Where there is no refclockd, the clock is that of ntsserve.
func TestTheClockOfAServerWithoutRefclockd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &observe.Machine{Snapshot: filepath.Join(dir, "status"), Serving: filepath.Join(dir, observe.ServingName), Refclockd: filepath.Join(dir, "none"), Mono: phc.MonoRaw}
	for _, x := range []struct {
		serving string // without pid and mono; empty: no file
		mode    Mode
		stratum int
	}{
		{"", NotRunning, 16},
		{`"synchronised":true,"stratum":1`, SyncToRefclock, 1},
		{`"synchronised":true,"stratum":3`, SyncToServer, 3},
		{`"synchronised":true`, SyncToRefclock, 1}, // of an older version
		{`"synchronised":false,"stratum":16`, NotSynchronised, 16},
		{`"synchronised":true,"stratum":1,"endpoints":[{"workers":0}]`, NotRunning, 16},
	} {
		if x.serving != "" {
			proctest.Write(t, m.Serving, fmt.Sprintf(`{"pid":1,"mono_ns":%d,"endpoints":[{"workers":1}],%s}`, phc.MonoRaw(), x.serving))
		}
		c := Look(m)
		if c.Mode() != x.mode || c.Stratum() != x.stratum {
			t.Errorf("%s: %v, stratum %d; want %v, %d", x.serving, c.Mode(), c.Stratum(), x.mode, x.stratum)
		}
		name := "noonmark refclockd" // nothing is known to be served here
		if x.serving != "" {
			name = "noonmark ntsserve"
		}
		if got := ask(t, c, "get", Root+".1.1.1.0", "get", Root+".1.2.3.0"); got != Root+".1.1.1.0\nstring\n"+name+"\n"+Root+".1.2.3.0\ngauge\n0\n" {
			t.Errorf("%s:\n%s", x.serving, got)
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
