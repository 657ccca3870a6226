package observe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/internal/witnesses"
	"noonmark/phc/tai"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// reportAt is the report of a clock that is right, s seconds after its start.
func reportAt(s float64, state status.State, why string, change func(*report.Report)) *report.Report {
	mono := int64(s*1e9) + 1
	r := &report.Report{Snapshot: status.Snapshot{
		State: state, Reason: why, Kind: status.PHCClock, Mono: mono, Clock: tai.FromUnix(1795435200, 0, 37) + tai.Time(mono), RefTime: 1, TAIOffset: 37,
		Bound: 100, Epoch: 1, Limit: 1e6, Stratum: 1,
	}}
	if change != nil {
		change(r)
	}
	return r
}

// line writes what matters of an event.
func line(e events.Event) string {
	s := fmt.Sprintf("%s %s", e.Kind, e.Text)
	if e.Ended {
		s += " ended"
	}
	if e.DurationS != nil {
		s += fmt.Sprintf(" %v s", *e.DurationS)
	}
	return s
}

func TestReportsBecomeEvents(t *testing.T) {
	t.Parallel()
	next := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	announced := func(r *report.Report) {
		r.Leap = leap.Status{NextSign: 1, Next: next, NextSource: "receiver"}
	}
	pulse := func(n int64, offset float64, bound time.Duration) func(*report.Report) {
		return func(r *report.Report) { r.Snapshot.PulseMono, r.Snapshot.OffsetNS, r.Snapshot.Bound = n, offset, bound }
	}
	read := func(bound, line time.Duration, rate float64) func(*report.Report) {
		return func(r *report.Report) { r.Snapshot.Bound, r.Snapshot.LineErr, r.Snapshot.BoundRate = bound, line, rate }
	}
	locked := func(s float64) *report.Report { return reportAt(s, status.Locked, "disciplined", nil) }
	for _, x := range []struct {
		name    string
		reports []*report.Report
		want    []string
	}{
		{"nothing published yet", []*report.Report{{}, {}}, nil},
		{"the same", []*report.Report{locked(1), locked(2), locked(3)}, []string{"state locked: disciplined"}},
		{"while the clock moves", []*report.Report{locked(1), reportAt(2, status.Acquiring, "stepping", func(r *report.Report) { r.Discipline.Moving = true }), locked(3)},
			[]string{"state locked: disciplined"}},
		{"another reason", []*report.Report{reportAt(1, status.Unlocked, "no_pulse", nil), reportAt(2, status.Unlocked, "no_label", nil)},
			[]string{"state unlocked: no_pulse", "state unlocked: no_label"}},
		{"a step", []*report.Report{locked(1), reportAt(3, status.Locked, "disciplined", func(r *report.Report) { r.Snapshot.Epoch, r.Snapshot.Clock = 2, r.Snapshot.Clock-2500 })},
			[]string{"state locked: disciplined", "step clock stepped by -2.5µs"}},
		{"a leap second that happens", []*report.Report{locked(1), reportAt(2, status.Locked, "disciplined", announced),
			reportAt(3, status.Locked, "disciplined", func(r *report.Report) { r.Snapshot.TAIOffset = 38 })},
			[]string{"state locked: disciplined", "leap leap second announced: inserted before 2027-01-01T00:00:00Z, by receiver",
				"leap no leap second is announced any more", "leap TAI-UTC changed from 37 s to 38 s"}},
		{"the count is learned", []*report.Report{reportAt(1, status.Unlocked, "x", func(r *report.Report) { r.Snapshot.RefTime, r.Snapshot.TAIOffset = 0, 0 }), reportAt(2, status.Unlocked, "x", nil)},
			[]string{"state unlocked: x"}},
		{"a holdover", []*report.Report{
			reportAt(1, status.Locked, "disciplined", pulse(5, 3, 100)), reportAt(10, status.Holdover, "no_pulse", pulse(5, 3, 200)),
			reportAt(70, status.Holdover, "no_pulse", pulse(5, 3, 900)), reportAt(80, status.Holdover, "verifying", pulse(6, -41, 800)),
			reportAt(90.5, status.Locked, "disciplined", pulse(7, 2, 120)),
		}, []string{"state locked: disciplined", "state holdover: no_pulse", "state holdover: verifying", "state locked: disciplined",
			"holdover holdover of 1m21s, bound up to 900ns, error at return -41ns 80.5 s"}},
		{"the bound of a holdover is what readers evaluated", []*report.Report{
			reportAt(1, status.Holdover, "no_pulse", read(200, 300, 40)), reportAt(1.25, status.Holdover, "no_pulse", read(205, 320, 40)),
			reportAt(1.5, status.Locked, "disciplined", read(100, 0, 0)),
		}, []string{"state holdover: no_pulse", "state locked: disciplined", "holdover holdover of 1s, bound up to 535ns 0.5 s"}},
		{"a holdover that ends without a pulse", []*report.Report{
			reportAt(1, status.Holdover, "no_pulse", pulse(5, 3, 200)), reportAt(9, status.Unlocked, "lost", pulse(5, 3, 1<<63-1)),
		}, []string{"state holdover: no_pulse", "state unlocked: lost", "holdover holdover of 8s 8 s"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			w := newWatcher()
			for _, r := range x.reports {
				for _, e := range w.report(r) {
					got = append(got, line(e))
				}
				w.report(r) // the same report is no news
			}
			if strings.Join(got, "\n") != strings.Join(x.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(x.want, "\n"))
			}
		})
	}
}

func TestAlarmsAndTasksBeginAndEndOnce(t *testing.T) {
	t.Parallel()
	bad := &Reference{
		Report: &report.Report{
			Conditions: []reason.Lasting{{Condition: reason.Condition{Code: reason.PortSilent, Detail: "nothing for 10 s"}}},
			Leap:       leap.Status{Expired: true},
			Compared:   []pps.Comparison{{Name: "roof", Alarm: true, MeanNS: 900}, {Name: "lab"}},
			Receiver:   report.Receiver{Antenna: gnss.AntennaOpen, Jamming: gnss.ThreatCritical, Spoofing: gnss.ThreatWarning},
		},
		Witnesses: []integrity.WitnessStatus{{Name: "a.test", Verdict: integrity.Disagrees, OffsetNS: 2e6}, {Name: "b.test", Verdict: integrity.Agrees}},
		Followers: []Follower{{"system", follow.Stats{Contested: true}}},
		Fleet:     &witnesses.FleetState{FragmentDetail: report.FragmentDetail{Refused: "f.toml:1: clock: is not known"}, Code: reason.FragmentContent},
	}
	waits := []daemon.Status{{Task: "metrics", State: "waiting", Why: "address in use"}, {Task: "engine", State: "serving"}}
	serves := []daemon.Status{{Task: "metrics", State: "serving"}, {Task: "engine", State: "serving"}}
	w := newWatcher()
	var got []string
	for s := range 30 {
		r, tasks := *bad, waits
		if s < 10 || s >= 20 {
			r, tasks = Reference{Report: &report.Report{}}, serves
		}
		r.Mono = int64(s)*1e9 + 1
		for _, e := range append(w.second(&r), w.troubled(tasks)...) {
			got = append(got, fmt.Sprintf("%d %s %s %s", s, line(e), e.Reason, e.Name))
			if e.Kind == events.Alarm && !e.Ended && e.Remedy == "" {
				t.Errorf("%s has no remedy", e.Reason)
			}
		}
	}
	want := []string{
		"10 alarm receiver distrusted antenna_open ", "10 alarm clock failed clock_contested system", "10 alarm file of the fleet refused fragment_content ", "10 alarm receiver distrusted jamming ",
		"10 alarm leap table has expired leap_expired ", "10 alarm receiver failed port_silent ", "10 alarm compared pulse disagrees pulse_disagrees roof",
		"10 alarm receiver distrusted spoofing ", "10 alarm reference distrusted witness_disagrees a.test",
		"10 task metrics is waiting  metrics",
		"20 alarm antenna_open ended after 10s ended 10 s antenna_open ", "20 alarm clock_contested ended after 10s ended 10 s clock_contested system",
		"20 alarm fragment_content ended after 10s ended 10 s fragment_content ",
		"20 alarm jamming ended after 10s ended 10 s jamming ", "20 alarm leap_expired ended after 10s ended 10 s leap_expired ",
		"20 alarm port_silent ended after 10s ended 10 s port_silent ", "20 alarm pulse_disagrees ended after 10s ended 10 s pulse_disagrees roof",
		"20 alarm spoofing ended after 10s ended 10 s spoofing ", "20 alarm witness_disagrees ended after 10s ended 10 s witness_disagrees a.test",
		"20 task metrics serves again ended  metrics",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
