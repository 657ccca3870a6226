package gnss_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
	"noonmark/refclock/gnss/registry"
)

// undecoded are recordings whose seconds are only in a protocol that is not
// decoded. Whoever adds the protocol removes them here.
var undecoded = map[string]string{
	"bynav-m10-time-dual":              "NovAtel TIMEA, TIMEB",
	"casic-at632-timeutc":              "CASIC binary",
	"casic-atgm332d5n71-timeutc-5hz":   "CASIC binary",
	"septentrio-mosaicg5-receivertime": "SBF",
	"unicore-um980-rectime-dual":       "Unicore RECTIME",
}

// decode feeds a stream as one piece and calls emit for each message.
func decode(in []byte, comments bool, emit func(*gnss.Message)) gnss.Counters {
	d := registry.NewDecoder(gnss.Config{Comments: comments})
	d.Feed(in, 0, emit)
	d.Flush(emit)
	return d.Counters()
}

// The seconds that gpsd found in a log are found, first and last epoch aside,
// and no others.
func TestLogsGiveTheSecondsOfGPSD(t *testing.T) {
	t.Parallel()
	// gpsd reports once a cycle and skips this one, whose RMC and GGA are whole.
	skipped := map[string]bool{"2019-04-06T23:57:26.020": true}
	for _, r := range gnsstest.Recordings(t, "testdata") {
		if !r.Log {
			continue
		}
		var order []string
		seen := make(map[string]bool)
		n := decode(r.Data, true, func(m *gnss.Message) {
			gnsstest.CheckMessage(t, m)
			if s := gnsstest.Stamp(m); m.HasDate && m.Stated && !seen[s] {
				seen[s] = true
				order = append(order, s)
			}
		})
		if n.Of(gnss.BadChecksum)+n.Of(gnss.TooLong)+n.Of(gnss.BadTime)+n.Of(gnss.BadDate)+n.Of(gnss.BadLength) > 0 {
			t.Errorf("%s: valid input was refused: %+v", r.Name, n)
		}
		if !r.Known {
			if len(order) == 0 {
				t.Errorf("%s: no second was found", r.Name)
			}
			continue
		}
		for i, w := range r.Times {
			if !seen[w] && i > 0 && i < len(r.Times)-1 {
				t.Errorf("%s: %s is missing", r.Name, w)
			}
			delete(seen, w)
		}
		for _, s := range order[1 : len(order)-1] {
			if seen[s] && !skipped[s] {
				t.Errorf("%s: %s is not in gpsd's reading", r.Name, s)
			}
		}
	}
}

// Just the whole seconds that are in a capture are valid. Where they are in a
// protocol that is not decoded, none is.
func TestCapturesGiveTheirSecondsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, r := range gnsstest.Recordings(t, "testdata") {
		if r.Log {
			continue
		}
		var found []string
		decode(r.Data, false, func(m *gnss.Message) {
			gnsstest.CheckMessage(t, m)
			if s := gnsstest.Stamp(m); m.Valid && m.Nanos == 0 && !slices.Contains(found, s) {
				found = append(found, s)
			}
		})
		want := r.Times
		if undecoded[r.Name] != "" {
			want = nil
		}
		slices.Sort(found)
		if want = slices.Sorted(slices.Values(want)); !slices.Equal(found, want) {
			t.Errorf("%s: found %v, want %v", r.Name, found, want)
		}
	}
}

// A stream that begins or breaks anywhere gives only seconds of the whole one.
func TestCutStreamsGiveNoOtherSeconds(t *testing.T) {
	t.Parallel()
	times := func(in []byte) map[string]bool {
		seen := make(map[string]bool)
		decode(in, false, func(m *gnss.Message) {
			if m.Stated && !m.DateCarried {
				seen[gnsstest.Stamp(m)] = true
			}
		})
		return seen
	}
	for _, r := range gnsstest.Recordings(t, "testdata") {
		whole := times(r.Data)
		for i := 1; i < len(r.Data); i += len(r.Data)/7 + 13 {
			for s := range times(r.Data[i:]) {
				if !whole[s] {
					t.Errorf("%s from octet %d: %s", r.Name, i, s)
				}
			}
			cut := append(bytes.Clone(r.Data[:i]), r.Data[min(i+37, len(r.Data)):]...)
			for s := range times(cut) {
				if !whole[s] {
					t.Errorf("%s without 37 octets at %d: %s", r.Name, i, s)
				}
			}
		}
	}
}

// Every protocol of the registry is in a recording.
func TestEveryProtocolIsRecorded(t *testing.T) {
	t.Parallel()
	seen := map[string]uint64{}
	for _, r := range gnsstest.Recordings(t, "testdata") {
		n := decode(r.Data, r.Log, func(*gnss.Message) {})
		for _, f := range n.Frames {
			seen[f.Protocol] += f.Frames
		}
	}
	for _, name := range registry.Names() {
		if seen[name] == 0 {
			t.Errorf("no frame of %s", name)
		}
		if name != strings.ToLower(name) {
			t.Errorf("name %s is not lower case", name)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	in := gnsstest.Recorded(b, "testdata", "ublox-neo-m9n-nmea").Data
	d := registry.NewDecoder(gnss.Config{})
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		d.Feed(in, 0, func(*gnss.Message) {})
	}
}
