package gnss

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

const zda = "GPZDA,120000.00,01,05,2024,00,00"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever precedes it, the next good frame is found, with the time of its own
// first byte, however the stream is cut.
func TestResynchronise(t *testing.T) {
	good := AppendNMEA(nil, zda)
	eoe := AppendUBX(nil, navEOE, []byte{1, 2, 3, 4})
	broken := AppendUBX(nil, navEOE, []byte{1, 2, 3, 4})
	broken[7] ^= 1
	sirf := unhex(t, "A0A2 0003 290001 002A B0B3")
	skytraq := unhex(t, "A0A1 0003 8300FE 7D 0D0A")
	rtcm := unhex(t, "D300133ED7D30202980EDEEF34B4BD62AC0941986F33360B98")
	for _, c := range []struct {
		name  string
		in    []byte
		want  Reason
		count uint64
	}{
		{"nothing", nil, Noise, 0},
		{"half a sentence", []byte("$GPZDA,1200"), Truncated, 0},
		{"half a sentence and a line end", []byte("$GPZDA,1200\r\n"), MissingChecksum, 1},
		{"half a checksum", []byte("$GPZDA,120000.00,01,05,2024,00,00*4"), BadChecksum, 1},
		{"dollars", []byte("$$$"), Noise, 3},
		{"a long sentence", []byte("$GPTXT," + strings.Repeat("long", 2500)), TooLong, 1},
		{"UBX with a bad checksum", broken, BadChecksum, 1},
		{"UBX cut short", eoe[:9], BadChecksum, 1},
		{"UBX too long", []byte{0xB5, 0x62, 1, 7, 0xFF, 0xFF}, TooLong, 1},
		{"UBX of no class", []byte{0xB5, 0x62, 0x77, 7, 0xFF, 0x0F}, Noise, 6},
		{"half a sync", []byte{0xB5}, Noise, 1},
		{"sync twice", []byte{0xB5, 0xB5}, Noise, 2},
		{"SiRF", sirf, ForeignFrame, 1},
		{"SkyTraq", skytraq, ForeignFrame, 1},
		{"RTCM", rtcm, ForeignFrame, 1},
		{"SiRF cut short", sirf[:7], Noise, 7},
		{"RTCM of a pretended length", []byte{0xD3, 0x03, 0xFF, 1}, Noise, 4},
	} {
		for _, next := range [][]byte{good, eoe} {
			for _, chunk := range []int{1, 7, 1 << 20} {
				d := NewDecoder(Config{})
				var got []*Message
				emit := func(m *Message) { got = append(got, m) }
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

// A false start of a binary frame does not hold back the seconds behind it.
func TestStaleStart(t *testing.T) {
	d := NewDecoder(Config{})
	var got []int64
	emit := func(m *Message) { got = append(got, m.Mono) }
	d.Feed([]byte{0xB5, 0x62, 0x01, 0x35, 0x00, 0x10}, 1e9, emit) // pretends 4096 octets
	d.Feed(AppendNMEA(nil, zda), 1.1e9, emit)
	if len(got) != 0 {
		t.Fatal("the frame was given up at once")
	}
	d.Feed([]byte{'x'}, 1.5e9, emit)
	if len(got) != 1 || got[0] != 1.1e9 {
		t.Errorf("got %v, want the sentence of 1.1 s", got)
	}
}

func TestComments(t *testing.T) {
	in := "# a comment with " + string(AppendNMEA(nil, zda)) + "#\n"
	for _, c := range []struct {
		comments bool
		want     int
	}{{true, 1}, {false, 2}} {
		d := NewDecoder(Config{Comments: c.comments})
		n := 0
		d.Feed([]byte(in), 0, func(*Message) { n++ })
		d.Feed(AppendNMEA(nil, zda), 0, func(*Message) { n++ })
		if n != c.want {
			t.Errorf("comments %v: %d messages, want %d", c.comments, n, c.want)
		}
	}
}

// Lines may end in carriage returns alone, as in logs of old computers.
func TestCarriageReturns(t *testing.T) {
	in := "# a log\r#\r" + string(AppendNMEA(nil, zda)) + "# more\n" + string(AppendNMEA(nil, zda))
	in = strings.NewReplacer("\r\n", "\r", "\n", "\r").Replace(in)
	d := NewDecoder(Config{Comments: true})
	n := 0
	d.Feed([]byte(in), 0, func(*Message) { n++ })
	d.Flush(func(*Message) { n++ })
	if c := d.Counters(); n != 2 || c.Of(Noise) != 0 {
		t.Errorf("%d messages, want 2; %v", n, c)
	}
}

// A bit flipped in a frame never changes what the frame says, costs that frame
// and at most its neighbours, and what one big chunk gives, single bytes give
// too. (Two equal bits of one sentence may be flipped unseen: the exclusive or
// is no better than that, which is why a label needs several messages.)
func TestDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var frames [][]byte
	for i := range 60 {
		frames = append(frames, AppendNMEA(nil, fmt.Sprintf("GPZDA,1200%02d.00,01,05,2024,00,00", i)),
			AppendUBX(nil, navTimeGPS, timeGPS(2312, int64(302418+i)*1000, 0, 18, 7)))
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
		whole, single := NewDecoder(Config{}), NewDecoder(Config{})
		var a, b []string
		whole.Feed(in, 0, func(m *Message) { a = append(a, m.Source+stamp(m)) })
		whole.Flush(func(m *Message) { a = append(a, m.Source+stamp(m)) })
		for i := range in {
			single.Feed(in[i:i+1], 0, func(m *Message) { b = append(b, m.Source+stamp(m)) })
		}
		single.Flush(func(m *Message) { b = append(b, m.Source+stamp(m)) })
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
		if cap(whole.framer.buf) > maxFrame {
			t.Fatalf("buffer has grown to %d", cap(whole.framer.buf))
		}
	}
}

// Whatever comes, and however long, a Decoder's memory does not grow: noise,
// frames, frames cut short and false starts of long ones, with another time at
// each octet.
func TestMemory(t *testing.T) {
	const seed, limit = 13, 256 << 10
	r := rand.New(rand.NewPCG(seed, 0))
	pieces := [][]byte{
		AppendNMEA(nil, zda), AppendUBX(nil, navTimeGPS, timeGPS(2312, 302418000, 0, 18, 7)), AppendUBX(nil, monVER, bytes.Repeat([]byte{'x'}, 6000)),
		{0xB5, 0x62, 1, 7, 0xFF, 0x0F}, {0xD3, 3, 0xFF}, {0xA0, 0xA2, 7, 0xFF}, []byte("$GPTXT," + strings.Repeat("long", 300)), []byte("#" + strings.Repeat("c", 5000)),
		[]byte("$"), make([]byte, 900),
	}
	d := NewDecoder(Config{Comments: true})
	mono := int64(0)
	feed := func(n int) {
		for n > 0 {
			p := pieces[r.IntN(len(pieces))]
			p = p[:r.IntN(len(p)+1)]
			for len(p) > 0 {
				c := p[:min(1+r.IntN(200), len(p))]
				mono += r.Int64N(1e6)
				d.Feed(c, mono, func(*Message) {})
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
	if grown := held() - before; grown > limit || cap(d.framer.buf) != maxFrame || cap(d.framer.marks) > 4*maxFrame {
		t.Errorf("seed %d: %d octets more are held after 2 MiB; buffer %d, marks %d", seed, grown, cap(d.framer.buf), cap(d.framer.marks))
	}
}

// The steady path costs what splitting a sentence costs, and nothing that
// grows.
func TestAllocations(t *testing.T) {
	d := NewDecoder(Config{})
	in := AppendNMEA(nil, "GNRMC,120000.00,A,4807.038,N,01131.000,E,0.004,77.52,010524,,,A,V")
	ubx := AppendUBX(nil, navTimeGPS, timeGPS(2312, 302418000, 0, 18, 7))
	junk := bytes.Repeat([]byte{0x00, 0xB5, '$', 'x'}, 64)
	emit := func(*Message) {}
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
