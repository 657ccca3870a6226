package tai

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFromUTC(t *testing.T) {
	t.Parallel()
	tb := Builtin()
	for _, c := range []struct {
		f    [7]int
		want Time
		ok   bool
	}{
		{[7]int{2024, 2, 30, 0, 0, 0, 0}, 0, false},
		{[7]int{2023, 2, 29, 0, 0, 0, 0}, 0, false},
		{[7]int{2024, 13, 1, 0, 0, 0, 0}, 0, false},
		{[7]int{2024, 1, 1, 24, 0, 0, 0}, 0, false},
		{[7]int{2024, 1, 1, 99, 99, 99, 0}, 0, false},
		{[7]int{2024, 1, 1, 0, 0, 61, 0}, 0, false},
		{[7]int{2024, 6, 30, 23, 59, 60, 0}, 0, false}, // no leap second there
		{[7]int{1969, 1, 1, 0, 0, 0, 0}, 0, false},
		{[7]int{2024, 1, 1, 0, 0, 0, 1000000000}, 0, false},
		{[7]int{2016, 12, 31, 23, 59, 59, 0}, Time(1483228799+36) * Second, true},
		{[7]int{2016, 12, 31, 23, 59, 60, 0}, Time(1483228800+36) * Second, true},
		{[7]int{2017, 1, 1, 0, 0, 0, 5}, Time(1483228800+37)*Second + 5, true},
		{[7]int{2024, 2, 29, 12, 0, 0, 0}, Time(1709208000+37) * Second, true},
	} {
		got, err := tb.FromUTC(c.f[0], c.f[1], c.f[2], c.f[3], c.f[4], c.f[5], c.f[6])
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("FromUTC%v = %d, %v; want %d, ok %v", c.f, got, err, c.want, c.ok)
		}
	}
}

func TestLeapBoundary(t *testing.T) {
	t.Parallel()
	tb := Builtin()
	last := FromUnix(1483228799, 0, 36) // 23:59:59
	for _, c := range []struct {
		at   Time
		off  int
		unix int64
	}{
		{last, 36, 1483228799},
		{last + Second, 36, 1483228800}, // 23:59:60: POSIX has the label twice
		{last + 2*Second, 37, 1483228800},
		{last + 2*Second - 1, 36, 1483228800},
	} {
		off := tb.Offset(c.at)
		if sec, _ := c.at.Unix(off); off != c.off || sec != c.unix {
			t.Errorf("at %d: offset %d, unix %d; want %d, %d", c.at, off, sec, c.off, c.unix)
		}
	}
	l, sign, ok := tb.Next(last)
	if !ok || sign != 1 || l.At() != last+2*Second {
		t.Errorf("Next = %v %d %v", l, sign, ok)
	}
	if _, _, ok := tb.Next(last + 2*Second); ok {
		t.Error("a leap after the last")
	}
	w := tb.With(Leap{UTC: 1798761600, Offset: 38})
	if w.Offset(FromUnix(1798761600, 0, 38)) != 38 || w.Offset(FromUnix(1798761600, 0, 38)-1) != 37 {
		t.Error("an announced leap is not executed")
	}
	if len(tb.With(Leap{UTC: 1000, Offset: 38}).Leaps) != len(tb.Leaps) {
		t.Error("an old leap was taken")
	}
}

func TestSaturation(t *testing.T) {
	t.Parallel()
	if Time(math.MaxInt64).Add(1) != math.MaxInt64 || Time(math.MinInt64).Add(-1) != math.MinInt64 {
		t.Error("Add wraps")
	}
	if Time(math.MaxInt64).Sub(-1) != math.MaxInt64 || Time(math.MinInt64).Sub(1) != math.MinInt64 {
		t.Error("Sub wraps")
	}
	if Time(-1).Floor() != -Second || Time(-1).Round() != 0 || (Second/2).Round() != Second {
		t.Error("Floor or Round")
	}
}

func TestParseLeapSeconds(t *testing.T) {
	t.Parallel()
	const y72, y99 = "2272060800 10\n", "9223372036854775807 11\n"
	for _, c := range []string{"", y99, y72 + y99, y72 + "2287785601 11\n", "-2272060800 10\n", "#@ 9223372036854775807\n" + y72, "#@ -1\n" + y72, "#@ x\n1 2\n", "5\n", "2 10\n1 11\n", "1 10\n2 12\n", "1 10\n2 10\n", "1 9999\n",
		"2272060800 10\n#h 1 2 3 4 5\n"} {
		if _, err := ParseLeapSeconds(strings.NewReader(c), "x"); !errors.Is(err, ErrLeapFile) {
			t.Errorf("%q: %v", c, err)
		}
	}
	for name, expires := range map[string]string{"leap-seconds.list": "2026-06-28", "leap-seconds.list.2026f": "2027-06-28"} {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		tb, err := ParseLeapSeconds(f, name)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := tb.Expires.Format(time.DateOnly); got != expires {
			t.Errorf("%s expires %s, want %s", name, got, expires)
		}
		b := Builtin()
		if len(tb.Leaps) != len(b.Leaps) {
			t.Fatalf("%s has %d entries, builtin %d", name, len(tb.Leaps), len(b.Leaps))
		}
		for i := range b.Leaps {
			if tb.Leaps[i] != b.Leaps[i] {
				t.Errorf("%s entry %d: %v, builtin %v", name, i, tb.Leaps[i], b.Leaps[i])
			}
		}
		now := FromUnix(1795435200, 0, 37) // 2026-11-23
		if got, want := tb.Expired(now), name == "leap-seconds.list"; got != want {
			t.Errorf("%s expired: %v", name, got)
		}
	}
}

func FuzzParseLeapSeconds(f *testing.F) {
	f.Add("#@ 3960057600\n2272060800 10\n2287785600 11\n")
	f.Fuzz(func(t *testing.T, s string) {
		tb, err := ParseLeapSeconds(strings.NewReader(s), "fuzz")
		if err != nil {
			return
		}
		for i, l := range tb.Leaps[1:] {
			if p := tb.Leaps[i]; l.At() <= p.At() || tb.Offset(l.At()) != l.Offset || tb.Offset(l.At()-1) != p.Offset {
				t.Fatalf("%v after %v", l, p)
			}
		}
		tb.Expired(0)
		tb.Next(0)
		tb.Past(0)
	})
}
