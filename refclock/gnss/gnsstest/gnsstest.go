// Package gnsstest helps to test the decoding of receivers.
package gnsstest

import (
	"fmt"
	"math"
	"testing"

	"noonmark/refclock/gnss"
)

// Stamp returns the label of a message to the millisecond, in the form
// 2024-05-01T12:00:00.000.
func Stamp(m *gnss.Message) string {
	return fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03d", m.Year, m.Month, m.Day, m.Hour, m.Minute, m.Second, m.Nanos/1e6)
}

// CheckMessage fails if a message breaks a promise of its type. Fuzz tests of a
// protocol call it for every message.
func CheckMessage(t testing.TB, m *gnss.Message) {
	t.Helper()
	in := func(v, lo, hi int) bool { return v >= lo && v <= hi }
	if m.Valid && (!m.Stated || !m.HasDate) || m.Stated && !m.HasDate {
		t.Fatalf("valid without a label: %+v", m)
	}
	if m.HasDate && !(m.Year >= 1980 && in(m.Month, 1, 12) && in(m.Day, 1, 31)) {
		t.Fatalf("no date: %+v", m)
	}
	if m.HasTimeOfDay && !(in(m.Hour, 0, 23) && in(m.Minute, 0, 59) && in(m.Second, 0, 60) && in(m.Nanos, 0, 999999999)) {
		t.Fatalf("no time of day: %+v", m)
	}
	if m.HasPos && !(math.Abs(m.Lat) <= 90 && math.Abs(m.Lon) <= 180) { // NaN compares false
		t.Fatalf("no position: %+v", m)
	}
	// A message holds no more than its frame can contain. An invalid octet becomes
	// one character of three octets.
	held := len(m.Text) + len(m.HW) + len(m.Payload)
	for _, x := range m.Modules {
		held += len(x)
	}
	if held > 3*gnss.MaxFrame || len(m.Satellites) > 255 {
		t.Fatalf("holds %d octets, %d satellites", held, len(m.Satellites))
	}
}
