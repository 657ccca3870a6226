package server

import (
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
)

// smear spreads a leap second linearly from the noon UTC before it to the noon
// after, as Google and Amazon serve it (developers.google.com/time/smear). Of an
// insertion, the 86401 s between the noons become 86400 s on the wire, 11.57 ppm
// slow; of a deletion, 86399 s become 86400 s, as much fast. At both noons the
// smeared time is UTC exactly.
type smear struct {
	from, to tai.Time // the noons; both 0: no smear
	leap     tai.Time // when the new TAI - UTC begins
	sign     tai.Time // +1 a second is inserted, -1 deleted
	offset   int      // TAI - UTC before it, s
}

// noon is the duration of the smear after the leap second, and before it without
// the leap second itself.
const noon = 43200 * tai.Second

// smearOf returns the smear that t may be in: that of the next leap second from
// its noon on, else that of the last one.
func smearOf(s *status.Snapshot, t tai.Time) smear {
	if s.LeapAt != 0 && s.LeapSign != 0 {
		if m := newSmear(s.LeapAt, s.LeapSign, int(s.TAIOffset)); t > m.from-tai.Second { // answers leave later than t
			return m
		}
	}
	if s.LeapPast != 0 && s.PastSign != 0 {
		return newSmear(s.LeapPast, s.PastSign, int(s.TAIOffset)-int(s.PastSign))
	}
	return smear{}
}

func newSmear(at tai.Time, sign int8, offset int) smear {
	m := smear{leap: at, sign: 1, offset: offset}
	if sign < 0 {
		m.sign = -1
	}
	m.from, m.to = at-noon-m.sign*tai.Second, at+noon
	return m
}

// covers reports whether t is in the smear.
func (m *smear) covers(t tai.Time) bool { return t > m.from && t < m.to }

// lag returns how far the smeared time is behind UTC as it was counted before the
// leap second, in ns, rounded: 0 at the first noon, sign times a second at the
// other. It grows by less than 1 ns in a ns, so smeared time never goes back.
func (m *smear) lag(t tai.Time) tai.Time {
	x, span := t-m.from, 86400+m.sign
	return m.sign * ((x + span/2) / span)
}

// timestamp returns the smeared timestamp of t.
func (m *smear) timestamp(t tai.Time) ntp.Timestamp { return ntp.FromTAI(t-m.lag(t), m.offset) }

// refID returns the reference identifier while a second is smeared: 254 and, in
// 24 bits of which 22 are a fraction, how many seconds the smeared time is ahead
// of UTC, as in ntpd and NTPsec (libntp/refidsmear.c). The root dispersion bounds
// the error against smeared time, as in NTPsec and chronyd: up to half a second
// more would hide everything else.
func (m *smear) refID(t tai.Time) [4]byte {
	ahead := -m.lag(t)
	if t >= m.leap {
		ahead += m.sign * tai.Second
	}
	// Four seconds more are the same in the two integer bits, and positive.
	v := uint32(((ahead+4*tai.Second)<<22 + tai.Second/2) / tai.Second)
	return [4]byte{254, byte(v >> 16), byte(v >> 8), byte(v)}
}
