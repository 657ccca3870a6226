package tai

import (
	"bufio"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
// which it is valid. It is immutable once made.
type Table struct {
	Leaps   []Leap
	Expires time.Time // zero if unknown
	Source  string    // its origin, for people
}

// ErrLeapFile is wrapped by every error of ParseLeapSeconds.
var ErrLeapFile = errors.New("leap-seconds.list is not usable")

// ntpEpoch is the POSIX time of 1900-01-01, the epoch of leap-seconds.list and
// of NTP era 0 (RFC 5905, figure 4).
const ntpEpoch = -2208988800

// maxLeapFile is the largest leap-seconds.list read, octets (the real one has
// about 10 kB).
const maxLeapFile = 1 << 20

// ParseLeapSeconds reads the IANA/IERS leap-seconds.list format: "#@" expiry,
// "#h" SHA-1 over the digits, one "NTP-seconds offset" a line. A hash, if there
// is one, must match. An expired table is not an error: see Expired.
func ParseLeapSeconds(r io.Reader, source string) (*Table, error) {
	p := leapParser{t: &Table{Source: source}, sum: sha1.New()}
	sc := bufio.NewScanner(io.LimitReader(r, maxLeapFile))
	n := 0
	err := error(nil)
	for err == nil && sc.Scan() {
		n++
		err = p.line(strings.TrimSpace(sc.Text()))
	}
	if err == nil {
		err = sc.Err()
	}
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w: %w", source, n, ErrLeapFile, err)
	}
	return p.t, nil
}

// leapParser reads a leap-seconds.list line by line.
type leapParser struct {
	t    *Table
	sum  hash.Hash // SHA-1 is the format's own check, not a protection
	want string    // the hash of the file, "" = none
}

// line reads one line, without surrounding space.
func (p *leapParser) line(line string) error {
	f := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "#$") && len(f) > 1:
		io.WriteString(p.sum, f[1])
	case strings.HasPrefix(line, "#@") && len(f) > 1:
		v, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || v < 0 || v+ntpEpoch > maxUnix {
			return errors.New("expiry is not a plausible number")
		}
		io.WriteString(p.sum, f[1])
		p.t.Expires = time.Unix(v+ntpEpoch, 0).UTC()
	case strings.HasPrefix(line, "#h"):
		for _, w := range f[1:] {
			p.want += strings.Repeat("0", max(0, 8-len(w))) + strings.ToLower(w)
		}
	case line != "" && line[0] != '#':
		return p.entry(f)
	}
	return nil
}

// entry reads the fields of one leap second.
func (p *leapParser) entry(f []string) error {
	if len(f) < 2 {
		return errors.New("a line needs a time and an offset")
	}
	at, err1 := strconv.ParseInt(f[0], 10, 64)
	off, err2 := strconv.Atoi(f[1])
	if err1 != nil || err2 != nil || off < -1000 || off > 1000 || at < 0 || at+ntpEpoch > maxUnix {
		return errors.New("time or offset is not a plausible number")
	}
	l := Leap{UTC: at + ntpEpoch, Offset: off}
	if !monthEnd(l.UTC) {
		return errors.New("an entry must begin with a month")
	}
	if k := len(p.t.Leaps); k > 0 {
		last := p.t.Leaps[k-1]
		if d := l.Offset - last.Offset; l.UTC <= last.UTC || d != 1 && d != -1 {
			return errors.New("entries must ascend and change by one second")
		}
	}
	io.WriteString(p.sum, f[0])
	io.WriteString(p.sum, f[1])
	p.t.Leaps = append(p.t.Leaps, l)
	return nil
}

// end checks the file as a whole.
func (p *leapParser) end() error {
	if len(p.t.Leaps) == 0 {
		return errors.New("no entries")
	}
	if p.want != "" && p.want != hex.EncodeToString(p.sum.Sum(nil)) {
		return errors.New("the #h hash does not match: the file is damaged")
	}
	return nil
}

// Builtin returns the table known when this program was written: 37 s since
// 2017-01-01 and nothing announced by IERS Bulletin C 72 (July 2026).
func Builtin() *Table {
	t := &Table{Source: "builtin", Expires: time.Date(2027, 6, 28, 0, 0, 0, 0, time.UTC)}
	for i, d := range [...]struct {
		year  int
		month time.Month
	}{
		{1972, 1}, {1972, 7}, {1973, 1}, {1974, 1}, {1975, 1}, {1976, 1}, {1977, 1},
		{1978, 1}, {1979, 1}, {1980, 1}, {1981, 7}, {1982, 7}, {1983, 7}, {1985, 7},
		{1988, 1}, {1990, 1}, {1991, 1}, {1992, 7}, {1993, 7}, {1994, 7}, {1996, 1},
		{1997, 7}, {1999, 1}, {2006, 1}, {2009, 1}, {2012, 7}, {2015, 7}, {2017, 1},
	} {
		at := time.Date(d.year, d.month, 1, 0, 0, 0, 0, time.UTC)
		t.Leaps = append(t.Leaps, Leap{UTC: at.Unix(), Offset: 10 + i})
	}
	return t
}

// With returns a table that also holds an announced leap second. One that is not
// later than the last entry, or does not change the offset by one, is ignored.
func (tb *Table) With(l Leap) *Table {
	n := &Table{Leaps: append([]Leap(nil), tb.Leaps...), Expires: tb.Expires, Source: tb.Source}
	if k := len(n.Leaps); k == 0 || (l.UTC > n.Leaps[k-1].UTC && (l.Offset-n.Leaps[k-1].Offset == 1 || n.Leaps[k-1].Offset-l.Offset == 1)) {
		n.Leaps = append(n.Leaps, l)
	}
	return n
}

// Expired reports whether the table is not valid any more at t. That is a
// warning, never a reason to stop serving.
func (tb *Table) Expired(t Time) bool {
	return !tb.Expires.IsZero() && t >= FromUnix(tb.Expires.Unix(), 0, tb.Offset(t))
}

// Offset returns TAI - UTC in seconds at t: 37 since 2017. During an inserted
// leap second (23:59:60) it is still the old offset, so that the POSIX conversion
// gives the first second of the next day twice, as POSIX defines. Before 1972 it
// is 10.
func (tb *Table) Offset(t Time) int {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].At() > t })
	if i == 0 {
		return 10
	}
	return tb.Leaps[i-1].Offset
}

// OffsetUTC returns TAI - UTC in seconds for a POSIX time; for the label that
// comes twice it returns the new offset.
func (tb *Table) OffsetUTC(sec int64) int {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].UTC > sec })
	if i == 0 {
		return 10
	}
	return tb.Leaps[i-1].Offset
}

// FromUTC converts a UTC calendar reading to TAI. second may be 60 only where the
// table has an inserted second. Fields out of range and dates that do not exist,
// such as 31 April, are errors.
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

// Next returns the first leap second that comes into force after t, and its sign:
// +1 inserted, -1 deleted.
func (tb *Table) Next(t Time) (l Leap, sign int, ok bool) {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].At() > t })
	if i == 0 || i == len(tb.Leaps) {
		return Leap{}, 0, false
	}
	return tb.Leaps[i], tb.Leaps[i].Offset - tb.Leaps[i-1].Offset, true
}

// Past returns the last leap second that came into force at or before t, and its
// sign. The first entry of the table is the beginning of UTC, not a leap second.
func (tb *Table) Past(t Time) (l Leap, sign int, ok bool) {
	i := sort.Search(len(tb.Leaps), func(i int) bool { return tb.Leaps[i].At() > t })
	if i < 2 {
		return Leap{}, 0, false
	}
	return tb.Leaps[i-1], tb.Leaps[i-1].Offset - tb.Leaps[i-2].Offset, true
}
