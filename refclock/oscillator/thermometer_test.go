package oscillator

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadSensor: whatever a sensor's file holds, only a temperature is taken,
// and nothing blocks the reader.
func TestReadSensor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(text string) string {
		p := filepath.Join(dir, "t")
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		text string
		why  SensorReason
		want float64
	}{
		{"", SensorUnreadable, 0},
		{"\n", SensorMalformed, 0},
		{"warm\n", SensorMalformed, 0},
		{"41.5\n", SensorMalformed, 0},
		{"0x10\n", SensorMalformed, 0},
		{"NaN\n", SensorMalformed, 0},
		{"99999999999\n", SensorMalformed, 0},
		{"1 2\n", SensorMalformed, 0},
		{strings.Repeat("1", 1000), SensorMalformed, 0},
		{"1" + strings.Repeat(" ", 1000), SensorMalformed, 0},
		{"\x00\x00\n", SensorMalformed, 0},
		{"41250\n", SensorGood, 41.25},
		{"-500", SensorGood, -0.5},
		{"0\n", SensorGood, 0},
	} {
		got, why, err := readSensor(file(c.text))
		if got != c.want || why != c.why || (err == nil) != (why == SensorGood) {
			t.Errorf("%.20q: %v, %v, %v; want %v, %v", c.text, got, why, err, c.want, c.why)
		}
	}
	if _, why, err := readSensor(filepath.Join(dir, "none")); why != SensorMissing || err == nil {
		t.Errorf("no file: %v, %v", why, err)
	}
	if _, why, err := readSensor(dir); why != SensorUnreadable || err == nil {
		t.Errorf("a directory: %v, %v", why, err)
	}
	if _, err := os.Stat(os.DevNull); err == nil {
		if _, why, err := readSensor(os.DevNull); why != SensorUnreadable || err == nil {
			t.Errorf("a device: %v, %v", why, err)
		}
	}
}

// TestThermometer: each change of a sensor's health is logged once, and its
// last reading keeps the instant at which it was taken.
func TestThermometer(t *testing.T) {
	t.Parallel()
	var none *Thermometer
	if c, mono := none.Celsius(); c != 0 || mono != 0 {
		t.Errorf("without a sensor: %v at %d", c, mono)
	}
	var log strings.Builder
	now := int64(5)
	p := filepath.Join(t.TempDir(), "temp1_input")
	x := NewThermometer(p, func() int64 { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	x.read()
	x.read()
	if _, mono := x.Celsius(); mono != 0 || x.Failed(SensorMissing) != 2 {
		t.Errorf("without its file: read at %d, missed %d times", mono, x.Failed(SensorMissing))
	}
	if err := os.WriteFile(p, []byte("36600\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = 7
	x.read()
	if c, mono := x.Celsius(); c != 36.6 || mono != 7 {
		t.Errorf("%v at %d", c, mono)
	}
	if err := os.WriteFile(p, []byte("junk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = 9
	x.read()
	if c, mono := x.Celsius(); c != 36.6 || mono != 7 {
		t.Errorf("after junk: %v at %d", c, mono)
	}
	if n := strings.Count(log.String(), "level="); n != 3 {
		t.Errorf("logged %d lines:\n%s", n, &log)
	}
}
