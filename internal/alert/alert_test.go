package alert

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config"
	cfg "noonmark/internal/config/alert"
	"noonmark/internal/daemon"
	"noonmark/internal/observe"
	"noonmark/refclock/report"
)

var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// good are the facts of an appliance where nothing is wrong.
func good() *Facts {
	d := &report.Details{Alarms: []report.AlarmDetail{}, Leap: report.LeapDetails{Warnings: []string{}, Sources: []report.LeapDetail{{Source: "list", Expires: "2027-06-28"}}}}
	s := &report.Status{State: "locked", Reason: "disciplined", BoundNS: ptr(int64(120)), PID: 7, AgeS: 0.2,
		Receiver: report.Port{Input: report.Input{Source: "/dev/ttyAMA0", AgeS: ptr(0.3)}, Antenna: "ok", Jamming: "none", Spoofing: "none"}, Clock: report.ClockNow{Device: "eth0"}}
	return &Facts{Now: at, Status: s, Details: d, Tasks: []daemon.Status{{Task: "engine", State: "serving"}}, Discs: []Disc{{"/", 0.5, 1 << 34}},
		Server: &ServerFacts{PID: 9, Tasks: []daemon.Status{{Task: "ntp", State: "serving"}}, Certificates: map[string]time.Duration{"a.test": 60 * 24 * time.Hour}, Refusals: ptr(3.0), Software: ptr(0.0)}}
}

// everything switches every condition on.
func everything() cfg.Conditions {
	c := cfg.Default().Conditions
	c.Bound, c.KERefusals, c.SoftwareStamps = config.D(time.Microsecond), 100, 0.01
	return c
}

func TestConditions(t *testing.T) {
	t.Parallel()
	limits := everything()
	for _, x := range []struct {
		name   string
		change func(*Facts)
		want   []string // condition and instance
		reads  string   // part of what is written
	}{
		{"nothing is wrong", func(*Facts) {}, nil, ""},
		{"no refclockd", func(f *Facts) { f.Status, f.Err, f.Details, f.Tasks = nil, errors.New("no such file"), nil, nil }, []string{"not_locked "}, "start refclockd"},
		{"refclockd hangs", func(f *Facts) { f.Stale, f.Status.AgeS = true, 9 }, []string{"not_locked "}, "restart it"},
		{"unlocked", func(f *Facts) {
			f.Status.State, f.Status.Reason, f.Status.BoundNS, f.Status.Remedy = "unlocked", "no_label", nil, "connect the antenna"
		}, []string{"not_locked "}, "connect the antenna"},
		{"unlocked, with a condition", func(f *Facts) {
			f.Status.State, f.Status.BoundNS, f.Status.Conditions = "unlocked", nil, []report.ConditionDetail{{Reason: "port_protocol", Detail: "RTCM", Remedy: "set NMEA"}}
		}, []string{"not_locked "}, "set NMEA"},
		{"holdover", func(f *Facts) { f.Status.State, f.Status.Reason = "holdover", "no_pulse" }, []string{"holdover "}, doctor},
		{"bound", func(f *Facts) { f.Status.BoundNS = ptr(int64(1001)) }, []string{"bound "}, "1.001µs"},
		{"no message for long", func(f *Facts) { f.Status.Receiver.AgeS = ptr(31.0) }, []string{"receiver_silent "}, "for 31 s"},
		{"no message ever", func(f *Facts) { f.Status.Receiver.AgeS = nil }, []string{"receiver_silent "}, "since the start"},
		{"antenna open", func(f *Facts) { f.Status.Receiver.Antenna = "open" }, []string{"antenna "}, "connect the antenna"},
		{"antenna short", func(f *Facts) { f.Status.Receiver.Antenna = "short" }, []string{"antenna "}, "short circuit"},
		{"the receiver says nothing of antenna and interference", func(f *Facts) {
			f.Status.Receiver.Antenna, f.Status.Receiver.Jamming, f.Status.Receiver.Spoofing = "", "", ""
		}, nil, ""},
		{"jamming and spoofing", func(f *Facts) { f.Status.Receiver.Jamming, f.Status.Receiver.Spoofing = "critical", "warning" }, []string{"interference jamming", "interference spoofing"}, "independent clock"},
		{"a witness disagrees", func(f *Facts) {
			f.Details.Alarms = []report.AlarmDetail{{Reason: "witness_disagrees", Name: "a.test", Detail: "2ms"}, {Reason: "leap_expired"}}
		}, []string{"witness a.test"}, "third clock"},
		{"a rival", func(f *Facts) {
			f.Details.Alarms = []report.AlarmDetail{{Reason: "clock_contested", Name: "system"}}
			f.Status.Cause = "clock_stepped_by_other"
		}, []string{"rival eth0", "rival system"}, "stop and disable"},
		{"the name of a rival in another reason", func(f *Facts) { f.Status.Reason = "doubted: witness_disagrees x: clock_stepped_by_other" }, nil, ""},
		{"certificates", func(f *Facts) {
			f.Server.Certificates = map[string]time.Duration{"a.test": 6 * 24 * time.Hour, "b.test": -time.Hour, "c.test": 8 * 24 * time.Hour}
		}, []string{"certificate a.test", "certificate b.test"}, "has expired"},
		{"leap table", func(f *Facts) { f.Details.Leap.Sources[0].Expires = "2026-12-01" }, []string{"leap_table "}, "tzdata"},
		{"one of two leap tables", func(f *Facts) {
			f.Details.Leap.Sources = append(f.Details.Leap.Sources, report.LeapDetail{Expires: "2026-06-28", Expired: true})
		}, nil, ""},
		{"all leap tables", func(f *Facts) { f.Details.Leap.Warnings = []string{"leap_expired"} }, []string{"leap_table "}, "tzdata"},
		{"cookie key", func(f *Facts) { f.Server.KeyOverdue = true }, []string{"cookie_key "}, "rotate"},
		{"NTS-KE", func(f *Facts) { f.Server.Refusals = ptr(200.0) }, []string{"ke_refusals "}, "200"},
		{"stamps", func(f *Facts) { f.Server.Software = ptr(0.2) }, []string{"software_stamps "}, "20.0 %"},
		{"no server", func(f *Facts) { f.Server = nil }, nil, ""},
		{"ntsserve has ended", func(f *Facts) {
			f.Server, f.Fault = nil, &observe.Fault{Clients: "no answer", What: "ntsserve publishes no counters", Remedy: "start ntsserve"}
		}, []string{"server_silent "}, "start ntsserve"},
		{"ntsserve serves another clock", func(f *Facts) {
			f.Fault = &observe.Fault{Clients: "stratum 16", What: "not the clock of refclockd", Remedy: "compare"}
		}, []string{"server_silent "}, "stratum 16"},
		{"a server without refclockd", func(f *Facts) {
			f.Alone, f.Status, f.Err, f.Details, f.Tasks = true, nil, errors.New("no such file"), nil, nil
		}, nil, ""},
		{"a server without refclockd, and without time", func(f *Facts) {
			f.Alone, f.Status, f.Err, f.Details, f.Tasks = true, nil, errors.New("no such file"), nil, nil
			f.Fault = &observe.Fault{Clients: "stratum 16", What: "the clock is not synchronised", Remedy: "chronyc tracking"}
		}, []string{"not_locked "}, "chronyc tracking"},
		{"a server without refclockd has ended", func(f *Facts) {
			f.Alone, f.Status, f.Err, f.Details, f.Tasks, f.Server = true, nil, errors.New("no such file"), nil, nil, nil
			f.Fault = &observe.Fault{Clients: "no answer", What: "ntsserve publishes no counters", Remedy: "start ntsserve"}
		}, []string{"server_silent "}, "start ntsserve"},
		{"a task of ntsserve waits", func(f *Facts) {
			f.Server.Tasks = append(f.Server.Tasks, daemon.Status{Task: "metrics", State: "waiting", Why: "address in use"})
		}, []string{"task ntsserve metrics"}, "a part of ntsserve"},
		{"disc", func(f *Facts) { f.Discs = append(f.Discs, Disc{"/var", 0.01, 3 << 20}) }, []string{"disc_free /var"}, "1.0 %, 3 MB"},
		{"a task waits", func(f *Facts) {
			f.Tasks = append(f.Tasks, daemon.Status{Task: "metrics", State: "waiting", Why: "address in use"})
		}, []string{"task metrics"}, "address in use"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			f := good()
			x.change(f)
			var got []string
			text := ""
			for _, c := range conditions() {
				all, known := c.eval(f, &limits, nil)
				if c.once || !known {
					continue
				}
				for _, i := range all {
					got = append(got, c.name+" "+i.instance)
					text += i.summary + "\n" + i.remedy + "\n"
					for _, g := range i.figures {
						text += g.Value + "\n"
					}
					if i.remedy == "" || i.summary == "" {
						t.Errorf("%s: %+v", c.name, i)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, x.want) || !strings.Contains(text, x.reads) {
				t.Errorf("%q, want %q with %q:\n%s", got, x.want, x.reads, text)
			}
		})
	}
	for i, n := range cfg.Names() {
		if c := conditions()[i]; c.name != n {
			t.Errorf("condition %d is %s, the configuration has %s", i, c.name, n)
		}
	}
	off := cfg.Conditions{}
	for _, c := range conditions() {
		if !c.off(&off) || c.off(&limits) {
			t.Errorf("%s cannot be switched off, or is off", c.name)
		}
	}
}

// play steps an engine every five seconds and returns what was reported.
func play(e *engine, from, seconds int, facts func(s int) *Facts) (got []string) {
	for s := from; s < from+seconds; s += 5 {
		f := facts(s)
		f.Now = at.Add(time.Duration(s) * time.Second)
		notices, _ := e.step(f)
		for _, n := range notices {
			got = append(got, fmt.Sprintf("%d %s %s %s since %d", s, n.Status, n.Condition, n.Instance, int(n.Since.Sub(at).Seconds())))
		}
	}
	return got
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAlertsHaveHysteresis(t *testing.T) {
	t.Parallel()
	limits := everything()
	unlocked := func(from, to int) func(int) *Facts {
		return func(s int) *Facts {
			f := good()
			if s >= from && s < to {
				f.Status.State, f.Status.BoundNS = "unlocked", nil
			}
			return f
		}
	}
	t.Run("too short", func(t *testing.T) {
		t.Parallel()
		expect(t, play(newEngine("h", limits, engineState{}), 0, 600, unlocked(100, 200)))
	})
	t.Run("long enough", func(t *testing.T) {
		t.Parallel()
		expect(t, play(newEngine("h", limits, engineState{}), 0, 1000, unlocked(100, 500)), "220 firing not_locked  since 100", "560 resolved not_locked  since 100")
	})
	t.Run("gone for a moment", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts {
			if s >= 300 && s < 340 { // shorter than clear
				return good()
			}
			return unlocked(100, 500)(s)
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 1000, f), "220 firing not_locked  since 100", "560 resolved not_locked  since 100")
	})
	t.Run("a bound at its limit", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts { // swings by a tenth about the limit, and falls at the end
			f := good()
			f.Status.BoundNS = ptr(int64(1000 + 100*math.Sin(float64(s)/20)))
			if s > 1000 {
				f.Status.BoundNS = ptr(int64(500))
			}
			return f
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 1200, f), "15 firing bound  since 5", "1065 resolved bound  since 5")
	})
	t.Run("what cannot be read ends nothing", func(t *testing.T) {
		t.Parallel()
		limits := limits
		limits.NotLocked = config.D(0)
		f := func(s int) *Facts {
			f := good()
			f.Status.Receiver.Antenna = "open"
			if s >= 200 {
				f.Status, f.Details, f.Err = nil, nil, errors.New("gone")
			}
			return f
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 1000, f), "10 firing antenna  since 0")
	})
	t.Run("several of a kind", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts {
			f := good()
			f.Details.Alarms = []report.AlarmDetail{{Reason: "witness_disagrees", Name: "a"}, {Reason: "witness_disagrees", Name: "b"}}
			if s >= 100 {
				f.Details.Alarms = f.Details.Alarms[1:]
			}
			return f
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 300, f), "10 firing witness a since 0", "10 firing witness b since 0", "160 resolved witness a since 0")
	})
	t.Run("a file system that cannot be read any more", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts {
			f := good()
			f.Discs = append(f.Discs, Disc{"/var", 0.01, 3 << 20})
			if s >= 100 && s < 300 {
				f.Discs, f.DiscsErr = f.Discs[:1], errors.New("gone")
			} else if s >= 300 {
				f.Discs[1].Free = 0.9
			}
			return f
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 500, f), "10 firing disc_free /var since 0", "360 resolved disc_free /var since 0")
	})
	t.Run("restarts", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts {
			f := good()
			f.Status.PID = uint32(7 + s/100)
			return f
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 300, f), "100 firing restarted refclockd 8 since 100", "200 firing restarted refclockd 9 since 200")
	})
	t.Run("restarts of ntsserve, which is new here", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts {
			f := good()
			if f.Server.PID = 20 + s/100; s < 100 {
				f.Server = nil
			}
			return f
		}
		expect(t, play(newEngine("h", limits, engineState{}), 0, 300, f), "200 firing restarted ntsserve 22 since 200")
	})
	t.Run("tasks of a daemon that cannot be read", func(t *testing.T) {
		t.Parallel()
		f := func(s int) *Facts {
			f := good()
			waits := []daemon.Status{{Task: "metrics", State: "waiting"}}
			switch {
			case s < 400:
				f.Tasks, f.Server.Tasks = waits, waits
			case s < 800: // it hangs, and the other is well again
				f.Stale = true
			case s < 1200: // and the other way round
				f.Server = nil
			}
			return f
		}
		limits := limits
		limits.NotLocked = config.D(0)
		expect(t, play(newEngine("h", limits, engineState{}), 0, 1400, f), "300 firing task metrics since 0", "300 firing task ntsserve metrics since 0", "460 resolved task ntsserve metrics since 0", "860 resolved task metrics since 0")
	})
}

func TestNoticesForPeople(t *testing.T) {
	t.Parallel()
	n := Notice{Status: Firing, Condition: "witness", Instance: "a.test", Host: "clock1", Since: at, Time: at.Add(time.Minute), Summary: "it disagrees", Figures: []Figure{{"offset", "2ms"}}, Remedy: "ask a third"}
	if n.Title() != "[firing] clock1: witness a.test" || n.Text() != "it disagrees\n\nsince   2026-11-28T12:00:00Z\noffset  2ms\nremedy  ask a third\n" {
		t.Errorf("%s\n%s", n.Title(), n.Text())
	}
	n.Status = Resolved
	if !strings.Contains(n.Text(), "ended 2026-11-28T12:01:00Z after 1m0s") || strings.Contains(n.Text(), "remedy") {
		t.Error(n.Text())
	}
}
