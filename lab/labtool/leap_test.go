package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/server/ntp"
)

const newYear = 1798761600 // 2027-01-01

// TAI-UTC of the kernel and of a server around a leap second, at ms after
// 00:00:00 by the old value.
func TestSecond(t *testing.T) {
	for _, c := range []struct{ sign, ms, kernel, served int64 }{
		{0, 5000, 37, 37},
		{1, -1, 37, 37},
		{1, 0, 38, 37}, // 23:59:59 again, and 00:00:00 the first time
		{1, 999, 38, 37},
		{1, 1000, 38, 38},
		{-1, -1001, 37, 37},
		{-1, -1000, 36, 36}, // instead of 23:59:59
		{-1, 0, 36, 36},
	} {
		l := second{utc: newYear, sign: c.sign, off: 37}
		at := (newYear+37)*int64(1e9) + c.ms*1e6
		if k, s := l.kernel(at), l.served(at); k != c.kernel || s != c.served {
			t.Errorf("sign %d at %d ms: kernel %d, served %d, want %d, %d", c.sign, c.ms, k, s, c.kernel, c.served)
		}
		if s := l.since(at); math.Abs(s-(float64(c.ms)/1000-float64(c.sign))) > 1e-9 {
			t.Errorf("sign %d at %d ms: %v s since its end", c.sign, c.ms, s)
		}
	}
}

// An answer with one wrong field is found; a right answer is not reported.
func TestChecker(t *testing.T) {
	base := (newYear + 37) * int64(1e9) // 23:59:60 begins
	answer := func(rx, tx int64, off int, leap uint8) ntp.Header {
		return ntp.Header{Leap: leap, Mode: ntp.ModeServer, Stratum: 1,
			Receive: ntp.FromTAI(tai.Time(rx), off), Transmit: ntp.FromTAI(tai.Time(tx), off)}
	}
	const ms = 1e6
	for _, c := range []struct {
		name   string
		sign   int64
		a, b   int64
		h      ntp.Header
		reason string
	}{
		{"a second off", 0, base, base + 2*ms, answer(base+ms, base+ms, 36, 0), "999000000 ns outside"},
		{"before it was sent", 0, base, base + 2*ms, answer(base-ms, base+ms, 37, 0), "1000000 ns outside"},
		{"after it came back", 0, base, base + 2*ms, answer(base+ms, base+3*ms, 37, 0), "1000000 ns outside"},
		{"announcement of nothing", 0, base, base + 2*ms, answer(base+ms, base+ms, 37, 1), "leap indicator 1"},
		{"not announced", 1, base - 50*ms, base - 48*ms, answer(base-49*ms, base-49*ms, 37, 0), "leap indicator 0"},
		{"announced as the other kind", -1, base - 1050*ms, base - 1048*ms, answer(base-1049*ms, base-1049*ms, 37, 1), "leap indicator 1"},
		{"stepped too early", 1, base + 500*ms, base + 502*ms, answer(base+501*ms, base+501*ms, 38, 0), "leap indicator 0"},
		{"stepped too late", 1, base + 1500*ms, base + 1502*ms, answer(base+1501*ms, base+1501*ms, 37, 1), "leap indicator 1"},
		{"unsynchronised", 0, base, base + 2*ms, ntp.Header{Leap: 3, Mode: 4, Stratum: 16}, "stratum 16"},
		{"right", 0, base, base + 2*ms, answer(base+ms, base+ms, 37, 0), ""},
		{"announced", 1, base + 500*ms, base + 502*ms, answer(base+501*ms, base+501*ms, 37, 1), ""},
		{"done", 1, base + 1500*ms, base + 1502*ms, answer(base+1501*ms, base+1501*ms, 38, 0), ""},
		{"across, old count", 1, base + 999*ms, base + 1001*ms, answer(base+1000*ms, base+1000*ms, 37, 1), ""},
		{"across, new count", 1, base + 999*ms, base + 1001*ms, answer(base+1000*ms, base+1000*ms, 38, 0), ""},
		{"left out", -1, base - 500*ms, base - 498*ms, answer(base-499*ms, base-499*ms, 36, 0), ""},
	} {
		var out bytes.Buffer
		k := checker{leap: second{utc: newYear, sign: c.sign, off: 37}, slack: 1e5, out: &out}
		k.check(&c.h, c.a, c.b)
		if k.n != 1 || (k.wrong == 1) != (c.reason != "") || !strings.Contains(out.String(), c.reason) {
			t.Errorf("%s: %d wrong, %q", c.name, k.wrong, out.String())
		}
	}
}

func TestPauseEnds(t *testing.T) {
	if err := pause(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
}
