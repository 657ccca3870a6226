package gnss_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
)

// maxExamined is how often an octet is looked at, on average, whatever the input:
// at the front and by the scout, each with the octets of a header and the sums of
// the protocols that it may belong to.
const maxExamined = 12

// maxSilence is how long, ns, false starts can hold back the frames behind them.
const maxSilence = 2e9

// fragments are what streams are made of that mislead a framer: false starts,
// also of frames that end early or never, and what can be in or behind them.
func fragments() map[string][]byte {
	rtcm := []byte{0xD3, 0x00, 0x00, 0x47, 0xEA, 0x4B}
	return map[string][]byte{
		"UBX of 6144":     {0xB5, 0x62, 0x01, 0x07, 0x00, 0x18},
		"UBX of 1000":     {0xB5, 0x62, 0x01, 0x35, 0xE8, 0x03},
		"UBX of 0":        {0xB5, 0x62, 0x05, 0x01, 0x00, 0x00},
		"UBX too long":    {0xB5, 0x62, 0x0A, 0x04, 0xFF, 0xFF},
		"UBX sync":        {0xB5, 0x62},
		"UBX half sync":   {0xB5},
		"RTCM of 1023":    {0xD3, 0x03, 0xFF},
		"RTCM in RTCM":    {0xD3, 0x03},
		"RTCM of 0":       {0xD3, 0x00, 0x00},
		"SiRF of 2047":    {0xA0, 0xA2, 0x07, 0xFF},
		"SkyTraq of 2047": {0xA0, 0xA1, 0x07, 0xFF},
		"SkyTraq of 1":    {0xA0, 0xA1, 0x00, 0x01},
		"dollar":          {'$'},
		"address":         []byte("$GPTXT,"),
		"sum to come":     []byte("$GPTXT,01*"),
		"text":            bytes.Repeat([]byte{'A'}, 40),
		"star":            {'*'},
		"line end":        {'\r', '\n'},
		"zeros":           make([]byte, 6),
		"good NMEA":       nmea.Append(nil, zda),
		"good UBX":        ubx.Append(nil, navEOE, []byte{1, 2, 3, 4}),
		"good RTCM":       rtcm,
	}
}

// repeat returns a stream of at least n octets that consists of these fragments,
// again and again.
func repeat(n int, parts ...[]byte) (b []byte) {
	for len(b) < n {
		b = append(b, slices.Concat(parts...)...)
	}
	return b
}

// line is a serial line at 9600 baud into a decoder.
type line struct {
	d    *gnss.Decoder
	mono int64
	emit func(*gnss.Message)
}

// receive feeds octets as they come, in reads of up to chunk octets.
func (l *line) receive(b []byte, chunk int) {
	const octet = 10 * 1e9 / 9600 // ns
	for len(b) > 0 {
		n := min(chunk, len(b))
		l.mono += int64(float64(n) * octet)
		l.d.Feed(b[:n], l.mono, l.emit)
		b = b[n:]
	}
}

// burst is what a healthy receiver sends in second i.
func burst(i int) []byte {
	b := nmea.Append(nil, fmt.Sprintf("GNRMC,1200%02d.00,A,4807.038,N,01131.000,E,0.004,77.52,010524,,,A,V", i%60))
	b = nmea.Append(b, fmt.Sprintf("GPZDA,1200%02d.00,01,05,2024,00,00", i%60))
	return ubx.Append(b, navTimeGPS, timeGPS(uint32(302418+i)*1000))
}

// mislead feeds false starts in reads of up to chunk octets, and then what a
// healthy receiver sends, each second from then on. It returns how often each octet
// of the false starts was looked at, and how long after them the first message was
// handed out, ns. No message may be lost.
func mislead(t *testing.T, in []byte, chunk int) (looks float64, silence int64) {
	t.Helper()
	const seconds = 4
	heard, end := 0, int64(math.MaxInt64)
	l := &line{d: registry.NewDecoder(gnss.Config{})}
	l.emit = func(m *gnss.Message) {
		if m.Mono <= end {
			return // it was among the false starts
		}
		if heard++; heard == 1 {
			silence = l.mono - end
		}
	}
	l.receive(in, chunk)
	end, looks = l.mono, float64(l.d.Examined())/float64(len(in))
	wait := func(until int64) {
		for ; l.mono < until; l.mono += 100e6 {
			l.d.Feed(nil, l.mono, l.emit) // the read of a silent port
		}
	}
	for i := range seconds {
		wait(end + int64(i)*1e9)
		l.receive(burst(i), chunk)
	}
	wait(end + seconds*1e9)
	if heard != 3*seconds {
		t.Errorf("%d messages of %d are heard", heard, 3*seconds)
	}
	return looks, silence
}

// The streams that cost most, and hold back most, are periodic: false starts
// inside false starts. All words of three fragments are tried.
func TestCostAndDeafnessAreBoundedForEveryWordOfFragments(t *testing.T) {
	t.Parallel()
	frag := fragments()
	names := slices.Sorted(func(yield func(string) bool) {
		for n := range frag {
			if !yield(n) {
				return
			}
		}
	})
	if testing.Short() {
		names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "SkyTraq") || strings.HasPrefix(n, "good") })
	}
	worst, worstWord, longest, longestWord := 0.0, "", int64(0), ""
	for i, a := range names {
		for j, b := range names {
			for k, c := range names {
				if j < i || k < i {
					continue // the same word begins elsewhere
				}
				word := a + ", " + b + ", " + c
				looks, silence := mislead(t, repeat(6500, frag[a], frag[b], frag[c]), 1+(i*7+j*3+k)%40)
				if looks > worst {
					worst, worstWord = looks, word
				}
				if silence > longest {
					longest, longestWord = silence, word
				}
				if t.Failed() {
					t.Fatalf("after %s", word)
				}
			}
		}
	}
	t.Logf("most looks an octet: %.1f for %s; longest silence %d ms after %s", worst, worstWord, longest/1e6, longestWord)
	if worst > maxExamined {
		t.Errorf("%s: each octet is looked at %.1f times, want at most %d", worstWord, worst, maxExamined)
	}
	if longest > maxSilence {
		t.Errorf("%s: silent for %d ms, want at most %d", longestWord, longest/1e6, int64(maxSilence)/1e6)
	}
}

// Attacks that once cost 53 to 78 % of a core at 9600 baud, and 91 s of silence.
func TestAttacksOnFramingFail(t *testing.T) {
	t.Parallel()
	frag := fragments()
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"RTCM starts in an UBX frame", append(bytes.Clone(frag["UBX of 6144"]), repeat(6144, frag["RTCM in RTCM"])...)},
		{"1024 UBX starts", repeat(6144, frag["UBX of 6144"])},
		{"1024 UBX starts, then RTCM starts", append(repeat(6144, frag["UBX of 6144"]), repeat(2000, frag["RTCM of 1023"])...)},
	} {
		for _, chunk := range []int{1, 16, 1024} {
			looks, silence := mislead(t, slices.Concat(c.in, c.in, c.in), chunk)
			if looks > maxExamined || silence > maxSilence {
				t.Errorf("%s by %d: each octet is looked at %.1f times, silent for %d ms", c.name, chunk, looks, silence/1e6)
			}
		}
	}
}

// compare feeds a stream, cut by r, to a Decoder and to a Plain, and fails if they
// do not find the same frames and defects.
func compare(t *testing.T, in []byte, r *rand.Rand) {
	t.Helper()
	type found struct {
		protocol string
		mono     int64
	}
	var want, got []found
	plain := gnss.NewPlain(registry.Protocols(), func(p string, _ []byte, mono int64) { want = append(want, found{p, mono}) })
	p := registry.Protocols()
	for i := range p.Decoded {
		p.Decoded[i] = handing{p.Decoded[i]}
	}
	d := gnss.NewDecoder(p, gnss.Config{})
	emit := func(m *gnss.Message) { got = append(got, found{m.Protocol, m.Mono}) }
	mono := int64(0)
	for len(in) > 0 {
		n := min(1+r.IntN(1+r.IntN(300)), len(in))
		mono += r.Int64N(400e6) >> r.IntN(10)
		d.Feed(in[:n], mono, emit)
		plain.Feed(in[:n], mono)
		in = in[n:]
		checkHeld(t, d)
	}
	d.Flush(emit)
	plain.Flush()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("found %v\nwant %v", got, want)
	}
	n := d.Counters()
	for _, x := range gnss.Defects() {
		if n.Of(x) != plain.Of(x) {
			t.Fatalf("%v counted %d times, want %d", x, n.Of(x), plain.Of(x))
		}
	}
}

// handing hands out every frame of a protocol.
type handing struct{ gnss.Protocol }

func (handing) Decode(*gnss.Stream, *gnss.Message, []byte) bool { return true }

func TestFramesAreThoseOfThePlainFramer(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	frag := slices.Collect(func(yield func([]byte) bool) {
		for _, b := range fragments() {
			if !yield(b) {
				return
			}
		}
	})
	slices.SortFunc(frag, bytes.Compare) // for the seed
	for range 60 {
		var in []byte
		for len(in) < 4000 {
			f := frag[r.IntN(len(frag))]
			in = append(in, f[:1+r.IntN(len(f))]...)
			if r.IntN(20) == 0 {
				in = append(in, repeat(r.IntN(400), f)...)
			}
		}
		compare(t, in, r)
	}
}

// Octets made to look like the starts of frames cost what good sentences do: the metric is
// the part of a core that they take at 9600 baud.
func BenchmarkFalseStarts(b *testing.B) {
	frag := fragments()
	frag["UBX, then RTCM starts"] = append([]byte{0xb5, 0x62, 1, 7, 0, 0x18}, bytes.Repeat([]byte{0xd3, 3}, 3072)...)
	for _, name := range []string{"UBX of 6144", "UBX, then RTCM starts", "RTCM in RTCM", "address", "good NMEA"} {
		b.Run(name, func(b *testing.B) {
			const octets = 9600 // ten seconds at 9600 baud
			in := repeat(octets, frag[name])
			b.SetBytes(int64(len(in)))
			defer func() {
				b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/10, "%-of-a-core")
			}()
			for b.Loop() {
				l := &line{d: registry.NewDecoder(gnss.Config{}), emit: func(*gnss.Message) {}}
				l.receive(in, 16)
			}
		})
	}
}
