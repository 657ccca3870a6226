package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"noonmark/internal/config"
	"noonmark/internal/daemon"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// TestNoFileOfAFleetTakesTheClockDown: the real daemon serves through every content that the
// agent, or whoever has its user, can write. It takes over what is good without a reload, and
// says what it refuses.
func TestNoFileOfAFleetTakesTheClockDown(t *testing.T) {
	t.Parallel()
	dir := proctest.ShortDir(t)
	path := filepath.Join(dir, "fleet.toml")
	d := startDaemon(t, "fleet = \""+path+"\"\n"+virtual(dir))
	var s report.Status
	until := func(what string, ok func() bool) {
		t.Helper()
		proctest.Until(t, what, func() bool {
			var err error
			s, err = report.Read(filepath.Join(dir, "status"), phc.MonoRaw)
			return err == nil && ok()
		}, d)
	}
	until("locked, without a file", func() bool { return s.State == status.Locked.String() && s.Fleet != nil && s.Fleet.Path == path })
	locks := s.Clock.Epoch
	for _, c := range []struct {
		name, text string
		do         func() error // after the text is written
		refused    bool
	}{
		{"witnesses that nobody runs", "[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\n[[witness]]\naddress = \"127.0.0.1:2\"\n", nil, false},
		{"a required witness", "[[witness]]\naddress = \"127.0.0.1:1\"\nrequired = true\n", nil, true},
		{"a link to the daemon's own file", "", func() error { return errors.Join(os.Remove(path), os.Symlink("status", path)) }, true},
		{"a folder", "", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, true},
		{"no TOML", "\x00\xff[[", nil, true},
		{"all may write it", "", func() error { return os.Chmod(path, 0o666) }, true},
		{"the witnesses again", "[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\n", nil, false},
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.do != nil {
			if err := c.do(); err != nil {
				t.Fatal(err)
			}
		}
		before := s.Fleet.Refused
		until(c.name, func() bool {
			if c.refused {
				return s.Fleet.Refused != "" && s.Fleet.Refused != before && s.Fleet.Content == "" && task(t, dir) == daemon.Waiting.String()
			}
			return s.Fleet.Refused == "" && s.Fleet.Content == config.FragmentContent(c.text) && task(t, dir) == daemon.Serving.String()
		})
		if s.State != status.Locked.String() || !s.Usable || s.Clock.Epoch != locks {
			t.Errorf("%s: the clock is %s (%s), generation %d, before %d", c.name, s.State, s.Reason, s.Clock.Epoch, locks)
		}
	}
	d.WaitFor(t, "file of the fleet refused")
}

// task is the state of the task that follows the file, as doctor and alerts see it.
func task(t *testing.T, dir string) string {
	t.Helper()
	r, err := daemon.ReadReport(filepath.Join(dir, daemon.StateFileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Tasks {
		if x.Task == "fleet" {
			return x.State
		}
	}
	return ""
}
