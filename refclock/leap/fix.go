package leap

import (
	"slices"
	"time"

	"noonmark/refclock/gnss"
)

const (
	// fixGap is how long a receiver may report no fix without having to be taken for
	// one that has started anew.
	fixGap = 5 * time.Second
	// standsFor is how long a receiver may send one time of day. What is sent again and
	// again is an old sentence.
	standsFor = 2 * time.Second
)

// fix is for how long the receiver has reported a fix from satellites without a gap.
type fix struct {
	since, last int64 // mono; 0: there is none
	used        int64 // mono of the latest message that reports satellites in the solution; 0: none did

	said struct { // with the latest reported fix
		tod  [4]int // hour, minute, second, ns
		mono int64  // since when
	}
}

// heard takes a message, and reports whether it shows that the receiver tracks
// satellites now.
func (f *fix) heard(m *gnss.Message) bool {
	uses := m.HasSats && m.Sats > 0 || m.Fix != gnss.FixNone && slices.ContainsFunc(m.Satellites, func(s gnss.Satellite) bool { return s.Used })
	if uses {
		f.used = m.Mono
	}
	switch {
	// NAV-TIMEGPS names no fix, but its flags say that time and week are known: a
	// receiver that starts anew clears them.
	case m.Uniform && m.Valid && m.UTC != gnss.UTCUnreported:
	case m.FixRepeated, m.FixDisputed, !m.Fix.Good():
		return false
	// A position that was entered by hand needs no satellites. A timing receiver that
	// holds its position reports it so, and with it the satellites that give the time.
	case m.Fix == gnss.FixManual && (m.HasSats && m.Sats == 0 || f.used == 0 || m.Mono-f.used > int64(fixGap)):
		return false
	}
	return !f.stands(m)
}

// stands reports whether a message names a time of day that was named for long.
func (f *fix) stands(m *gnss.Message) bool {
	if !m.HasTimeOfDay {
		return false
	}
	if tod := [4]int{m.Hour, m.Minute, m.Second, m.Nanos}; f.said.mono == 0 || tod != f.said.tod {
		f.said.tod, f.said.mono = tod, m.Mono
	}
	return m.Mono-f.said.mono > int64(standsFor)
}

// tracking follows for how long the receiver has reported a fix. One that lost it
// may have started anew, and has then forgotten what it heard.
func (c *confirmation) tracking(m *gnss.Message) (restarted bool) {
	f := &c.fix
	if f.last != 0 && m.Mono-f.last > int64(fixGap) {
		restarted = true
		f.since, f.last = 0, 0
		c.drop(countReceived, almanacReceived, lineRan)
		c.proven = proven{}
	}
	if !f.heard(m) {
		return restarted
	}
	if f.last == 0 {
		f.since = m.Mono
	}
	if f.last = m.Mono; m.Mono-f.since > int64(almanacTime) && c.line.settled(m.Mono) {
		c.add(almanacReceived, m.Source, m.Mono)
	}
	return restarted
}
