package leap

import (
	"testing"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
)

// The lock waits for evidence of the leap count from a receiver that sends plain
// NMEA; each kind of evidence ends the wait.
func TestLockWaitsForEvidence(t *testing.T) {
	const now = tai.Time(1.8e18)
	label := gnss.Message{Source: "RMC", Talker: "GP", Valid: true, HasDate: true, Civil: gnss.Civil{HasTimeOfDay: true}, Time: now, Mono: 1e12}
	utc, void, count, built := label, label, label, label
	utc.Source, utc.Talker, utc.UTC = "NAV-PVT", "", gnss.UTCResolved
	void.Valid = false
	count.LeapOffset, count.LeapSource = 37, gnss.LeapGPS
	built.LeapOffset, built.LeapSource = 18+19, gnss.LeapFirmware
	late := label
	late.Mono += int64(almanacTime) + 1
	for _, c := range []struct {
		name          string
		messages      []gnss.Message
		system, clock tai.Time
		disciplined   bool
		want          [2]bool // waits, not strict and strict
	}{
		{"nothing heard", nil, 0, 0, false, [2]bool{false, false}},
		{"warm", []gnss.Message{label}, 0, 0, false, [2]bool{false, true}},
		{"cold", []gnss.Message{void, label}, 0, 0, false, [2]bool{true, true}},
		{"the count that its maker built in", []gnss.Message{built}, 0, 0, false, [2]bool{false, true}},
		{"the system clock is a minute off", []gnss.Message{label}, now + 60*tai.Second, 0, true, [2]bool{false, true}},
		{"the system clock is two seconds off", []gnss.Message{label}, now + 2*tai.Second, 0, false, [2]bool{false, true}},
		{"a disciplined system clock is two seconds off", []gnss.Message{label}, now + 2*tai.Second, 0, true, [2]bool{true, true}},
		{"the clock is a second off", []gnss.Message{label}, 0, now - tai.Second, false, [2]bool{false, true}},
		{"the clock is a second ahead", []gnss.Message{label}, 0, now + 11*tai.Second/10, false, [2]bool{false, true}},
		{"the label is a second ahead, and late", []gnss.Message{label}, now - 15*tai.Second/100, 0, false, [2]bool{false, true}},
		{"the system clock agrees", []gnss.Message{void, label}, now + tai.Second/5, 0, false, [2]bool{}},
		{"the clock agrees", []gnss.Message{void, label}, 0, now + tai.Second/5, false, [2]bool{}},
		{"the count from satellites", []gnss.Message{void, count}, 0, 0, false, [2]bool{}},
		{"a message whose UTC is resolved", []gnss.Message{void, utc}, 0, 0, false, [2]bool{}},
		{"a quarter of an hour with a fix", []gnss.Message{void, label, late}, 0, 0, false, [2]bool{}},
	} {
		var f confirmation
		for _, m := range c.messages {
			f.message(&m, &reading.Clocks{Mono: m.Mono, Clock: c.clock, System: c.system, SystemDisciplined: c.disciplined})
		}
		if got := [2]bool{f.waits(false), f.waits(true)}; got != c.want {
			t.Errorf("%s: waits %v, want %v", c.name, got, c.want)
		}
	}
	var f confirmation
	f.message(&void, &reading.Clocks{})
	f.message(&label, &reading.Clocks{})
	if f.add(witnessesAgree, "witnesses", label.Mono); f.waits(true) {
		t.Error("waits after the witnesses agreed")
	}
}
