package witnesses

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/refclockd"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
)

// fleetEngine is a locked clock that shows what a witness does to it.
type fleetEngine struct {
	began     time.Time
	influence []string
	counts    map[reason.Code]int
}

func (e *fleetEngine) mono() int64             { return int64(time.Since(e.began)) }
func (e *fleetEngine) Alarm(a integrity.Alarm) { e.influence = append(e.influence, a.String()) }
func (e *fleetEngine) Confirm(d time.Duration) { e.influence = append(e.influence, d.String()) }
func (e *fleetEngine) Count(c reason.Code)     { e.counts[c]++ }
func (e *fleetEngine) Reference() (r integrity.Reference) {
	now := e.mono()
	r.Snapshot = &status.Snapshot{State: status.Locked, Kind: status.PHCClock, Stratum: 1, Mono: now, Clock: 1795426200e9, RefTime: 1795426200e9, TAIOffset: 37, Bound: 100, Limit: time.Second}
	return r
}

// taps counts readings, by witness.
type taps map[string]int

func (t taps) Reading(r *witness.Reading) { t[r.Name]++ }

// TestAFleetsWitnessesNeverReachTheClock: one that agrees is no evidence, and one that
// disagrees is an alarm only. The file is followed, and one that is refused counts as none.
func TestAFleetsWitnessesNeverReachTheClock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "refclockd.toml")
	synctest.Test(t, func(t *testing.T) {
		e := &fleetEngine{began: time.Now(), counts: map[reason.Code]int{}}
		var log bytes.Buffer
		cfg := FleetConfig{
			Path: path, Of: e, Mono: e.mono, Slept: func() time.Duration { return 0 }, Log: slog.New(slog.NewTextHandler(&log, nil)),
			New: func(list []refclockd.WitnessServer) (servers []witness.Server, err error) {
				for _, c := range list {
					if c.Host == "unknown" {
						return nil, errors.New("no client")
					}
					servers = append(servers, witness.Server{
						WitnessConfig: integrity.WitnessConfig{Name: c.Name, MaxOffset: c.MaxOffset, Required: c.Required, Every: c.Interval},
						Ask: func(context.Context) (integrity.Answer, error) {
							a := integrity.Answer{Mono: e.mono(), UTC: 1795426200e9 - 37e9}
							switch c.Host {
							case "mute":
								return a, errors.New("no answer")
							case "wrong":
								a.UTC += 1e9
							}
							return a, nil
						},
					})
				}
				return servers, nil
			},
		}
		heard := taps{}
		cfg.Tap = heard
		f := NewFleet(cfg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		file := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookEvery + 2*time.Second) // virtual
			synctest.Wait()
		}
		const both = "[[witness]]\naddress = \"mute\"\n[[witness]]\naddress = \"right\"\n[[witness]]\naddress = \"wrong\"\n"
		for _, c := range []struct {
			name, text string
			code       reason.Code
			verdicts   string
		}{
			{"none", "", reason.None, ""},
			{"two", both, reason.None, "mute none, right agrees, wrong disagrees"},
			{"required", both + "required = true\n", reason.FragmentContent, ""},
			{"a client that cannot be made", "[[witness]]\naddress = \"unknown\"\n", reason.FragmentUnread, ""},
			{"hostile text", "\"\\u001b[2J\" = 1\n", reason.FragmentContent, ""},
			{"two again", both + "\n", reason.None, "mute none, right agrees, wrong disagrees"},
		} {
			before := e.counts[c.code]
			file(c.text)
			s := f.State()
			var verdicts []string
			for _, w := range s.Witnesses {
				verdicts = append(verdicts, w.Name+" "+w.Verdict.String())
			}
			if got := strings.Join(verdicts, ", "); got != c.verdicts || s.Code != c.code {
				t.Errorf("%s: %s, %s; want %s, %s", c.name, got, s.Code, c.verdicts, c.code)
			}
			if got := strings.Join(s.Silent, " ") + "; " + strings.Join(s.Disagree, " "); (got == "mute; wrong") != (c.verdicts != "") {
				t.Errorf("%s: silent and against: %s", c.name, got)
			}
			if refused := c.code != reason.None; refused != (s.Refused != "") || refused != (f.Waiting() != nil) || refused == (s.Content == config.FragmentContent(c.text)) || refused && e.counts[c.code] != before+1 {
				t.Errorf("%s: %+v, counted %d", c.name, s, e.counts[c.code]-before)
			}
			if strings.ContainsRune(s.Refused, 0x1b) {
				t.Errorf("%s: %q", c.name, s.Refused)
			}
		}
		if heard["mute"] == 0 || heard["right"] == 0 || heard["wrong"] == 0 {
			t.Errorf("readings: %v", heard)
		}
		if len(e.influence) > 0 {
			t.Errorf("the clock: %v", e.influence)
		}
		if !strings.Contains(log.String(), "file of the fleet refused") || !strings.Contains(log.String(), "witness disagrees") {
			t.Errorf("log:\n%s", &log)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery + time.Second)
		synctest.Wait()
		if s := f.State(); s.Content != "" || len(s.Witnesses) > 0 || f.Waiting() != nil {
			t.Errorf("without a file: %+v", s)
		}
		stop()
		<-done

		file(both)
		cfg.Local = true
		if s := NewFleet(cfg).State(); len(s.Witnesses) > 0 || s.Content == "" || len(s.Overridden) != 1 {
			t.Errorf("the local file names witnesses: %+v", s)
		}
	})
}
