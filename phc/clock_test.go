package phc

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
)

func TestSplitStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d         time.Duration
		sec, nsec int64
	}{
		{-1, -1, 999999999},
		{-1e9, -1, 0},
		{-1500000001, -2, 499999999},
		{math.MinInt64, -9223372037, 145224192},
		{math.MaxInt64, 9223372036, 854775807},
		{0, 0, 0},
		{1, 0, 1},
		{1500000001, 1, 500000001},
		{50 * 365 * 24 * time.Hour, 50 * 365 * 86400, 0},
	} {
		if s, n := splitStep(c.d); s != c.sec || n != c.nsec {
			t.Errorf("splitStep(%d) = %d, %d; want %d, %d", c.d, s, n, c.sec, c.nsec)
		}
	}
}

func TestScaledPPM(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ppb  float64
		want int64
	}{
		{-1000, -65536}, {-0.008, -1}, {-0.007, 0}, {0, 0}, {0.007, 0}, {0.008, 1}, {1, 66}, {1000, 65536}, {500000, 32768000},
	} {
		v := scaledPPM(c.ppb)
		if v != c.want {
			t.Errorf("scaledPPM(%v) = %d, want %d", c.ppb, v, c.want)
		}
		if e := math.Abs(fromScaledPPM(v) - c.ppb); e > FreqResolutionPPB/2+1e-9 {
			t.Errorf("%v ppb comes back %v off", c.ppb, e)
		}
	}
}

func TestClampFreq(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, out float64
		ok      bool
	}{
		{math.NaN(), 0, false}, {math.Inf(1), 100, false}, {math.Inf(-1), -100, false}, {100.1, 100, false}, {-101, -100, false},
		{100, 100, true}, {-100, -100, true}, {0, 0, true},
	} {
		v, err := clampFreq(c.in, 100)
		if v != c.out || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrFreqRange) {
			t.Errorf("clampFreq(%v) = %v, %v", c.in, v, err)
		}
	}
}

func event(sec int64, nsec, index, flags uint32) []byte {
	b := make([]byte, extTSSize)
	ne := binary.NativeEndian
	ne.PutUint64(b, uint64(sec))
	ne.PutUint32(b[8:], nsec)
	ne.PutUint32(b[16:], index)
	ne.PutUint32(b[20:], flags)
	return b
}

func TestParseExtTS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b    []byte
		want ExtTSEvent
		ok   bool
	}{
		{nil, ExtTSEvent{}, false},
		{event(1, 2, 0, 1)[:31], ExtTSEvent{}, false},
		{event(1, 1e9, 0, 1), ExtTSEvent{}, false},
		{event(math.MaxInt64, 0, 0, 1), ExtTSEvent{}, false},
		{event(math.MinInt64, 0, 0, 1), ExtTSEvent{}, false},
		{event(1, 2, 1, extOffset), ExtTSEvent{Clock: 1000000002, Channel: 1, Offset: true}, true},
		{event(-1, 999999999, 0, 0), ExtTSEvent{Clock: -1}, true},
		{event(1795430000, 5, 3, 1), ExtTSEvent{Clock: 1795430000*tai.Second + 5, Channel: 3}, true},
	} {
		got, err := parseExtTS(c.b)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%v: %+v, %v; want %+v, ok %v", c.b, got, err, c.want, c.ok)
		}
	}
}

func FuzzParseExtTS(f *testing.F) {
	f.Add(event(1795430000, 5, 3, 1))
	f.Add(event(-1, 999999999, 0, extOffset))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseExtTS(b)
		if err != nil {
			if e != (ExtTSEvent{}) {
				t.Fatal("an event with an error")
			}
			return
		}
		sec, nsec := e.Clock.Unix(0)
		if w := event(sec, uint32(nsec), 0, 0); string(w[:12]) != string(b[:12]) {
			t.Fatalf("%v reads as %d", b, e.Clock)
		}
	})
}

func TestBest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []bracket
		want int64
		ok   bool
	}{
		{nil, 0, false},
		{[]bracket{{10, 5, 1}}, 0, false}, // stepped back within
		{[]bracket{{10, 5, 1}, {20, 90, 2}, {30, 40, 3}, {50, 70, 4}}, 3, true},
	} {
		if b, ok := best(c.in); ok != c.ok || int64(b.clock) != c.want {
			t.Errorf("best(%v) = %v, %v", c.in, b, ok)
		}
	}
}

// TestCrossPairing: the three clocks of a Cross show the same instant on
// whichever system clock the brackets were taken, even if the two differ by
// 100 ppm.
func TestCrossPairing(t *testing.T) {
	t.Parallel()
	const rate = 100e-6
	mono := func(x int64) int64 { return 5e9 + x }
	real := func(x int64) int64 { return 1e18 + x + int64(float64(x)*rate) }
	p := pair{mono(0), real(0), 40}
	q := pair{mono(2000000), real(2000000), 60}
	at := int64(700000)
	c, ok := onMono(bracket{mono(at - 100), mono(at + 100), 42}, p, q)
	if want := (Cross{42, real(at), mono(at), 260}); !ok || c != want {
		t.Errorf("onMono = %+v, %v; want %+v", c, ok, want)
	}
	c, ok = onReal(bracket{real(at) - 100, real(at) + 100, 42}, p, q)
	if want := (Cross{42, real(at), mono(at), 260}); !ok || c != want {
		t.Errorf("onReal = %+v, %v; want %+v", c, ok, want)
	}
	q.real += 2 * stepLimit
	if _, ok := onMono(bracket{mono(at), mono(at), 1}, p, q); ok {
		t.Error("onMono accepts a step of the system clock")
	}
	if _, ok := onReal(bracket{real(at), real(at), 1}, p, q); ok {
		t.Error("onReal accepts a step of the system clock")
	}
}

func TestSamplesFor(t *testing.T) {
	t.Parallel()
	for w, want := range map[time.Duration]int{0: 10, -1: 10, time.Microsecond: 10, 60 * time.Microsecond: 6, 222 * time.Microsecond: 2, time.Second: 2} {
		if n := samplesFor(w); n != want {
			t.Errorf("samplesFor(%v) = %d, want %d", w, n, want)
		}
	}
}

func TestEdgesText(t *testing.T) {
	t.Parallel()
	var e Edges
	for _, s := range []string{"", "up", "rising "} {
		if e.UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q is accepted as an edge", s)
		}
	}
	if err := e.UnmarshalText([]byte("Both")); err != nil || e != Both {
		t.Error(e, err)
	}
}
