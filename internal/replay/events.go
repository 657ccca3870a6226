// Package replay plays a receiver's octets at their own instants into the
// daemon's engine, with a virtual pulse, clock and system clock in virtual time,
// and shows what would have been served. It is the logic of refclockctl replay.
package replay

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"noonmark/internal/durable"
	"noonmark/refclock/gnss/nmea"
)

// Events are what a receiver sent.
type Events struct {
	Name  string
	Start time.Time // UTC of the beginning, a whole second
	Sent  []Sent    // in order of time
}

// Sent are octets that arrive at once.
type Sent struct {
	At   time.Duration // since the start
	Data []byte
}

// End returns the time of the last event.
func (e *Events) End() time.Duration {
	if len(e.Sent) == 0 {
		return 0
	}
	return e.Sent[len(e.Sent)-1].At
}

// Limits of a file of events. Beyond them it does not describe a receiver.
const (
	maxLine   = 1 << 20
	maxEvents = 50_000_000
	maxTime   = 400 * 24 * time.Hour
)

// LineError is what is wrong with one line of a file.
type LineError struct {
	File string
	Line int
	Err  error
}

// Error names file, line and cause.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// OpenEvents reads the events of a file. Errors in it are *LineError, those of
// the system are *fs.PathError.
func OpenEvents(path string) (*Events, error) {
	f, _, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadEvents(f, path)
}

// ReadEvents reads events, one a line:
//
//	start 2026-05-01T11:07:22Z        UTC of t = 0, a whole second
//	12.120 nmea GNRMC,...             text between $ and *; checksum, CR and LF are added
//	12.120 raw $GPGGA,...\r\n         as it is, with Go escapes
//	12.120 hex b5620107...            octets
//
// Empty lines and lines that begin with # are comments. Events may stand in any
// order; those of one instant keep theirs. name is for errors.
func ReadEvents(r io.Reader, name string) (*Events, error) {
	e := &Events{Name: name}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	n := 0
	for sc.Scan() {
		n++
		if err := e.line(strings.TrimSuffix(sc.Text(), "\r")); err != nil {
			return nil, &LineError{name, n, err}
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, &LineError{name, n + 1, fmt.Errorf("longer than %d octets", maxLine)}
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if e.Start.IsZero() {
		return nil, &LineError{name, n, errors.New(`no line gives the start; want one such as "start 2026-05-01T11:07:22Z"`)}
	}
	slices.SortStableFunc(e.Sent, func(a, b Sent) int { return int(min(max(a.At-b.At, -1), 1)) })
	return e, nil
}

// line takes one line.
func (e *Events) line(s string) error {
	if strings.TrimSpace(s) == "" || s[0] == '#' {
		return nil
	}
	when, rest, _ := strings.Cut(s, " ")
	rest = strings.TrimLeft(rest, " ")
	if when == "start" {
		return e.begin(strings.TrimSpace(rest))
	}
	at, ok := seconds(when)
	if !ok {
		return fmt.Errorf("%q is no time of an event; want seconds since the start, or \"start\"", when)
	}
	kind, text, _ := strings.Cut(rest, " ")
	data, err := octets(kind, text)
	if err != nil {
		return err
	}
	if len(e.Sent) == maxEvents {
		return fmt.Errorf("more than %d events", maxEvents)
	}
	e.Sent = append(e.Sent, Sent{at, data})
	return nil
}

// begin takes the start.
func (e *Events) begin(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	switch {
	case err != nil || t.Nanosecond() != 0:
		return fmt.Errorf(`%q is no start; want a whole second such as "2026-05-01T11:07:22Z"`, s)
	case t.Year() < 1980 || t.Year() > 2200:
		return fmt.Errorf("the start %s is out of range; want a year from 1980 to 2200", s)
	case !e.Start.IsZero():
		return errors.New("a second start; want one")
	}
	e.Start = t.UTC()
	return nil
}

// seconds reads a time since the start, s; not ok: it is none.
func seconds(s string) (d time.Duration, ok bool) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= maxTime.Seconds()) {
		return 0, false
	}
	return time.Duration(math.Round(v * 1e9)), true
}

// octets returns the octets that the text of an event represents.
func octets(kind, text string) ([]byte, error) {
	var b []byte
	var err error
	switch kind {
	case "nmea":
		text = strings.TrimRight(text, " ")
		if strings.ContainsAny(text, "$*") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, errors.New("nmea wants the text between $ and *, which are added; use raw for anything else")
		}
		if text != "" {
			b = nmea.Append(nil, text)
		}
	case "raw":
		b, err = unescape(text)
	case "hex":
		b, err = hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	default:
		return nil, fmt.Errorf("%q is no kind of event; want nmea, raw or hex", kind)
	}
	if err == nil && len(b) == 0 {
		err = errors.New("nothing follows it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return b, nil
}

// unescape returns text with the escapes of a Go string replaced.
func unescape(s string) ([]byte, error) {
	var b []byte
	for len(s) > 0 {
		if s[0] == '"' || s[0] >= utf8.RuneSelf {
			b = append(b, s[0])
			s = s[1:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(s, '"')
		if err != nil {
			return nil, fmt.Errorf("no escape of Go at %.12q", s)
		}
		if multibyte {
			b = utf8.AppendRune(b, r)
		} else {
			b = append(b, byte(r))
		}
		s = tail
	}
	return b, nil
}
