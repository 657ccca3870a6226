package integrity

import (
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

// From the table of reasons: of two alarms the one that is reported.
func TestPriorities(t *testing.T) {
	order := []reason.Code{ // highest first
		reason.ReceiverMoved, reason.ReceiverSpoofed, reason.ReceiverJammed, reason.ReceiverAntennaShort, reason.ReceiverAntennaOpen, reason.ReceiverFixLost,
		reason.LeapContradicted, reason.SecondOpposed, reason.SecondNamed, reason.PulseAmbiguous, reason.ReferenceDrift, reason.WitnessDisagrees, reason.LeapUnconfirmed,
	}
	for i, high := range order {
		for _, low := range order[i+1:] {
			if got := highest(Alarm{Code: low}, Alarm{Code: high}, Alarm{}).Code; got != high {
				t.Errorf("%v is reported over %v", got, high)
			}
		}
	}
	for _, c := range reason.All() {
		if i := c.Info(); (i.Group == reason.Alarm) != (i.Priority > 0) {
			t.Errorf("%v: group %d, priority %d", c, i.Group, i.Priority)
		}
	}
	if got := highest(); got != (Alarm{}) {
		t.Errorf("%v without any", got)
	}
}

// An alarm makes one event when it begins, whatever is reported, and is reported
// until it ends or a higher one begins.
func TestDecide(t *testing.T) {
	j := New(Config{Outside: Alarm{Code: reason.WitnessAwaited}})
	events := map[reason.Code]int{}
	for i, step := range []struct {
		at      int64 // s
		message *gnss.Message
		outside *Alarm
		others  []reason.Code
		want    Alarm
		changed bool
	}{
		{0, nil, nil, nil, Alarm{Code: reason.WitnessAwaited}, true},
		{1, nil, nil, nil, Alarm{Code: reason.WitnessAwaited}, false},
		{2, nil, nil, []reason.Code{reason.LeapUnconfirmed, reason.LeapContradicted}, Alarm{Code: reason.LeapContradicted}, true},
		{3, &gnss.Message{Source: "MON-HW", RF: gnss.RF{HasAntenna: true, Antenna: gnss.AntennaShort}}, nil, []reason.Code{reason.LeapUnconfirmed}, Alarm{Code: reason.ReceiverAntennaShort}, true},
		{4, &gnss.Message{Source: "MON-HW", RF: gnss.RF{Jamming: gnss.ThreatCritical}}, nil, nil, Alarm{Code: reason.ReceiverJammed}, true},
		{5, &gnss.Message{Source: "MON-HW", RF: gnss.RF{Jamming: gnss.ThreatNone}}, nil, nil, Alarm{Code: reason.ReceiverJammed}, false},
		{20, nil, nil, nil, Alarm{Code: reason.ReceiverAntennaShort}, true},
		{21, &gnss.Message{Source: "MON-HW", RF: gnss.RF{HasAntenna: true, Antenna: gnss.AntennaOK}}, nil, nil, Alarm{Code: reason.ReceiverAntennaShort}, false},
		{40, nil, &Alarm{Code: reason.WitnessDisagrees, Detail: "a"}, nil, Alarm{Code: reason.WitnessDisagrees, Detail: "a"}, true},
		{41, nil, &Alarm{Code: reason.WitnessDisagrees, Detail: "a b"}, nil, Alarm{Code: reason.WitnessDisagrees, Detail: "a b"}, true},
		{42, nil, &Alarm{}, nil, Alarm{}, true},
		{43, nil, nil, nil, Alarm{}, false},
	} {
		if step.message != nil {
			step.message.Mono = step.at * 1e9
			j.Message(step.message)
		}
		if step.outside != nil {
			j.Outside(*step.outside)
		}
		if got, changed := j.Decide(step.at*1e9, step.others...); got != step.want || changed != step.changed {
			t.Errorf("step %d: %v (changed %v), want %v (%v)", i, got, changed, step.want, step.changed)
		}
		for _, e := range j.Events() {
			events[e.Code]++
		}
	}
	if len(events) != 2 || events[reason.ReceiverAntennaShort] != 1 || events[reason.ReceiverJammed] != 1 {
		t.Errorf("events %v", events)
	}
}

// Only the end of the wait for witnesses means that they have confirmed the
// second.
func TestWitnessesConfirm(t *testing.T) {
	awaited, disagree := Alarm{Code: reason.WitnessAwaited}, Alarm{Code: reason.WitnessDisagrees, Detail: "a"}
	for _, c := range []struct {
		was, is Alarm
		want    bool
	}{
		{disagree, Alarm{}, false}, {awaited, disagree, false}, {disagree, awaited, false}, {Alarm{}, Alarm{}, false}, {awaited, Alarm{}, true},
	} {
		if got := New(Config{Outside: c.was}).Outside(c.is); got != c.want {
			t.Errorf("%v, then %v: confirmed %v", c.was, c.is, got)
		}
	}
}

// A date before not_before is refused, and one that was moved by 1024 weeks needs
// other evidence.
func TestDates(t *testing.T) {
	const day = 86400 * tai.Second
	const rollover = 1024 * 7 * day
	now, floor := truth0, truth0-20*day
	for _, c := range []struct {
		name     string
		date     tai.Time
		rollover int
		own, sys tai.Time
		refuse   bool
		want     reason.Code
	}{
		{"20 years after not_before", floor + 20*366*day, 0, 0, 0, false, reason.MessageDateAhead},
		{"20 years after not_before, as the system clock shows", floor + 20*366*day, 0, 0, floor + 20*366*day, false, reason.MessageDateAhead},
		{"1024 weeks ahead of the system clock", now + rollover, 0, 0, now + 300*day, false, reason.MessageDateAhead},
		{"1024 weeks ahead of the clock itself", now + rollover, 0, now, 0, false, reason.MessageDateAhead},
		{"1024 weeks ahead of a table in date", now + rollover, 0, 0, 0, false, reason.MessageDateAhead},
		{"1024 weeks ahead of a table in date, system clock before not_before", now + rollover, 0, 0, floor - 14600*day, false, reason.MessageDateAhead},
		{"2021 is not a rollover of 2040", 0, 0, 0, 0, false, reason.MessageTooEarly},
		{"a wrong date moved by 1024 weeks, the system clock shows another", now + 14*365*day, 1024, 0, now, false, reason.MessageTooEarly},
		{"2017 moved by 1024 weeks, the system clock shows 2026", now + 9*365*day, 1024, 0, now, false, reason.MessageTooEarly},
		{"a wrong date moved by 1024 weeks, nothing else is known", now + 14*365*day, 1024, 0, 0, false, reason.MessageRollover},
		{"1024 weeks ahead of an expired table, as the system clock shows", now + rollover, 0, 0, now + rollover, false, reason.None},
		{"nine years after every table", now + 9*365*day, 0, 0, 0, false, reason.None},
		{"nine years after the system clock", now + 9*365*day, 0, 0, now, false, reason.None},
		{"a day before not_before", floor - day, 0, now, now, false, reason.MessageTooEarly},
		{"before not_before after the correction", floor - day, 1024, floor - day, floor - day, false, reason.MessageTooEarly},
		{"corrected, nothing else is known", now, 1024, 0, 0, false, reason.MessageRollover},
		{"corrected, system clock before not_before", now, 1024, 0, floor - day, false, reason.MessageRollover},
		{"corrected, system clock 1024 weeks ahead", now, 1024, 0, now + rollover, false, reason.MessageTooEarly},
		{"corrected, and the policy refuses", now, 1024, now, now, true, reason.MessageRollover},
		{"corrected, system clock agrees", now, 1024, 0, now + 40*day, false, reason.None},
		{"corrected, the clock itself agrees", now, 1024, now, 0, false, reason.None},
		{"not corrected", now, 0, 0, 0, true, reason.None},
	} {
		j := New(Config{NotBefore: floor, RefuseRollover: c.refuse})
		for range 3 {
			if got := j.Label(&gnss.Message{Time: c.date, Rollover: c.rollover}, &reading.Clocks{Clock: c.own, Tracked: c.own != 0, System: c.sys, TableEnd: now + 200*day}); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
		if n := len(j.Events()); n != 0 && c.want != reason.None || (n == 1) != (c.want == reason.None && c.rollover != 0) {
			t.Errorf("%s: %d events", c.name, n)
		}
	}
}

// Before the first lock, other evidence against the receiver's second or the
// pulse's edge raises an alarm, within seconds and not by a single message.
func TestStartup(t *testing.T) {
	const ms = time.Millisecond
	type site struct {
		label       tai.Time      // label of the messages - true second
		late        time.Duration // of the message after its pulse
		edge        time.Duration // of the pulse after the true second
		other       time.Duration
		timTP       bool
		system      time.Duration // system clock - true time
		disciplined bool
		locked      bool
	}
	for _, c := range []struct {
		name string
		site site
		want reason.Code
		soon int // alarm after so many seconds at the latest
	}{
		{"a second late, the system clock is disciplined", site{label: -tai.Second, late: 300 * ms, disciplined: true}, reason.SecondOpposed, 4},
		{"a second late by TIM-TP", site{label: -tai.Second, late: 300 * ms, timTP: true}, reason.SecondNamed, 5},
		{"the other edge, the system clock is disciplined", site{late: 300 * ms, edge: 100 * ms, disciplined: true}, reason.PulseAmbiguous, 1},
		{"two edges, messages fit either", site{late: 300 * ms, other: 100 * ms}, reason.PulseAmbiguous, 1},
		{"two edges, the message 17 ms after this one", site{late: 17 * ms, other: 100 * ms}, reason.PulseAmbiguous, 1},
		{"two edges, the message 17 ms after the other one", site{late: 117 * ms, other: 100 * ms}, reason.PulseAmbiguous, 1},
		{"two edges, the message just before this one", site{late: 990 * ms, other: 900 * ms}, reason.PulseAmbiguous, 1},
		{"two edges, a disciplined system clock begins its second here", site{late: 300 * ms, other: 100 * ms, disciplined: true}, reason.None, 0},
		{"two edges 10 ms apart, a disciplined system clock begins its second 37 ms later", site{late: 300 * ms, other: 10 * ms, system: -37 * ms, disciplined: true}, reason.PulseAmbiguous, 1},
		{"two edges 20 ms apart over the end of the second, a disciplined system clock is near both", site{late: 300 * ms, other: 980 * ms, system: -20 * ms, disciplined: true}, reason.PulseAmbiguous, 1},
		{"a second late, the system clock is not disciplined", site{label: -tai.Second, late: 300 * ms}, reason.None, 0},
		{"a second late, after the lock", site{label: -tai.Second, late: 300 * ms, disciplined: true, timTP: true, locked: true}, reason.None, 0},
		{"the system clock is 40 ms off", site{late: 300 * ms, system: 40 * ms, disciplined: true}, reason.None, 0},
		{"everything agrees", site{late: 300 * ms, timTP: true, disciplined: true}, reason.None, 0},
	} {
		j := New(Config{})
		first := 0
		for k := 1; k <= 20; k++ {
			second := truth0 + tai.Time(k)*tai.Second
			at := func(since time.Duration) (int64, *reading.Clocks) {
				in := &reading.Clocks{Unlocked: !c.site.locked, SystemDisciplined: c.site.disciplined, System: second.Add(since + c.site.system)}
				return mono0 + int64(k)*1e9 + int64(since), in
			}
			if c.site.timTP { // 200 ms before the pulse it labels
				mono, _ := at(c.site.edge - 200*ms)
				j.Message(&gnss.Message{Source: "TIM-TP", Mono: mono, Pulse: gnss.Pulse{HasPulse: true, PulseTime: second}})
			}
			mono, in := at(c.site.edge)
			j.Edge(Edge{Mono: mono, Other: c.site.other}, in)
			mono, in = at(c.site.edge + c.site.late)
			in.Mono = mono
			j.Second(second+c.site.label, in)
			got, _ := j.Decide(mono)
			if got.Code != reason.None && first == 0 {
				first = k
			}
			if k == 20 && got.Code != c.want {
				t.Errorf("%s: %v after 20 s, want %v", c.name, got, c.want)
			}
		}
		if first > c.soon || c.want == reason.None && first != 0 {
			t.Errorf("%s: alarm after %d s, want %d at the latest", c.name, first, c.soon)
		}
	}
}
