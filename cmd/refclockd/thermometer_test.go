package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A sensor's file may hold anything: nothing but a temperature is taken, and
// nothing makes the reader wait.
func TestReadSensor(t *testing.T) {
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
		why  sensorReason
		want float64
	}{
		{"", sensorUnreadable, 0},
		{"\n", sensorMalformed, 0},
		{"warm\n", sensorMalformed, 0},
		{"41.5\n", sensorMalformed, 0},
		{"0x10\n", sensorMalformed, 0},
		{"NaN\n", sensorMalformed, 0},
		{"99999999999\n", sensorMalformed, 0},
		{"1 2\n", sensorMalformed, 0},
		{strings.Repeat("1", 1000), sensorMalformed, 0},
		{"1" + strings.Repeat(" ", 1000), sensorMalformed, 0},
		{"\x00\x00\n", sensorMalformed, 0},
		{"41250\n", sensorGood, 41.25},
		{"-500", sensorGood, -0.5},
		{"0\n", sensorGood, 0},
	} {
		got, why, err := readSensor(file(c.text))
		if got != c.want || why != c.why || (err == nil) != (why == sensorGood) {
			t.Errorf("%.20q: %v, %v, %v; want %v, %v", c.text, got, why, err, c.want, c.why)
		}
	}
	if _, why, err := readSensor(filepath.Join(dir, "none")); why != sensorMissing || err == nil {
		t.Errorf("no file: %v, %v", why, err)
	}
	if _, why, err := readSensor(dir); why != sensorUnreadable || err == nil {
		t.Errorf("a folder: %v, %v", why, err)
	}
	if _, err := os.Stat(os.DevNull); err == nil {
		if _, why, err := readSensor(os.DevNull); why != sensorUnreadable || err == nil {
			t.Errorf("a device: %v, %v", why, err)
		}
	}
}

// A sensor that comes and goes is said once each time, and its last reading keeps
// the instant it was taken at.
func TestThermometer(t *testing.T) {
	var none *thermometer
	if c, mono := none.celsius(); c != 0 || mono != 0 {
		t.Errorf("without a sensor: %v at %d", c, mono)
	}
	var said strings.Builder
	now := int64(5)
	p := filepath.Join(t.TempDir(), "temp1_input")
	x := newThermometer(p, func() int64 { return now }, slog.New(slog.NewTextHandler(&said, nil)))
	x.read()
	x.read()
	if _, mono := x.celsius(); mono != 0 || x.bad[sensorMissing].Load() != 2 {
		t.Errorf("without its file: read at %d, missed %d times", mono, x.bad[sensorMissing].Load())
	}
	if err := os.WriteFile(p, []byte("36600\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = 7
	x.read()
	if c, mono := x.celsius(); c != 36.6 || mono != 7 {
		t.Errorf("%v at %d", c, mono)
	}
	if err := os.WriteFile(p, []byte("junk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = 9
	x.read()
	if c, mono := x.celsius(); c != 36.6 || mono != 7 {
		t.Errorf("after junk: %v at %d", c, mono)
	}
	if n := strings.Count(said.String(), "level="); n != 3 {
		t.Errorf("said %d lines:\n%s", n, &said)
	}
}
