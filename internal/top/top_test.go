package top

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"noonmark/internal/observe"
	"noonmark/refclock/report"
)

func ptr[T any](v T) *T { return &v }

func status(offset float64) *report.Status {
	s := &report.Status{
		State: "locked", Usable: true, OffsetNS: offset, BoundNS: ptr(int64(145)), LimitNS: ptr(int64(100_000)), StateForS: ptr(61.), FreqPPB: -2300, NoiseNS: 25, Stratum: 1, RefID: "GPS",
		Time: ptr("2026-11-28T20:00:00.123456789Z"),
	}
	s.Pulse.AgeS = ptr(.3)
	s.Receiver.Antenna = "ok"
	s.Receiver.Sky = []report.SatelliteDetail{{System: "GPS", ID: 3, CN0: 44, Used: true}, {System: "Galileo", ID: 11, CN0: 22}}
	return s
}

func TestFrame(t *testing.T) {
	t.Parallel()
	v := new(View)
	for _, o := range []float64{-7, 0, 3} {
		v.Frame(observe.View{Status: status(o)}, 80, 24)
	}
	s := status(7)
	s.Pulse.AgeS = ptr(9.)
	v.Frame(observe.View{Status: s}, 80, 24)
	got := v.Frame(observe.View{Status: status(7), Serving: &observe.Serving{PID: 1, Endpoints: []observe.ServingEndpoint{{Name: "a:123", Workers: 1, Requests: 9, Answered: map[string]uint64{"ntp": 8}, Dropped: map[string]uint64{"denied": 1}}}}}, 80, 24)
	for _, want := range []string{
		"LOCKED", "2026-11-28 20:00:00 UTC\n", "Locked for 1 min 1 s, within 145 ns of true time.\n", "offset     +7 ns              ▁▅▆ █\n", "±145 ns            ██", " of 100 µs\n",
		"1 of 2 satellites in use, antenna ok\n", "G03*███████▎  44  E11 ███▋      22\n", "a:123: 9 requests, 8 answered, 1 dropped",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("escapes without colour")
	}
}

// Where there is no refclockd, the clock is that of ntsserve.
func TestFrameOfAServerWithoutRefclockd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		serving *observe.Serving
		want    string
	}{
		{&observe.Serving{PID: 1, Synchronised: true, Endpoints: []observe.ServingEndpoint{{Name: "a:123", Workers: 1}}}, "SYNCHRONISED\n"},
		{&observe.Serving{PID: 1, Endpoints: []observe.ServingEndpoint{{Name: "a:123", Workers: 1}}}, "NOT SYNCHRONISED\n"},
		{nil, "NOT SYNCHRONISED\n"},
	} {
		got := strings.ReplaceAll(new(View).Frame(observe.View{Alone: true, Why: errors.New("no file"), Serving: c.serving, Serves: true}, 80, 24), " \n", "\n")
		head, _, _ := strings.Cut(got, "\n")
		if strings.TrimSpace(head)+"\n" != c.want || strings.Contains(got, "refclockd publishes nothing") || !strings.Contains(got, "This machine has no refclockd") {
			t.Errorf("want %q:\n%s", c.want, got)
		}
	}
}

// Whatever is published, a frame fits the terminal, and nothing but its own escapes
// reaches it.
func TestFrameFits(t *testing.T) {
	t.Parallel()
	hostile := status(math.Inf(1))
	hostile.State, hostile.Remedy, hostile.RefID, hostile.Time = "\x1b[2Jlocked\n\n", strings.Repeat("long ", 400), "\x1b]0;x\a", ptr("\x1b")
	hostile.BoundNS, hostile.LimitNS = ptr(int64(math.MaxInt64)), ptr(int64(0))
	for range 1000 {
		hostile.Receiver.Sky = append(hostile.Receiver.Sky, report.SatelliteDetail{System: "\x1b[31m", ID: math.MinInt32, CN0: 1 << 30, Used: true})
	}
	for _, s := range []observe.View{{Why: errors.New("no file")}, {Status: status(1)}, {Status: hostile, Serving: &observe.Serving{Endpoints: make([]observe.ServingEndpoint, 500)}}} {
		for _, size := range [][2]int{{0, 0}, {40, 8}, {80, 24}, {400, 100}} {
			v := &View{Colour: size[0] == 80}
			for range 3 {
				out := v.Frame(s, size[0], size[1])
				lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
				if len(lines) > max(size[1], 8) {
					t.Errorf("%d lines in a terminal of %d", len(lines), size[1])
				}
				for _, l := range lines {
					for _, e := range []string{bold, green, yellow, red, plain} {
						l = strings.ReplaceAll(l, e, "")
					}
					if strings.ContainsRune(l, '\x1b') || utf8.RuneCountInString(l) > max(size[0], 40) {
						t.Errorf("a line of %d characters in %d: %q", utf8.RuneCountInString(l), size[0], l)
					}
				}
			}
		}
	}
}

func TestOffsetsAreBounded(t *testing.T) {
	t.Parallel()
	v := new(View)
	for range 3 * kept {
		v.Frame(observe.View{Status: status(1)}, 80, 24)
	}
	if len(v.offsets) != kept {
		t.Errorf("%d offsets are kept", len(v.offsets))
	}
}
