package tai

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"
)

// rec is one leap-second record: seconds since the epoch, leap seconds counted,
// and the correction from then on.
type rec struct {
	at   int64
	corr int32
}

// zone makes a zone file as zic does: a block with 32-bit times and one with 64,
// one type, and the footer.
func zone(version byte, trans []int64, recs []rec, footer string) []byte {
	var b []byte
	for _, wide := range []bool{false, true} {
		b = append(b, "TZif"...)
		b = append(b, version)
		b = append(b, make([]byte, 15)...)
		for _, n := range []int{0, 0, len(recs), len(trans), 1, 4} {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
		put := func(v int64) {
			if wide {
				b = binary.BigEndian.AppendUint64(b, uint64(v))
			} else {
				b = binary.BigEndian.AppendUint32(b, uint32(v))
			}
		}
		for _, v := range trans {
			put(v)
		}
		b = append(b, make([]byte, len(trans))...)
		b = append(b, "\x00\x00\x00\x00\x00\x00UTC\x00"...)
		for _, r := range recs {
			put(r.at)
			b = binary.BigEndian.AppendUint32(b, uint32(r.corr))
		}
	}
	return append(b, footer...)
}

// right are the records of right/UTC, from the table built in.
func right() (recs []rec) {
	for i, l := range Builtin().Leaps[1:] {
		recs = append(recs, rec{l.UTC + int64(i), int32(i + 1)})
	}
	return recs
}

func TestParseTZif(t *testing.T) {
	t.Parallel()
	first := rec{78796800, 1} // 1972-06-30 23:59:60
	many := make([]rec, maxTZifLeaps+1)
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"another file", []byte("#!/bin/sh\n" + string(make([]byte, 100)))},
		{"plain UTC", zone('2', nil, nil, "\nUTC0\n")},
		{"version 1", zone(0, nil, []rec{first}, "\n\n")},
		{"version 1 by its letter", zone('1', nil, []rec{first}, "\n\n")},
		{"no footer", zone('2', nil, []rec{first}, "")},
		{"half a footer", zone('2', nil, []rec{first}, "\n")},
		{"before the epoch", zone('2', nil, []rec{{-1, 1}}, "\n\n")},
		{"at the epoch", zone('2', nil, []rec{{0, 1}}, "\n\n")},
		{"before 1972", zone('2', nil, []rec{{31536000, 1}, {78796801, 2}}, "\n\n")},
		{"at the beginning of 1972", zone('2', nil, []rec{{63072000, 1}}, "\n\n")},
		{"deleted before 1972", zone('2', nil, []rec{{63071999, -1}}, "\n\n")},
		{"after all time", zone('2', nil, []rec{{1 << 60, 1}}, "\n\n")},
		{"two at once", zone('2', nil, []rec{{78796800, 2}}, "\n\n")},
		{"none at all", zone('2', nil, []rec{first, {94694401, 1}}, "\n\n")}, // an expiry, before version 4
		{"expiry in the middle", zone('4', nil, []rec{first, {94694401, 1}, {126230402, 2}}, "\n\n")},
		{"going back", zone('2', nil, []rec{{94694400, 1}, {78796801, 2}}, "\n\n")},
		{"twice the same", zone('2', nil, []rec{first, {78796800, 2}}, "\n\n")},
		{"not at midnight", zone('2', nil, []rec{{78796801, 1}}, "\n\n")},
		{"not at a month's end", zone('2', nil, []rec{{78796800 + 86400, 1}}, "\n\n")},
		{"too many", zone('2', nil, many, "\n\n")},
		{"too long", make([]byte, maxTZif+1)},
		{"a count beyond the file", append([]byte("TZif2"), bytes.Repeat([]byte{0xff}, 60)...)},
	} {
		if _, err := ParseTZif(c.b, "x"); !errors.Is(err, ErrTZif) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	whole := zone('4', nil, append(right(), rec{1814140800 + 27, 27}), "\n\n")
	for n := range whole {
		if _, err := ParseTZif(whole[:n], "x"); !errors.Is(err, ErrTZif) {
			t.Fatalf("cut to %d octets: %v", n, err)
		}
	}

	expires := time.Date(2027, 6, 28, 0, 0, 0, 0, time.UTC)
	deleted := append(right(), rec{1798761599 + 27, 26}) // the 23:59:59 before 2027 is left out
	for _, c := range []struct {
		name    string
		b       []byte
		leaps   int
		expires time.Time
	}{
		{"slim", zone('2', nil, right(), "\nUTC0\n"), 28, time.Time{}},
		{"expiry as a record", whole, 28, expires},
		{"expiry as a transition", zone('2', []int64{1814140800 + 27}, right(), "\n\n"), 28, expires},
		{"a transition that is none", zone('2', []int64{1}, right(), "\n\n"), 28, time.Time{}},
		{"a deleted second", zone('2', nil, deleted, "\nUTC0\n"), 29, time.Time{}},
	} {
		tb, err := ParseTZif(c.b, "x")
		if err != nil || len(tb.Leaps) != c.leaps || !tb.Expires.Equal(c.expires) || tb.Source != "x" {
			t.Errorf("%s: %+v, %v", c.name, tb, err)
			continue
		}
		for i, l := range Builtin().Leaps {
			if tb.Leaps[i] != l {
				t.Errorf("%s: entry %d is %v, want %v", c.name, i, tb.Leaps[i], l)
			}
		}
		if c.leaps == 29 && tb.Leaps[28] != (Leap{1798761600, 36}) {
			t.Errorf("%s: %v", c.name, tb.Leaps[28])
		}
	}
}

// TestSystemZone reads this machine's own.
func TestSystemZone(t *testing.T) {
	t.Parallel()
	const path = "/usr/share/zoneinfo/right/UTC"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("no right/UTC (package tzdata or tzdata-legacy): %v", err)
	}
	tb, err := ParseTZif(b, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries, expires %v", len(tb.Leaps), tb.Expires)
	for i, l := range Builtin().Leaps {
		if i >= len(tb.Leaps) || tb.Leaps[i] != l {
			t.Fatalf("entry %d differs from the table built in", i)
		}
	}
}

// FuzzParseTZif: hostile files make errors, and what is taken is a table.
func FuzzParseTZif(f *testing.F) {
	f.Add(zone('2', []int64{1814140800 + 27}, right(), "\n\n"))
	f.Add(zone('4', nil, append(right(), rec{1814140800 + 27, 27}), "\n\n"))
	f.Add(zone('2', nil, nil, "\nUTC0\n"))
	f.Add(zone('2', nil, []rec{{0, 1}}, "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tb, err := ParseTZif(b, "fuzz")
		if err != nil {
			if !errors.Is(err, ErrTZif) {
				t.Error(err)
			}
			return
		}
		for i, l := range tb.Leaps[1:] {
			p := tb.Leaps[i]
			if l.UTC <= p.UTC || l.Offset-p.Offset != 1 && p.Offset-l.Offset != 1 || l.At() <= p.At() {
				t.Fatalf("%v follows %v", l, p)
			}
			if tb.Offset(l.At()) != l.Offset || tb.Offset(l.At()-1) != p.Offset {
				t.Fatalf("%v is not executed", l)
			}
		}
	})
}
