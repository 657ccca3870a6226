package snmp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/internal/observe"
	"noonmark/refclock/report"
)

func ptr[T any](v T) *T { return &v }

var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// locked is a clock that is served.
func locked() *Clock {
	return &Clock{Now: at, Tasks: []daemon.Status{{Task: "engine", Since: at.Add(-time.Hour)}}, Status: &report.Status{
		State: "locked", Reason: "disciplined", Usable: true, Stratum: 1, RefID: "GPS", OffsetNS: -4, NoiseNS: 2, BoundNS: ptr(int64(120)),
		Time: ptr("2026-11-28T12:00:00.500000000Z"), LeapAt: ptr("2027-01-01T00:00:00.000000000Z"), Leaps: &report.LeapDetails{Sign: 1},
		Receiver: report.Port{Input: report.Input{Source: "/dev/ttyAMA0"}}, Clock: report.ClockNow{LineNS: 600},
	}}
}

// ask asks for objects as net-snmp does, and returns the answers.
func ask(t *testing.T, c *Clock, lines ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Serve(strings.NewReader(strings.Join(lines, "\n")+"\n"), &out, c.Variables); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPassPersist(t *testing.T) {
	t.Parallel()
	c := locked()
	for _, x := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"ping", []string{"PING"}, "PONG\n"},
		{"nothing is there", []string{"get", Root + ".1.2.99.0"}, "NONE\n"},
		{"a table's root is no object", []string{"get", Root + ".1.2"}, "NONE\n"},
		{"no object identifier", []string{"get", "ntpEntInfo"}, "NONE\n"},
		{"too long an object identifier", []string{"getnext", Root + strings.Repeat(".1", maxOID)}, "NONE\n"},
		{"beyond 32 bits", []string{"get", Root + ".4294967296"}, "NONE\n"},
		{"behind the last one", []string{"getnext", Root + ".9"}, "NONE\n"},
		{"set", []string{"set", Root + ".1.4.1.0", "integer 5", "PING"}, "not-writable\nPONG\n"},
		{"an unknown command", []string{"reboot", "PING"}, "NONE\nPONG\n"},
		{"the end", []string{"", "PING"}, ""},
		{"cut off", []string{"get"}, ""},
		{"mode", []string{"get", Root + ".1.2.1.0"}, Root + ".1.2.1.0\ninteger\n5\n"},
		{"the first", []string{"getnext", Root}, Root + ".1.1.1.0\nstring\nnoonmark refclockd\n"},
		{"the next", []string{"getnext", Root + ".1.2.1.0"}, Root + ".1.2.2.0\ngauge\n1\n"},
		{"from a table's root", []string{"getnext", Root + ".1.3"}, Root + ".1.3.1.1.2.1\nstring\n/dev/ttyAMA0\n"},
		{"numbers, not texts, are ordered", []string{"getnext", Root + ".1.2.9.0"}, Root + ".1.2.10.0\noctet\nee e1 6b 00 00 00 00 00\n"},
		{"uptime", []string{"get", Root + ".1.2.8.0"}, Root + ".1.2.8.0\ntimeticks\n360000\n"},
		{"offset", []string{"get", Root + ".1.2.5.0"}, Root + ".1.2.5.0\nstring\n-0.000004 ms\n"},
		{"precision", []string{"get", Root + ".1.1.6.0"}, Root + ".1.1.6.0\ninteger\n-20\n"},
		{"no counters without ntsserve", []string{"getnext", Root + ".1.2.11.0"}, Root + ".1.3.1.1.2.1\nstring\n/dev/ttyAMA0\n"},
		{"statistics of the association", []string{"getnext", Root + ".1.3.2.1.2.1"}, Root + ".1.3.2.1.3.1\ncounter\n0\n"},
		{"date", []string{"get", Root + ".1.2.9.0"}, Root + ".1.2.9.0\noctet\nee b5 40 c0 80 00 00 00\n"},
	} {
		if got := ask(t, c, x.lines...); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

func TestAWalkEndsAndIsOrdered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*Clock{"locked": locked(), "without refclockd": {Now: at}} {
		all := c.Variables()
		at, n := parse(Root), 0
		for {
			v := lookup(all, at, true)
			if v == nil {
				break
			}
			if slices.Compare(v.OID, at) <= 0 {
				t.Fatalf("%s: %v follows %v", name, v.OID, at)
			}
			if got := lookup(all, v.OID, false); got != v {
				t.Errorf("%s: get of %v is %v", name, v.OID, got)
			}
			at = v.OID
			n++
		}
		if n != len(all) || n < 8 {
			t.Errorf("%s: %d of %d variables", name, n, len(all))
		}
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	unusable := locked()
	unusable.Status.Usable, unusable.Status.Stratum = false, 16
	for _, x := range []struct {
		c       *Clock
		mode    Mode
		stratum int
	}{{&Clock{}, NotRunning, 16}, {unusable, NotSynchronised, 16}, {locked(), SyncToRefclock, 1}} {
		if x.c.Mode() != x.mode || x.c.Stratum() != x.stratum {
			t.Errorf("%v, stratum %d; want %v, %d", x.c.Mode(), x.c.Stratum(), x.mode, x.stratum)
		}
	}
}

func TestNotificationsAreThoseOfChanges(t *testing.T) {
	t.Parallel()
	n := &Notifier{Heartbeat: 10 * time.Second}
	var got []string
	for s := range 30 {
		c := locked()
		if s >= 12 && s < 20 {
			c.Status.Usable, c.Status.Stratum, c.Status.State, c.Status.Reason = false, 16, "unlocked", "no_label"
		}
		if s >= 20 && s < 22 {
			c.Status = nil
		}
		c.Now = at.Add(time.Duration(s) * time.Second)
		var e []events.Event
		if s == 5 {
			e = []events.Event{{Kind: events.Reload, Text: "configuration was read again"}, {Kind: events.State, Text: "x"}, {Kind: events.Leap, Sign: 1, Text: "leap second announced"}}
		}
		for _, x := range n.Step(c, e) {
			got = append(got, fmt.Sprintf("%d %s %s", s, strings.TrimPrefix(x.OID, Root), x.Text))
			if len(x.Values) < 2 || !strings.HasSuffix(dotted(x.Values[0].OID), ".1.2.9.0") || !strings.HasSuffix(dotted(x.Values[len(x.Values)-1].OID), ".1.5.1.0") {
				t.Errorf("objects %v", x.Values)
			}
		}
	}
	want := []string{
		"0 .0.8 heartbeat: syncToRefclock", "5 .0.6 configuration was read again: ", "5 .0.7 leap second announced", "10 .0.8 heartbeat: syncToRefclock",
		"12 .0.1 mode changed from syncToRefclock to notSynchronized: unlocked, no_label", "12 .0.2 stratum changed from 1 to 16: unlocked, no_label",
		"20 .0.1 mode changed from notSynchronized to notRunning: refclockd publishes nothing", "20 .0.8 heartbeat: notRunning",
		"22 .0.1 mode changed from notRunning to syncToRefclock: locked, disciplined", "22 .0.2 stratum changed from 16 to 1: locked, disciplined",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A restart of ntsserve is no change of the clock: managers hear of it once it lasts.
func TestARestartOfNtsserveIsNoChange(t *testing.T) {
	t.Parallel()
	lost := func() *Clock {
		c := locked()
		c.Status.Usable, c.Status.Stratum, c.Status.State, c.Status.Reason = false, 16, "unlocked", "no_label"
		return c
	}
	serves := func(c *Clock, a observe.Answers) *Clock {
		c.Answers = a
		if c.Alone && a != observe.Silent {
			c.Serving = &observe.Serving{Stratum: 1}
		}
		return c
	}
	alone := func() *Clock { return &Clock{Alone: true} }
	for _, x := range []struct {
		name  string
		clock func() *Clock
		what  []observe.Answers // a second each
		want  []int             // seconds at which mode and stratum change
	}{
		{"it never comes back", locked, []observe.Answers{observe.Synchronised, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent}, []int{6}},
		{"a restart while the clock is not usable", lost, []observe.Answers{observe.Synchronised, observe.Silent, observe.Closed, observe.Unsynchronised}, nil},
		{"a restart", locked, []observe.Answers{observe.Synchronised, observe.Silent, observe.Silent, observe.Closed, observe.Unsynchronised, observe.Synchronised}, nil},
		{"two restarts", locked, []observe.Answers{observe.Synchronised, observe.Silent, observe.Silent, observe.Silent, observe.Synchronised, observe.Silent, observe.Silent, observe.Silent, observe.Synchronised}, nil},
		{"a restart without refclockd", alone, []observe.Answers{observe.Synchronised, observe.Silent, observe.Closed, observe.Unsynchronised, observe.Synchronised}, nil},
		{"its end without refclockd", alone, []observe.Answers{observe.Synchronised, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent}, []int{6}},
		{"the first look falls into a restart", locked, []observe.Answers{observe.Silent, observe.Unsynchronised, observe.Synchronised}, nil},
		{"it is down from the first look on", locked, []observe.Answers{observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Silent, observe.Synchronised}, []int{7}},
	} {
		var n Notifier
		var got []int
		for s, a := range x.what {
			c := serves(x.clock(), a)
			c.Now = at.Add(time.Duration(s) * time.Second)
			for _, found := range n.Step(c, nil) {
				if len(got) == 0 || got[len(got)-1] != s {
					got = append(got, s)
				}
				if strings.HasPrefix(found.Text, "heartbeat") {
					t.Errorf("%s: %s", x.name, found.Text)
				}
			}
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: changes at %v, want %v", x.name, got, x.want)
		}
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte("PING\nget\n.1.3.6.1.2.1.197.1.2.1.0\ngetnext\n.1.3\nset\n.1\ninteger 1\n"))
	c := locked()
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		Serve(bytes.NewReader(in), &out, c.Variables)
		if n, m := bytes.Count(out.Bytes(), []byte("\n")), bytes.Count(in, []byte("\n")); n > 3*(m+1) {
			t.Errorf("%d lines for %d", n, m)
		}
	})
}

func TestPacketsAreCountedOverAllAddresses(t *testing.T) {
	t.Parallel()
	c := locked()
	c.Serving = &observe.Serving{Endpoints: []observe.ServingEndpoint{
		{Requests: 1<<32 + 7, Answered: map[string]uint64{"ntp": 1 << 32, "nak_bad_cookie": 1, "crypto_nak": 1}, Dropped: map[string]uint64{"bad_version": 2, "denied": 3}},
		{Requests: 10, Answered: map[string]uint64{"nts": 4}, Dropped: map[string]uint64{"too_short": 1, "bad_nonce_length": 2, "mode_server": 2, "bad_mac": 1}},
	}}
	for oid, want := range map[string]string{"12": "17", "13": "6", "14": "2", "15": "3"} {
		if got := ask(t, c, "get", Root+".1.2."+oid+".0"); got != Root+".1.2."+oid+".0\ncounter\n"+want+"\n" {
			t.Errorf("%s: %q, want %s", oid, got, want)
		}
	}
}
