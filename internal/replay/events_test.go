package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/simulate"
	"noonmark/refclock/gnss/nmea"
)

const start = "start 2026-11-23T12:00:00Z\n"

func TestBadLinesAreRefusedWithFileLineAndCause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "f:0: no line gives the start"},
		{"# nothing\n\n", "f:2: no line gives the start"},
		{"start\n", "f:1: \"\" is no start"},
		{"start 2026-11-23\n", "f:1: \"2026-11-23\" is no start"},
		{"start 2026-11-23T12:00:00.5Z\n", "f:1: "},
		{"start 1879-11-23T12:00:00Z\n", "f:1: the start 1879-11-23T12:00:00Z is out of range"},
		{start + start, "f:2: a second start"},
		{start + "x nmea GPZDA,1\n", "f:2: \"x\" is no time of an event"},
		{start + "-1 nmea GPZDA,1\n", "f:2: \"-1\" is no time"},
		{start + "NaN nmea GPZDA,1\n", "f:2: \"NaN\" is no time"},
		{start + "1e99 nmea GPZDA,1\n", "f:2: \"1e99\" is no time"},
		{start + "1\n", "f:2: \"\" is no kind of event; want nmea, raw or hex"},
		{start + "1 ubx b562\n", "f:2: \"ubx\" is no kind"},
		{start + "1 nmea\n", "f:2: nmea: nothing follows it"},
		{start + "1 nmea $GPZDA,1*00\n", "f:2: nmea wants the text between $ and *"},
		{start + "1 nmea GPZDA,\x01\n", "f:2: nmea wants the text"},
		{start + "1 raw \n", "f:2: raw: nothing follows it"},
		{start + `1 raw $GP\q` + "\n", `f:2: raw: no escape of Go at "\\q"`},
		{start + `1 raw \x4` + "\n", "f:2: raw: no escape of Go"},
		{start + "1 hex b5 6\n", "f:2: hex: encoding/hex: odd length"},
		{start + "\n#\n1 hex zz\n", "f:4: hex: "},
		{start + "1 raw " + strings.Repeat("a", maxLine) + "\n", "f:2: longer than"},
	} {
		_, err := ReadEvents(strings.NewReader(c.text), "f")
		var line *LineError
		if !errors.As(err, &line) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := OpenEvents(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestEventsComeInTheOrderOfTheirTimes(t *testing.T) {
	t.Parallel()
	e, err := ReadEvents(strings.NewReader("# made up\r\n"+start+"2.5 raw a\\r\\n\\x80\\u00e9\\\"\"\r\n1.120 nmea GPZDA,120000.00,23,11,2026,00,00\n\n1.12 hex b5 62\n"), "f")
	if err != nil {
		t.Fatal(err)
	}
	want := []Sent{
		{1120 * time.Millisecond, []byte("$GPZDA,120000.00,23,11,2026,00,00*62\r\n")},
		{1120 * time.Millisecond, []byte{0xb5, 0x62}},
		{2500 * time.Millisecond, []byte("a\r\n\x80\u00e9\"\"")},
	}
	if len(e.Sent) != len(want) || e.End() != 2500*time.Millisecond || !e.Start.Equal(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v", e)
	}
	for i, w := range want {
		if g := e.Sent[i]; g.At != w.At || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("event %d: %v %q, want %v %q", i, g.At, g.Data, w.At, w.Data)
		}
	}
}

func TestOptionsOfPulses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "1", "2-1", "1-1", "a-b", "1-2,", "-1-2"} {
		if x, err := parseSpans(s); err == nil {
			t.Errorf("spans %q: %v", s, x)
		}
	}
	for _, s := range []string{"", "1:2", "1:0:5", "1:2:x", "1:2:NaN", "1:2:1e9", "-1:2:5", "1:2:3,", "1:2:3:4"} {
		if x, err := parseShifts(s); err == nil {
			t.Errorf("shifts %q: %v", s, x)
		}
	}
	if x, err := parseSpans("0-60,70-80.5"); err != nil || len(x) != 2 || x[0] != (Span{0, time.Minute}) || x[1] != (Span{70 * time.Second, 80500 * time.Millisecond}) {
		t.Errorf("%v, %v", x, err)
	}
	if x, err := parseShifts("0:98:300000000,200:1:-5.5"); err != nil || len(x) != 2 || x[0] != (Shift{0, 98 * time.Second, 3e8}) || x[1] != (Shift{200 * time.Second, time.Second, -5.5}) {
		t.Errorf("%v, %v", x, err)
	}
}

func TestEarliestDateIsThatOfTheBuildOrBeforeTheStart(t *testing.T) {
	t.Parallel()
	for start, want := range map[string]string{"2026-05-01": "2026-04-01", "2026-11-23": "2026-10-24", "2029-03-05": "2026-11-01"} {
		s, err := time.Parse(time.DateOnly, start)
		if err != nil {
			t.Fatal(err)
		}
		if got := EarliestOf(s).Format(time.DateOnly); got != want {
			t.Errorf("%s: %s, want %s", start, got, want)
		}
	}
}

// good are the events of a receiver with NMEA from second 1 to n.
func good(n int) *Events {
	e := &Events{Name: "good", Start: time.Date(2026, 12, 31, 23, 50, 0, 0, time.UTC)}
	for i := 1; i <= n; i++ {
		u := e.Start.Add(time.Duration(i) * time.Second)
		at := time.Duration(i)*time.Second + 120*time.Millisecond
		body := u.Format("GNRMC,150405") + ".00,A,4723.0012,N,00832.4412,E,0.004,," + u.Format("020106") + ",,,A"
		e.Sent = append(e.Sent, Sent{at, nmea.Append(nil, body)})
	}
	return e
}

func play(t *testing.T, s Site, e *Events) simulate.Summary {
	t.Helper()
	r, err := s.Run(e)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r.JSON = &b
	if _, err := r.Play(); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	var sum simulate.Summary
	if err := json.Unmarshal(lines[len(lines)-1], &sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestSiteServesTheTimeOfAGoodReceiver(t *testing.T) {
	t.Parallel()
	sum := play(t, Site{System: 3 * time.Millisecond}, good(120))
	if sum.LockedAfterS == nil || *sum.LockedAfterS > 30 || sum.WrongS != 0 || sum.OutsideS != 0 || sum.FinalState != "locked" {
		t.Errorf("%+v", sum)
	}
}

func TestSiteWithoutPulsesServesNothing(t *testing.T) {
	t.Parallel()
	s := Site{System: 3 * time.Millisecond}
	s.Pulse.Absent = []Span{{0, time.Hour}}
	if sum := play(t, s, good(60)); sum.ServedS != 0 || sum.LockedAfterS != nil {
		t.Errorf("%+v", sum)
	}
}
