package server

import (
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
)

// smear spreads a leap second over the day around it: linear, from noon UTC
// before it to the noon after, as Google and Amazon serve it
// (developers.google.com/time/smear). The 86401 s between the noons of an
// insertion become 86400 on the wire, 11.57 ppm slow; of a deletion 86399 s, as
// much fast. Both ends are exact: the clock is at UTC there.
type smear struct {
	from, to tai.Time // the noons; both 0: there is nothing to smear
	leap     tai.Time // when the new TAI - UTC comes into force
	sign     tai.Time // +1 a second is inserted, -1 deleted
	offset   int      // TAI - UTC before it, s
}

// noon is how long the smear lasts after the leap second, and before it but for
// the leap second itself.
const noon = 43200 * tai.Second

// smearOf returns the smear that t may lie in: that of the leap second ahead
// once its noon has come, else that of the one past.
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

// covers reports whether t lies within the smear.
func (m *smear) covers(t tai.Time) bool { return t > m.from && t < m.to }

// lag returns by how much the wire is behind the scale that UTC was on before
// the leap second, ns, rounded: 0 at the first noon, sign times a second at the
// other. Since it grows by less than 1 ns in a ns, the wire never goes back.
func (m *smear) lag(t tai.Time) tai.Time {
	x, span := t-m.from, 86400+m.sign
	return m.sign * ((x + span/2) / span)
}

// wire returns the smeared timestamp of t.
func (m *smear) wire(t tai.Time) ntp.Timestamp { return ntp.FromTAI(t-m.lag(t), m.offset) }

// refID is the reference identifier while a second is smeared: 254 and, in 24
// bits with 22 behind the point, by how many seconds the wire is ahead of UTC,
// as ntpd and NTPsec have it (libntp/refidsmear.c). Who looks sees that this is
// no UTC, and how far from it; the root dispersion, which bounds the error
// against what is served, does not hold that, because the half second would
// drown what it says. That is what NTPsec and chronyd do, too.
func (m *smear) refID(t tai.Time) [4]byte {
	ahead := -m.lag(t)
	if t >= m.leap {
		ahead += m.sign * tai.Second
	}
	// Four seconds more are the same in two bits before the point, and positive.
	v := uint32(((ahead+4*tai.Second)<<22 + tai.Second/2) / tai.Second)
	return [4]byte{254, byte(v >> 16), byte(v >> 8), byte(v)}
}
