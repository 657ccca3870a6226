package report

import (
	"encoding/json"
	"strings"
	"testing"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
)

// The order of the keys is that of the output, and groups do not nest.
func TestMessageIsOneFlatObject(t *testing.T) {
	t.Parallel()
	m := gnss.Message{Source: "NAV-PVT", HasDate: true, Valid: true, Stated: true, Fix: gnss.FixGNSS}
	m.Civil = gnss.Civil{Year: 2026, Month: 11, Day: 23, Hour: 12}
	m.Solution = gnss.Solution{HasSats: true, Sats: 9, HasPos: true, Lat: 47.5, Lon: -8.25}
	m.HasQErr, m.QErrPS, m.JamIndicator, m.Text = true, -10, -1, "x"
	for _, x := range []struct {
		all  bool
		want string
	}{
		{false, `{"time":"2026-11-23T12:00:00.000Z","source":"NAV-PVT","valid":true,"disciplines":true,"fix":"gnss","satellites_used":9}`},
		{true, `{"time":"2026-11-23T12:00:00.000Z","source":"NAV-PVT","valid":true,"disciplines":true,"fix":"gnss","satellites_used":9,"lat":47.5,"lon":-8.25,"sawtooth_ps":-10,"text":"x"}`},
	} {
		b, err := json.Marshal(NewMessage(&m, tai.Builtin(), x.all))
		if err != nil || string(b) != x.want {
			t.Errorf("%v\n%s\nwant\n%s", err, b, x.want)
		}
	}
}

// An announced leap second is written with the count that it brings.
func TestMessageOfAnAnnouncedLeapSecond(t *testing.T) {
	t.Parallel()
	at := tai.FromUnix(1798761600, 0, 38) // invented: before 2027-01-01
	m := gnss.Message{Source: "NAV-TIMELS"}
	m.HasLeapEvent, m.LeapOffset, m.LeapSign, m.LeapIn, m.LeapAt, m.JamIndicator = true, 37, 1, 3600, at, -1
	b, err := json.Marshal(NewMessage(&m, tai.Builtin(), true))
	if want := `"tai_offset_s":37,`; err != nil || !strings.Contains(string(b), want) || !strings.Contains(string(b), `"leap":1,"leap_in_s":3600,"leap_at":"2027-01-01T00:00:00.000000000Z"`) {
		t.Errorf("%v: %s", err, b)
	}
}
