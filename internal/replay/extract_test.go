package replay

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/pps"
	"noonmark/refclock/recording"
	"noonmark/refclock/sim"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// extract writes a part of a recording and returns its octets and path.
func extract(t *testing.T, dir string, last time.Duration, withNames bool) ([]byte, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part.nmrec")
	if err := recording.ExtractFile(path, dir, last, withNames); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, path
}

// everything returns the receiver's octets of a recording and all else as text.
func everything(t *testing.T, path string) (octets []byte, other string) {
	t.Helper()
	r, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	for {
		rec, err := r.Next()
		if err != nil {
			return octets, b.String()
		}
		switch x := rec.(type) {
		case *recording.Octets:
			octets = append(octets, x.Data...)
		case *recording.Header:
			b.Write(x.Site)
		case *recording.Step:
			if x.Input.Alarm != nil {
				b.WriteString(x.Input.Alarm.Detail)
			}
			for _, c := range x.Calls {
				if c.Err != nil {
					b.WriteString(c.Err.Error())
				}
			}
		}
	}
}

// pvt is a UBX-NAV-PVT with a fix at a place in 1e-7 degrees.
func pvt(lat, lon int32) []byte {
	p := make([]byte, 92)
	binary.LittleEndian.PutUint16(p[4:], 2026)
	p[6], p[7], p[11], p[20], p[21] = 11, 23, 7, 3, 1
	binary.LittleEndian.PutUint32(p[24:], uint32(lon))
	binary.LittleEndian.PutUint32(p[28:], uint32(lat))
	binary.LittleEndian.PutUint32(p[32:], 408_100)
	return ubx.Append(nil, 0x0107, p)
}

func TestAnonymisedRecordingHasNoPlaceAndNoNames(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 5 * time.Minute
	s.Engine.ClockName, s.Engine.Pulse, s.Engine.Receiver = "eth-secret", "pps-secret", "/dev/tty-secret"
	s.Engine.Compare = []pps.CompareConfig{{Name: "roof-secret"}}
	s.Engine.Integrity.Receiver.Place = &gnss.Position{Lat: 47.38335333, Lon: 8.54068667, Height: 408}
	s.Engine.Before = &status.Snapshot{ClockDev: "eth-secret", Pulse: "pps-secret", Receiver: "tty-secret", Reason: "doubted: witness_disagrees ntp-secret"}
	odd := [][]byte{
		pvt(473833533, 85406867), ubx.Append(nil, 0x2703, []byte("serial-secret")), ubx.Append(nil, 0x0213, bytes.Repeat([]byte{0x5a}, 40)),
		nmea.Append(nil, "GNGLL,4723.0012,N,00832.4412,E,093000.00,A,A"), nmea.Append(nil, "GNGNS,093000.00,4723.00123,N,00832.44121,E,AN,09,0.9,408.1,47.3,,"),
		nmea.Append(nil, "GPTXT,01,01,02,serial-secret"), nmea.Append(nil, "PGRMT,name-secret,1"), nmea.Append(nil, "PUBX,00,093000.00,4723.0012,N,00832.4412,E,408.1,G3,1,1,0,0,0,,1,1,1,9,0,0"),
		[]byte("$GNRMC,093000.00,A,4723.0012,N,00832.44\r\n"), []byte("$GNGGA,093000.00,4723.0012,N,00832.4412,E,1,09,0.9,408.1,M,47.3,M,,*00\r\n"),
	}
	for i, b := range odd {
		s.Actions = append(s.Actions, sim.Action{At: time.Duration(100+i) * time.Second, Do: func(l *sim.Loop) { l.Feed(b) }})
	}
	s.Actions = append(s.Actions, sim.Action{At: 200 * time.Second, Do: func(l *sim.Loop) { l.App.Clock.FailNext(1, os.ErrDeadlineExceeded) }})
	dir, _ := record(t, s, 1)
	original, _ := everything(t, dir)
	_, path := extract(t, dir, 0, false)
	octets, other := everything(t, path)
	if len(octets) != len(original) {
		t.Fatalf("%d octets, want %d", len(octets), len(original))
	}
	for _, w := range []string{"secret", "4723.0", "0832.4", "408.1", "47.3,M"} {
		if bytes.Contains(octets, []byte(w)) || strings.Contains(other, w) {
			t.Errorf("%q is still there", w)
		}
	}
	for _, w := range [][]byte{binary.LittleEndian.AppendUint32(nil, 473833533), binary.LittleEndian.AppendUint32(nil, 85406867), binary.LittleEndian.AppendUint32(nil, 408_100), bytes.Repeat([]byte{0x5a}, 4)} {
		if bytes.Contains(octets, w) {
			t.Errorf("%x is still there", w)
		}
	}
	positions := 0
	var dmin, dmax float64
	d := registry.NewDecoder(gnss.Config{})
	d.Feed(octets, 0, func(m *gnss.Message) {
		if !m.HasPos {
			return
		}
		if positions++; math.Abs(m.Lat-47.383) < 1 || math.Abs(m.Lon-8.5407) < 1 {
			t.Errorf("%s: position %v, %v", m.Source, m.Lat, m.Lon)
		}
		dmin, dmax = min(dmin, m.Lat-30, m.Lon-30), max(dmax, m.Lat-30, m.Lon-30)
	})
	if positions < 500 || dmin < -1e-5 || dmax > 1e-5 {
		t.Errorf("%d positions, %g to %g degrees around the new place", positions, dmin, dmax)
	}
	// It still shows the same.
	_, want := playAll(t, dir, Options{})
	p, got := playAll(t, path, Options{})
	if _, differ := p.Commands(); differ != 0 || len(got) != len(want) {
		t.Fatalf("%d commands differ; %d snapshots, want %d", differ, len(got), len(want))
	}
	for i := range got {
		a, b := got[i], want[i]
		a.ClockDev, a.Pulse, a.Receiver = b.ClockDev, b.Pulse, b.Receiver
		if a != b {
			t.Fatalf("snapshot %d\n got %+v\nwant %+v", i, a, b)
		}
	}
}

func TestLastPartOfARecordingPlaysAsADaemonThatWasStartedThen(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("cm4-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 20 * time.Minute
	dir, _ := record(t, s, 2)
	whole, _ := extract(t, dir, 0, true)
	part, path := extract(t, dir, 5*time.Minute, true)
	if len(part) > len(whole)/2 {
		t.Errorf("%d octets of %d", len(part), len(whole))
	}
	p, got := playAll(t, path, Options{})
	end := got[len(got)-1]
	if end.State.String() != "locked" || p.Gaps != 0 || len(got) < 5*60*5 || len(got) > 6*60*7 {
		t.Errorf("%d snapshots, %d gaps, at the end %v (%s)", len(got), p.Gaps, end.State, end.Reason)
	}
}

// A replay with other decisions goes on with a clock that obeys them.
func TestReplayWithAnotherServoStillLocks(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 15 * time.Minute
	dir, _ := record(t, s, 4)
	out, err := (&Recorded{Path: dir, Configure: func(c *site.Config) { c.Engine.Discipline.Servo = "pi" }}).Play()
	if err != nil {
		t.Fatal(err)
	}
	if out.Differ < 100 || out.Summary.FinalState != "locked" || out.Summary.ServedS < 600 || out.Gaps != 0 {
		t.Errorf("%+v", out)
	}
}
