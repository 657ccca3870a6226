package tai

import (
	"bufio"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Leap is one entry of a leap-second table: from UTC on, TAI - UTC = Offset.
type Leap struct {
	UTC    int64 // POSIX seconds of the first UTC second with the new offset
	Offset int   // TAI - UTC in seconds from there on
}

// At returns the instant at which the entry's offset comes into force: the end
// of an inserted second, or of the second before a deleted one.
func (l Leap) At() Time { return FromUnix(l.UTC, 0, l.Offset) }

// Table is a list of leap seconds in ascending order, with the instant until
// which its makers vouch for it. It is immutable once made.
type Table struct {
	Leaps   []Leap
	Expires time.Time // zero if unknown
	Source  string    // where it came from, for people
}

// ErrLeapFile is wrapped by every error of ParseLeapSeconds.
var ErrLeapFile = errors.New("leap-seconds.list is not usable")

// ntpEpoch is the POSIX time of 1900-01-01, the epoch of leap-seconds.list and
// of NTP era 0 (RFC 5905, figure 4).
const ntpEpoch = -2208988800

// maxLeapFile bounds what is read of a leap-seconds.list (the real one has
// about 10 kB).
const maxLeapFile = 1 << 20

// ParseLeapSeconds reads the IANA/IERS leap-seconds.list format: "#@" expiry,
// "#h" SHA-1 over the digits, one "NTP-seconds offset" a line. A hash that is
// present must match. An expired table is not an error: see Expired.
func ParseLeapSeconds(r io.Reader, source string) (*Table, error) {
	t := &Table{Source: source}
	bad := func(line int, why string) error {
		return fmt.Errorf("%s:%d: %w: %s", source, line, ErrLeapFile, why)
	}
	sum := sha1.New() // the format's own check, not a protection
	var want string
	sc := bufio.NewScanner(io.LimitReader(r, maxLeapFile))
	n := 0
	for sc.Scan() {
		n++
		line := strings.TrimSpace(sc.Text())
		f := strings.Fields(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "#$") && len(f) > 1:
			io.WriteString(sum, f[1])
		case strings.HasPrefix(line, "#@") && len(f) > 1:
			v, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil || v < 0 || v+ntpEpoch > maxUnix {
				return nil, bad(n, "expiry is no sensible number")
			}
			io.WriteString(sum, f[1])
			t.Expires = time.Unix(v+ntpEpoch, 0).UTC()
		case strings.HasPrefix(line, "#h"):
			for _, w := range f[1:] {
				want += strings.Repeat("0", max(0, 8-len(w))) + strings.ToLower(w)
			}
		case line[0] == '#':
		default:
			if len(f) < 2 {
				return nil, bad(n, "a line needs a time and an offset")
			}
			at, err1 := strconv.ParseInt(f[0], 10, 64)
			off, err2 := strconv.Atoi(f[1])
			if err1 != nil || err2 != nil || off < -1000 || off > 1000 || at < 0 || at+ntpEpoch > maxUnix {
				return nil, bad(n, "time or offset is no sensible number")
			}
			l := Leap{UTC: at + ntpEpoch, Offset: off}
			if !monthEnd(l.UTC) {
				return nil, bad(n, "an entry must begin with a month")
			}
			if k := len(t.Leaps); k > 0 {
				if p := t.Leaps[k-1]; l.UTC <= p.UTC || l.Offset-p.Offset > 1 || p.Offset-l.Offset > 1 || l.Offset == p.Offset {
					return nil, bad(n, "entries must ascend and change by one second")
				}
			}
			io.WriteString(sum, f[0])
			io.WriteString(sum, f[1])
			t.Leaps = append(t.Leaps, l)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, bad(n, err.Error())
	}
	if len(t.Leaps) == 0 {
		return nil, bad(n, "no entries")
	}
	if want != "" && want != hex.EncodeToString(sum.Sum(nil)) {
		return nil, bad(n, "the #h hash does not match; the file is damaged")
	}
	return t, nil
}

// Builtin returns the table known when this program was written: 37 s since
// 2017-01-01 and nothing announced by IERS Bulletin C 72 (July 2026). It never
// expires into "no time"; Expired tells that it is due for replacement.
func Builtin() *Table {
	t := &Table{Source: "builtin", Expires: time.Date(2027, 6, 28, 0, 0, 0, 0, time.UTC)}
	for i, d := range [...]string{
		"1972-01-01", "1972-07-01", "1973-01-01", "1974-01-01", "1975-01-01", "1976-01-01", "1977-01-01",
		"1978-01-01", "1979-01-01", "1980-01-01", "1981-07-01", "1982-07-01", "1983-07-01", "1985-07-01",
		"1988-01-01", "1990-01-01", "1991-01-01", "1992-07-01", "1993-07-01", "1994-07-01", "1996-01-01",
		"1997-07-01", "1999-01-01", "2006-01-01", "2009-01-01", "2012-07-01", "2015-07-01", "2017-01-01",
	} {
		at, err := time.Parse(time.DateOnly, d)
		if err != nil {
			panic(err) // a constant of this file
		}
		t.Leaps = append(t.Leaps, Leap{UTC: at.Unix(), Offset: 10 + i})
	}
	return t
}

// With returns a table that also holds an announced leap second; an entry that
// is already there, or older than the last, is left alone.
func (tb *Table) With(l Leap) *Table {
	n := &Table{Leaps: append([]Leap(nil), tb.Leaps...), Expires: tb.Expires, Source: tb.Source}
	if k := len(n.Leaps); k == 0 || (l.UTC > n.Leaps[k-1].UTC && (l.Offset-n.Leaps[k-1].Offset == 1 || n.Leaps[k-1].Offset-l.Offset == 1)) {
		n.Leaps = append(n.Leaps, l)
	}
	return n
}

// Expired reports whether the table's makers no longer vouch for it at t. That
// is a warning, never a reason to stop serving.
func (tb *Table) Expired(t Time) bool {
	return !tb.Expires.IsZero() && t >= FromUnix(tb.Expires.Unix(), 0, tb.Offset(t))
}

// Offset returns TAI - UTC in seconds at t: 37 since 2017. During an inserted
// leap second (23:59:60) it is still the old offset, so that POSIX conversion
// gives the first second of the next day twice, as POSIX has it. Before 1972
// it is 10.
func (tb *Table) Offset(t Time) int {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].At() > t })
	if i == 0 {
		return 10
	}
	return tb.Leaps[i-1].Offset
}

// OffsetUTC returns TAI - UTC in seconds for a POSIX time; at a leap second's
// doubled label it gives the new offset.
func (tb *Table) OffsetUTC(sec int64) int {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].UTC > sec })
	if i == 0 {
		return 10
	}
	return tb.Leaps[i-1].Offset
}

// FromUTC turns a UTC calendar reading into TAI. second may be 60 where the
// table has an inserted second and nowhere else; the date must exist and no
// field may be out of range. Normalising is not done: 31 April is refused.
func (tb *Table) FromUTC(year, month, day, hour, minute, second, nsec int) (Time, error) {
	if year < 1972 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || nsec < 0 || nsec > 999999999 {
		return 0, fmt.Errorf("date %d-%d-%d %d:%d:%d.%09d is out of range", year, month, day, hour, minute, second, nsec)
	}
	d := time.Date(year, time.Month(month), day, hour, minute, min(second, 59), 0, time.UTC)
	if d.Day() != day {
		return 0, fmt.Errorf("date %04d-%02d-%02d does not exist", year, month, day)
	}
	sec := d.Unix()
	t := FromUnix(sec, int64(nsec), tb.OffsetUTC(sec))
	if second == 60 {
		if tb.OffsetUTC(sec+1) != tb.OffsetUTC(sec)+1 {
			return 0, fmt.Errorf("%s has no second 60", d.Format("2006-01-02 15:04"))
		}
		t += Second
	}
	return t, nil
}

// Next returns the first leap that comes into force after t, and its sign: +1
// for an inserted second, -1 for a deleted one.
func (tb *Table) Next(t Time) (l Leap, sign int, ok bool) {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].At() > t })
	if i == 0 || i == len(tb.Leaps) {
		return Leap{}, 0, false
	}
	return tb.Leaps[i], tb.Leaps[i].Offset - tb.Leaps[i-1].Offset, true
}

// Past returns the last leap that came into force at or before t, and its
// sign. The table's first entry is where UTC begins and no leap.
func (tb *Table) Past(t Time) (l Leap, sign int, ok bool) {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].At() > t })
	if i < 2 {
		return Leap{}, 0, false
	}
	return tb.Leaps[i-1], tb.Leaps[i-1].Offset - tb.Leaps[i-2].Offset, true
}
