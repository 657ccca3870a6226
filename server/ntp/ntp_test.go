package ntp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"noonmark/phc/tai"
)

// era1 is 2036-02-07 06:28:16 UTC, the first second of NTP era 1.
const era1 = 2085978496

func TestTimestampOfKnownInstants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sec, nsec int64
		off       int
		want      Timestamp
	}{
		{-unixEpoch, 0, 10, 0},                         // 1900-01-01
		{0, 0, 10, 0x83aa7e80_00000000},                // 1970-01-01
		{63072000, 0, 10, 0x876ce580_00000000},         // 1972-01-01 (RFC 5905, figure 4: 2272060800)
		{1483228799, 5e8, 36, 0xdc12c4ff_80000000},     // the last second before 23:59:60
		{era1 - 1, 999999999, 37, 0xffffffff_fffffffc}, // rounded to the nearest unit
		{era1, 0, 37, 0},
		{era1, 1, 37, 4},
		{era1 + 1<<32, 250e6, 37, 0x00000000_40000000}, // era 2
	} {
		if got := FromTAI(tai.FromUnix(c.sec, c.nsec, c.off), c.off); got != c.want {
			t.Errorf("%d.%09d: %016x, want %016x", c.sec, c.nsec, uint64(got), uint64(c.want))
		}
	}
}

// roundTrip checks that an instant survives the wire whenever the pivot is less
// than half an era away, and that the difference of two timestamps is that of
// their instants.
func roundTrip(t *testing.T, at tai.Time, away time.Duration, off int) {
	t.Helper()
	pivot := at.Add(away)
	ts := FromTAI(at, off)
	if got := ts.TAI(pivot, off); got != at {
		t.Errorf("%d by way of %016x and pivot %d: %d", at, uint64(ts), pivot, got)
	}
	if got := FromTAI(pivot, off).Sub(ts); got != away {
		t.Errorf("%d: difference %d, want %d", at, got, away)
	}
	if got := ts.Add(away).Sub(FromTAI(pivot, off)); got < -1 || got > 1 {
		t.Errorf("%d: Add(%d) is off by %d", at, away, got)
	}
}

func TestTimestampAcrossEras(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const half = time.Duration(1<<31) * time.Second
	base := tai.FromUnix(era1, 0, 37)
	for range 20000 {
		at := base.Add(time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour)
		roundTrip(t, at, time.Duration(r.Int64N(int64(2*half-2)))-half+1, 37)
		roundTrip(t, at, time.Duration(r.Int64N(int64(time.Second)))-time.Second/2, 37)
	}
	for _, d := range []time.Duration{0, 1, -1, time.Second, -time.Second, half - 1, -half + 1} {
		roundTrip(t, base, d, 37)
		roundTrip(t, base-1, d, 37)
	}
	if d := Timestamp(1 << 32).Sub(Timestamp(math.MaxUint32 << 32)); d != 2*time.Second {
		t.Errorf("across the era: %v", d)
	}
}

func FuzzTimestamp(f *testing.F) {
	f.Add(int64(era1)*1e9, int64(1), 37)
	f.Add(int64(0), int64(-1), 10)
	f.Fuzz(func(t *testing.T, at, away int64, off int) {
		if off < -1000 || off > 1000 || at > math.MaxInt64-1e13 || at < math.MinInt64+1e13 {
			return // no instant that the type can hold
		}
		away %= 1 << 31 * 1e9
		if p := tai.Time(at).Add(time.Duration(away)); p > math.MaxInt64-1e13 || p < math.MinInt64+1e13 {
			return // no instant that the type can hold
		}
		roundTrip(t, tai.Time(at), time.Duration(away), off)
	})
}

func TestShortRoundsUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    time.Duration
		want Short
	}{
		{math.MinInt64, 0}, {-1, 0}, {0, 0},
		{1, 1}, // rounded up
		{time.Second, 1 << 16},
		{time.Second + 1, 1<<16 + 1},
		{time.Second / 2, 1 << 15},
		{65535 * time.Second, 65535 << 16},
		{65536*time.Second - 1, math.MaxUint32},
		{65536 * time.Second, math.MaxUint32},
		{math.MaxInt64, math.MaxUint32},
	} {
		if got := ShortFrom(c.d); got != c.want {
			t.Errorf("ShortFrom(%d) = %#x, want %#x", c.d, got, c.want)
		}
	}
	if got := Short(1).Duration(); got != 15259 { // 15258.79 ns
		t.Errorf("Short(1) = %d ns", got)
	}
}

func FuzzShort(f *testing.F) {
	f.Add(int64(1))
	f.Add(int64(65536e9))
	f.Fuzz(func(t *testing.T, d int64) {
		want := new(big.Int)
		if d > 0 {
			want.Mul(big.NewInt(d), big.NewInt(1<<16)).Add(want, big.NewInt(1e9-1)).Div(want, big.NewInt(1e9))
		}
		if m := big.NewInt(math.MaxUint32); want.Cmp(m) > 0 {
			want = m
		}
		if got := ShortFrom(time.Duration(d)); uint64(got) != want.Uint64() {
			t.Errorf("ShortFrom(%d) = %d, want %d", d, got, want)
		}
		if s := ShortFrom(time.Duration(d)); s != math.MaxUint32 && int64(s.Duration()) < d {
			t.Errorf("ShortFrom(%d) promises only %d", d, s.Duration())
		}
	})
}

// golden is a header laid out by hand from RFC 5905, figure 8.
const golden = "e4" + "01" + "06" + "ec" + // leap 3, version 4, mode 4; stratum 1; poll 6; precision -20
	"00010000" + "00008000" + "47505300" + // 1 s; 0.5 s; "GPS\0"
	"e0000000" + "11111111" + "e0000001" + "22222222" + "e0000002" + "33333333" + "e0000003" + "44444444"

func TestHeaderLayout(t *testing.T) {
	t.Parallel()
	b, _ := hex.DecodeString(golden)
	var h Header
	for n := range HeaderLen {
		if err := h.Parse(b[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	want := Header{Leap: 3, Version: 4, Mode: 4, Stratum: 1, Poll: 6, Precision: -20, RootDelay: 1 << 16, RootDisp: 1 << 15,
		RefID: [4]byte{'G', 'P', 'S'}, RefTime: 0xe000000011111111, Origin: 0xe000000122222222,
		Receive: 0xe000000233333333, Transmit: 0xe000000344444444}
	if err := h.Parse(b); err != nil || h != want {
		t.Errorf("parsed %+v, %v", h, err)
	}
	var out [HeaderLen]byte
	if h.Put(out[:]); !bytes.Equal(out[:], b) {
		t.Errorf("put %x", out)
	}
}

func FuzzHeader(f *testing.F) {
	b, _ := hex.DecodeString(golden)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		if h.Parse(b) != nil {
			return
		}
		var out [HeaderLen]byte
		if h.Put(out[:]); !bytes.Equal(out[:], b[:HeaderLen]) {
			t.Errorf("%x became %x", b[:HeaderLen], out)
		}
	})
}

func TestNextFieldFollowsRFC7822(t *testing.T) {
	t.Parallel()
	hdr := make([]byte, HeaderLen)
	fl := func(typ, n int, room int) []byte { // a field that says n and has room octets
		return append([]byte{byte(typ >> 8), byte(typ), byte(n >> 8), byte(n)}, make([]byte, room-4)...)
	}
	for _, c := range []struct {
		name string
		tail []byte
		want []int // lengths of the fields found
		mac  bool
		err  bool
	}{
		{"one octet", make([]byte, 1), nil, false, true},
		{"eight octets", make([]byte, 8), nil, false, true},
		{"least field alone", fl(1, 16, 16), nil, false, true},
		{"field below 28 alone", fl(1, 12, 12), nil, false, true},
		{"length 0", fl(1, 0, 28), nil, false, true},
		{"length 4", fl(1, 4, 28), nil, false, true},
		{"length 12", fl(1, 12, 40), nil, false, true},
		{"length 30", fl(1, 30, 32), nil, false, true},
		{"length beyond the packet", fl(1, 32, 28), nil, false, true},
		{"length 65535", fl(1, 65535, 28), nil, false, true},
		{"rest of 8 after a field", fl(1, 28, 36), []int{28}, false, true},
		{"rest of 16 after a field", append(fl(1, 28, 28), fl(2, 16, 16)...), []int{28}, false, true},
		{"none", nil, nil, false, false},
		{"crypto-NAK", make([]byte, 4), nil, true, false},
		{"MD5", make([]byte, 20), nil, true, false},
		{"SHA-1", make([]byte, 24), nil, true, false},
		{"looks like a field, is a MAC", fl(1, 24, 24), nil, true, false},
		{"last field", fl(1, 28, 28), []int{28}, false, false},
		{"least field, MD5", fl(1, 16, 36), []int{16}, true, false},
		{"least field, least last field", append(fl(1, 16, 16), fl(2, 28, 28)...), []int{16, 28}, false, false},
		{"field, NAK", fl(1, 28, 32), []int{28}, true, false},
	} {
		pkt := append(append([]byte(nil), hdr...), c.tail...)
		var got []int
		off := HeaderLen
		for {
			f, ok, err := NextField(pkt, off)
			if !ok {
				if (err != nil) != c.err || IsMAC(pkt, off) != c.mac {
					t.Errorf("%s: err %v, mac %v", c.name, err, IsMAC(pkt, off))
				}
				break
			}
			got = append(got, f.End-f.Start)
			off = f.End
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: fields %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: fields %v, want %v", c.name, got, c.want)
			}
		}
	}
	if _, ok, err := NextField(hdr, 100); ok || err == nil {
		t.Error("offset beyond the packet")
	}
	if _, ok, err := NextField(hdr, -1); ok || err == nil {
		t.Error("negative offset")
	}
}

func TestAppendFieldPads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, want string }{
		{"", "010400100000000000000000" + "00000000"},
		{"aa", "01040010aa00000000000000" + "00000000"},
		{"112233445566778899aabbcc", "01040010112233445566778899aabbcc"},
		{"112233445566778899aabbccdd", "01040014112233445566778899aabbccdd000000"},
	} {
		b, _ := hex.DecodeString(c.body)
		got := AppendField([]byte{0xff}, ExtUniqueID, b)
		if hex.EncodeToString(got) != "ff"+c.want {
			t.Errorf("%s: %x", c.body, got)
		}
		if FieldLen(len(b)) != len(got)-1 {
			t.Errorf("%s: FieldLen %d", c.body, FieldLen(len(b)))
		}
	}
	if n := len(AppendField(nil, 1, make([]byte, 70000))); n != maxField {
		t.Errorf("a body beyond a field gives %d octets", n)
	}
}

func FuzzNextField(f *testing.F) {
	f.Add(AppendField(AppendField(make([]byte, HeaderLen), ExtUniqueID, make([]byte, 32)), ExtCookie, make([]byte, 100)))
	f.Add(make([]byte, HeaderLen+24))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, next := range []func([]byte, int) (Field, bool, error){NextField, NextInner} {
			for off := 0; ; {
				fd, ok, err := next(b, off)
				if !ok {
					break
				}
				if err != nil || fd.Start != off || fd.End <= off || fd.End > len(b) || len(fd.Body) != fd.End-fd.Start-4 {
					t.Fatalf("%x at %d: %+v %v", b, off, fd, err)
				}
				again := AppendField(nil, fd.Type, fd.Body)
				if fd.End-fd.Start >= minField && !bytes.Equal(again, b[fd.Start:fd.End]) {
					t.Fatalf("%x at %d: made again %x", b, off, again)
				}
				off = fd.End
			}
		}
	})
}
