package report

import (
	"encoding/json"
	"testing"
	"time"

	"noonmark/refclock/gnss"
)

func sat(sys gnss.System, id, elevation, cn0 int, used bool) gnss.Satellite {
	return gnss.Satellite{System: sys, ID: id, Elevation: elevation, Azimuth: 10, CN0: cn0, Used: used}
}

func TestSkyGathersGroupsAndForgetsWhatIsNotListedAnyMore(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) int64 { return int64(time.Hour + d) }
	part := func(d time.Duration, n, of int, list ...gnss.Satellite) *gnss.Message {
		return &gnss.Message{Mono: at(d), View: gnss.View{Part: n, Parts: of, Satellites: list}}
	}
	used := gnss.Satellite{System: gnss.GPS, ID: 3, Elevation: gnss.NoElevation, Azimuth: gnss.NoAzimuth, Used: true}
	many := make([]gnss.Satellite, 1000)
	for i := range many {
		many[i] = sat(gnss.GPS, i+1, 1, 1, false)
	}
	for _, c := range []struct {
		name     string
		messages []*gnss.Message
		now      time.Duration
		want     string
	}{
		{"nothing", nil, 0, `[]`},
		{"half a group", []*gnss.Message{part(0, 1, 2, sat(gnss.GPS, 3, 40, 44, false))}, 0, `[]`},
		{"too old", []*gnss.Message{part(0, 1, 1, sat(gnss.GPS, 3, 40, 44, false))}, time.Minute, `[]`},
		{"a group, and the weaker signal of the same satellite",
			[]*gnss.Message{part(0, 1, 2, sat(gnss.GPS, 3, 40, 44, false)), part(1, 2, 2, sat(gnss.GPS, 1, 50, 41, false)), part(2, 1, 1, sat(gnss.GPS, 3, 40, 30, false))}, 0,
			`[{"system":"GPS","id":1,"elevation":50,"azimuth":10,"cn0":41,"used":false},{"system":"GPS","id":3,"elevation":40,"azimuth":10,"cn0":44,"used":false}]`},
		{"a weaker signal a second later", []*gnss.Message{part(0, 1, 1, sat(gnss.GPS, 3, 40, 44, false)), part(time.Second, 1, 1, sat(gnss.GPS, 3, 40, 30, false))}, time.Second,
			`[{"system":"GPS","id":3,"elevation":40,"azimuth":10,"cn0":30,"used":false}]`},
		{"used by GSA", []*gnss.Message{part(0, 1, 1, sat(gnss.GPS, 3, 40, 44, false)), part(0, 0, 0, used)}, 0,
			`[{"system":"GPS","id":3,"elevation":40,"azimuth":10,"cn0":44,"used":true}]`},
		{"only GSA", []*gnss.Message{part(0, 0, 0, used)}, 0, `[{"system":"GPS","id":3,"elevation":null,"azimuth":null,"cn0":0,"used":true}]`},
		{"one has set", []*gnss.Message{part(0, 0, 0, sat(gnss.Galileo, 9, 1, 20, true)), part(11*time.Second, 0, 0, sat(gnss.GPS, 3, 40, 44, true))}, 11 * time.Second,
			`[{"system":"GPS","id":3,"elevation":40,"azimuth":10,"cn0":44,"used":true}]`},
	} {
		var s Sky
		for _, m := range c.messages {
			s.message(m)
		}
		b, err := json.Marshal(newSky(&s, at(c.now)))
		if err != nil || string(b) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, b, c.want)
		}
	}
	var s Sky
	s.message(part(0, 0, 0, many...))
	if n := len(s.Satellites); n != maxSatellites {
		t.Errorf("%d satellites are kept, want %d", n, maxSatellites)
	}
	before := s.Satellites
	s.message(part(time.Second, 0, 0, sat(gnss.GPS, 1, 80, 50, true)))
	if before[0].CN0 != 1 {
		t.Error("a published list was changed")
	}
}
