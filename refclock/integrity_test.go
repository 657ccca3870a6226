package refclock_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// customBench is a bench whose engine and system clock are the test's choice.
func customBench(t *testing.T, system time.Duration, edit func(*refclock.Config)) *bench {
	t.Helper()
	b := &bench{now: 1e12}
	mono := func() int64 { return b.now }
	b.clock = phctest.New(mono, phctest.Config{Truth: truth0, Mono0: b.now, System: system, Noise: phctest.Noise{OffsetPPB: 1000}})
	cfg := refclock.Config{
		Mono: mono, Kind: status.PHCClock, ClockName: "eth0", Receiver: "/dev/ttyAMA0", Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		Open:    func() (clock.Device, error) { return b.clock, nil },
		Publish: func(s *status.Snapshot) { b.snaps = append(b.snaps, *s) },
	}
	edit(&cfg)
	var err error
	if b.eng, err = refclock.New(cfg); err != nil {
		t.Fatal(err)
	}
	b.eng.Tick()
	return b
}

// say lets a second pass with its pulse and a message of the test's choice.
func (b *bench) say(k int, m gnss.Message) {
	sec := truth0 + tai.Time(k)*tai.Second
	b.now = b.clock.MonoAt(sec) + 50e3
	b.eng.Edge(pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(b.clock.MonoAt(sec))), Mono: b.now, Seq: uint32(k)})
	b.now += 200e6
	m.Mono, m.Stated, m.HasDate, m.HasTimeOfDay = b.now, true, true, true
	m.Time += sec
	b.eng.Message(&m)
	b.now += 500e6
	b.eng.Tick()
}

func (b *bench) last() *status.Snapshot { return &b.snaps[len(b.snaps)-1] }

// What the receiver says of itself puts the clock into holdover at once, with the
// reason named, and back when the cause has been gone for a while.
func TestReceiverAlarms(t *testing.T) {
	good := gnss.Message{Source: "NAV-PVT", Valid: true, Fix: gnss.Fix3D, RF: gnss.RF{HasAntenna: true, Antenna: gnss.AntennaOK, Jamming: gnss.ThreatNone},
		Solution: gnss.Solution{HasPos: true, Lat: 47.38, Lon: 8.54}}
	with := func(f func(*gnss.Message)) gnss.Message { m := good; f(&m); return m }
	for _, c := range []struct {
		reason reason.Code
		bad    gnss.Message
		shown  func(*report.Receiver) bool
	}{
		{reason.ReceiverFixLost, with(func(m *gnss.Message) { m.Fix, m.Valid = gnss.FixNone, false }), func(r *report.Receiver) bool { return r.Fix == gnss.FixNone && r.Antenna == gnss.AntennaOK }},
		{reason.ReceiverAntennaOpen, with(func(m *gnss.Message) { m.Antenna = gnss.AntennaOpen }), func(r *report.Receiver) bool { return r.Antenna == gnss.AntennaOpen }},
		{reason.ReceiverAntennaShort, with(func(m *gnss.Message) { m.Antenna = gnss.AntennaShort }), func(r *report.Receiver) bool { return r.Antenna == gnss.AntennaShort }},
		{reason.ReceiverJammed, with(func(m *gnss.Message) { m.Jamming = gnss.ThreatCritical }), func(r *report.Receiver) bool { return r.Jamming == gnss.ThreatCritical }},
		{reason.ReceiverSpoofed, with(func(m *gnss.Message) { m.Source, m.HasSpoofing, m.Spoofing = "SEC-SIG", true, gnss.ThreatWarning }), func(r *report.Receiver) bool { return r.Spoofing == gnss.ThreatWarning }},
		{reason.ReceiverMoved, with(func(m *gnss.Message) { m.Lat += 0.01 }), func(r *report.Receiver) bool { return r.Antenna == gnss.AntennaOK }},
	} {
		b := customBench(t, 0, func(cfg *refclock.Config) { cfg.Integrity.Receiver.Fixed = true })
		k := 1
		for ; k < 90; k++ {
			b.say(k, good)
		}
		if s := b.last(); s.State != status.Locked {
			t.Fatalf("%v: %v (%s) before the alarm", c.reason, s.State, s.Reason)
		}
		pulses := b.last().Pulses
		seconds := 1
		if c.reason == reason.ReceiverMoved {
			seconds = 3 // three fixes in a row must lie elsewhere
		}
		for range seconds {
			b.say(k, c.bad)
			k++
		}
		if s := b.last(); s.State != status.Holdover || s.Reason != "doubted: "+c.reason.String() || !c.shown(&b.eng.Report().Receiver) {
			t.Errorf("%v: %v (%s), receiver %+v", c.reason, s.State, s.Reason, b.eng.Report().Receiver)
		}
		pulses += uint64(seconds)
		for range 10 { // nothing of what comes now reaches the clock
			b.say(k, c.bad)
			k++
		}
		if s := b.last(); s.Pulses != pulses || b.eng.Report().Counts[c.reason] != 1 {
			t.Errorf("%v: %d pulses taken during the alarm, counted %d", c.reason, s.Pulses-pulses, b.eng.Report().Counts[c.reason])
		}
		if c.reason == reason.ReceiverSpoofed {
			good := good
			good.Source, good.HasSpoofing, good.Spoofing = "SEC-SIG", true, gnss.ThreatNone
			for range 30 {
				b.say(k, good)
				k++
			}
		}
		for range 30 {
			b.say(k, good)
			k++
		}
		if s := b.last(); s.State != status.Locked || s.Epoch != 0 && s.Epoch != 1 {
			t.Errorf("%v: %v (%s) after it was gone\n%s", c.reason, s.State, s.Reason, &b.log)
		}
	}
}

// Pulses that drift from the moment the antenna is pulled move the clock by no
// more than those before the receiver reported it.
func TestAntennaPulled(t *testing.T) {
	b := customBench(t, 0, func(*refclock.Config) {})
	good := gnss.Message{Source: "NAV-PVT", Valid: true, Fix: gnss.Fix3D, RF: gnss.RF{HasAntenna: true, Antenna: gnss.AntennaOK}}
	for k := 1; k < 60; k++ {
		b.say(k, good)
	}
	open := good
	open.Antenna = gnss.AntennaOpen
	for k := 60; k < 90; k++ {
		sec := truth0 + tai.Time(k)*tai.Second
		b.now = b.clock.MonoAt(sec) + 50e3
		at := b.clock.MonoAt(sec) + int64(k-60)*300 // ns late, growing: the receiver's own oscillator
		b.eng.Edge(pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(at)), Mono: b.now, Seq: uint32(k)})
		b.now += 200e6
		m := open // still "valid", as receivers are for twenty seconds
		m.Mono, m.Stated, m.HasDate, m.HasTimeOfDay, m.Time = b.now, true, true, true, sec
		b.eng.Message(&m)
		b.now += 500e6
		b.eng.Tick()
	}
	if e := b.clock.Error(b.now); e < -100 || e > 100 || b.last().State != status.Holdover {
		t.Errorf("off by %.0f ns, %v (%s)", e, b.last().State, b.last().Reason)
	}
}

// An alarm holds from before the clock is there. Of two alarms the one with the
// higher priority is named.
func TestAlarmFromTheStart(t *testing.T) {
	b := customBench(t, 0, func(cfg *refclock.Config) { cfg.Integrity.Outside.Code = reason.WitnessAwaited })
	good := gnss.Message{Source: "ZDA", Valid: true}
	for k := 1; k < 30; k++ {
		b.say(k, good)
	}
	if s := b.last(); s.State != status.Unlocked || s.Pulses != 0 || !strings.Contains(s.Reason, "witness_awaited") || s.Usable(b.now) {
		t.Errorf("%v (%s), %d pulses", s.State, s.Reason, s.Pulses)
	}
	short := gnss.Message{Source: "MON-RF", RF: gnss.RF{HasAntenna: true, Antenna: gnss.AntennaShort}}
	b.now += 1e6
	short.Mono = b.now
	b.eng.Message(&short)
	b.eng.Tick()
	if s := b.last(); s.Reason != "doubted: antenna_short" {
		t.Errorf("the reason is still %q", s.Reason)
	}
	if l := b.eng.Report().Label; l.Time != truth0+29*tai.Second {
		t.Errorf("latest label is of %v", l.Time.Sub(truth0))
	}
}

// A date moved by 1024 weeks disciplines nothing without other
// evidence, and a date before not_before nothing at all.
func TestRollover(t *testing.T) {
	const weeks = 7 * 86400 * tai.Second
	floor := truth0 - 20*86400*tai.Second
	for _, c := range []struct {
		name   string
		m      gnss.Message
		system time.Duration // CLOCK_REALTIME minus truth
		refuse bool
		lock   bool
		count  reason.Code
	}{
		{"policy refuses", gnss.Message{Source: "RMC", Valid: true, Rollover: 1024}, 0, true, false, reason.MessageRollover},
		{"system clock in 1970", gnss.Message{Source: "RMC", Valid: true, Rollover: 1024}, -56 * 365 * 24 * time.Hour, false, false, reason.MessageRollover},
		{"system clock before not_before", gnss.Message{Source: "RMC", Valid: true, Rollover: 1024}, -365 * 24 * time.Hour, false, false, reason.MessageRollover},
		{"system clock 1024 weeks ahead", gnss.Message{Source: "RMC", Valid: true, Rollover: 1024}, 1024 * 7 * 24 * time.Hour, false, false, reason.MessageTooEarly},
		{"not corrected", gnss.Message{Source: "RMC", Valid: true, Time: -1024 * weeks}, 0, false, false, reason.MessageTooEarly},
		{"system clock agrees", gnss.Message{Source: "RMC", Valid: true, Rollover: 1024}, 40 * 24 * time.Hour, false, true, reason.Code(reason.Count)},
		{"nothing to correct", gnss.Message{Source: "RMC", Valid: true}, -56 * 365 * 24 * time.Hour, true, true, reason.Code(reason.Count)},
	} {
		b := customBench(t, c.system, func(cfg *refclock.Config) { cfg.Integrity.NotBefore, cfg.Integrity.RefuseRollover = floor, c.refuse })
		for k := 1; k < 30; k++ {
			b.say(k, c.m)
		}
		s := b.last()
		if (s.State == status.Locked) != c.lock || s.Usable(b.now) != c.lock {
			t.Errorf("%s: %v (%s)\n%s", c.name, s.State, s.Reason, &b.log)
		}
		if int(c.count) < reason.Count && b.eng.Report().Counts[c.count] != 29 {
			t.Errorf("%s: %v counted %d times", c.name, c.count, b.eng.Report().Counts[c.count])
		}
		if n := strings.Count(b.log.String(), "past a week rollover"); c.lock && c.m.Rollover != 0 && n != 1 {
			t.Errorf("%s: said %d times:\n%s", c.name, n, &b.log)
		}
	}
	// A clock that is tracked needs no other evidence.
	b := customBench(t, -56*365*24*time.Hour, func(cfg *refclock.Config) { cfg.Integrity.NotBefore = floor })
	for k := 1; k < 60; k++ {
		m := gnss.Message{Source: "RMC", Valid: true}
		if k > 30 {
			m.Rollover = 1024
		}
		b.say(k, m)
	}
	if s := b.last(); s.State != status.Locked || b.eng.Report().Counts[reason.MessageRollover] != 0 {
		t.Errorf("while tracked: %v (%s)\n%s", s.State, s.Reason, &b.log)
	}
}
