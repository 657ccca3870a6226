package refclock_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/leap"
	"noonmark/refclock/report"
	"noonmark/refclock/sim"
)

// Each condition that keeps the clock from locking is logged once with its remedy,
// and reported with it.
func TestConditionsAreExplainedOnce(t *testing.T) {
	t.Parallel()
	script := func(text func(k int) string) func(*sim.Scenario) {
		return func(s *sim.Scenario) {
			for k := range 120 {
				at := s.Config.Clock.Truth.Add(time.Duration(k)*time.Second + 120*time.Millisecond)
				s.Config.Script = append(s.Config.Script, sim.Chunk{At: at, Data: nmea.Append(nil, text(k))})
			}
		}
	}
	clockOf := func(k int) string { return fmt.Sprintf("09%02d%02d", 30+k/60, k%60) }
	reasonOf := regexp.MustCompile(`reason=("[^"]*|[^ ]*)`)
	for _, c := range []struct {
		name   string
		edit   func(*sim.Scenario)
		reason string
		remedy string // part of it
	}{
		{"no fix", faults(fault(sim.Void, 0, 0, 0)), "void_messages", "view of the sky"},
		{"no date", script(func(k int) string { return "GPGGA," + clockOf(k) + ",4723.0,N,00832.4,E,1,09,0.9,408.1,M,47.3,M,," }), "no_messages: message_no_date", "let the receiver send RMC"},
		{"a date far ahead", all(earliest, script(func(k int) string {
			return "GPRMC," + clockOf(k) + ",A,4723.0,N,00832.4,E,0,0,090749,,,A"
		})), "no_messages: message_date_ahead", "update refclockd"},
		{"a date long ago", all(earliest, script(func(k int) string {
			return "GPZDA," + clockOf(k) + ",07,03,2021,00,00"
		})), "no_messages: message_too_early", "check receiver.not_before"},
		{"a fraction that varies", script(func(k int) string {
			return fmt.Sprintf("GPRMC,%s.%03d,A,4723.0,N,00832.4,E,0,0,231126,,,A", clockOf(k), k*370%1000)
		}), "no_messages: message_fraction", "on the second"},
		{"no pulses", faults(fault(sim.NoPulse, 0, 0, 0)), "no_pulse", "time pulse"},
		{"no messages", faults(fault(sim.Silence, 0, 0, 0)), "no_messages", "receiver.device"},
		{"no evidence of the leap count", func(s *sim.Scenario) { s.Config.Clock.System = realtime }, "doubted: leap_unconfirmed", "NAV-TIMELS"},
		{"labels that skip seconds", all(script(func(k int) string {
			return fmt.Sprintf("GPRMC,09%02d%02d,A,4723.0,N,00832.4,E,0,0,231126,,,A", 30+2*k/60, 2*k%60)
		}), unproved), "labelling", "label_skips"},
		{"labels come late, and the system clock is right", faults(fault(sim.SecondOff, 0, 0, -1)), "doubted: leap_unconfirmed", "labels seem late by 1s"},
		{"both edges, and a disciplined system clock that is 0.1 s off", all(duty(100*time.Millisecond, true), disciplined, func(s *sim.Scenario) { s.Config.Clock.System = 100 * time.Millisecond }), "doubted: ambiguous_edge", "right to 50 ms"},
		{"a disciplined system clock contradicts", all(faults(fault(sim.SecondOff, 0, 0, 2)), disciplined), "doubted: second_opposed", "third clock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "timehat-f9t", c.edit)
			r.Before = nil
			r.Run(100 * time.Second)
			rep := r.Engine.Report()
			if d := report.NewDetails(rep, 1, r.Mono()); rep.Snapshot.Reason != c.reason || !strings.Contains(d.Remedy, c.remedy) {
				t.Errorf("%s, remedy %q; want %s, %q", rep.Snapshot.Reason, d.Remedy, c.reason, c.remedy)
			}
			logged := 0
			for line := range strings.Lines(r.log.String()) {
				if strings.Contains(line, "msg=state") && strings.Contains(line, "remedy=") && strings.HasSuffix(reasonOf.FindString(line), c.reason[strings.LastIndex(c.reason, " ")+1:]) {
					logged++
				}
			}
			if logged != 1 {
				t.Errorf("the remedy was logged %d times:\n%s", logged, &r.log)
			}
		})
	}
	t.Run("restarted without pulses", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "timehat-f9t", func(s *sim.Scenario) {
			s.Actions = append(s.Actions, sim.Action{At: 60 * time.Second, Do: func(l *sim.Loop) { l.Restart() }})
			faults(fault(sim.NoPulse, 55*time.Second, 0, 0))(s)
		})
		r.Run(100 * time.Second)
		if d := report.NewDetails(r.Engine.Report(), 1, r.Mono()); r.Snap.Reason != "restarted: no_pulse" || !strings.Contains(d.Remedy, "time pulse") {
			t.Errorf("%s, remedy %q", r.Snap.Reason, d.Remedy)
		}
	})
	t.Run("locked", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "timehat-f9t", nil)
		r.Run(100 * time.Second)
		if d := report.NewDetails(r.Engine.Report(), 1, r.Mono()); d.Remedy != "" {
			t.Errorf("remedy %q", d.Remedy)
		}
		if strings.Contains(r.log.String(), "reason=labelling offset_ns=0 freq_ppb=0 remedy") {
			t.Errorf("a remedy for the first seconds:\n%s", &r.log)
		}
	})
}

// unproved lets the lock wait for no evidence of the leap count.
func unproved(s *sim.Scenario) { s.Engine.Proof = leap.ProofNever }

// earliest sets the earliest possible date.
func earliest(s *sim.Scenario) {
	s.Engine.Integrity.NotBefore = builtin(2026, 11, 1, 0, 0, 0)
	s.Config.Decode.NotBefore = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
}
