package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/status"
)

const testMono = int64(5_000e9) // ns

// locked is the snapshot of a clock that is locked at testMono.
func locked() status.Snapshot {
	return status.Snapshot{
		State: status.Locked, Reason: "disciplined", Kind: status.PHCClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, Mono: testMono, PID: 7,
		Clock: tai.FromUnix(1795435200, 0, 37), RefTime: tai.FromUnix(1795435199, 5, 37), TAIOffset: 37, Bound: 100, BoundRate: 2, Limit: 1e5, OffsetNS: -3.5, FreqPPB: 2301.25,
		Pulse: "/dev/pps0", Receiver: "/dev/ttyAMA0", ClockDev: "eth0", PulseMono: testMono - 250e6, Pulses: 7,
	}
}

// Keys of `status -json` that the README promises to scripts.
var promised = []string{"state", "reason", "offset_ns", "bound_ns", "freq_ppb", "stratum", "refid", "leap", "tai_offset_s", "reference_time", "pulse", "receiver"}

func TestStatusOfALockedClock(t *testing.T) {
	t.Parallel()
	s := locked()
	b, err := json.Marshal(NewStatus(&s, testMono))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, k := range promised {
		if _, ok := m[k]; !ok {
			t.Errorf("key %s is missing", k)
		}
	}
	for k, want := range map[string]any{
		"state": "locked", "stratum": 1.0, "refid": "GPS", "leap": 0.0, "offset_ns": -3.5, "bound_ns": 100.0,
		"reference_time": "2026-11-23T11:59:59.000000005Z", "leap_sources": nil, "oscillator": nil,
	} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
	if p, ok := m["pulses"].([]any); !ok || len(p) != 0 {
		t.Errorf("pulses are %v, want an empty list", m["pulses"])
	}
}

func TestStatusWithoutABound(t *testing.T) {
	t.Parallel()
	s := locked()
	s.Bound, s.State, s.RefTime = math.MaxInt64, status.Unlocked, 0
	r := NewStatus(&s, testMono)
	if r.BoundNS != nil || r.Stratum != 16 || r.Leap != 3 || r.RefTime != nil || r.Time != nil || r.Usable {
		t.Errorf("%+v", r)
	}
	if text := textOf(&r); !strings.Contains(text, "no error bound") {
		t.Error(text)
	}
}

func TestSilentDaemonIsShown(t *testing.T) {
	t.Parallel()
	s := locked()
	r := NewStatus(&s, testMono+3e9)
	if text := textOf(&r); !strings.Contains(text, "refclockd (process 7) has not published for 3000.0 ms") {
		t.Error(text)
	}
}

func textOf(r *Status) string {
	var b strings.Builder
	r.WriteText(&b)
	return b.String()
}

// writeDetails writes details beside a snapshot and returns the snapshot's path.
func writeDetails(t *testing.T, d *Details) string {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(d)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, DetailsName), b, 0o644)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "status")
}

// details are those of the process that wrote locked, at testMono.
func details() Details {
	offset, latency, count, next := 123.0, 0.15, 37, "2027-01-01T00:00:00Z"
	return Details{
		PID: 7, Mono: testMono, Remedy: "require a [[witness]]", LatencyS: &latency, Antenna: "open", Jamming: "critical",
		Identity: gnss.Identity{Maker: "u-blox", Model: "ZED-F9T", Firmware: "TIM 2.20", Version: "29.20", Protocols: []string{"ubx"}},
		Leap: LeapDetails{
			Warnings: []string{"leap_expired"}, By: "list", ReceiverS: &count, Next: &next, Sign: 1, NextBy: "receiver", Confirmed: "GPS",
			Sources: []LeapDetail{{Source: "list", OffsetS: &count, Expires: "2026-06-28", Expired: true}, {Source: "zone", OffsetS: &count, Expires: "2027-06-28"}, {Source: "old zone"}},
		},
		Pulses: []PulseDetail{{Source: "/dev/pps1", OffsetNS: &offset, LimitNS: 100, Count: 9, Alarm: "pulse_disagrees"}},
	}
}

func TestDetailsOfAnotherProcessOrTimeAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		change func(*Details)
		shown  bool
	}{
		{"another process", func(d *Details) { d.PID++ }, false},
		{"old", func(d *Details) { d.Mono -= int64(11 * time.Second) }, false},
		{"from the future", func(d *Details) { d.Mono += int64(2 * time.Second) }, false},
		{"fresh", func(*Details) {}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s, d := locked(), details()
			x.change(&d)
			r := NewStatus(&s, testMono)
			r.AddDetails(writeDetails(t, &d), testMono)
			if (len(r.Pulses) == 1) != x.shown || (r.Leaps != nil) != x.shown || (r.Receiver.LatencyS != nil) != x.shown {
				t.Errorf("%+v", r)
			}
			if p := &r.Receiver; p.Source != "/dev/ttyAMA0" || (p.Antenna == "open") != x.shown || (p.Jamming == "critical") != x.shown || (p.Identity != nil && p.Identity.Model == "ZED-F9T") != x.shown || p.Spoofing != "" {
				t.Errorf("receiver %+v", p)
			}
		})
	}
}

func TestTextShowsDetails(t *testing.T) {
	t.Parallel()
	s, d := locked(), details()
	r := NewStatus(&s, testMono)
	r.AddDetails(writeDetails(t, &d), testMono)
	text := textOf(&r)
	for _, want := range []string{
		"state      locked (disciplined)\nremedy     require a [[witness]]\n", "receiver's count confirmed by GPS\n",
		"u-blox ZED-F9T, firmware TIM 2.20, protocol 29.20\n", "/dev/pps1: +123 ns", "ALARM pulse_disagrees: beyond 100 ns", "messages 150.0 ms after",
		"leap       inserted before 2027-01-01T00:00:00Z by receiver; decided by list; receiver 37 s; list 37 s, expired on 2026-06-28; zone 37 s, valid until 2027-06-28; old zone\n",
		"WARNING leap_expired",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestTextShowsTheFileOfAFleet: whether what the fleet sets is in force, and why not.
func TestTextShowsTheFileOfAFleet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file *FragmentDetail
		want string
	}{
		{nil, ""},
		{&FragmentDetail{Path: "/c/r.toml", Refused: "r.toml:1: clock: is not known"}, "fleet      WARNING what the fleet sets is not used: r.toml:1: clock"},
		{&FragmentDetail{Path: "/c/r.toml"}, "fleet      sets nothing; there is no /c/r.toml\n"},
		{&FragmentDetail{Path: "/c/r.toml", Content: "1", Overridden: []string{"witness"}}, "fleet      /c/r.toml is in force, but for what the local file names: witness\n"},
		{&FragmentDetail{Path: "/c/r.toml", Content: "1"}, "fleet      /c/r.toml is in force\n"},
	} {
		s, d := locked(), details()
		d.Fleet = c.file
		r := NewStatus(&s, testMono)
		r.AddDetails(writeDetails(t, &d), testMono)
		if text := textOf(&r); !strings.Contains(text, c.want) || (c.want == "") == strings.Contains(text, "\nfleet ") {
			t.Errorf("no %q in\n%s", c.want, text)
		}
	}
}

func TestReadWithoutASnapshot(t *testing.T) {
	t.Parallel()
	if _, err := Read(filepath.Join(t.TempDir(), "status"), func() int64 { return testMono }); !errors.Is(err, status.ErrNone) {
		t.Error(err)
	}
}

// The headline changes with the state and the order of magnitude of the bound.
func TestHeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		edit func(*status.Snapshot)
		want string
	}{
		{func(s *status.Snapshot) { s.State, s.Reason = status.Unlocked, "no_pulse" }, "unlocked (no_pulse), not served"},
		{func(s *status.Snapshot) { s.Bound = time.Second }, "locked (disciplined), not served"},
		{func(s *status.Snapshot) { s.Bound = 99 }, "locked (disciplined), stratum 1, error below 100 ns"},
		{func(s *status.Snapshot) { s.Bound = 101 }, "locked (disciplined), stratum 1, error below 1000 ns"},
		{func(s *status.Snapshot) { s.Bound = 12345 }, "locked (disciplined), stratum 1, error below 100.0 µs"},
	} {
		s := locked()
		s.LineErr = 0
		c.edit(&s)
		if got := Headline(&s, s.Mono); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Details are up to a second old: how long a state lasts is not shown for another one.
func TestStateThatHasJustChangedHasNoAge(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{"holdover": "none", "locked": "7.5"} {
		d := Details{PID: 7, Mono: testMono - 5e8, State: written, StateForS: new(float64)}
		*d.StateForS = 7
		r := Status{State: "locked", PID: 7}
		r.AddDetails(writeDetails(t, &d), testMono)
		got := "none"
		if r.StateForS != nil {
			got = fmt.Sprint(*r.StateForS)
		}
		if got != want {
			t.Errorf("details of %s beside a locked clock: for %s, want %s", written, got, want)
		}
	}
}
