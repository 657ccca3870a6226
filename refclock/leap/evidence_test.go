package leap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

const (
	ms   = time.Millisecond
	late = 120 * ms // of messages after their second
)

// evidenceSite is a receiver with its clocks before the first lock. A pulse comes
// with every second.
type evidenceSite struct {
	tables []*tai.Table
	proof  Proof

	system   func(k int) (off time.Duration, known bool) // system clock - true UTC at second k
	kept     bool                                        // another program disciplines it
	own      bool                                        // this receiver may have set it
	isSystem bool                                        // it is the clock to be disciplined
	set      bool                                        // this program sets it
	went     func(k int) bool                            // this program was locked earlier in this boot
	clock    func(k int) (off time.Duration, known bool) // the clock to be disciplined - true TAI
	tracked  func(k int) bool
	noPulse  bool
	early    func(k int) time.Duration   // by which the pulse of second k is early
	say      func(k int) []*gnss.Message // about true second k
}

// at is a clock that is constantly off.
func at(off time.Duration) func(int) (time.Duration, bool) {
	return func(int) (time.Duration, bool) { return off, true }
}

const start = tai.Time(1795435200+37) * tai.Second // 2026-11-23 12:00:00 UTC

// label makes a message whose label is wrong by so many seconds.
func label(k, wrong int, edit ...func(*gnss.Message)) *gnss.Message {
	t := start + tai.Time(k+wrong)*tai.Second
	m := &gnss.Message{Source: "RMC", Talker: "GP", Stated: true, Valid: true, HasDate: true, Fix: gnss.FixGNSS, Civil: civil(t.UTC(37)), Time: t}
	for _, e := range edit {
		e(m)
	}
	return m
}

// Edits of a label.
func void(m *gnss.Message) {
	m.Valid, m.Stated, m.HasDate, m.Fix, m.HasTimeOfDay, m.Time = false, false, false, gnss.FixNone, false, 0
}
func noFix(m *gnss.Message) { m.Valid, m.Fix = false, gnss.FixNone }
func zda(m *gnss.Message)   { m.Source, m.Fix, m.FixRepeated = "ZDA", gnss.FixUnknown, true }
func gps(m *gnss.Message) {
	m.Source, m.Talker, m.Uniform, m.Fix, m.FixRepeated = "NAV-TIMEGPS", "", true, gnss.FixUnknown, true
}
func pvt(m *gnss.Message) { m.Source, m.Talker, m.UTC = "NAV-PVT", "", gnss.UTCResolved }

// count makes a message that announces a count without naming an instant.
func count(n int, src gnss.LeapSource) *gnss.Message {
	return &gnss.Message{Source: "NAV-TIMELS", Leap: gnss.Leap{LeapOffset: n, LeapSource: src}}
}

// run plays the site and returns in which seconds the lock would wait, and the
// Authority.
func (x *evidenceSite) run(seconds int) (waits []bool, a *Authority, events []reason.Event) {
	if x.tables == nil {
		x.tables = []*tai.Table{tableOf("list", 2028)}
	}
	a = New(x.tables, x.proof, Earlier{})
	for k := range seconds {
		second := start + tai.Time(k)*tai.Second
		clocks := func(mono int64) reading.Clocks {
			since := time.Duration(mono - int64(k+1)*1e9)
			in := reading.Clocks{Mono: mono, Unlocked: true, SystemDisciplined: x.kept, SystemOwn: x.own, ClockIsSystem: x.isSystem, SystemSet: x.set, SystemDoubted: x.set && a.ClockDoubted()}
			in.Continued = x.went != nil && x.went(k)
			if !x.noPulse {
				in.Pulse = int64(k+1) * 1e9
				if x.early != nil {
					in.Pulse -= int64(x.early(k))
				}
			}
			if x.system != nil {
				if off, ok := x.system(k); ok {
					in.System = second.Add(since + off)
					in.TAIOffset = 37 * time.Second
					in.SystemPlausible = off.Abs() < 20*365*24*time.Hour
				}
			}
			if x.clock != nil {
				if off, ok := x.clock(k); ok {
					in.Clock = second.Add(since + off)
				}
			}
			if x.tracked != nil && x.tracked(k) {
				in.Tracked, in.Unlocked = true, false
			}
			return in
		}
		for i, m := range x.say(k) {
			m.Mono = int64(k+1)*1e9 + int64(late) + int64(i)*40e6
			events = append(events, a.Message(m, clocks(m.Mono), m.HasDate).Events...)
		}
		events = append(events, a.Tick(clocks(int64(k+1)*1e9+9e8)).Events...)
		waits = append(waits, slices.Contains(a.Alarms(), reason.LeapUnconfirmed))
	}
	return waits, a, events
}

func one(m *gnss.Message) []*gnss.Message { return []*gnss.Message{m} }

// The lock waits for evidence of the leap count. Each kind of evidence ends the
// wait, and nothing else does.
func TestLockWaitsForEvidence(t *testing.T) {
	t.Parallel()
	const never = 1 << 30
	always := func(int) bool { return true }
	rmc := func(wrong int) func(int) []*gnss.Message {
		return func(k int) []*gnss.Message { return one(label(k, wrong)) }
	}
	announced := func(n int, src gnss.LeapSource) func(int) []*gnss.Message {
		return func(k int) (all []*gnss.Message) {
			all = one(label(k, 37-n))
			if k%10 == 3 {
				all = append(all, count(n, src))
			}
			return all
		}
	}
	each := func(wrong int, edits ...func(*gnss.Message)) func(int) []*gnss.Message {
		return func(k int) []*gnss.Message { return one(label(k, wrong, edits...)) }
	}
	expired := []*tai.Table{tableOf("list", 2026)}
	for _, c := range []struct {
		name string
		site evidenceSite
		want int // the wait ends at this second; -1: there is none; never: not within 26 min
	}{
		{"nothing speaks against it", evidenceSite{say: rmc(0)}, 781},
		{"a fix after a while", evidenceSite{say: func(k int) []*gnss.Message {
			if k < 40 {
				return one(label(k, 3, void))
			}
			return one(label(k, 3))
		}}, 821},
		{"the fix was lost for 10 s", evidenceSite{say: func(k int) []*gnss.Message {
			if k >= 300 && k < 310 {
				return one(label(k, 3, noFix))
			}
			return one(label(k, 0))
		}}, 1091},
		{"the fix was lost for 3 s", evidenceSite{say: func(k int) []*gnss.Message {
			if k >= 300 && k < 303 {
				return one(label(k, 3, noFix))
			}
			return one(label(k, 0))
		}}, 781},
		{"the receiver was silent for 10 s", evidenceSite{say: func(k int) []*gnss.Message {
			if k >= 300 && k < 310 {
				return nil
			}
			return one(label(k, 0))
		}}, 1091},
		{"ZDA alone", evidenceSite{say: each(0, zda)}, never},
		{"NAV-PVT whose UTC is resolved", evidenceSite{say: each(0, pvt)}, 781},
		{"the system clock is a minute off", evidenceSite{say: rmc(0), system: at(time.Minute)}, 781},
		{"the system clock is 40 years off", evidenceSite{say: rmc(0), system: at(-40 * 365 * 24 * time.Hour)}, 781},
		{"the system clock is 0.4 s off", evidenceSite{say: rmc(0), system: at(400 * ms)}, 781},
		{"the system clock is 3 s off", evidenceSite{say: rmc(0), system: at(-3 * time.Second)}, never},
		{"labels are a second ahead for ever, and the system clock is right", evidenceSite{say: rmc(1), system: at(3 * ms)}, never},
		{"labels are in GPS time", evidenceSite{say: rmc(18), system: at(3 * ms)}, never},
		{"labels are in TAI", evidenceSite{say: rmc(37), system: at(3 * ms)}, never},
		{"the system clock is 40 s behind", evidenceSite{say: rmc(0), system: at(-40 * time.Second)}, 781},
		{"labels are in TAI, and this receiver may have set the system clock", evidenceSite{say: rmc(37), system: at(3 * ms), own: true}, 781},
		{"labels have a date of last week", evidenceSite{say: rmc(-7 * 86400), system: at(3 * ms)}, never},
		{"labels have a date of next year", evidenceSite{say: rmc(365 * 86400), system: at(3 * ms)}, never},
		{"labels have a date of 2021", evidenceSite{say: rmc(-2088 * 86400), system: at(3 * ms)}, never},
		{"the same, corrected by 1024 weeks", evidenceSite{say: each(-30*86400, func(m *gnss.Message) { m.Rollover = 1024 }), system: at(3 * ms)}, 781},
		{"the system clock is days and some seconds off", evidenceSite{say: rmc(0), system: at(-72*time.Hour - 8*time.Second)}, 781},
		{"GPS time by configuration, with a date of yesterday", evidenceSite{say: each(-86400, zda, func(m *gnss.Message) { m.Uniform = true }), system: at(3 * ms)}, never},
		{"GPS time by configuration, in a local time", evidenceSite{say: each(3600, zda, func(m *gnss.Message) { m.Uniform = true }), system: at(3 * ms)}, never},
		{"GPS time by configuration, with a date of next month", evidenceSite{say: each(30*86400, zda, func(m *gnss.Message) { m.Uniform = true }), system: at(3 * ms)}, never},
		{"GPS time of NAV-TIMEGPS, the system clock is days off", evidenceSite{say: each(0, gps, func(m *gnss.Message) { m.UTC = gnss.UTCUnresolved }), system: at(72 * time.Hour)}, -1},
		{"the system clock agrees, and this receiver set it", evidenceSite{say: rmc(0), system: at(3 * ms), own: true}, 781},
		{"no pulses: there is nothing to hold back", evidenceSite{say: rmc(3), noPulse: true}, -1},
		{"labels come a second late, and the system clock is right", evidenceSite{say: rmc(-1), system: at(3 * ms)}, never},
		{"the same, disciplined to 0.2 s", evidenceSite{say: rmc(-1), system: at(-200 * ms), kept: true}, never},
		{"the same, which this program kept earlier in this boot", evidenceSite{say: rmc(-1), system: at(200 * ms), set: true, went: always}, never},
		{"the same, with GPS's count", evidenceSite{say: func(k int) []*gnss.Message { return []*gnss.Message{label(k, -1), count(37, gnss.LeapGPS)} }, system: at(3 * ms)}, never},
		{"the same, and this receiver may have set the system clock", evidenceSite{say: rmc(-1), system: at(3 * ms), own: true}, 781},
		{"the same, and the card's clock agrees", evidenceSite{say: rmc(-1), system: at(3 * ms), clock: at(-time.Second)}, -1},
		{"labels come 18 s late", evidenceSite{say: rmc(-18), system: at(3 * ms)}, never},
		{"labels are in a local time", evidenceSite{say: rmc(-5 * 3600), system: at(3 * ms)}, never},
		{"labels are in a local time to the east", evidenceSite{say: rmc(5*3600 + 1800), system: at(-3 * ms)}, never},
		{"labels have yesterday's date", evidenceSite{say: rmc(-24 * 3600), system: at(3 * ms)}, never},
		{"the system clock is hours and some seconds behind", evidenceSite{say: rmc(0), system: at(-3*time.Hour - 8*time.Second)}, 781},
		{"the system clock is hours and some seconds ahead", evidenceSite{say: rmc(0), system: at(3*time.Hour + 8*time.Second)}, 781},
		{"the system clock is a second ahead, and drifts away", evidenceSite{say: rmc(0), system: func(k int) (time.Duration, bool) {
			return time.Second + time.Duration(k)*20*time.Microsecond, true
		}}, 1001},
		{"labels come a second late, and the system clock is set away later", evidenceSite{say: rmc(0), system: func(k int) (time.Duration, bool) {
			if k < 1200 {
				return time.Second, true
			}
			return 8500 * ms, true
		}}, 1200},
		{"labels are a second ahead for ever, and the system clock is disciplined", evidenceSite{say: rmc(1), system: at(3 * ms), kept: true}, never},
		{"GPS time comes a second late", evidenceSite{say: each(-1, gps, func(m *gnss.Message) { m.UTC = gnss.UTCUnresolved }), system: at(3 * ms)}, never},
		{"the same, with its count", evidenceSite{say: each(-1, gps, func(m *gnss.Message) { m.UTC, m.LeapOffset, m.LeapSource = gnss.UTCResolved, 37, gnss.LeapHeard }), system: at(3 * ms)}, never},
		{"UTC with a fix, and TAI is configured", evidenceSite{say: each(-37, func(m *gnss.Message) { m.Uniform = true }), system: at(3 * ms)}, never},
		{"TAI with a fix, and GPS time is configured", evidenceSite{say: each(19, func(m *gnss.Message) { m.Uniform = true }), system: at(3 * ms)}, never},
		{"the clock is a second off", evidenceSite{say: rmc(0), clock: at(time.Second)}, 781},
		{"the clock agrees and is the system clock, which this receiver set", evidenceSite{say: rmc(0), clock: at(0), system: at(0), own: true, isSystem: true}, 781},
		{"a count that is the firmware's", evidenceSite{say: announced(37, gnss.LeapFirmware)}, never},
		{"an aided count", evidenceSite{say: announced(37, gnss.LeapAided)}, never},
		{"a configured count", evidenceSite{say: announced(36, gnss.LeapConfigured)}, never},
		{"a count of unknown source", evidenceSite{say: announced(37, gnss.LeapUnknown)}, never},
		{"a count from satellites, no fix reported", evidenceSite{say: func(k int) []*gnss.Message { return []*gnss.Message{label(k, 2, zda), count(37, gnss.LeapHeard)} }}, never},
		{"NAV-TIMEGPS without leap seconds does not confirm RMC later", evidenceSite{say: func(k int) []*gnss.Message {
			if k < 100 {
				return one(label(k, 0, gps, func(m *gnss.Message) { m.UTC = gnss.UTCUnresolved }))
			}
			return one(label(k, 3))
		}}, 880},
		{"the labels move ahead", evidenceSite{say: func(k int) []*gnss.Message {
			if k < 700 {
				return one(label(k, 0))
			}
			return one(label(k, 1))
		}}, 1483},
		{"the labels move back", evidenceSite{say: func(k int) []*gnss.Message {
			if k < 700 {
				return one(label(k, 1))
			}
			return one(label(k, 0))
		}}, 781},
		{"the labels are behind for a minute", evidenceSite{say: func(k int) []*gnss.Message {
			if k >= 600 && k < 660 {
				return one(label(k, -1))
			}
			return one(label(k, 0))
		}}, 781},
		{"the labels are behind now and then", evidenceSite{say: func(k int) []*gnss.Message {
			if k >= 600 && k < 660 && k%8 < 5 {
				return one(label(k, -1))
			}
			return one(label(k, 0))
		}}, 781},
		{"two labels are behind", evidenceSite{say: func(k int) []*gnss.Message {
			if k == 700 || k == 701 {
				return one(label(k, -1))
			}
			return one(label(k, 0))
		}}, 781},
		{"GPS time by configuration, the system clock differs by 18 s", evidenceSite{say: each(18, zda, func(m *gnss.Message) { m.Uniform = true }), system: at(3 * ms)}, never},

		{"the system clock is 30 ms from a label that is wrong by a second", evidenceSite{say: rmc(1), system: at(970 * ms)}, 781},
		{"the same, 3 s", evidenceSite{say: rmc(3), system: at(3040 * ms)}, 781},
		{"the same, a second late", evidenceSite{say: rmc(-1), system: at(-975 * ms)}, 781},
		{"the system clock is 0.2 s off", evidenceSite{say: rmc(0), system: at(200 * ms)}, 781},
		{"the system clock is 0.2 s off, which this program sets and has not kept", evidenceSite{say: rmc(0), system: at(200 * ms), set: true}, 781},
		{"the system clock is 0.2 s off, and this program kept another clock", evidenceSite{say: rmc(0), system: at(200 * ms), went: always}, 781},
		{"the clock is 30 ms from a label that is wrong by a second", evidenceSite{say: rmc(1), clock: at(970 * ms)}, 781},
		{"the clock is 0.2 s off, and nobody kept it", evidenceSite{say: rmc(0), clock: at(-200 * ms)}, 781},

		{"the system clock agrees", evidenceSite{say: rmc(0), system: at(15 * ms)}, -1},
		{"the system clock agrees, slow", evidenceSite{say: rmc(0), system: at(-15 * ms)}, -1},
		{"the system clock agrees, which this program kept earlier in this boot", evidenceSite{say: rmc(0), system: at(200 * ms), set: true, went: always}, -1},
		{"the system clock agrees, disciplined", evidenceSite{say: rmc(0), system: at(-200 * ms), kept: true}, -1},
		{"the system clock agrees, disciplined, though this receiver set it once", evidenceSite{say: rmc(0), system: at(0), kept: true, own: true}, -1},
		{"the system clock agrees from the third minute on", evidenceSite{say: rmc(0), system: func(k int) (time.Duration, bool) { return 3 * ms, k >= 120 }}, 120},
		{"the stale count ends", evidenceSite{say: func(k int) []*gnss.Message {
			if k < 185 {
				return one(label(k, 3))
			}
			return one(label(k, 0))
		}, system: at(3 * ms)}, 185},
		{"the clock agrees", evidenceSite{say: rmc(0), clock: at(-15 * ms)}, -1},
		{"the clock agrees, which this program kept earlier in this boot", evidenceSite{say: rmc(0), clock: at(-200 * ms), went: always}, -1},
		{"GPS's count", evidenceSite{say: announced(37, gnss.LeapGPS)}, 3},
		{"SBAS's count", evidenceSite{say: announced(37, gnss.LeapSBAS)}, 3},
		{"BeiDou's count", evidenceSite{say: announced(37, gnss.LeapBeiDou)}, 3},
		{"Galileo's count", evidenceSite{say: announced(37, gnss.LeapGalileo)}, 3},
		{"GLONASS's count", evidenceSite{say: announced(37, gnss.LeapGLONASS)}, 3},
		{"NavIC's count", evidenceSite{say: announced(37, gnss.LeapNavIC)}, 3},
		{"GPS's count, the system clock is behind by whole seconds", evidenceSite{say: announced(37, gnss.LeapGPS), system: at(-2*time.Second - 3*ms)}, never},
		{"the same ahead", evidenceSite{say: announced(37, gnss.LeapGPS), system: at(2*time.Second + 3*ms)}, never},
		{"the same by a day", evidenceSite{say: announced(37, gnss.LeapGPS), system: at(-24*time.Hour - 3*ms)}, never},
		{"the same, and then the labels follow", evidenceSite{say: func(k int) []*gnss.Message {
			if k < 40 {
				return []*gnss.Message{label(k, 2), count(37, gnss.LeapGPS)}
			}
			return []*gnss.Message{label(k, 0), count(37, gnss.LeapGPS)}
		}, system: at(3 * ms)}, 40},
		{"GPS's count, the system clock is off by no whole second", evidenceSite{say: announced(37, gnss.LeapGPS), system: at(2400 * ms)}, 3},
		{"GPS's count, this receiver set the system clock", evidenceSite{say: announced(37, gnss.LeapGPS), system: at(2 * time.Second), own: true}, 3},
		{"GPS's count, the system clock is days off", evidenceSite{say: announced(37, gnss.LeapGPS), system: at(72 * time.Hour)}, 3},
		{"GPS time", evidenceSite{say: each(0, gps)}, -1},
		{"GPS time after NAV-PVT", evidenceSite{say: func(k int) []*gnss.Message { return []*gnss.Message{label(k, 3, pvt), label(k, 0, gps)} }}, -1},
		{"GPS time or TAI by configuration", evidenceSite{say: each(0, zda, func(m *gnss.Message) { m.Uniform = true })}, -1},
		{"GPS time, the system clock is off by no whole second", evidenceSite{say: each(0, gps), system: at(-4600 * ms)}, -1},
		{"GPS time with its count, the system clock is off by no whole second", evidenceSite{say: each(0, gps, func(m *gnss.Message) { m.UTC, m.LeapOffset, m.LeapSource = gnss.UTCResolved, 37, gnss.LeapHeard }), system: at(-6600 * ms)}, -1},
		{"GPS time with its count, the system clock is 6 s behind", evidenceSite{say: each(0, gps, func(m *gnss.Message) { m.UTC, m.LeapOffset, m.LeapSource = gnss.UTCResolved, 37, gnss.LeapHeard }), system: at(-6 * time.Second)}, never},
		{"GPS time, the system clock knows of a leap second that the tables lack", evidenceSite{say: each(0, gps), system: at(-time.Second), tables: expired}, never},
		{"labels with a fraction, the system clock agrees", evidenceSite{say: each(0, func(m *gnss.Message) { m.Time -= 7 * tai.Second / 10 }), system: at(3 * ms)}, -1},
		{"the clock is tracked", evidenceSite{say: rmc(3), tracked: func(int) bool { return true }, clock: at(0)}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			waits, _, _ := c.site.run(1600)
			got := -1
			for k, w := range waits {
				switch {
				case w && k == len(waits)-1:
					got = never
				case w:
					got = k + 1
				}
			}
			if got != c.want {
				t.Errorf("waits until second %d, want %d", got, c.want)
			}
		})
	}
}

// What the policies let count.
func TestProofPolicies(t *testing.T) {
	t.Parallel()
	rmc := func(k int) []*gnss.Message { return one(label(k, 0)) }
	for _, c := range []struct {
		name string
		site evidenceSite
		want [3]bool // waits after a minute: auto, always, never
	}{
		{"nothing", evidenceSite{say: rmc}, [3]bool{true, true, false}},
		{"a system clock that nobody disciplines", evidenceSite{say: rmc, system: at(0)}, [3]bool{false, true, false}},
		{"a disciplined system clock", evidenceSite{say: rmc, system: at(0), kept: true}, [3]bool{false, false, false}},
		{"the clock ran on", evidenceSite{say: rmc, clock: at(0)}, [3]bool{false, false, false}},
		{"GPS's count", evidenceSite{say: func(k int) []*gnss.Message { return []*gnss.Message{label(k, 0), count(37, gnss.LeapGPS)} }}, [3]bool{false, false, false}},
		{"GPS time", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 0, gps)) }}, [3]bool{false, false, false}},
	} {
		for p, want := range c.want {
			x := c.site
			x.proof = Proof(p)
			if waits, _, _ := x.run(60); waits[59] != want {
				t.Errorf("%s, %s: waits %v", c.name, ProofNames()[p], waits[59])
			}
		}
	}
	for i, word := range ProofNames() {
		if p, ok := ParseProof(word); !ok || p != Proof(i) {
			t.Errorf("%s: %v %v", word, p, ok)
		}
	}
	if _, ok := ParseProof("true"); ok {
		t.Error("a policy that there is not")
	}
}

// Certainty is taken back when its ground goes.
func TestEvidenceIsTakenBack(t *testing.T) {
	t.Parallel()
	const change = 60 // the second in which it happens
	confirmedBy := map[string]func(k int) []*gnss.Message{
		"count":   func(k int) []*gnss.Message { return []*gnss.Message{label(k, 0), count(37, gnss.LeapGPS)} },
		"uniform": func(k int) []*gnss.Message { return one(label(k, 0, gps)) },
		"system":  func(k int) []*gnss.Message { return one(label(k, 0)) },
	}
	for _, c := range []struct {
		name  string
		by    string
		site  evidenceSite
		after func(k int) []*gnss.Message
		want  bool // waits a minute later
	}{
		{"a cold start after the count, then RMC 3 s ahead", "count", evidenceSite{}, func(k int) []*gnss.Message {
			if k < change+15 {
				return one(label(k, 0, void))
			}
			return one(label(k, 3))
		}, true},
		{"a cold start that only shows as silence", "count", evidenceSite{}, func(k int) []*gnss.Message {
			if k < change+10 {
				return nil
			}
			return one(label(k, 3))
		}, true},
		{"a cold start after GPS time, then RMC 3 s ahead", "uniform", evidenceSite{}, func(k int) []*gnss.Message {
			if k < change+15 {
				return one(label(k, 0, void))
			}
			return one(label(k, 3))
		}, true},
		{"the labels jump", "count", evidenceSite{}, func(k int) []*gnss.Message { return one(label(k, 3)) }, true},
		{"the labels jump away from the system clock", "system", evidenceSite{system: at(0)}, func(k int) []*gnss.Message { return one(label(k, 3)) }, true},
		{"the source of the count is the firmware now", "count", evidenceSite{}, func(k int) []*gnss.Message {
			return []*gnss.Message{label(k, 0), count(37, gnss.LeapFirmware)}
		}, true},
		{"the leap seconds of NAV-TIMEGPS are not valid any more", "count", evidenceSite{}, func(k int) []*gnss.Message {
			if k == change {
				return one(label(k, 0, gps, func(m *gnss.Message) { m.UTC = gnss.UTCUnresolved }))
			}
			return one(label(k, 0))
		}, true},
		{"GPS time ends, RMC goes on", "uniform", evidenceSite{}, func(k int) []*gnss.Message { return one(label(k, 0)) }, true},
		{"the system clock is stepped away", "system", evidenceSite{system: func(k int) (time.Duration, bool) {
			if k >= change {
				return 2 * time.Second, true
			}
			return 0, true
		}}, func(k int) []*gnss.Message { return one(label(k, 0)) }, true},

		{"a second without a fix", "count", evidenceSite{}, func(k int) []*gnss.Message {
			if k == change {
				return one(label(k, 0, noFix))
			}
			return one(label(k, 0))
		}, false},
		{"another system has no fix", "count", evidenceSite{}, func(k int) []*gnss.Message {
			return []*gnss.Message{label(k, 0), {Source: "GGA", Talker: "GL", Fix: gnss.FixNone, Solution: gnss.Solution{FixElsewhere: true}}}
		}, false},
		{"the labels jump, and the count is announced again", "count", evidenceSite{}, func(k int) []*gnss.Message {
			return []*gnss.Message{label(k, 1), count(36, gnss.LeapGPS)}
		}, false},
	} {
		x := c.site
		x.say = func(k int) []*gnss.Message {
			if k < change {
				return confirmedBy[c.by](k)
			}
			return c.after(k)
		}
		waits, _, _ := x.run(change + 60)
		if waits[change-1] || waits[change+59] != c.want {
			t.Errorf("%s: waits before %v, a minute later %v", c.name, waits[change-1], waits[change+59])
		}
	}
}

// Labels that moved lately do not have the count yet that 13 minutes of tracking give: it
// is applied late, or taken back.
func TestTrackingConfirmsLabelsThatStay(t *testing.T) {
	t.Parallel()
	const track = 781 // s, after which it confirms
	for _, c := range []struct {
		name  string
		wrong func(k int) int
		until int // the last second that waits
	}{
		{"labels stay", func(int) int { return 0 }, track - 1},
		{"the count is received in the last minute", func(k int) int {
			if k < track-20 {
				return 3
			}
			return 0
		}, track - 20 + 2 + 65},
		{"labels are a second back for 47 s", func(k int) int {
			if k >= track-38 && k < track+9 {
				return -1
			}
			return 0
		}, track + 9 + 2 + 65},
		{"they moved long before", func(k int) int {
			if k < track-300 {
				return 1
			}
			return 0
		}, track - 1},
	} {
		x := evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, c.wrong(k))) }}
		waits, _, _ := x.run(track + 200)
		last := -1
		for k, w := range waits {
			if w {
				last = k
			}
		}
		if last != c.until {
			t.Errorf("%s: waits until %d s, want %d s", c.name, last, c.until)
		}
	}
}

// Only satellites in the solution, reported now and without contradiction, make a fix in
// which the count must be received.
func TestFixIsFromSatellites(t *testing.T) {
	t.Parallel()
	const track, never = 781, 2400 - 1 // s, after which it confirms; the last second played
	sats := func(n int) func(*gnss.Message) {
		return func(m *gnss.Message) { m.Source, m.HasSats, m.Sats = "GGA", true, n }
	}
	manual := func(m *gnss.Message) { m.Fix = gnss.FixManual }
	gsa := func(used bool) *gnss.Message {
		return &gnss.Message{Source: "GSA", Talker: "GP", Fix: gnss.Fix3D, Solution: gnss.Solution{FixRepeated: true}, View: gnss.View{Satellites: []gnss.Satellite{{ID: 5, Used: used}}}}
	}
	each := func(edits ...func(*gnss.Message)) func(int) []*gnss.Message {
		return func(k int) []*gnss.Message { return one(label(k, 0, edits...)) }
	}
	for _, c := range []struct {
		name string
		say  func(k int) []*gnss.Message
		want int // the last second that waits
	}{
		{"entered by hand", each(manual), never},
		{"entered by hand, no satellites", each(manual, sats(0)), never},
		{"entered by hand, satellites in view", func(k int) []*gnss.Message { return []*gnss.Message{label(k, 0, manual), gsa(false)} }, never},
		{"entered by hand, no satellites, which GSA still lists", func(k int) []*gnss.Message { return []*gnss.Message{label(k, 0, manual, sats(0)), gsa(true)} }, never},
		{"entered by hand, satellites for 10 minutes", func(k int) []*gnss.Message {
			if k < 600 {
				return one(label(k, 0, manual, sats(6)))
			}
			return one(label(k, 0, manual))
		}, never},
		{"dead reckoning or simulation", each(func(m *gnss.Message) { m.Fix = gnss.FixEstimated }, sats(6)), never},
		{"another sentence says that there is none", each(func(m *gnss.Message) { m.FixDisputed = true }), never},
		{"one sentence again and again, then others", func(k int) []*gnss.Message { return one(label(max(k, 700), 0)) }, 700 + track},
		{"one sentence of GPS time again and again, then others", func(k int) []*gnss.Message {
			return []*gnss.Message{label(k, 0, zda), label(max(k, 700), 0, gps, func(m *gnss.Message) { m.UTC, m.HasDate = gnss.UTCUnresolved, false })}
		}, never},

		{"entered by hand, with satellites", each(manual, sats(6)), track - 1},
		{"entered by hand, satellites by GSA", func(k int) []*gnss.Message { return []*gnss.Message{gsa(true), label(k, 0, manual)} }, track - 1},
		{"from satellites", each(), track - 1},
		{"from satellites, the number is not sent", each(sats(0), func(m *gnss.Message) { m.HasSats = false }), track - 1},
		{"one sentence for 2 s", func(k int) []*gnss.Message {
			if k >= 300 && k < 302 {
				return one(label(300, 0))
			}
			return one(label(k, 0))
		}, track - 1},
	} {
		waits, _, _ := (&evidenceSite{say: c.say}).run(never + 1)
		last := -1
		for k, w := range waits {
			if w {
				last = k
			}
		}
		if last != c.want {
			t.Errorf("%s: waits until %d s, want %d s", c.name, last, c.want)
		}
	}
}

// A lock that is lost because its pulses were displaced leaves the evidence for the labels
// as it was: they ran on.
func TestLabelsRanOnSinceTheLock(t *testing.T) {
	t.Parallel()
	right := func(k int) []*gnss.Message { return one(label(k, 0)) }
	then := func(from int, f func(k int) []*gnss.Message) func(k int) []*gnss.Message {
		return func(k int) []*gnss.Message {
			if k >= from {
				return f(k)
			}
			return right(k)
		}
	}
	early := func(from, to int, by time.Duration) func(int) time.Duration {
		return func(k int) time.Duration {
			if k >= from && k < to {
				return by
			}
			return 0
		}
	}
	// The system clock was set to displaced pulses, which return later.
	steered := func(say func(k int) []*gnss.Message) evidenceSite {
		x := evidenceSite{say: say, isSystem: true, set: true, early: early(8, 30, 400*ms)}
		x.tracked = func(k int) bool { return k >= 6 && k < 60 }
		x.system = func(k int) (time.Duration, bool) {
			if k < 10 {
				return 3 * ms, true
			}
			return -400 * ms, true
		}
		x.clock = x.system
		return x
	}
	for _, c := range []struct {
		name string
		say  func(k int) []*gnss.Message
		edit func(*evidenceSite)
		want bool // waits at the end
	}{
		{"another second after the lock", then(60, func(k int) []*gnss.Message { return one(label(k, -1)) }), nil, true},
		{"another second during the lock", then(40, func(k int) []*gnss.Message { return one(label(k, 1)) }), nil, true},
		{"another second for a while", then(60, func(k int) []*gnss.Message {
			if k < 80 {
				return one(label(k, 1))
			}
			return right(k)
		}), nil, false},
		{"another second for longer than the lock", then(60, func(k int) []*gnss.Message {
			if k < 150 {
				return one(label(k, 1))
			}
			return right(k)
		}), nil, true},
		{"another day for a while", then(60, func(k int) []*gnss.Message {
			if k < 67 {
				return one(label(k, -86400))
			}
			return right(k)
		}), nil, false},
		{"another second for a while, and then another one", then(60, func(k int) []*gnss.Message {
			if k < 80 {
				return one(label(k, 1))
			}
			return one(label(k, 2))
		}), nil, true},
		{"the fix was lost", then(60, func(k int) []*gnss.Message {
			if k < 80 {
				return one(label(k, 0, noFix))
			}
			return right(k)
		}), nil, true},
		{"the pulses stay displaced", right, func(x *evidenceSite) { x.early = early(8, 1000, 400*ms) }, true},
		{"nothing had confirmed them", right, func(x *evidenceSite) { x.own = true }, true},
		{"the clock was never locked", right, func(x *evidenceSite) { x.tracked = nil }, true},
		{"leap.prove is always, and nobody keeps the system clock", right, func(x *evidenceSite) { x.proof = ProofAlways }, true},
		{"they ran on", right, nil, false},
		{"they ran on, and the pulses moved by more than half a second", right, func(x *evidenceSite) { x.early = early(20, 50, 800*ms) }, false},
	} {
		x := steered(c.say)
		if c.edit != nil {
			c.edit(&x)
		}
		if waits, _, _ := x.run(240); waits[239] != c.want {
			t.Errorf("%s: waits %v", c.name, waits[239])
		}
	}
}

// A clock that lost its lock while labels contradicted it confirms them no more
// when they return.
func TestDoubtedClockConfirmsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		disputed bool
		site     evidenceSite
		want     bool
	}{
		{"contradicted", true, evidenceSite{}, true},
		{"contradicted, and it is the system clock", true, evidenceSite{system: at(0), isSystem: true, set: true}, true},
		{"contradicted, and the system clock follows it", true, evidenceSite{system: at(0), set: true}, true},
		{"contradicted, and another program keeps the system clock by it", true, evidenceSite{system: at(0), kept: true, set: true}, true},
		{"contradicted, and another program keeps the system clock", true, evidenceSite{system: at(0), kept: true}, false},
		{"the reference was only away", false, evidenceSite{}, false},
		{"the reference was only away, and it is the system clock", false, evidenceSite{system: at(0), isSystem: true, set: true}, false},
	} {
		x := c.site
		x.clock, x.tracked = at(0), func(k int) bool { return k < 100 }
		x.say = func(k int) []*gnss.Message {
			if c.disputed && k >= 60 && k < 140 {
				return one(label(k, -3))
			}
			return one(label(k, 0))
		}
		if waits, _, _ := x.run(200); waits[50] || waits[199] != c.want {
			t.Errorf("%s: waits %v, %v", c.name, waits[50], waits[199])
		}
	}
}

// While labels in GPS time come, labels in UTC that nothing confirms are not used.
func TestUnconfirmedUTCBesideGPSTime(t *testing.T) {
	t.Parallel()
	a := New([]*tai.Table{tableOf("list", 2028)}, ProofAuto, Earlier{})
	play := func(m *gnss.Message) tai.Time {
		return a.Message(m, reading.Clocks{Mono: m.Mono, Unlocked: true}, true).Label
	}
	for k := range 5 {
		rmc, g := label(k, 3), label(k, 0, gps)
		rmc.Mono, g.Mono = int64(k+1)*1e9, int64(k+1)*1e9+5e8
		got := play(rmc)
		if k > 0 && got != 0 {
			t.Errorf("second %d: RMC is used: %v", k, got)
		}
		if play(g) != g.Time {
			t.Errorf("second %d: GPS time is not used", k)
		}
	}
	lone := label(20, 0)
	lone.Mono = 21e9
	if play(lone) == 0 {
		t.Error("RMC is not used after GPS time has ended")
	}
}

// The wait is reported once, with what would shorten it.
func TestWaitIsExplained(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		site evidenceSite
		want []string
	}{
		{"NMEA alone", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 0)) }}, []string{"for_at_most 12m5", "NAV-TIMELS"}},
		{"ZDA alone", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 0, zda)) }}, []string{"let the receiver report its fix from satellites"}},
		{"the system clock differs", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 3)) }, system: at(0)}, []string{"system_clock_off_by -3s", "find out whether"}},
		{"a configured count", evidenceSite{say: func(k int) []*gnss.Message { return []*gnss.Message{label(k, 0), count(37, gnss.LeapConfigured)} }}, []string{"receiver_has_count_from configured"}},
		{"labels come late", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, -2)) }, system: at(0)}, []string{"labels_seem_late_by 2s", "receiver.label_offset", "NTP", "[[witness]]"}},
		{"labels are in a local time", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 3600)) }, system: at(0)}, []string{"labels_seem_early_by 1h0m0s", "local time"}},
		{"labels are in GPS time, within 13 min", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 18)) }, system: at(0)}, []string{"for_at_most", "system_clock_off_by -18s", "NAV-TIMELS"}},
		{"labels are in TAI", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 37)) }, system: at(0)}, []string{"labels_seem_early_by 37s", "receiver.time_scale"}},
		{"labels have a date of next week", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 7*86400)) }, system: at(0)}, []string{"labels_seem_early_by 168h0m0s", "wrong date"}},
		{"GPS time comes late", evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, -1, gps)) }, system: at(0)}, []string{"labels_seem_late_by 1s", "receiver.label_offset"}},
	} {
		_, a, events := c.site.run(120)
		n, text := 0, ""
		for _, e := range events {
			if e.Code == reason.LeapUnconfirmed {
				n++
				text = fmt.Sprint(e.Fields)
			}
		}
		if n != 1 {
			t.Errorf("%s: reported %d times", c.name, n)
		}
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q lacks %q", c.name, text, w)
			}
		}
		if s := a.Status(); !s.Unconfirmed || s.Remedy == "" || s.Confirmed != "" {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	// A clock that lost its lock in contradiction is named.
	disputed := evidenceSite{system: at(0), clock: at(0), isSystem: true, set: true, tracked: func(k int) bool { return k < 100 }}
	disputed.say = func(k int) []*gnss.Message { return one(label(k, max(min(k-80, 1), 0))) }
	if _, a, events := disputed.run(200); !strings.Contains(fmt.Sprint(events), "clock_doubted") || !strings.Contains(a.Status().Remedy, "the clock lost its lock") {
		t.Errorf("doubted: %v, %+v", events, a.Status())
	}
	// What is found out later is logged as well.
	_, a, events := (&evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 0)) }, system: func(k int) (time.Duration, bool) {
		return time.Second, k > 300
	}}).run(400)
	if text := fmt.Sprint(events); len(events) != 2 || strings.Count(text, "labels_seem_late_by") != 1 || !strings.Contains(a.Status().Remedy, "labels seem late by 1s") {
		t.Errorf("late from the sixth minute on: %s; %+v", text, a.Status())
	}
	_, a, events = (&evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 0)) }, system: at(0)}).run(60)
	if s := a.Status(); len(events) != 0 || s.Unconfirmed || s.Confirmed != "system clock" || s.Remedy != "" {
		t.Errorf("confirmed: %v, %+v", events, s)
	}
}

// The required witnesses confirm the count.
func TestWitnessesConfirm(t *testing.T) {
	t.Parallel()
	x := evidenceSite{say: func(k int) []*gnss.Message { return one(label(k, 0)) }}
	_, a, _ := x.run(60)
	if a.WitnessesAgree(61e9); len(a.Alarms()) != 0 {
		t.Error("waits after the witnesses agreed")
	}
}
