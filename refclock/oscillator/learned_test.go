package oscillator

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/refclock/discipline"
)

var learned = discipline.Learned{OK: true, FreqPPB: -2300, SigmaPPB: 0.5, NoiseNS: 3, WhiteFM: 2, WalkFM: 0.1}

// TestLoadRefuses: a file that is damaged, or of another clock, is an error
// that names it, and nothing is taken from it.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	f := File{filepath.Join(t.TempDir(), "oscillator.json"), "eth0"}
	for _, text := range []string{"", "{", "[]", `{"clock":7}`, `{"clock":"eth1","ok":true,"freq_ppb":1}`, `{"ok":true,"freq_ppb":1}`} {
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := f.Load(); l.OK || err == nil || !strings.Contains(err.Error(), f.Path) {
			t.Errorf("%q: %+v, %v", text, l, err)
		}
		var log strings.Builder
		if l := f.LoadLogged(slog.New(slog.NewTextHandler(&log, nil))); l.OK || strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("%q: %+v, logged %q", text, l, log.String())
		}
	}
	if _, err := (File{t.TempDir(), "eth0"}).Load(); err == nil {
		t.Error("a directory was loaded")
	}
}

// TestLoadNothing: a file that does not exist, and no file at all, hold nothing.
func TestLoadNothing(t *testing.T) {
	t.Parallel()
	for _, f := range []File{{}, {filepath.Join(t.TempDir(), "none"), "eth0"}} {
		if l, err := f.Load(); l.OK || err != nil {
			t.Errorf("%+v: %+v, %v", f, l, err)
		}
	}
}

// TestAge: the age of the state is the time since it was saved; of a state from
// the future it is a month.
func TestAge(t *testing.T) {
	t.Parallel()
	f := File{filepath.Join(t.TempDir(), "state", "oscillator.json"), "eth0"}
	synctest.Test(t, func(t *testing.T) {
		if err := f.Save(learned); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		l, err := f.Load()
		if err != nil || l.AgeSecond != 3600 {
			t.Errorf("age %v s, %v; want 3600", l.AgeSecond, err)
		}
		if l.AgeSecond = 0; l != learned {
			t.Errorf("loaded %+v, saved %+v", l, learned)
		}
	})
	// In a bubble of its own, time begins again.
	synctest.Test(t, func(t *testing.T) {
		if b, err := os.ReadFile(f.Path); err != nil || os.WriteFile(f.Path, []byte(strings.Replace(string(b), `"saved":"2000`, `"saved":"2099`, 1)), 0o600) != nil {
			t.Fatal(err)
		}
		if l, err := f.Load(); err != nil || l.AgeSecond != 30*86400 {
			t.Errorf("from the future: age %v s, %v", l.AgeSecond, err)
		}
	})
}

// TestSaver: it saves every 15 minutes and at the end, and only what is OK.
func TestSaver(t *testing.T) {
	t.Parallel()
	f := File{filepath.Join(t.TempDir(), "oscillator.json"), "eth0"}
	synctest.Test(t, func(t *testing.T) {
		var latest atomic.Pointer[discipline.Learned]
		latest.Store(new(discipline.Learned))
		s := NewSaver(f, func() discipline.Learned { return *latest.Load() }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		time.Sleep(16 * time.Minute)
		if l, err := f.Load(); l.OK || err != nil {
			t.Errorf("before anything was learned: %+v, %v", l, err)
		}
		known := learned
		latest.Store(&known)
		time.Sleep(15 * time.Minute)
		if l, _ := f.Load(); l.FreqPPB != learned.FreqPPB {
			t.Errorf("half an hour later: %+v", l)
		}
		changed := learned
		changed.FreqPPB = 5
		latest.Store(&changed)
		cancel()
		synctest.Wait()
		if l, _ := f.Load(); l.FreqPPB != 5 {
			t.Errorf("at the end: %+v", l)
		}
	})
}

// TestFiles: each clock has a file of its own, in the directory.
func TestFiles(t *testing.T) {
	t.Parallel()
	for clock, want := range map[string]string{"../x/y": "oscillator-x-y.json", "/dev/ptp1": "oscillator-dev-ptp1.json", "system": "oscillator-system.json", "eth1": "oscillator-eth1.json"} {
		if f := FollowerFile("/state", clock); f.Path != "/state/"+want || f.Clock != clock {
			t.Errorf("%s: %+v", clock, f)
		}
	}
	if f := ReferenceFile("/state", "eth0"); f.Path != "/state/oscillator.json" || f.Clock != "eth0" {
		t.Errorf("%+v", f)
	}
}
