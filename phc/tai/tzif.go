package tai

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrTZif is wrapped by every error of ParseTZif.
var ErrTZif = errors.New("zone file has no usable leap seconds")

// Limits of what ParseTZif takes: right/UTC has 28 records and 700 octets, and
// what has thousands is no list of leap seconds.
const (
	maxTZif      = 1 << 20
	maxTZifLeaps = 1000
	tzifHeader   = 44
	// tzifStart is TAI - UTC when the corrections of leap seconds begin, s: before
	// the leap second of 1972-06-30.
	tzifStart = 10
	// leapGap is the shortest time between leap seconds, s: they come at the ends
	// of months.
	leapGap = 28*86400 - 1
)

// ParseTZif reads the leap-second records of a zone file (RFC 9636) such as
// right/UTC: of its second block, with 64-bit times, which every file since 2005
// has. The table is valid until the expiry that a version-4 file gives as its
// last record; files of before say it by a last transition after which the
// footer has no rule. Times count every second since the epoch, as the "right"
// zones do. A zone file without leap seconds, such as plain UTC, is an error.
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
		return nil, bad("has only times of 32 bits; make it anew with zic")
	}
	c, err := tzifCounts(b[tzifHeader+first.size:], 8)
	if err != nil {
		return nil, bad("second block: %v", err)
	}
	if c.leaps == 0 {
		return nil, bad("there are none; want a zone of right/")
	}
	if c.leaps > maxTZifLeaps {
		return nil, bad("%d of them", c.leaps)
	}
	body := b[tzifHeader+first.size+tzifHeader:]
	end := body[c.size:]
	if len(end) < 2 || end[0] != '\n' {
		return nil, bad("no footer")
	}

	t := &Table{Source: source, Leaps: []Leap{{UTC: utcStart, Offset: tzifStart}}}
	rec := body[c.leapsAt:]
	var last int64 // seconds since the epoch, leap seconds counted
	corr := 0
	for i := range c.leaps {
		at := int64(binary.BigEndian.Uint64(rec[12*i:]))
		next := int(int32(binary.BigEndian.Uint32(rec[12*i+8:])))
		if at < 0 || at > maxUnix || i > 0 && at-last < leapGap && next != corr {
			return nil, bad("record %d at %d does not follow %d", i, at, last)
		}
		switch d := next - corr; {
		case d == 0 && i == c.leaps-1 && i > 0 && at > last && c.version >= 4: // RFC 9636, section 3.2: the expiry
			t.Expires = time.Unix(at-int64(corr), 0).UTC()
			continue
		case d != 1 && d != -1:
			return nil, bad("record %d changes the correction from %d to %d", i, corr, next)
		}
		// at is when 23:59:60 begins, which POSIX calls the first second of the next
		// day, or when 23:59:59 would, which is left out.
		l := Leap{UTC: at - int64(corr), Offset: tzifStart + next}
		if next < corr {
			l.UTC++
		}
		if !monthEnd(l.UTC) {
			return nil, bad("record %d is of %v, which is no end of a month", i, time.Unix(l.UTC, 0).UTC())
		}
		t.Leaps = append(t.Leaps, l)
		last, corr = at, next
	}
	if n := c.transitions; t.Expires.IsZero() && n > 0 && end[1] == '\n' {
		if at := int64(binary.BigEndian.Uint64(body[8*(n-1):])); at > last && at < maxUnix {
			t.Expires = time.Unix(at-int64(corr), 0).UTC()
		}
	}
	return t, nil
}

const (
	utcStart = 63072000   // 1972-01-01: UTC as it is now begins
	maxUnix  = 9214646400 // 2262-01-01: the end of Time
)

// monthEnd reports whether a POSIX second is the first of a month.
func monthEnd(sec int64) bool {
	u := time.Unix(sec, 0).UTC()
	return sec%86400 == 0 && u.Day() == 1
}

// tzif are the counts of one block of a zone file.
type tzif struct {
	version     byte // 1 to 4
	transitions int
	leaps       int
	leapsAt     int // where the leap-second records are, octets behind the header
	size        int // octets behind the header
}

// tzifCounts reads the header at the beginning of b, whose times have the given
// octets, and checks that what it counts is there.
func tzifCounts(b []byte, octets int) (tzif, error) {
	var c tzif
	if len(b) < tzifHeader || string(b[:4]) != "TZif" {
		return c, errors.New("is no zone file")
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
