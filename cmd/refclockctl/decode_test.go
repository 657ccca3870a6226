package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"noonmark/internal/command"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/ubx"
)

func decodeRun(t *testing.T, in string, args ...string) (lines []map[string]any, stderr string, code int) {
	t.Helper()
	code, out, stderr := ctlIn(in, append([]string{"decode"}, args...)...)
	dec := json.NewDecoder(strings.NewReader(out))
	for {
		m := make(map[string]any)
		if err := dec.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines, stderr, code
}

func TestDecodePrintsMessages(t *testing.T) {
	t.Parallel()
	in := "# a comment\n" +
		"$GNRMC,120000.00,A,4807.038,N,01131.000,E,0.004,77.52,010524,,,A,V*00\r\n" +
		string(nmea.Append(nil, "GNRMC,115959.00,V,,,,,,,010524,,,N")) +
		string(nmea.Append(nil, "GNGSV,1,1,01,05,10,100,40")) +
		string(nmea.Append(nil, "GNRMC,120000.00,A,4807.038,N,01131.000,E,0.004,77.52,010524,,,A,V")) +
		string(ubx.Append(nil, 0x0D01, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0xF0, 0xD8, 0xFF, 0xFF, 8, 9, 0, 0}))
	lines, stderr, code := decodeRun(t, in, "-")
	if code != 0 || len(lines) != 2 {
		t.Fatalf("exit %d, %v", code, lines)
	}
	if lines[0]["valid"] != false || lines[0]["time"] != "2024-05-01T11:59:59.000Z" {
		t.Errorf("void: %v", lines[0])
	}
	if l := lines[1]; l["valid"] != true || l["disciplines"] != true || l["time"] != "2024-05-01T12:00:00.000Z" || l["source"] != "RMC" || l["lat"] != nil {
		t.Errorf("RMC: %v", l)
	}
	for _, want := range []string{"bad_checksum", "void_status"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%s is not counted: %q", want, stderr)
		}
	}
	lines, _, _ = decodeRun(t, in, "-all", "-")
	if len(lines) != 4 || lines[3]["sawtooth_ps"] != -10000.0 || lines[3]["pulse_time"] != "2024-04-27T23:59:42.000000000Z" ||
		lines[2]["lat"] == nil || lines[1]["satellites"] == nil {
		t.Errorf("-all: %v", lines)
	}
	old := string(nmea.Append(nil, "GPZDA,120000.00,08,04,2007,00,00"))
	lines, _, _ = decodeRun(t, old, "-")
	moved, _, _ := decodeRun(t, old, "-not-before", "2026-11-01", "-")
	if lines[0]["time"] != "2007-04-08T12:00:00.000Z" || moved[0]["time"] != "2026-11-22T12:00:00.000Z" || moved[0]["rollover_weeks"] != 1024.0 {
		t.Errorf("%v, moved %v", lines, moved)
	}
	leap := string(nmea.Append(nil, "GPZDA,235960.00,31,12,2016,00,00"))
	if lines, _, _ = decodeRun(t, leap, "-"); lines[0]["time"] != "2016-12-31T23:59:60.000Z" {
		t.Errorf("leap second: %v", lines)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestDecodeReportsLostOutput(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	in := strings.NewReader(string(nmea.Append(nil, "GPZDA,120000.00,08,04,2007,00,00")))
	p := commandLine()
	if code := p.Main([]string{"decode", "-"}, command.Console{In: in, Out: failingWriter{}, Err: &errs}); code != 74 {
		t.Errorf("exit %d, want 74: %s", code, &errs)
	}
}
