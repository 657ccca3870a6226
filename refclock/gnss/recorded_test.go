package gnss_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
	"noonmark/refclock/gnss/registry"
)

// dataDir finds the recorded streams (from gpsd's tests) or skips.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("NOONMARK_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	dir = filepath.Join(dir, "gnss")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("recorded receiver streams missing (set NOONMARK_DATA): %v", err)
	}
	return dir
}

// TestRecorded compares the seconds found in recorded streams with those that
// gpsd found, first and last epoch aside.
func TestRecorded(t *testing.T) {
	dir := dataDir(t)
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Skipf("no recorded streams in %s", dir)
	}
	// gpsd reports once a cycle and skips this one, whose RMC and GGA are whole.
	skipped := map[string]bool{"2019-04-06T23:57:26.020Z": true}
	for _, name := range logs {
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		seen := make(map[string]bool)
		d := registry.NewDecoder(gnss.Config{Comments: true})
		emit := func(m *gnss.Message) {
			if m.Valid && !m.Stated {
				t.Errorf("%s: valid without being stated: %+v", name, m)
			}
			if s := gnsstest.Stamp(m) + "Z"; m.HasDate && m.Stated && !seen[s] {
				seen[s] = true
				order = append(order, s)
			}
		}
		d.Feed(in, 0, emit)
		d.Flush(emit)
		n := d.Counters()
		if n.Of(gnss.BadChecksum)+n.Of(gnss.TooLong)+n.Of(gnss.BadTime)+n.Of(gnss.BadDate)+n.Of(gnss.BadLength) > 0 {
			t.Errorf("%s: refused good input: %v", name, n)
		}
		text, err := os.ReadFile(name + ".times")
		if err != nil {
			if len(order) == 0 {
				t.Errorf("%s: no time found", name)
			}
			continue // gpsd's reading is not known for this one
		}
		want := strings.Fields(string(text))
		for i, w := range want {
			if !seen[w] && i > 0 && i < len(want)-1 {
				t.Errorf("%s: %s is missing", name, w)
			}
			delete(seen, w)
		}
		for _, s := range order[1 : len(order)-1] {
			if seen[s] && !skipped[s] {
				t.Errorf("%s: %s is not gpsd's", name, s)
			}
		}
	}
}

// TestRecordedCut starts every stream at odd places: nothing but whole frames
// may come out, so the seconds are a subset of those of the whole.
func TestRecordedCut(t *testing.T) {
	dir := dataDir(t)
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	times := func(in []byte) map[string]bool {
		seen := make(map[string]bool)
		d := registry.NewDecoder(gnss.Config{})
		emit := func(m *gnss.Message) {
			if m.Stated && !m.DateCarried {
				seen[gnsstest.Stamp(m)] = true
			}
		}
		d.Feed(in, 0, emit)
		d.Flush(emit)
		return seen
	}
	for _, name := range logs {
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		whole := times(in)
		for i := 1; i < len(in); i += len(in)/7 + 13 {
			for s := range times(in[i:]) {
				if !whole[s] {
					t.Errorf("%s from %d: %s", name, i, s)
				}
			}
			cut := append(bytes.Clone(in[:i]), in[min(i+37, len(in)):]...)
			for s := range times(cut) {
				if !whole[s] {
					t.Errorf("%s without 37 octets at %d: %s", name, i, s)
				}
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	in, err := os.ReadFile(filepath.Join(dataDir(b), "ublox-neo-m9n-nmea.log"))
	if err != nil {
		b.Skip(err)
	}
	d := registry.NewDecoder(gnss.Config{})
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		d.Feed(in, 0, func(*gnss.Message) {})
	}
}
