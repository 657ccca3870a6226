package observe

import (
	"fmt"
	"slices"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// watcher turns the states of refclockd into events: what changed between one and
// the next. It is pure, and for one goroutine.
type watcher struct {
	last     *report.Report // nil: none yet
	holdover *holdover      // nil: there is none
	lasting  map[alarm]lasting
	tasks    map[string]bool // those that do not serve
}

// holdover is a holdover that has not ended.
type holdover struct {
	reason string
	since  int64         // CLOCK_MONOTONIC_RAW, ns
	bound  time.Duration // largest one that readers evaluated
	last   *status.Snapshot
	pulse  int64    // PulseMono at its begin
	offset *float64 // of the first pulse that was accepted since
}

// alarm is something that lasts: its reason, and what has it.
type alarm struct {
	code reason.Code
	name string
}

// lasting is an alarm that holds.
type lasting struct {
	detail, remedy string
	since          int64 // CLOCK_MONOTONIC_RAW, ns
}

func newWatcher() *watcher {
	return &watcher{lasting: map[alarm]lasting{}, tasks: map[string]bool{}}
}

// report takes a report and returns what happened since the last one. The times of
// the events are left to the caller.
func (w *watcher) report(r *report.Report) (found []events.Event) {
	if r == w.last || r.Discipline.Moving || r.Snapshot.Mono == 0 {
		return nil
	}
	was := w.last
	w.last = r
	if was == nil {
		return append([]events.Event{stateEvent(r, "")}, w.holdovers(&r.Snapshot)...)
	}
	a, b := &was.Snapshot, &r.Snapshot
	if a.Epoch != b.Epoch {
		step := int64(b.Clock - a.ClockAt(b.Mono))
		found = append(found, events.Event{Kind: events.Step, Text: fmt.Sprintf("clock stepped by %v", time.Duration(step)), StepNS: &step})
	}
	found = append(found, leapEvents(was, r)...)
	if a.State != b.State || a.Reason != b.Reason {
		found = append(found, stateEvent(r, a.State.String()))
	}
	return append(found, w.holdovers(b)...)
}

func stateEvent(r *report.Report, was string) events.Event {
	s := &r.Snapshot
	return events.Event{
		Kind: events.State, Text: s.State.String() + ": " + s.Reason, State: s.State.String(), Was: was, Reason: s.Reason,
		Detail: r.Discipline.Detail, Remedy: r.Remedy(),
	}
}

// holdovers follows a holdover and returns its event when it ends.
func (w *watcher) holdovers(s *status.Snapshot) []events.Event {
	h := w.holdover
	if h == nil {
		if s.State == status.Holdover {
			w.holdover = &holdover{s.Reason, s.Mono, s.BoundAt(s.Mono), s, s.PulseMono, nil}
		}
		return nil
	}
	// A snapshot is read until the next one is published. The clock's line may be off too.
	h.bound = max(h.bound, h.last.BoundAt(s.Mono), s.BoundAt(s.Mono))
	h.last = s
	if s.PulseMono != h.pulse && h.offset == nil {
		offset := s.OffsetNS
		h.offset = &offset
	}
	if s.State == status.Holdover {
		return nil
	}
	w.holdover = nil
	length := time.Duration(s.Mono - h.since)
	e := events.Event{Kind: events.Holdover, Reason: h.reason, State: s.State.String(), OffsetNS: h.offset, DurationS: seconds3(length)}
	e.Text = fmt.Sprintf("holdover of %v", length.Round(time.Second))
	if h.bound < 1<<62 {
		bound := int64(h.bound)
		e.BoundNS = &bound
		e.Text += fmt.Sprintf(", bound up to %v", h.bound)
	}
	if h.offset != nil {
		e.Text += fmt.Sprintf(", error at return %v", time.Duration(*h.offset))
	}
	return []events.Event{e}
}

// seconds3 is a duration in s, to the millisecond.
func seconds3(d time.Duration) *float64 {
	s := d.Round(time.Millisecond).Seconds()
	return &s
}

// leapEvents are leap seconds that were announced, withdrawn, or happened.
func leapEvents(was, is *report.Report) (found []events.Event) {
	a, b := &was.Leap, &is.Leap
	if a.NextSign != b.NextSign || !a.Next.Equal(b.Next) {
		e := events.Event{Kind: events.Leap, Sign: b.NextSign, Text: "no leap second is announced any more"}
		if b.NextSign != 0 {
			at := b.Next.UTC()
			e.At, e.Text = &at, fmt.Sprintf("leap second announced: %s before %s, by %s", inserted(b), at.Format(time.RFC3339), b.NextSource)
		}
		found = append(found, e)
	}
	x, y := &was.Snapshot, &is.Snapshot
	if x.TAIOffset != y.TAIOffset && x.RefTime != 0 && y.RefTime != 0 {
		found = append(found, events.Event{Kind: events.Leap, TAIOffset: int(y.TAIOffset), Text: fmt.Sprintf("TAI-UTC changed from %d s to %d s", x.TAIOffset, y.TAIOffset)})
	}
	return found
}

func inserted(l *leap.Status) string {
	if l.NextSign > 0 {
		return "inserted"
	}
	return "deleted"
}

// second takes the state of all parts, once a second, and returns which alarms began
// and ended.
func (w *watcher) second(r *Reference) (found []events.Event) {
	now := alarms(r)
	for a, x := range w.lasting {
		if _, ok := now[a]; !ok {
			delete(w.lasting, a)
			d := time.Duration(r.Mono - x.since)
			found = append(found, events.Event{Kind: events.Alarm, Ended: true, Reason: a.code.String(), Name: a.name, DurationS: seconds3(d),
				Text: fmt.Sprintf("%s ended after %v", a.code, d.Round(time.Second))})
		}
	}
	for a, x := range now {
		if old, ok := w.lasting[a]; ok {
			x.since = old.since
			w.lasting[a] = x
			continue
		}
		x.since = r.Mono
		w.lasting[a] = x
		found = append(found, events.Event{Kind: events.Alarm, Text: a.code.Message(), Reason: a.code.String(), Name: a.name, Detail: x.detail, Remedy: x.remedy})
	}
	slices.SortFunc(found, func(a, b events.Event) int { // maps have no order
		return slices.Compare([]string{a.Reason, a.Name}, []string{b.Reason, b.Name})
	})
	return found
}

// troubled takes the states of the tasks and returns which began or ended to be in
// trouble.
func (w *watcher) troubled(tasks []daemon.Status) (found []events.Event) {
	for _, t := range tasks {
		bad := t.State == daemon.Waiting.String() || t.State == daemon.Stuck.String()
		if bad == w.tasks[t.Task] || t.State == daemon.Starting.String() {
			continue
		}
		w.tasks[t.Task] = bad
		e := events.Event{Kind: events.Task, Name: t.Task, Ended: !bad, Text: t.Task + " serves again", State: t.State}
		if bad {
			e.Text, e.Detail = t.Task+" is "+t.State, t.Why
		}
		found = append(found, e)
	}
	return found
}

// alarmDetails describes the alarms that hold now.
func alarmDetails(r *Reference) []report.AlarmDetail {
	out := []report.AlarmDetail{}
	for a, x := range alarms(r) {
		out = append(out, report.AlarmDetail{Reason: a.code.String(), Name: a.name, Detail: x.detail, Remedy: x.remedy})
	}
	slices.SortFunc(out, func(a, b report.AlarmDetail) int {
		return slices.Compare([]string{a.Reason, a.Name}, []string{b.Reason, b.Name})
	})
	return out
}

// alarms are those that hold now.
func alarms(r *Reference) map[alarm]lasting {
	var all map[alarm]lasting // most of the time there are none
	raise := func(c reason.Code, name, detail string) {
		if all == nil {
			all = map[alarm]lasting{}
		}
		all[alarm{c, name}] = lasting{detail: detail, remedy: c.Info().Remedy}
	}
	for _, c := range r.Report.Conditions {
		raise(c.Code, "", c.Detail)
	}
	for _, x := range r.Report.Leap.Warnings() {
		if x.Raised {
			raise(x.Code, "", "")
		}
	}
	for i := range r.Report.Compared {
		if p := &r.Report.Compared[i]; p.Alarm {
			raise(reason.CompareAlarm, p.Name, fmt.Sprintf("%v from the clock", time.Duration(p.MeanNS)))
		}
	}
	for i := range r.Witnesses {
		if x := &r.Witnesses[i]; x.Verdict == integrity.Disagrees {
			raise(reason.WitnessDisagrees, x.Name, fmt.Sprintf("clock - witness is %v", time.Duration(x.OffsetNS)))
		}
	}
	if x := r.Fleet; x != nil && x.Refused != "" {
		raise(x.Code, "", x.Refused)
	}
	for i := range r.Followers {
		if x := &r.Followers[i]; x.Contested {
			raise(reason.ClockContested, x.Name, "")
		}
	}
	x := &r.Report.Receiver
	for _, c := range []struct {
		is   bool
		code reason.Code
	}{
		{x.Antenna == gnss.AntennaOpen, reason.ReceiverAntennaOpen}, {x.Antenna == gnss.AntennaShort, reason.ReceiverAntennaShort},
		{x.Jamming == gnss.ThreatCritical, reason.ReceiverJammed}, {x.Spoofing == gnss.ThreatWarning || x.Spoofing == gnss.ThreatCritical, reason.ReceiverSpoofed},
	} {
		if c.is {
			raise(c.code, "", "the receiver reports it")
		}
	}
	return all
}
