package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// Keys of the contract, which people's scripts rely on.
var statusKeys = []string{"state", "reason", "offset_ns", "bound_ns", "freq_ppb", "stratum", "refid", "leap", "tai_offset_s", "reference_time", "pulse", "receiver"}

func TestStatus(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	var out, errs bytes.Buffer
	show := func(flags ...string) int {
		out.Reset()
		errs.Reset()
		return run(append([]string{"status", "-snapshot", path}, flags...), console{nil, &out, &errs})
	}
	if code := show(); code != exitcode.Unavailable || !strings.Contains(errs.String(), "no snapshot") {
		t.Errorf("no daemon: exit code %d: %s", code, &errs)
	}
	w, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if code := show(); code != exitcode.Unavailable {
		t.Errorf("nothing published: exit code %d", code)
	}
	mono := phc.MonoRaw()
	s := status.Snapshot{State: status.Locked, Reason: "disciplined", Kind: status.PHCClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, Mono: mono,
		Clock: tai.FromUnix(1795435200, 0, 37), RefTime: tai.FromUnix(1795435199, 5, 37), TAIOffset: 37, Bound: 100, BoundRate: 2, Limit: 1e5, OffsetNS: -3.5, FreqPPB: 2301.25,
		Pulse: "/dev/pps0", Receiver: "/dev/ttyAMA0", ClockDev: "eth0", PulseMono: mono, Pulses: 7}
	w.Write(&s)
	if code := show("-json"); code != exitcode.OK {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	var m map[string]any
	if err := json.Unmarshal(out.Bytes(), &m); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("%v: %s", err, &out)
	}
	for _, k := range statusKeys {
		if _, ok := m[k]; !ok {
			t.Errorf("key %s is missing", k)
		}
	}
	if m["state"] != "locked" || m["stratum"] != 1.0 || m["refid"] != "GPS" || m["leap"] != 0.0 || m["reference_time"] != "2026-11-23T11:59:59.000000005Z" || m["offset_ns"] != -3.5 {
		t.Errorf("got %s", &out)
	}
	// What is beside the snapshot is shown while it is the same process's and fresh.
	if p, ok := m["pulses"].([]any); !ok || len(p) != 0 || m["leap_sources"] != nil {
		t.Errorf("without details: %s", &out)
	}
	z, lat, count, next := 123.0, 0.15, 37, "2027-01-01T00:00:00Z"
	for _, c := range []struct {
		pid   int
		mono  int64
		shown bool
	}{{os.Getpid() + 1, mono, false}, {os.Getpid(), mono - 11e9, false}, {os.Getpid(), mono, true}} {
		b, err := json.Marshal(report.Details{PID: c.pid, Mono: c.mono, LatencyS: &lat, Antenna: "open", Jamming: "critical", Leap: report.LeapDetails{
			Warnings: []string{"leap_expired"}, By: "list", ReceiverS: &count, Next: &next, Sign: 1, NextBy: "receiver",
			Sources: []report.LeapDetail{{Source: "list", OffsetS: &count, Expires: "2026-06-28", Expired: true}, {Source: "zone", OffsetS: &count, Expires: "2027-06-28"}, {Source: "old zone"}}},
			Pulses: []report.PulseDetail{{Source: "/dev/pps1", OffsetNS: &z, LimitNS: 100, Count: 9, Alarm: "pulse_disagrees"}}})
		if err := errors.Join(err, os.WriteFile(filepath.Join(filepath.Dir(path), report.DetailsName), b, 0o644)); err != nil {
			t.Fatal(err)
		}
		var r struct {
			Pulses   []report.PulseDetail `json:"pulses"`
			Receiver struct {
				Source   string   `json:"source"`
				Latency  *float64 `json:"latency_s"`
				Antenna  string   `json:"antenna"`
				Jamming  string   `json:"jamming"`
				Spoofing *string  `json:"spoofing"`
			} `json:"receiver"`
		}
		show("-json")
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || (len(r.Pulses) == 1) != c.shown || (r.Receiver.Latency != nil) != c.shown {
			t.Errorf("details of %d, age %v: %v: %s", c.pid, mono-c.mono, err, &out)
		}
		if p := r.Receiver; p.Source != "/dev/ttyAMA0" || (p.Antenna == "open") != c.shown || (p.Jamming == "critical") != c.shown || p.Spoofing != nil {
			t.Errorf("details of %d: receiver %+v", c.pid, p)
		}
	}
	show()
	for _, w := range []string{"/dev/pps1: +123 ns", "ALARM pulse_disagrees: beyond 100ns", "messages 150 ms after",
		"leap       inserted before 2027-01-01T00:00:00Z by receiver; decided by list; receiver 37 s; list 37 s, expired on 2026-06-28; zone 37 s, valid until 2027-06-28; old zone\n",
		"WARNING leap_expired"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %q in\n%s", w, &out)
		}
	}
	if code := show(); code != exitcode.OK || !strings.Contains(out.String(), "locked (disciplined)") {
		t.Errorf("exit code %d: %s", code, &out)
	}
	if code := show("extra"); code != exitcode.Usage {
		t.Errorf("extra argument: exit code %d", code)
	}
	// Without a bound there is none to show.
	s.Bound, s.State, s.RefTime = math.MaxInt64, status.Unlocked, 0
	r := report.NewStatus(&s, mono)
	if r.BoundNS != nil || r.Stratum != 16 || r.Leap != 3 || r.RefTime != nil || r.Usable {
		t.Errorf("unlocked: %+v", r)
	}
	out.Reset()
	r.WriteText(&out)
	if !strings.Contains(out.String(), "no error bound") {
		t.Errorf("unlocked: %s", &out)
	}
}
