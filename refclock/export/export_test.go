package export

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func healthy() status.Snapshot {
	return status.Snapshot{
		State: status.Locked, Kind: status.PHCClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'},
		Mono: 1000, Clock: tai.FromUnix(1795435200, 0, 37), Bound: 900 * time.Nanosecond, BoundRate: 10,
		Limit: 100 * time.Microsecond, TAIOffset: 37, RefTime: tai.FromUnix(1795435199, 0, 37), NoiseNS: 20,
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*status.Snapshot)
		ok   bool
	}{
		{"unlocked", func(s *status.Snapshot) { s.State = status.Unlocked }, false},
		{"faulty", func(s *status.Snapshot) { s.State = status.Faulty }, false},
		{"never measured", func(s *status.Snapshot) { s.RefTime = 0 }, false},
		{"only watching", func(s *status.Snapshot) { s.Kind = status.NoClock }, false},
		{"bound over the limit", func(s *status.Snapshot) { s.Bound = time.Millisecond }, false},
		{"NaN growth", func(s *status.Snapshot) { s.BoundRate = math.NaN() }, false},
		{"writer dead for a day", func(s *status.Snapshot) { s.Mono -= 86400e9 }, false},
		{"stratum 16", func(s *status.Snapshot) { s.Stratum = 16 }, false},
		{"locked", func(s *status.Snapshot) {}, true},
		{"holdover", func(s *status.Snapshot) { s.State = status.Holdover }, true},
	} {
		s := healthy()
		c.edit(&s)
		sm, ok := Take(&s, 1e9+1000, 1795435201e9+5e6)
		if ok != c.ok {
			t.Errorf("%s: ok %v", c.name, ok)
			continue
		}
		if ok && (sm.True != 1795435201e9 || sm.Real-sm.True != 5e6 || sm.Offset != 37 || sm.Bound < 900) {
			t.Errorf("%s: %+v", c.name, sm)
		}
	}
}

func TestLeapIsCarried(t *testing.T) {
	t.Parallel()
	s := healthy()
	s.LeapAt, s.LeapSign = s.Clock.Add(time.Hour), 1
	if sm, _ := Take(&s, 1000, 0); sm.Leap != 1 || sm.Offset != 37 {
		t.Errorf("before: %+v", sm)
	}
	if g := grandmaster(&s, 1000, 52); !g.Leap61 || g.Leap59 {
		t.Errorf("grandmaster before: %+v", g)
	}
	s.Limit = time.Second
	if sm, ok := Take(&s, 1000+3600e9, 0); !ok || sm.Leap != 0 || sm.Offset != 38 {
		t.Errorf("after: %+v %v", sm, ok)
	}
}

func TestGrandmaster(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		edit  func(*status.Snapshot)
		class uint8
		acc   uint8
		src   uint8
		trace bool
	}{
		{"never measured", func(s *status.Snapshot) { s.RefTime = 0 }, 248, 0xFE, 0xA0, false},
		{"acquiring", func(s *status.Snapshot) { s.State = status.Acquiring }, 248, 0x23, 0xA0, false},
		{"holdover spent", func(s *status.Snapshot) { s.State, s.Bound = status.Holdover, time.Millisecond }, 52, 0x29, 0xA0, false},
		{"holdover", func(s *status.Snapshot) { s.State = status.Holdover }, 7, 0x23, 0xA0, true},
		{"locked", func(s *status.Snapshot) {}, 6, 0x23, 0x20, true},
		{"locked at 20 ns", func(s *status.Snapshot) { s.Bound = 20 }, 6, 0x20, 0x20, true},
		{"hopeless", func(s *status.Snapshot) { s.Bound = time.Hour; s.State = status.Holdover }, 52, 0x31, 0xA0, false},
	} {
		s := healthy()
		c.edit(&s)
		g := grandmaster(&s, 1000, 52)
		if g.Class != c.class || g.Accuracy != c.acc || g.TimeSource != c.src || g.TimeTrace != c.trace || g.UTCOffset != 37 {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
	if variance(0) != 0xFFFF || variance(math.NaN()) != 0xFFFF || variance(20) >= variance(200) {
		t.Error("variance is not ordered")
	}
}

func TestPrecision(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int32{0: -30, 1: -29, time.Microsecond: -19, time.Second: 0, time.Hour: 0} {
		if got := precision(Sample{Bound: d}); got != want {
			t.Errorf("%v: %d, want %d", d, got, want)
		}
	}
}

// ptp4l's socket: the path, or a directory that has it, as newer versions use.
func TestSocketOfPTP4L(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for in, want := range map[string]string{dir: filepath.Join(dir, "ptp4l"), dir + "/s": dir + "/s"} {
		if got := FindPTP4L(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := FindPTP4L(PTP4LAuto); !slices.Contains(ptp4lSockets(), got) {
		t.Errorf("found %s", got)
	}
}

// Of the sockets that versions of ptp4l have, the first that exists is taken: that of older ones
// before the one that newer ones have in a folder of its own. Without any it is the first.
func TestSocketOfPTP4LIsSearched(t *testing.T) {
	t.Parallel()
	want := []string{"/var/run/ptp4l", "/run/ptp4l", "/var/run/ptp/ptp4l", "/run/ptp/ptp4l"}
	if got := ptp4lSockets(); !slices.Equal(got, want) {
		t.Fatalf("searched: %q, want %q", got, want)
	}
	root := t.TempDir()
	sockets := make([]string, len(want))
	for i, p := range want {
		sockets[i] = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(sockets[i]), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := findPTP4L(PTP4LAuto, sockets); got != sockets[0] {
		t.Errorf("without any: %s", got)
	}
	for i := len(sockets) - 1; i >= 0; i-- { // each that appears is before those that exist
		if err := os.WriteFile(sockets[i], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := findPTP4L(PTP4LAuto, sockets); got != sockets[i] {
			t.Errorf("found %s, want %s", got, sockets[i])
		}
	}
	// A folder of that name is no socket: the search goes on.
	if err := errors.Join(os.Remove(sockets[0]), os.Mkdir(sockets[0], 0o755)); err != nil {
		t.Fatal(err)
	}
	if got := findPTP4L(PTP4LAuto, sockets); got != sockets[1] {
		t.Errorf("with a folder before: %s, want %s", got, sockets[1])
	}
}
