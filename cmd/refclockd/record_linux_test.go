package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/proctest"
	"noonmark/internal/replay"
	"noonmark/internal/simulate"
	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/recording"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
)

// collected are the snapshots that a reader saw, by their CLOCK_MONOTONIC_RAW in ns.
type collected map[int64]status.Snapshot

// until looks at what a daemon publishes until ok accepts a snapshot.
func (c collected) until(t *testing.T, dir, what string, d *proctest.Process, ok func(s *status.Snapshot) bool) {
	t.Helper()
	proctest.Until(t, what, func() bool {
		f, err := status.Open(filepath.Join(dir, "status"))
		if err != nil {
			return false
		}
		defer f.Close()
		var s status.Snapshot
		if f.LoadAll(&s) != nil || int(s.PID) != d.PID() {
			return false
		}
		s.PID, s.Updates = 0, 0 // the file's own
		c[s.Mono] = s
		return ok(&s)
	}, d)
}

// played plays a run of a recording. It returns what the engine published, and what
// clients would have been served in each second.
func played(t *testing.T, path string, run int) (all []status.Snapshot, seconds []simulate.Second) {
	t.Helper()
	var began, next int64 // CLOCK_MONOTONIC_RAW, ns
	in, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var p *replay.Player
	name, runs := "", 0
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all, seconds
		}
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := rec.(*recording.Header); ok && h.Run != name {
			name = h.Run
			runs++
			if runs == run {
				p, err = replay.NewPlayer(h, replay.Options{
					Publish: func(s *status.Snapshot) { all = append(all, *s) },
					Before: func(mono int64) {
						if began == 0 {
							began, next = mono, mono+1e9
						}
						for ; next <= mono; next += 1e9 {
							seconds = append(seconds, simulate.NewSecond(float64(next-began)*1e-9, &all[len(all)-1], next))
						}
					},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if runs == run {
			p.Play(rec)
		}
	}
}

// timeServer is a server of the system clock's time, without NTS.
func timeServer(t *testing.T) (address string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no socket: ", err)
	}
	t.Cleanup(func() { c.Close() })
	now := func() ntp.Timestamp { return ntp.FromTAI(tai.Time(time.Now().UnixNano()), 0) }
	go func() {
		b := make([]byte, 1024)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var q ntp.Header
			if q.Parse(b[:n]) != nil {
				continue
			}
			a := ntp.Header{Version: q.Version, Mode: ntp.ModeServer, Stratum: 1, Precision: -20, RefID: [4]byte{'G', 'P', 'S'}, RefTime: now(), Origin: q.Transmit, Receive: now(), Transmit: now()}
			a.Put(b)
			c.WriteTo(b[:ntp.HeaderLen], from)
		}
	}()
	return c.LocalAddr().String()
}

// The real daemon records; the real refclockctl plays that, and decides at every moment
// what the daemon decided, to the bit: with a witness, with a reload, after a restart, after
// SIGKILL.
func TestRecordingOfTheDaemonPlaysAsItHappened(t *testing.T) {
	t.Parallel()
	dir := proctest.ShortDir(t)
	rec := filepath.Join(dir, "rec")
	text := "record = \"" + rec + "\"\n" + virtual(dir) + "[[witness]]\naddress = \"" + timeServer(t) + "\"\nnts = false\nrequired = true\ninterval = \"16s\"\n"
	conf := write(t, text)
	ctl := proctest.Program(t, "refclockctl")
	var wants [][]simulate.Second // of each run
	for run, c := range []struct {
		name   string
		reload string // appended to the configuration while the clock is locked
		end    func(*proctest.Process)
		cut    bool // what was not written yet is lost
	}{
		{"reloaded and stopped", "bias = \"3us\"\n", func(d *proctest.Process) { d.Stop() }, false},
		{"restarted and killed", "", (*proctest.Process).Kill, true},
	} {
		run++ // counted from 1
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := proctest.StartCmd(t, proctest.Self(t, "-config", conf))
		seen := collected{}
		pulses := func(what string, n uint64) {
			t.Helper()
			first := uint64(0)
			seen.until(t, dir, c.name+": "+what, d, func(s *status.Snapshot) bool {
				if s.State != status.Locked {
					return false
				}
				if first == 0 {
					first = s.Pulses
				}
				return s.Pulses >= first+n
			})
		}
		pulses("locked for some pulses", 3)
		if c.reload != "" {
			if err := os.WriteFile(conf, []byte(strings.Replace(text, "[pulse]\n", "[pulse]\n"+c.reload, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			d.Signal(t, syscall.SIGHUP)
			d.WaitFor(t, "pulse.bias")
		}
		pulses("some pulses more", 7)
		c.end(d)

		all, seconds := played(t, rec, run)
		if len(all) == 0 {
			t.Fatalf("%s: nothing was recorded", c.name)
		}
		at := map[int64]status.Snapshot{}
		for _, s := range all {
			s.PID, s.Updates = 0, 0
			at[s.Mono] = s
		}
		end, locked := all[len(all)-1].Mono, 0
		for _, mono := range slices.Sorted(maps.Keys(seen)) {
			if c.cut && mono > end {
				break
			}
			if at[mono] != seen[mono] {
				t.Fatalf("%s: a snapshot\nplayed    %+v\npublished %+v", c.name, at[mono], seen[mono])
			}
			if seen[mono].State == status.Locked {
				locked++
			}
		}
		if locked < 5 {
			t.Errorf("%s: %d snapshots of a locked clock were compared, of %d", c.name, locked, len(seen))
		}
		compareEvents(t, c.name, filepath.Join(dir, "history"), run, c.cut, all)
		compareSeconds(t, c.name, ctl, rec, run, seconds)
		wants = append(wants, seconds)
		if c.reload == "" {
			compareSeconds(t, c.name+", the configuration given", ctl, rec, run, seconds, "-config", conf)
		}
	}
	part := filepath.Join(dir, "fault"+filepath.Ext(firstSegment(t, rec)))
	if out, errs, code := proctest.Run(t, ctl, "record", "-dir", rec, "-last", "10m", "-anonymise", "-o", part); code != 0 {
		t.Fatalf("refclockctl record: exit %d: %s%s", code, out, errs)
	}
	for i, want := range wants {
		compareSeconds(t, "part of both runs", ctl, part, i+1, want)
	}
}

// firstSegment is the oldest file of a recording.
func firstSegment(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	return all[0].Name()
}

// compareEvents compares the changes of state of a run's events with those of a replay.
func compareEvents(t *testing.T, name, kept string, run int, cut bool, all []status.Snapshot) {
	t.Helper()
	found, skipped, err := events.Read(kept, events.Query{})
	if err != nil || skipped > 0 {
		t.Fatal(err, skipped)
	}
	var want, got []string
	for _, e := range found {
		switch {
		case e.Kind == events.Start:
			run--
		case e.Kind == events.State && run == 0:
			want = append(want, e.State+" "+e.Reason)
		}
	}
	for i, s := range all {
		if s.Reason == discipline.Stepping.String() {
			continue // no event: the clock is just being moved
		}
		if i == 0 || s.State != all[i-1].State || s.Reason != all[i-1].Reason {
			got = append(got, s.State.String()+" "+s.Reason)
		}
	}
	if cut {
		want = want[:min(len(want), len(got))]
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: changes of state\nplayed  %q\nevents  %q", name, got, want)
	}
}

// compareSeconds compares what refclockctl prints of a run with the same in this process.
func compareSeconds(t *testing.T, name, ctl, rec string, run int, want []simulate.Second, more ...string) {
	t.Helper()
	out, errs, code := proctest.Run(t, ctl, append([]string{"replay", "-json", "-run", strconv.Itoa(run), rec}, more...)...)
	if code != 0 {
		t.Fatalf("%s: exit %d: %s", name, code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(want)+1 {
		t.Fatalf("%s: %d seconds, want %d", name, len(lines)-1, len(want))
	}
	served := 0
	for i := range want {
		var got simulate.Second
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		if got.Served {
			served++
		}
		got.UTC = ""
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%s: printed %s, want %+v", name, lines[i], want[i])
		}
	}
	if served < 3 {
		t.Errorf("%s: served in %d of %d seconds", name, served, len(want))
	}
}
