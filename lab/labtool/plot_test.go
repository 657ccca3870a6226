package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadSamples(t *testing.T) {
	const lines = "record hour 0 -3 120 locked\nrecord other 0 9 9 locked\nstate locked\nrecord hour x\nrecord hour 1 4 121 locked\n"
	if _, err := readSamples(strings.NewReader(lines), "other"); err == nil {
		t.Error("one record is drawn")
	}
	s, err := readSamples(strings.NewReader(lines), "hour")
	if err != nil || len(s) != 2 || s[0] != (sample{0, -3, 120}) || s[1] != (sample{1, 4, 121}) {
		t.Errorf("%v, %v", s, err)
	}
}

// A column keeps the extremes of its samples.
func TestColumns(t *testing.T) {
	c := columns([]sample{{0, 5, 10}, {0.1, -7, 12}, {0.2, 1, 11}, {1, 2, 3}}, scale{lo: 0, hi: 1, a: 0, b: 2})
	if len(c) != 2 || c[0] != (column{0, -7, 5, 12}) || c[1] != (column{2, 2, 2, 3}) {
		t.Errorf("%v", c)
	}
}

func TestDraw(t *testing.T) {
	for _, log := range []bool{false, true} {
		var b bytes.Buffer
		if err := draw(&b, []sample{{0, -3, 100}, {60, 400, 2000}, {120, 10, 99000}}, "a < b", log); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(&b)
		paths := 0
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "path" {
				paths++
			}
		}
		if paths < 8 {
			t.Errorf("log %v: %d paths", log, paths)
		}
	}
}

func TestTicks(t *testing.T) {
	if got := (scale{lo: -110, hi: 110}).ticks(6); len(got) != 5 || got[0] != -100 || got[4] != 100 {
		t.Errorf("%v", got)
	}
	if got := (scale{lo: 1, hi: 1e5, log: true}).ticks(6); len(got) != 6 || got[5] < 99999 {
		t.Errorf("%v", got)
	}
}
