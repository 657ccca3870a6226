package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/fleetview"
)

func TestFleetFindings(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const day = 86400
	file := func(change func(*fleetview.File)) *fleetview.File {
		f := &fleetview.File{PID: 7, Self: fleetview.Self{State: fleetview.Serves, Health: &fleetview.Health{Announced: true}, Server: "/etc/noonmark/ntsserve.toml"},
			Fleet: fleetview.Fleet{Node: "a", Name: "f", Rotate: "24h0m0s", Keep: 8, Without: now.AddDate(0, 1, 0)}}
		if change != nil {
			change(f)
		}
		return f
	}
	self := func(change func(*fleetview.Self)) FleetFacts {
		return FleetFacts{File: file(func(f *fleetview.File) { change(&f.Self) })}
	}
	for _, x := range []struct {
		name string
		f    FleetFacts
		want kind
		text string
	}{
		{"never started", FleetFacts{Joined: true, Err: fmt.Errorf("x: %w", fleetview.ErrNone)}, fleetStopped, "since the machine was started"},
		{"it has ended", FleetFacts{File: file(nil), Age: time.Hour}, fleetStopped, "it published last 1h0m0s ago"},
		{"it hangs", FleetFacts{File: file(nil), Age: time.Hour, Alive: true}, fleetStuck, "(pid 7) has published nothing for 1h0m0s"},
		{"another version", FleetFacts{Err: fmt.Errorf("x: %w", fleetview.ErrFormat)}, fleetUnreadable, "another version"},
		{"other periods", self(func(s *fleetview.Self) { s.State = fleetview.OtherPeriods }), fleetPeriods, "another than that of the fleet"},
		{"a clock that is not trusted", self(func(s *fleetview.Self) { s.State, s.Clock = fleetview.ClockUntrusted, "unlocked" }), fleetClock, "not trusted: unlocked"},
		{"drained", self(func(s *fleetview.Self) {
			s.State, s.Drain, s.Health.Announced = fleetview.Drained, "new\ndisc\x1b[31m", false
		}), fleetDrained, `node a is drained: new; disc\u001b[31m`},
		{"a state of a newer agent", self(func(s *fleetview.Self) { s.State, s.Why = "later", "does not know why" }), fleetRefused, "it does not know why"},
		{"no etcd", FleetFacts{File: file(func(f *fleetview.File) { f.Etcd = "timeout" })}, fleetEtcd, "etcd does not answer: timeout"},
		{"a full disc", self(func(s *fleetview.Self) { s.Disc = "no space left" }), fleetDisc, "no space left"},
		{"withdrawn", self(func(s *fleetview.Self) { *s.Health = fleetview.Health{Reasons: []string{"no-answer", "bound"}} }), fleetWithdrawn, "no-answer, bound"},
		{"the last one", self(func(s *fleetview.Self) {
			*s.Health = fleetview.Health{Announced: true, Kept: true, Reasons: []string{"not-locked"}}
		}), fleetKept, "no other node is: not-locked"},
		{"a configuration that is not written", self(func(s *fleetview.Self) { s.Config = "edited by hand" }), fleetConfigWrong, "edited by hand"},
		{"a configuration that was refused", self(func(s *fleetview.Self) { s.Refused = "line 7" }), fleetConfigRefused, "line 7"},
		{"no certificate yet", self(func(s *fleetview.Self) { s.Cert = "2 orders have failed" }), fleetCertWrong, "2 orders have failed"},
		{"a certificate that ends", self(func(s *fleetview.Self) { s.Cert, s.CertEnd = "failed", now.Unix()+13*day }), fleetCertExpiring, "expires on 2030-01-14T00:00Z"},
		{"a certificate that has ended", self(func(s *fleetview.Self) { s.CertEnd = now.Unix() }), fleetCertExpired, "expired on 2030-01-01T00:00Z"},
		{"a folder that nobody may look at", FleetFacts{File: file(nil), Folder: &FolderFacts{Path: "/etc/noonmark", Err: fs.ErrPermission}}, fleetFolderUnknown, "permission"},
		{"a folder that was reset", FleetFacts{File: file(nil), Folder: &FolderFacts{Path: "/etc/noonmark", Mode: fs.ModeDir | 0o755, User: "ntsserve"}}, fleetFolderClosed, "mode 0755 of user 0, group 0: ntsserve may not"},
		{"a folder without its sticky bit", FleetFacts{File: file(nil), Folder: &FolderFacts{Mode: fs.ModeDir | 0o775, Allowed: true}}, fleetFolderOpen, "mode 0775"},

		{"serves", FleetFacts{File: file(nil)}, fleetServes, "node a of fleet f may serve, without etcd until 2030-02-01"},
		{"is announced", FleetFacts{File: file(nil)}, fleetAnnounced, ""},
		{"no health endpoint", self(func(s *fleetview.Self) { s.Health = nil }), fleetServes, ""},
		{"follows", FleetFacts{File: file(nil)}, fleetConfigOK, ""},
		{"left alone", self(func(s *fleetview.Self) { s.Alone = true }), fleetConfigAlone, "there is no /etc/noonmark/ntsserve.local.toml"},
		{"no part in the certificate", self(func(s *fleetview.Self) { s.NoCert = true }), fleetCertAlone, ""},
		{"no certificate", FleetFacts{File: file(nil)}, fleetCertNone, ""},
		{"a certificate", self(func(s *fleetview.Self) { s.CertEnd = now.Unix() + 60*day }), fleetCertOK, "2030-03-02"},
		{"a good folder", FleetFacts{File: file(nil), Folder: &FolderFacts{Path: "/etc/noonmark", Mode: fs.ModeDir | fs.ModeSticky | 0o775, Allowed: true, Sticky: true}}, fleetFolderOK, "mode 1775"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			found := fleetFindings(&x.f, now)
			wants(t, found, x.want, x.text)
			for _, f := range found {
				if strings.ContainsAny(f.What+f.Mend, "\x1b\n") {
					t.Errorf("not printable: %q %q", f.What, f.Mend)
				}
			}
		})
	}
	f := self(func(s *fleetview.Self) { s.State = fleetview.OtherPeriods })
	if m := fleetFindings(&f, now)[0].Mend; !strings.Contains(m, `keys.rotate = "24h0m0s" and keys.keep = 8 in /etc/noonmark/ntsserve.toml`) {
		t.Errorf("the remedy does not name the values: %s", m)
	}
}

// A node is found by its membership or by what its agent publishes, and its tasks are judged
// once.
func TestNodeOfAFleetIsExamined(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	server := m.file("etc/noonmark/ntsserve.toml", "")
	o := Options{Refclockd: m.config(ttyS9), Ntsserve: server}
	fleetIDs := func() (ids []string) {
		for _, f := range Findings(m.Examine(t.Context(), o)) {
			if f.Check == "fleet" || f.Check == "tasks" {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	wantIDs := func(name string, want ...kind) {
		t.Helper()
		ids := fleetIDs()
		if len(ids) != len(want) {
			t.Errorf("%s: %q", name, ids)
		}
		has(t, ids, want...)
	}
	wantIDs("no node")
	m.file("var/lib/noonmark-fleet/node.json", "{}")
	wantIDs("joined", fleetStopped)
	f := fleetview.File{PID: 9, Mono: m.mono - int64(time.Second), Self: fleetview.Self{State: fleetview.Drained, Drain: "x", Alone: true, Server: server}}
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m.file("run/noonmark-fleet/fleet.json", string(b))
	wantIDs("its process is gone", fleetStopped)
	if f := examineFleet(m.Host, server, true); !f.Running() {
		t.Error("an observer, who may not see processes, takes the agent for stopped")
	}
	m.process(9, "noonmark-fleet", "/dev/null")
	wantIDs("it runs", fleetDrained, fleetConfigAlone, fleetCertNone)
	states, err := daemonReport(9, daemon.Status{Task: "agent", State: "waiting", Why: "is drained"}, daemon.Status{Task: "etcd", State: "waiting", Why: "no quorum"})
	if err != nil {
		t.Fatal(err)
	}
	m.file("run/noonmark-fleet/tasks.json", states)
	wantIDs("its etcd waits", fleetDrained, fleetConfigAlone, fleetCertNone, taskWaiting)

	// The folder is judged where there is a local file, for the user of the agent.
	m.Users = func(string) (Account, bool) {
		return Account{Name: "ntsserve", UID: 1 << 20, Groups: []int{1 << 20}}, true
	}
	m.file("etc/noonmark/ntsserve.local.toml", "")
	folder := m.path("etc/noonmark")
	for _, x := range []struct {
		mode fs.FileMode
		want kind
	}{{0o755, fleetFolderClosed}, {0o757, fleetFolderOpen}, {fs.ModeSticky | 0o757, fleetFolderOK}} {
		if err := os.Chmod(folder, x.mode); err != nil {
			t.Fatal(err)
		}
		wantIDs(x.mode.String(), fleetDrained, fleetConfigAlone, fleetCertNone, taskWaiting, x.want)
	}
	m.mono += int64(time.Hour)
	wantIDs("it hangs", fleetStuck, fleetFolderOK, taskWaiting, taskWaiting)
	if err := errors.Join(os.RemoveAll(m.path("var/lib/noonmark-fleet")), os.RemoveAll(m.path("run/noonmark-fleet"))); err != nil {
		t.Fatal(err)
	}
	wantIDs("it is removed")
}

// TestANodeThatLeftItsFleetIsFound: nobody replaces its cookie secrets. Without a trace of a
// fleet, or with a membership, that is not so.
func TestANodeThatLeftItsFleetIsFound(t *testing.T) {
	t.Parallel()
	const renew = "renew = \"never\"\n"
	for _, c := range []struct {
		name, keys, trace string
		want              bool
	}{
		{"purged, with a local file", renew, "etc/noonmark/ntsserve.local.toml", true},
		{"it draws secrets itself", "", "etc/noonmark/ntsserve.local.toml", false},
		{"servers that share a file", renew, "etc/noonmark/other.toml", false},
		{"still a node", renew, strings.TrimPrefix(fleetview.NodeFile, "/"), false},
	} {
		m := newMachine(t)
		path := m.config("")
		m.file("etc/noonmark/ntsserve.toml", fmt.Sprintf("[[endpoint]]\naddress = \"127.0.0.1:123\"\n[keys]\nfile = %q\n%s", m.path("var/keys"), c.keys))
		m.file("var/other", "")
		m.file(c.trace, "")
		if c.name == "still a node" {
			m.file("etc/noonmark/ntsserve.local.toml", "")
		}
		ids := m.examine(Options{Refclockd: path, RefclockdNamed: true})
		if got := slices.Contains(ids, kinds[keysNobody].ID); got != c.want {
			t.Errorf("%s: found %t, want %t: %q", c.name, got, c.want, ids)
		}
	}
}
