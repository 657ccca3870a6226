package gnss_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
)

const (
	zda = "GPZDA,120000.00,01,05,2024,00,00" // text of a valid sentence

	// UBX messages, class in the high byte.
	navPVT     = 0x0107
	navTimeGPS = 0x0120
	navEOE     = 0x0161
	monVER     = 0x0A04
)

// timeGPS makes a NAV-TIMEGPS of week 2312 with 18 leap seconds, all valid.
func timeGPS(ms uint32) []byte {
	p := make([]byte, 16)
	binary.LittleEndian.PutUint32(p, ms)
	binary.LittleEndian.PutUint16(p[8:], 2312)
	p[10], p[11], p[12] = 18, 7, 25
	return p
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever precedes it, the next valid frame is found, with the time of its own
// first octet, however the stream is cut.
func TestFindsTheNextFrameAfterDamage(t *testing.T) {
	good := nmea.Append(nil, zda)
	eoe := ubx.Append(nil, navEOE, []byte{1, 2, 3, 4})
	broken := ubx.Append(nil, navEOE, []byte{1, 2, 3, 4})
	broken[7] ^= 1
	sirf := unhex(t, "A0A2 0003 290001 002A B0B3")
	skytraq := unhex(t, "A0A1 0003 8300FE 7D 0D0A")
	rtcm := unhex(t, "D300133ED7D30202980EDEEF34B4BD62AC0941986F33360B98")
	for _, c := range []struct {
		name  string
		in    []byte
		want  gnss.Defect
		count uint64
	}{
		{"nothing", nil, gnss.Noise, 0},
		{"half a sentence", []byte("$GPZDA,1200"), gnss.Truncated, 0},
		{"half a sentence and a line end", []byte("$GPZDA,1200\r\n"), gnss.MissingChecksum, 1},
		{"half a checksum", []byte("$GPZDA,120000.00,01,05,2024,00,00*4"), gnss.BadChecksum, 1},
		{"dollars", []byte("$$$"), gnss.Noise, 3},
		{"a long sentence", []byte("$GPTXT," + strings.Repeat("long", 2500)), gnss.TooLong, 1},
		{"UBX with a bad checksum", broken, gnss.BadChecksum, 1},
		{"UBX cut short", eoe[:9], gnss.BadChecksum, 1},
		{"UBX too long", []byte{0xB5, 0x62, 1, 7, 0xFF, 0xFF}, gnss.TooLong, 1},
		{"UBX of no class", []byte{0xB5, 0x62, 0x77, 7, 0xFF, 0x0F}, gnss.Noise, 6},
		{"half a sync", []byte{0xB5}, gnss.Noise, 1},
		{"sync twice", []byte{0xB5, 0xB5}, gnss.Noise, 2},
		{"SiRF", sirf, gnss.ForeignFrame, 1},
		{"SkyTraq", skytraq, gnss.ForeignFrame, 1},
		{"RTCM", rtcm, gnss.ForeignFrame, 1},
		{"SiRF cut short", sirf[:7], gnss.Noise, 7},
		{"RTCM of a false length", []byte{0xD3, 0x03, 0xFF, 1}, gnss.Noise, 4},
	} {
		for _, next := range [][]byte{good, eoe} {
			for _, chunk := range []int{1, 7, 1 << 20} {
				d := registry.NewDecoder(gnss.Config{})
				var got []*gnss.Message
				emit := func(m *gnss.Message) { got = append(got, m) }
				in := append(bytes.Clone(c.in), next...)
				for i := 0; i < len(in); i += chunk {
					d.Feed(in[i:min(i+chunk, len(in))], int64(i), emit)
				}
				d.Flush(emit)
				if len(got) != 1 {
					t.Errorf("%s, then %.6q by %d: %d messages", c.name, next, chunk, len(got))
					continue
				}
				if want := int64(len(c.in) / chunk * chunk); got[0].Mono != want {
					t.Errorf("%s, then %.6q by %d: mono %d, want %d", c.name, next, chunk, got[0].Mono, want)
				}
				n := d.Counters()
				if n.Of(c.want) < c.count {
					t.Errorf("%s: %v counted %d times", c.name, c.want, n.Of(c.want))
				}
			}
		}
	}
}

func TestFalseStartHoldsNothingBack(t *testing.T) {
	d := registry.NewDecoder(gnss.Config{})
	var got []int64
	emit := func(m *gnss.Message) { got = append(got, m.Mono) }
	d.Feed([]byte{0xB5, 0x62, 0x01, 0x35, 0x00, 0x10}, 1e9, emit) // a false length of 4096 octets
	d.Feed(nmea.Append(nil, zda), 1.1e9, emit)
	if len(got) != 0 {
		t.Fatal("the frame was given up at once")
	}
	d.Feed([]byte{'x'}, 1.5e9, emit)
	if len(got) != 1 || got[0] != 1.1e9 {
		t.Errorf("got %v, want the sentence of 1.1 s", got)
	}
}

func TestCommentsOnlyInLogs(t *testing.T) {
	in := "# a comment with " + string(nmea.Append(nil, zda)) + "#\n"
	for _, c := range []struct {
		comments bool
		want     int
	}{{true, 1}, {false, 2}} {
		d := registry.NewDecoder(gnss.Config{Comments: c.comments})
		n := 0
		d.Feed([]byte(in), 0, func(*gnss.Message) { n++ })
		d.Feed(nmea.Append(nil, zda), 0, func(*gnss.Message) { n++ })
		if n != c.want {
			t.Errorf("comments %v: %d messages, want %d", c.comments, n, c.want)
		}
	}
}

// Logs of old computers have carriage returns alone.
func TestLinesMayEndInCarriageReturns(t *testing.T) {
	in := "# a log\r#\r" + string(nmea.Append(nil, zda)) + "# more\n" + string(nmea.Append(nil, zda))
	in = strings.NewReplacer("\r\n", "\r", "\n", "\r").Replace(in)
	d := registry.NewDecoder(gnss.Config{Comments: true})
	n := 0
	d.Feed([]byte(in), 0, func(*gnss.Message) { n++ })
	d.Flush(func(*gnss.Message) { n++ })
	if c := d.Counters(); n != 2 || c.Of(gnss.Noise) != 0 {
		t.Errorf("%d messages, want 2; %v", n, c)
	}
}

// A flipped bit never changes a message and costs at most its own frame and the
// neighbours. One chunk and single octets give the same messages. (Two equal bits
// flipped in one sentence pass: the exclusive or detects no more. That is why a
// label needs several messages.)
func TestDamageCostsOnlyItsFrames(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var frames [][]byte
	for i := range 60 {
		frames = append(frames, nmea.Append(nil, fmt.Sprintf("GPZDA,1200%02d.00,01,05,2024,00,00", i)),
			ubx.Append(nil, navTimeGPS, timeGPS(uint32(302418+i)*1000)))
	}
	for range 50 {
		damaged := 0
		var in []byte
		for _, f := range frames {
			f = bytes.Clone(f)
			if r.IntN(4) == 0 {
				f[r.IntN(len(f))] ^= 1 << r.IntN(8)
				damaged++
			}
			in = append(in, f...)
		}
		whole, single := registry.NewDecoder(gnss.Config{}), registry.NewDecoder(gnss.Config{})
		var a, b []string
		whole.Feed(in, 0, func(m *gnss.Message) { a = append(a, m.Source+gnsstest.Stamp(m)) })
		whole.Flush(func(m *gnss.Message) { a = append(a, m.Source+gnsstest.Stamp(m)) })
		for i := range in {
			single.Feed(in[i:i+1], 0, func(m *gnss.Message) { b = append(b, m.Source+gnsstest.Stamp(m)) })
		}
		single.Flush(func(m *gnss.Message) { b = append(b, m.Source+gnsstest.Stamp(m)) })
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("in one piece %v\nbyte by byte %v", a, b)
		}
		if len(a) < len(frames)-damaged {
			t.Errorf("%d damaged frames cost %d messages", damaged, len(frames)-len(a))
		}
		for _, s := range a {
			if !strings.Contains(s, "2024-05-01T12:00:") || !strings.HasSuffix(s, ".000") {
				t.Fatalf("wrong time from damaged input: %s", s)
			}
		}
		checkHeld(t, whole)
	}
}

// The input is noise, frames, frames cut short and false starts of long ones,
// with another time at each octet.
func TestMemoryIsBounded(t *testing.T) {
	const seed, limit = 13, 256 << 10
	r := rand.New(rand.NewPCG(seed, 0))
	pieces := [][]byte{
		nmea.Append(nil, zda), ubx.Append(nil, navTimeGPS, timeGPS(302418000)), ubx.Append(nil, monVER, bytes.Repeat([]byte{'x'}, 6000)),
		{0xB5, 0x62, 1, 7, 0xFF, 0x0F}, {0xD3, 3, 0xFF}, {0xA0, 0xA2, 7, 0xFF}, []byte("$GPTXT," + strings.Repeat("long", 300)), []byte("#" + strings.Repeat("c", 5000)),
		[]byte("$"), make([]byte, 900),
	}
	d := registry.NewDecoder(gnss.Config{Comments: true})
	mono := int64(0)
	feed := func(n int) {
		for n > 0 {
			p := pieces[r.IntN(len(pieces))]
			p = p[:r.IntN(len(p)+1)]
			for len(p) > 0 {
				c := p[:min(1+r.IntN(200), len(p))]
				mono += r.Int64N(1e6)
				d.Feed(c, mono, func(*gnss.Message) {})
				p = p[len(c):]
				n -= len(c)
			}
		}
	}
	held := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	feed(200 << 10) // until its buffers have their size
	before := held()
	feed(2 << 20)
	if grown := held() - before; grown > limit {
		t.Errorf("seed %d: %d octets more are held after 2 MiB", seed, grown)
	}
	checkHeld(t, d)
}

func TestAllocationsPerFrame(t *testing.T) {
	d := registry.NewDecoder(gnss.Config{})
	in := nmea.Append(nil, "GNRMC,120000.00,A,4807.038,N,01131.000,E,0.004,77.52,010524,,,A,V")
	ubx := ubx.Append(nil, navTimeGPS, timeGPS(302418000))
	junk := bytes.Repeat([]byte{0x00, 0xB5, '$', 'x'}, 64)
	emit := func(*gnss.Message) {}
	for _, c := range []struct {
		name string
		in   []byte
		max  float64
	}{{"RMC", in, 24}, {"NAV-TIMEGPS", ubx, 1}, {"junk", junk, 0}} {
		if n := testing.AllocsPerRun(200, func() { d.Feed(c.in, 0, emit) }); n > c.max {
			t.Errorf("%s: %v allocations, want at most %v", c.name, n, c.max)
		}
	}
}
