package replay

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/simulate"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/ubx"
)

// script makes what a receiver sends. k is the second since the start, whose UTC
// is truth(k).
type script struct {
	start time.Time
	sent  []Sent
}

func newScript(start string) *script {
	t, err := time.Parse(time.RFC3339, start)
	if err != nil {
		panic(err)
	}
	return &script{start: t}
}

func (s *script) at(k int, after time.Duration, octets []byte) {
	s.sent = append(s.sent, Sent{time.Duration(k)*time.Second + after, octets})
}

func (s *script) nmea(k int, after time.Duration, text string) {
	s.at(k, after, nmea.Append(nil, text))
}

// utc is the label of second k that is off by so much.
func (s *script) utc(k int, off time.Duration) time.Time {
	return s.start.Add(time.Duration(k)*time.Second + off)
}

const place = "4723.0012,N,00832.4412,E"

func clockOf(t time.Time) string { return t.Format("150405.000") }

func rmc(talker string, t time.Time) string {
	return talker + "RMC," + clockOf(t) + ",A," + place + ",0.004,," + t.Format("020106") + ",,,A"
}
func voidRMC(talker string, t time.Time) string {
	return talker + "RMC," + clockOf(t) + ",V,,,,,,," + t.Format("020106") + ",,,N"
}
func gga(talker string, t time.Time) string {
	return talker + "GGA," + clockOf(t) + "," + place + ",1,09,0.9,408.1,M,47.3,M,,"
}
func noGGA(talker string, t time.Time) string {
	return talker + "GGA," + clockOf(t) + ",,,,,0,00,99.9,,M,,M,,"
}
func zda(talker string, t time.Time) string {
	return talker + "ZDA," + clockOf(t) + "," + t.Format("02,01,2006") + ",00,00"
}

var le = binary.LittleEndian

// timeGPS makes NAV-TIMEGPS of a UTC that is 18 leap seconds behind GPS time.
func timeGPS(t time.Time, valid byte) []byte {
	gps := t.Unix() + 18 - 315964800
	p := make([]byte, 16)
	le.PutUint32(p, uint32(gps%604800*1000))
	le.PutUint16(p[8:], uint16(gps/604800))
	p[10], p[11] = 18, valid
	le.PutUint32(p[12:], 25)
	return ubx.Append(nil, 0x0120, p)
}

// timeLS makes NAV-TIMELS.
func timeLS(count, source byte) []byte {
	p := make([]byte, 24)
	p[8], p[9], p[23] = source, count, 1
	return ubx.Append(nil, 0x0126, p)
}

// navPVT makes NAV-PVT with a fix and resolved UTC.
func navPVT(t time.Time) []byte { return navPVTWith(t, 7) }

// unresolvedPVT makes NAV-PVT with a fix of a receiver that does not know its leap seconds.
func unresolvedPVT(t time.Time) []byte { return navPVTWith(t, 3) }

func navPVTWith(t time.Time, valid byte) []byte {
	p := make([]byte, 92)
	le.PutUint16(p[4:], uint16(t.Year()))
	copy(p[6:], []byte{byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), valid})
	le.PutUint32(p[12:], 25)
	p[20], p[21], p[23] = 3, 1, 12
	return ubx.Append(nil, 0x0107, p)
}

// member is one member of a kind of fault.
type member struct {
	name   string
	say    func(s *script, k int) // what is sent about second k
	length int                    // s; default 100
	wrong  int                    // s: displaced pulses are served so long, at most, before they are outweighed; default: never
	start  string                 // default 2026-11-23T12:00:00Z
	expect []expectation
}

// expectation is what must hold with one set of options.
type expectation struct {
	args   string
	lockBy float64 // the right time is served by then, s; 0: it is never served
	reason string  // of the last state, if not empty
}

// anyLock says that it does not matter whether the right time is served.
const anyLock = -1

func (m *member) play(t *testing.T, x expectation, seed uint64) {
	if m.start == "" {
		m.start = "2026-11-23T12:00:00Z"
	}
	length := m.length
	if length == 0 {
		length = 100
	}
	s := newScript(m.start)
	for k := range length {
		m.say(s, k)
	}
	e := &Events{Name: m.name, Start: s.start, Sent: s.sent}
	sortSent(e.Sent)
	var site Site
	fl := flag.NewFlagSet("", flag.ContinueOnError)
	fl.SetOutput(io.Discard)
	site.Flags(fl)
	if err := fl.Parse(strings.Fields(x.args)); err != nil {
		t.Fatal(err)
	}
	r, err := site.Run(e)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r.Seed, r.JSON = seed, &b
	if _, err := r.Play(); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	var sum simulate.Summary
	if err := json.Unmarshal(lines[len(lines)-1], &sum); err != nil {
		t.Fatal(err)
	}
	reason := ""
	for _, l := range lines[:len(lines)-1] {
		var row struct {
			T      float64 `json:"t"`
			Reason string  `json:"reason"`
		}
		if err := json.Unmarshal(l, &row); err != nil {
			t.Fatal(err)
		}
		if row.T < e.End().Seconds() {
			reason = row.Reason
		}
	}
	if int(sum.WrongS) > m.wrong || int(sum.OutsideS) > m.wrong {
		t.Errorf("%q: wrong for %d s, outside the bound for %d s, at worst %d ns off", x.args, sum.WrongS, sum.OutsideS, sum.WorstNS)
	}
	got := 0.0
	if sum.LockedAfterS != nil {
		got = *sum.LockedAfterS
	}
	if x.lockBy != anyLock && (got > x.lockBy || (got == 0) != (x.lockBy == 0)) {
		t.Errorf("%q: the right time is served after %v s, want %v s at the latest (0: never); ends %s (%s)", x.args, got, x.lockBy, sum.FinalState, reason)
	}
	if x.reason != "" && reason != x.reason {
		t.Errorf("%q: ends %s (%s), want (%s)", x.args, sum.FinalState, reason, x.reason)
	}
}

// memberSeeds are 1 to the number in NOONMARK_FAULT_SEEDS.
func memberSeeds(t *testing.T) (seeds []uint64) {
	n := 1
	if v := os.Getenv("NOONMARK_FAULT_SEEDS"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("NOONMARK_FAULT_SEEDS: %v", err)
		}
	}
	for i := range n {
		seeds = append(seeds, uint64(i+1))
	}
	return seeds
}

func playMembers(t *testing.T, all []member) {
	t.Parallel()
	for _, seed := range memberSeeds(t) {
		for _, m := range all {
			t.Run(fmt.Sprintf("seed %d/%s", seed, m.name), func(t *testing.T) {
				t.Parallel()
				for _, x := range m.expect {
					m.play(t, x, seed)
				}
			})
		}
	}
}

// sortSent puts what was sent in the order of time.
func sortSent(all []Sent) {
	slices.SortStableFunc(all, func(a, b Sent) int { return cmp.Compare(a.At, b.At) })
}
