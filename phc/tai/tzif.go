package tai

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrTZif is wrapped by every error of ParseTZif.
var ErrTZif = errors.New("zone file has no usable leap seconds")

// Limits of ParseTZif: right/UTC has 28 records and 700 octets; a file with
// thousands of records is not a list of leap seconds.
const (
	maxTZif      = 1 << 20
	maxTZifLeaps = 1000
	tzifHeader   = 44
	// tzifStart is TAI - UTC, s, before the first correction: before the leap second
	// of 1972-06-30.
	tzifStart = 10
	// leapGap is the shortest time between leap seconds, s: they are at the ends of
	// months.
	leapGap = 28*86400 - 1
)

// ParseTZif reads the leap-second records of a zone file (RFC 9636) such as
// right/UTC, from its second block, with 64-bit times, which all files since 2005
// have. The last record of a version-4 file is the expiry of the table. Earlier
// versions encode it as a last transition after which the footer has no rule.
// Times include leap seconds, as in the "right" zones. A zone file without leap
// seconds, such as plain UTC, is an error.
func ParseTZif(b []byte, source string) (*Table, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", source, ErrTZif, fmt.Sprintf(format, args...))
	}
	if len(b) > maxTZif {
		return nil, bad("has %d octets", len(b))
	}
	first, err := tzifCounts(b, 4)
	if err != nil {
		return nil, bad("%v", err)
	}
	if first.version < 2 {
		return nil, bad("has only 32-bit times; compile it again with zic")
	}
	c, err := tzifCounts(b[tzifHeader+first.size:], 8)
	if err != nil {
		return nil, bad("second block: %v", err)
	}
	if c.leaps == 0 {
		return nil, bad("it has none; use a zone of right/")
	}
	if c.leaps > maxTZifLeaps {
		return nil, bad("it has %d records", c.leaps)
	}
	body := b[tzifHeader+first.size+tzifHeader:]
	end := body[c.size:]
	if len(end) < 2 || end[0] != '\n' {
		return nil, bad("no footer")
	}

	p := tzifParser{t: &Table{Source: source, Leaps: []Leap{{UTC: utcStart, Offset: tzifStart}}}}
	rec := body[c.leapsAt:]
	for i := range c.leaps {
		at, corr := int64(binary.BigEndian.Uint64(rec[12*i:])), int(int32(binary.BigEndian.Uint32(rec[12*i+8:])))
		if err := p.record(i, at, corr, i == c.leaps-1 && c.version >= 4); err != nil {
			return nil, bad("%v", err)
		}
	}
	if n := c.transitions; p.t.Expires.IsZero() && n > 0 && end[1] == '\n' {
		p.transition(int64(binary.BigEndian.Uint64(body[8*(n-1):])))
	}
	return p.t, nil
}

// tzifParser reads leap-second records one after the other.
type tzifParser struct {
	t    *Table
	last int64 // of the last record: seconds since the epoch, leap seconds included
	corr int   // its correction, s
}

// record reads record i: from at on, the correction is corr. mayExpire: it may
// be the expiry, which changes nothing (RFC 9636, section 3.2).
func (p *tzifParser) record(i int, at int64, corr int, mayExpire bool) error {
	d := corr - p.corr
	if at < 0 || at > maxUnix || i > 0 && at-p.last < leapGap && d != 0 {
		return fmt.Errorf("record %d at %d does not follow %d", i, at, p.last)
	}
	if d == 0 && mayExpire && i > 0 && at > p.last {
		p.t.Expires = time.Unix(at-int64(p.corr), 0).UTC()
		return nil
	}
	if d != 1 && d != -1 {
		return fmt.Errorf("record %d changes the correction from %d to %d", i, p.corr, corr)
	}
	// at is the beginning of 23:59:60, which POSIX calls the first second of the
	// next day, or of 23:59:59, which is left out.
	l := Leap{UTC: at - int64(p.corr), Offset: tzifStart + corr}
	if d < 0 {
		l.UTC++
	}
	if l.UTC <= utcStart {
		return fmt.Errorf("record %d is at %v, before the first leap second", i, time.Unix(l.UTC, 0).UTC())
	}
	if !monthEnd(l.UTC) {
		return fmt.Errorf("record %d is at %v, which is not the end of a month", i, time.Unix(l.UTC, 0).UTC())
	}
	p.t.Leaps = append(p.t.Leaps, l)
	p.last, p.corr = at, corr
	return nil
}

// transition reads the last transition, which is the expiry if it is later than
// all records.
func (p *tzifParser) transition(at int64) {
	if at > p.last && at < maxUnix {
		p.t.Expires = time.Unix(at-int64(p.corr), 0).UTC()
	}
}

const (
	utcStart = 63072000   // 1972-01-01: beginning of present UTC
	maxUnix  = 9214646400 // 2262-01-01: the end of Time
)

// monthEnd reports whether a POSIX second is the first of a month.
func monthEnd(sec int64) bool {
	u := time.Unix(sec, 0).UTC()
	return sec%86400 == 0 && u.Day() == 1
}

// tzif holds the counts of one block of a zone file.
type tzif struct {
	version     byte // 1 to 4
	transitions int
	leaps       int
	leapsAt     int // position of the leap-second records, octets after the header
	size        int // octets after the header
}

// tzifCounts reads the header at the beginning of b, for times of the given
// octets, and checks that b is long enough for its counts.
func tzifCounts(b []byte, octets int) (tzif, error) {
	var c tzif
	if len(b) < tzifHeader || string(b[:4]) != "TZif" {
		return c, errors.New("is not a zone file")
	}
	if c.version = 1; b[4] != 0 {
		if b[4] < '2' || b[4] > '9' {
			return c, fmt.Errorf("version %#x", b[4])
		}
		c.version = b[4] - '0'
	}
	var n [6]int // isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt
	for i := range n {
		v := binary.BigEndian.Uint32(b[20+4*i:])
		if v > maxTZif {
			return c, fmt.Errorf("a count of %d", v)
		}
		n[i] = int(v)
	}
	c.leaps, c.transitions = n[2], n[3]
	c.leapsAt = n[3]*(octets+1) + n[4]*6 + n[5]
	c.size = c.leapsAt + n[2]*(octets+4) + n[1] + n[0]
	if c.size > len(b)-tzifHeader {
		return c, errors.New("is cut off")
	}
	return c, nil
}
