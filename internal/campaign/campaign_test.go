package campaign

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/internal/replay"
)

// A few sites; make campaign plays many.
func TestSites(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := Campaign{Seed: 1, Sites: 12, Dir: t.TempDir(), Log: &log}
	total, err := c.Run()
	if err != nil || total.Failures > 0 || total.Sites != 12 || total.Served == 0 {
		t.Errorf("%s: %v\n%s", total.String(), err, log.String())
	}
}

// A seed makes the same site again, and the site the same outcome.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		a, b := Draw(seed), Draw(seed)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("seed %d: %v, %v", seed, a, b)
		}
		x, err := a.Play()
		y, err2 := b.Play()
		if x != y || err != nil || err2 != nil {
			t.Errorf("seed %d: %v %v, %v %v", seed, x, err, y, err2)
		}
	}
}

// Sites that nothing can make right are found out: the campaign can fail.
func TestFailuresAreFound(t *testing.T) {
	t.Parallel()
	good := func() *Site {
		return &Site{Seed: 1, Start: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
			Receiver: Receiver{Order: []string{"RMC"}, Talker: "GN", First: 120 * time.Millisecond, Baud: 9600, PerS: 1},
			System:   System{Offset: 3 * time.Millisecond}}
	}
	for _, c := range []struct {
		name   string
		change func(*Site)
		want   string // how the failure begins
	}{
		{"a receiver that is a second behind for ever, and nothing tells", func(s *Site) {
			s.System = System{NoRTC: true}
			s.Receiver.Stale, s.Receiver.Learns, s.Receiver.Forever = -1, 100, true
		}, "the wrong second is served"},
		{"no date", func(s *Site) { s.Receiver.Order = []string{"GGA"}; s.Faults = nil }, ""},
		{"as ever", func(*Site) {}, ""},
	} {
		s := good()
		c.change(s)
		o, err := s.Play()
		if err != nil || !strings.HasPrefix(o.Failure, c.want) || (c.want == "") != (o.Failure == "") {
			t.Errorf("%s: %+v, %v; want %q", c.name, o, err, c.want)
		}
	}
	// It is shrunk to what it needs, and the events play to the same failure.
	s := good()
	s.System, s.Receiver.Order = System{NoRTC: true}, []string{"RMC", "GSA", "VTG"}
	s.Receiver.Stale, s.Receiver.Learns, s.Receiver.Forever = -1, 100, true
	s.Faults, s.Restarts = []Fault{{Lossy, 20, 40}}, []int{70}
	o, err := s.Play()
	if err != nil || o.Failure == "" {
		t.Fatalf("%+v, %v", o, err)
	}
	small, failure := s.Shrink(o.Failure)
	if len(small.Receiver.Order) != 1 || len(small.Faults) > 0 || len(small.Restarts) > 0 || small.Receiver.Stale == 0 {
		t.Errorf("shrunk to %v", small)
	}
	path, err := small.Write(filepath.Join(t.TempDir(), "new"), failure)
	if err != nil {
		t.Fatal(err)
	}
	e, err := replay.OpenEvents(path)
	if err != nil || len(e.Sent) < 100 || e.Start != small.Start {
		t.Errorf("events: %v", err)
	}
}

// Pulses that drift or jump around restarts: 40 sites of each, with one oscillator and
// with two. More are played by: go run ./internal/campaign/run -only jumps -sites 2000.
func TestPulsesThatMoveAroundRestarts(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	for name, draw := range map[string]func(uint64) *Site{"drifts": DrawDrift, "jumps": DrawJump} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c := Campaign{Seed: 50, Draw: draw, Sites: 40, Dir: t.TempDir(), Log: &log}
			total, err := c.Run()
			if err != nil || total.Failures > 0 || total.Served != 40 {
				t.Errorf("%v, %v\n%s", &total, err, log.String())
			}
		})
	}
}

// The results gain a row with each run, and keep those before.
func TestResultsGainRows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "campaign.md")
	for n := range 2 {
		total := Total{First: 1, Last: uint64(10 + n), Sites: 10 + n}
		if err := total.Record(path); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), "| 1-10 | 10 |") || !strings.Contains(string(b), "| 1-11 | 11 |") || strings.Count(string(b), "\n| date |") != 1 {
		t.Errorf("%s: %v", b, err)
	}
}
