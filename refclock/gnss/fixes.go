package gnss

const (
	// staleFix is the age, ns, from which the latest fix no longer applies to a
	// message that reports none itself.
	staleFix = 5e9
	// sameRound is within how long, ns, the messages of all satellite systems are
	// reported once.
	sameRound = 1.2e9
)

// fixes keeps what the receiver reports of its fix. Receivers of several
// satellite systems send sentences about each (GPGGA, GLGGA): one system without
// a fix says nothing against another that has one.
type fixes struct {
	latestFix  Fix
	latestMono int64
	good       map[string]int64   // when a talker reported a fix last
	none       map[sentence]int64 // when a sentence reported last that there is none from satellites

	// When a statement of a mode alone (GSA) was that there is a fix, and that there is none;
	// 0: never.
	modeGood, modeNone int64
}

// mode takes a statement that counts only while no message reports a fix or none.
func (x *fixes) mode(f Fix, mono int64) {
	if f.Good() {
		x.modeGood = mono
	} else {
		x.modeNone = mono
	}
}

// sentence is a kind of message of one talker.
type sentence struct{ talker, source string }

// dispute takes the fix that a message reports, and returns whether the fix is in dispute:
// another sentence of the same talker reported lately that there is none. A receiver that
// contradicts itself may go on with its own clock.
func (x *fixes) dispute(m *Message, f Fix) bool {
	if !f.Good() {
		if x.none == nil {
			x.none = make(map[sentence]int64)
		}
		x.none[sentence{m.Talker, m.Source}] = m.Mono
		return false
	}
	delete(x.none, sentence{m.Talker, m.Source})
	return x.disputed(m)
}

// disputed reports whether a sentence of the message's talker reported lately that there is
// no fix.
func (x *fixes) disputed(m *Message) bool {
	there := false
	for s, at := range x.none {
		if m.Mono-at >= staleFix {
			delete(x.none, s)
			continue
		}
		there = there || s.talker == m.Talker
	}
	return there
}

// report takes the fix that a message reports, and returns whether it is the
// receiver's: not if it is about one satellite system, and another has a fix.
func (x *fixes) report(talker string, f Fix, mono int64) bool {
	if f.Good() {
		if x.good == nil {
			x.good = make(map[string]int64)
		}
		x.good[talker] = mono
	} else {
		delete(x.good, talker)
		if oneSystem(talker) {
			for _, at := range x.good {
				if mono-at < sameRound {
					return false
				}
			}
		}
	}
	x.latestFix, x.latestMono = f, mono
	return true
}

// latest returns the fix reported last, FixUnknown if that was long before mono. If no
// message reports a fix or none, modes decide, of which that of another system may be good.
func (x *fixes) latest(mono int64) Fix {
	if mono-x.latestMono <= staleFix && x.latestFix != FixUnknown {
		return x.latestFix
	}
	recent := func(at int64) bool { return at != 0 && mono-at <= staleFix }
	if recent(x.modeNone) && !recent(x.modeGood) {
		return FixNone
	}
	return FixUnknown
}

// oneSystem reports whether an NMEA talker is one satellite system, not the
// receiver as a whole (GN, IN, II, or a protocol without talkers).
func oneSystem(talker string) bool {
	switch talker {
	case "GP", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI":
		return true
	}
	return false
}

// epochs keeps when the latest times of day were named first. Those in UTC and those
// in GPS time or TAI are one only within a burst: while the receiver's leap count is
// wrong, what its UTC names in one second its GPS time names in another.
type epochs struct {
	heard, burst int64 // mono of the latest octets, and of the first ones after a pause, ns

	seen [4]struct {
		tod, mono     int64 // ns
		uniform, used bool
	}
	next int
}

// epochLife is how long, ns, messages with one time of day come at most. A time of
// day that lasts longer stands still.
const epochLife = 2e9

// burstGap is the pause, ns, after which a burst begins. Octets that a port is
// still busy with come without any.
const burstGap = 0.25e9

// octets takes that octets came at mono.
func (e *epochs) octets(mono int64) {
	if mono-e.heard > burstGap {
		e.burst = mono
	}
	e.heard = mono
}

// begin returns when the time of day, ns, was named first: mono if it is new.
func (e *epochs) begin(tod int64, uniform bool, mono int64) int64 {
	for _, x := range e.seen {
		if x.used && x.tod == tod && (x.uniform == uniform || x.mono >= e.burst) && mono-x.mono < epochLife {
			return x.mono
		}
	}
	x := &e.seen[e.next%len(e.seen)]
	x.tod, x.mono, x.uniform, x.used = tod, mono, uniform, true
	e.next++
	return mono
}
