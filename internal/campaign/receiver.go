package campaign

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/sim"
)

// Receiver is a random receiver.
type Receiver struct {
	Order    []string      // of the messages of a burst: NMEA sentences and UBX messages
	Talker   string        // of NMEA sentences
	First    time.Duration // from the second to the first message
	Jitter   time.Duration // added to it, uniform
	Fraction time.Duration // by which labels and messages are later than the second
	PerS     int           // bursts a second, NMEA only
	Baud     int
	Rebaud   int // rate from RebaudAt on; 0: it stays
	RebaudAt int // s
	FixAt    int // s; before it there is no fix
	Stale    int // s, by which labels are ahead until the count is learned
	Learns   int // s after the fix
	Forever  bool
	Source   byte // of NAV-TIMELS before the count is learned: 0 firmware, 6 aided, 7 configured, 255 unknown
	Heard    byte // of NAV-TIMELS afterwards
	Weeks    int  // by which dates are wrong

	Counts []Count // changes of the leap count in sight, in order
	Sure   bool    // a wrong count is announced as one from satellites
}

// draw draws a receiver.
func (x *Receiver) draw(r *rand.Rand) {
	some := func(all ...string) {
		for _, m := range all {
			if r.IntN(2) == 0 {
				x.Order = append(x.Order, m)
			}
		}
	}
	kind := r.IntN(10) // 0-5 NMEA, 6-7 UBX, 8-9 both
	if kind <= 5 || kind >= 8 {
		x.Order = append(x.Order, pick(r, "RMC", "RMC", "RMC", "RMC", "ZDA"))
		some("GGA", "GGA", "ZDA", "GLL", "GSA", "VTG", "GSV")
	}
	if kind >= 6 {
		x.Order = append(x.Order, pick(r, "PVT", "PVT", "TIMEGPS", "TIMEUTC"))
		some("PVT", "TIMEGPS", "TIMELS", "TIMEUTC")
	}
	slices.Sort(x.Order)
	x.Order = slices.Compact(x.Order)
	r.Shuffle(len(x.Order), func(i, j int) { x.Order[i], x.Order[j] = x.Order[j], x.Order[i] })
	x.Talker = pick(r, "GN", "GP", "GL", "BD")
	x.First, x.Jitter = time.Duration(15+r.IntN(500))*time.Millisecond, time.Duration(r.IntN(60))*time.Millisecond
	x.Baud, x.PerS = pick(r, 9600, 9600, 19200, 38400, 57600, 115200), 1
	if kind <= 5 {
		switch r.IntN(12) {
		case 0:
			x.Fraction = time.Duration(1+r.IntN(99)) * 10 * time.Millisecond
		case 1:
			x.PerS, x.Order, x.Baud, x.First, x.Jitter = pick(r, 2, 5, 10), []string{"RMC"}, 115200, x.First/8, x.Jitter/8
		}
	}
	if r.IntN(2) == 0 {
		x.FixAt = 5 + r.IntN(120)
	}
	x.Source, x.Heard = pick[byte](r, 0, 0, 6, 7, 255, 9), pick[byte](r, 1, 2, 2, 3, 4, 5, 8)
	if r.IntN(3) == 0 {
		x.Stale, x.Learns = pick(r, 1, 1, 2, 3, 4, -1), 20+r.IntN(680)
		// Only a message of the receiver about it shows a count that stays wrong.
		x.Forever = x.has("TIMELS") && r.IntN(5) == 0
	}
	if r.IntN(20) == 0 {
		x.Weeks = -1024
	}
}

// learned is when the receiver knows its leap count, s.
func (x *Receiver) learned() int {
	if x.Stale == 0 {
		return max(x.FixAt, x.settled())
	}
	return x.FixAt + x.Learns
}

func (x *Receiver) has(all ...string) bool {
	return slices.ContainsFunc(x.Order, func(m string) bool { return slices.Contains(all, m) })
}

// wrongForEver reports whether labels stay wrong by whole seconds.
func (x *Receiver) wrongForEver() bool { return x.Forever && x.Stale != 0 }

// undated reports whether no message has a date.
func (x *Receiver) undated() bool { return !x.has("RMC", "ZDA", "PVT", "TIMEGPS", "TIMEUTC") }

// neverEvident reports whether the receiver itself gives no evidence of its count: it
// never reports a fix, and has no time that needs none.
func (x *Receiver) neverEvident() bool { return !x.has("RMC", "GGA", "GLL", "PVT", "TIMEGPS") }

// talker makes what the receiver sends, second by second.
type talker struct {
	site  *Site
	start tai.Time
	table *tai.Table
	free  tai.Time // when the port has sent what it was given
}

// talk returns what sends the site's octets.
func (s *Site) talk(start tai.Time, table *tai.Table) *talker {
	return &talker{site: s, start: start, table: table}
}

// state is what holds in one second.
type state struct {
	fix, stale                          bool
	silent, garbage, lossy, late, ahead bool

	wrong int  // s, by which UTC is ahead
	said  int  // s, by which the announced count is too low
	leap  bool // an inserted second, and the receiver labels it 60
}

// at returns what holds in second k.
func (s *Site) at(k int) (st state) {
	x := &s.Receiver
	st = state{fix: k >= x.FixAt, stale: x.Stale != 0 && (k < x.learned() || x.Forever)}
	defer s.counts(k, &st)
	for _, f := range s.Faults {
		if f.Kind == Cold && k >= f.From && k < f.To+x.Learns {
			st.stale = x.Stale != 0
		}
		if k < f.From || k >= f.To {
			continue
		}
		switch f.Kind {
		case Silent:
			st.silent = true
		case Garbage:
			st.garbage = true
		case Lossy:
			st.lossy = true
		case Void, Cold:
			st.fix = false
		case Late:
			st.late = true
		case Ahead:
			st.ahead = true
		}
	}
	return st
}

// Burst returns what is sent about a second.
func (t *talker) Burst(sec tai.Time) []sim.Chunk {
	k := int((sec - t.start) / tai.Second)
	st := t.site.at(k)
	if st.silent || k == 0 {
		return nil
	}
	x := &t.site.Receiver
	r := rand.New(rand.NewPCG(t.site.Seed, uint64(k)))
	baud := x.Baud
	if x.Rebaud != 0 && k >= x.RebaudAt {
		baud = x.Rebaud
	}
	var out []sim.Chunk
	for i := range x.PerS {
		instant := x.Fraction + time.Duration(i)*time.Second/time.Duration(x.PerS)
		at := sec.Add(instant + x.First + time.Duration(r.Float64()*float64(x.Jitter)))
		if st.late {
			at = sec.Add(instant + 800*time.Millisecond + time.Duration(r.IntN(900))*time.Millisecond)
		}
		at = max(at, t.free)
		for _, m := range x.Order {
			b := t.message(m, k, sec.Add(instant), &st)
			if st.garbage {
				for j := range b {
					b[j] = byte(r.Uint32())
				}
			}
			if len(b) > 0 && (!st.lossy || r.IntN(2) == 0) {
				out = append(out, sim.Chunk{At: at, Data: b, Baud: baud})
			}
			at += tai.Time(len(b)) * 10 * tai.Second / tai.Time(baud)
			if at-sec > 3*tai.Second { // a receiver drops what its port has no room for
				break
			}
		}
		t.free = at
	}
	return out
}

// message makes one message about an instant; nil: none is due.
func (t *talker) message(kind string, k int, instant tai.Time, st *state) []byte {
	x := &t.site.Receiver
	gps := instant
	if st.ahead {
		gps += tai.Second
	}
	utc := label{(gps + tai.Time(st.wrong)*tai.Second).UTC(t.table.Offset(gps)).AddDate(0, 0, 7*x.Weeks), st.leap}
	if utc.sixty { // POSIX calls it the first second of the next day
		utc.Time = utc.Add(-time.Second)
	}
	gps += tai.Time(7*x.Weeks) * 86400 * tai.Second
	count, resolved := t.table.Offset(instant)-19-st.said, st.fix && !st.stale
	switch kind {
	case "PVT":
		return navPVT(utc, st.fix)
	case "TIMEGPS":
		return navTimeGPS(gps, count, st.fix, resolved)
	case "TIMEUTC":
		return navTimeUTC(utc, st.fix, resolved)
	case "TIMELS":
		if k%10 != 0 {
			return nil
		}
		source := x.Heard
		if !resolved {
			source = x.Source
		}
		return navTimeLS(count, source)
	}
	return nmea.Append(nil, sentence(x.Talker, kind, utc, st.fix))
}

// label is a label in UTC.
type label struct {
	time.Time
	sixty bool // it is the second after Time, which is a second 59
}

// second is the second of the minute.
func (l label) second() int {
	if l.sixty {
		return 60
	}
	return l.Second()
}

// sentence is an NMEA sentence about a second.
func sentence(talker, kind string, t label, fix bool) string {
	hms := t.Format("1504") + fmt.Sprintf("%02d", t.second()) + t.Format(".00")
	q, status, mode, place := "1", "A", "A", "4723.0012,N,00832.4412,E"
	if !fix {
		q, status, mode, place = "0", "V", "N", ",,,"
	}
	switch kind {
	case "RMC":
		return talker + "RMC," + hms + "," + status + "," + place + ",0.004,," + t.Format("020106") + ",,," + mode
	case "GGA":
		return talker + "GGA," + hms + "," + place + "," + q + ",09,0.9,408.1,M,47.3,M,,"
	case "ZDA":
		return talker + "ZDA," + hms + t.Format(",02,01,2006") + ",00,00"
	case "GLL":
		return talker + "GLL," + place + "," + hms + "," + status + "," + mode
	case "GSA":
		return talker + "GSA,A," + strings.NewReplacer("1", "3", "0", "1").Replace(q) + ",02,05,06,12,15,25,29,,,,,,1.61,0.90,1.33,1"
	case "VTG":
		return talker + "VTG,,T,,M,0.004,N,0.008,K," + mode
	}
	return fmt.Sprintf("%sGSV,1,1,04,02,40,100,38,05,30,200,40,06,60,300,44,12,20,050,33", talker)
}

var le = binary.LittleEndian

// gpsEpoch is 1980-01-06 00:00:00 UTC, when TAI - UTC was 19 s.
const gpsEpoch, weekLong = tai.Time(315964800+19) * tai.Second, 7 * 86400 * tai.Second

// navPVT makes UBX-NAV-PVT.
func navPVT(t label, fix bool) []byte {
	p := make([]byte, 92)
	le.PutUint16(p[4:], uint16(t.Year()))
	copy(p[6:], []byte{byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.second())})
	le.PutUint32(p[12:], 25)
	le.PutUint32(p[16:], uint32(t.Nanosecond()))
	if fix {
		p[11], p[20], p[21], p[23] = 7, 3, 1, 12
	}
	return ubx.Append(nil, 0x0107, p)
}

// navTimeUTC makes UBX-NAV-TIMEUTC. resolved: the leap count was received.
func navTimeUTC(t label, fix, resolved bool) []byte {
	p := make([]byte, 20)
	le.PutUint32(p[4:], 25)
	le.PutUint32(p[8:], uint32(t.Nanosecond()))
	le.PutUint16(p[12:], uint16(t.Year()))
	copy(p[14:], []byte{byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.second())})
	if fix {
		p[19] = 3
	}
	if resolved {
		p[19] |= 4
	}
	return ubx.Append(nil, 0x0121, p)
}

// navTimeGPS makes UBX-NAV-TIMEGPS.
func navTimeGPS(t tai.Time, count int, fix, resolved bool) []byte {
	p := make([]byte, 16)
	g := t - gpsEpoch
	ms := (g%weekLong + 500_000) / 1_000_000
	le.PutUint32(p, uint32(ms))
	le.PutUint32(p[4:], uint32(int32(g%weekLong-ms*1_000_000)))
	le.PutUint16(p[8:], uint16(g/weekLong))
	p[10] = byte(int8(count))
	le.PutUint32(p[12:], 25)
	if fix {
		p[11] = 3
	}
	if resolved {
		p[11] |= 4
	}
	return ubx.Append(nil, 0x0120, p)
}

// navTimeLS makes UBX-NAV-TIMELS.
func navTimeLS(count int, source byte) []byte {
	p := make([]byte, 24)
	p[8], p[9], p[23] = source, byte(int8(count)), 1
	return ubx.Append(nil, 0x0126, p)
}
