package gnss

import (
	"math"
	"testing"
)

func TestWatch(t *testing.T) {
	type step struct {
		at   float64 // s
		m    Message
		want Doubt
	}
	ant := func(a Antenna) Message { return Message{Source: "MON-HW", HasAntenna: true, Antenna: a} }
	fix := func(f Fix) Message { return Message{Source: "RMC", Fix: f} }
	sec := func(j, s Threat) Message { return Message{Source: "SEC-SIG", Jamming: j, Spoofing: s} }
	at := func(lat, lon float64) Message {
		return Message{Source: "GGA", Fix: Fix3D, HasPos: true, Lat: lat, Lon: lon}
	}
	place := &Position{Lat: 48, Lon: 179.9999}
	for _, c := range []struct {
		name  string
		cfg   WatchConfig
		steps []step
	}{
		{"never had a fix", WatchConfig{}, []step{{1, fix(FixNone), NoDoubt}, {2, fix(FixNone), NoDoubt}}},
		{"open from the start", WatchConfig{}, []step{{1, ant(AntennaOpen), NoDoubt}, {2, ant(AntennaOpen), NoDoubt}}},
		{"another talker without a fix", WatchConfig{}, []step{{1, fix(FixGNSS), NoDoubt}, {1.05, fix(FixNone), NoDoubt}, {2, fix(FixGNSS), NoDoubt}, {2.05, fix(FixNone), NoDoubt}}},
		{"jamming that the fix survives", WatchConfig{}, []step{{1, sec(ThreatWarning, ThreatNone), NoDoubt}}},
		{"antenna that moves, and may", WatchConfig{Place: place}, []step{{1, at(48, 10), NoDoubt}, {2, at(48, 10), NoDoubt}, {3, at(48, 10), NoDoubt}, {4, at(48, 10), NoDoubt}}},
		{"across the date line", WatchConfig{Fixed: true, Place: place}, []step{{1, at(48, -179.9999), NoDoubt}, {2, at(48, -179.9999), NoDoubt}, {3, at(48, -179.9999), NoDoubt}}},

		{"fix lost and found", WatchConfig{}, []step{{1, fix(FixGNSS), NoDoubt}, {2, fix(FixNone), DoubtFix}, {3, fix(FixGNSS), DoubtFix}, {12, fix(FixGNSS), DoubtFix}, {13, fix(FixGNSS), NoDoubt}}},
		{"dead reckoning", WatchConfig{}, []step{{1, fix(FixGNSS), NoDoubt}, {2, fix(FixEstimated), DoubtFix}}},
		{"flapping starts the wait anew", WatchConfig{}, []step{{1, fix(Fix3D), NoDoubt}, {2, fix(FixNone), DoubtFix}, {3, fix(Fix3D), DoubtFix}, {11, fix(FixNone), DoubtFix}, {12, fix(Fix3D), DoubtFix}, {14, fix(Fix3D), DoubtFix}, {22, fix(Fix3D), NoDoubt}}},
		{"antenna pulled", WatchConfig{}, []step{{1, ant(AntennaOK), NoDoubt}, {2, ant(AntennaOpen), DoubtOpen}, {3, ant(AntennaUnknown), DoubtOpen}, {4, ant(AntennaOK), DoubtOpen}, {14, ant(AntennaOK), NoDoubt}}},
		{"antenna short", WatchConfig{}, []step{{1, ant(AntennaShort), DoubtShort}}},
		{"jammed", WatchConfig{}, []step{{1, sec(ThreatCritical, ThreatNone), DoubtJammed}, {2, sec(ThreatNone, ThreatNone), DoubtJammed}, {12, sec(ThreatNone, ThreatNone), NoDoubt}}},
		{"spoofed and jammed", WatchConfig{}, []step{{1, sec(ThreatCritical, ThreatWarning), DoubtSpoofed}}},
		{"spoofing told by one of two", WatchConfig{}, []step{{1, sec(ThreatNone, ThreatWarning), DoubtSpoofed},
			{2, Message{Source: "NAV-STATUS", Spoofing: ThreatNone}, DoubtSpoofed}, {20, sec(ThreatNone, ThreatWarning), DoubtSpoofed}}},
		{"displaced", WatchConfig{Fixed: true, Place: place}, []step{{1, at(48.0005, 179.9999), NoDoubt}, {2, at(48.01, 179.9999), NoDoubt}, {3, at(48.01, 179.9999), NoDoubt},
			{4, at(48.01, 179.9999), DoubtMoved}, {5, at(48, 179.9999), DoubtMoved}, {15, at(48, 179.9999), NoDoubt}}},
	} {
		w := NewWatch(c.cfg)
		for _, s := range c.steps {
			m := s.m
			m.Mono = int64(s.at * 1e9)
			w.Message(&m)
			if got := w.Doubt(m.Mono); got != s.want {
				t.Errorf("%s, at %v s: %v, want %v", c.name, s.at, got, s.want)
			}
		}
	}
}

// Without a given place the first minute's mean is it; a jump during that
// minute starts it anew.
func TestWatchLearnsPlace(t *testing.T) {
	w := NewWatch(WatchConfig{Fixed: true})
	feed := func(n int, lat float64) {
		for range n {
			w.Message(&Message{Source: "GGA", Mono: w.now + 1e9, Fix: Fix3D, HasPos: true, Lat: lat, Lon: 11})
		}
	}
	feed(30, 40)
	feed(60, 48)
	feed(5, 48.0003)
	if d := w.Doubt(w.now); d != NoDoubt {
		t.Errorf("33 m away: %v", d)
	}
	feed(3, 48.002)
	if d := w.Doubt(w.now); d != DoubtMoved {
		t.Errorf("222 m away: %v", d)
	}
}

func TestDistance(t *testing.T) {
	if d := distance(48, 11, 49, 11); math.Abs(d-111195) > 1 {
		t.Errorf("a degree of latitude is %.1f m", d)
	}
	if d := distance(0, -90, 0, 90); math.Abs(d-math.Pi*earthM) > 1 {
		t.Errorf("half around is %.1f m", d)
	}
}
