package integrity

import (
	"math"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

func TestReceiverAlarms(t *testing.T) {
	type step struct {
		at   float64 // s
		m    gnss.Message
		want reason.Code
	}
	ant := func(a gnss.Antenna) gnss.Message {
		return gnss.Message{Source: "MON-HW", RF: gnss.RF{HasAntenna: true, Antenna: a}}
	}
	fix := func(f gnss.Fix) gnss.Message { return gnss.Message{Source: "RMC", Fix: f} }
	sec := func(j, s gnss.Threat) gnss.Message {
		return gnss.Message{Source: "SEC-SIG", RF: gnss.RF{Jamming: j, HasSpoofing: true, Spoofing: s}}
	}
	at := func(lat, lon float64) gnss.Message {
		return gnss.Message{Source: "GGA", Fix: gnss.Fix3D, Solution: gnss.Solution{HasPos: true, Lat: lat, Lon: lon}}
	}
	place := &gnss.Position{Lat: 48, Lon: 179.9999}
	for _, c := range []struct {
		name  string
		cfg   ReceiverConfig
		steps []step
	}{
		{"never had a fix", ReceiverConfig{}, []step{{1, fix(gnss.FixNone), reason.None}, {2, fix(gnss.FixNone), reason.None}}},
		{"open from the start", ReceiverConfig{}, []step{{1, ant(gnss.AntennaOpen), reason.None}, {2, ant(gnss.AntennaOpen), reason.None}}},
		{"another talker without a fix", ReceiverConfig{}, []step{{1, fix(gnss.FixGNSS), reason.None}, {1.05, fix(gnss.FixNone), reason.None}, {2, fix(gnss.FixGNSS), reason.None}, {2.05, fix(gnss.FixNone), reason.None}}},
		{"jamming that the fix survives", ReceiverConfig{}, []step{{1, sec(gnss.ThreatWarning, gnss.ThreatNone), reason.None}}},
		{"antenna that moves, and may", ReceiverConfig{Place: place}, []step{{1, at(48, 10), reason.None}, {2, at(48, 10), reason.None}, {3, at(48, 10), reason.None}, {4, at(48, 10), reason.None}}},
		{"across the date line", ReceiverConfig{Fixed: true, Place: place}, []step{{1, at(48, -179.9999), reason.None}, {2, at(48, -179.9999), reason.None}, {3, at(48, -179.9999), reason.None}}},

		{"fix lost and found", ReceiverConfig{}, []step{{1, fix(gnss.FixGNSS), reason.None}, {2, fix(gnss.FixNone), reason.ReceiverFixLost}, {3, fix(gnss.FixGNSS), reason.ReceiverFixLost}, {12, fix(gnss.FixGNSS), reason.ReceiverFixLost}, {13, fix(gnss.FixGNSS), reason.None}}},
		{"dead reckoning", ReceiverConfig{}, []step{{1, fix(gnss.FixGNSS), reason.None}, {2, fix(gnss.FixEstimated), reason.ReceiverFixLost}}},
		{"flapping starts the wait anew", ReceiverConfig{}, []step{{1, fix(gnss.Fix3D), reason.None}, {2, fix(gnss.FixNone), reason.ReceiverFixLost}, {3, fix(gnss.Fix3D), reason.ReceiverFixLost}, {11, fix(gnss.FixNone), reason.ReceiverFixLost}, {12, fix(gnss.Fix3D), reason.ReceiverFixLost}, {14, fix(gnss.Fix3D), reason.ReceiverFixLost}, {22, fix(gnss.Fix3D), reason.None}}},
		{"antenna pulled", ReceiverConfig{}, []step{{1, ant(gnss.AntennaOK), reason.None}, {2, ant(gnss.AntennaOpen), reason.ReceiverAntennaOpen}, {3, ant(gnss.AntennaUnknown), reason.ReceiverAntennaOpen}, {4, ant(gnss.AntennaOK), reason.ReceiverAntennaOpen}, {14, ant(gnss.AntennaOK), reason.None}}},
		{"antenna short", ReceiverConfig{}, []step{{1, ant(gnss.AntennaShort), reason.ReceiverAntennaShort}}},
		{"jammed", ReceiverConfig{}, []step{{1, sec(gnss.ThreatCritical, gnss.ThreatNone), reason.ReceiverJammed}, {2, sec(gnss.ThreatNone, gnss.ThreatNone), reason.ReceiverJammed}, {12, sec(gnss.ThreatNone, gnss.ThreatNone), reason.None}}},
		{"spoofed and jammed", ReceiverConfig{}, []step{{1, sec(gnss.ThreatCritical, gnss.ThreatWarning), reason.ReceiverSpoofed}}},
		{"spoofing reported by one of two sources", ReceiverConfig{}, []step{{1, sec(gnss.ThreatNone, gnss.ThreatWarning), reason.ReceiverSpoofed},
			{2, gnss.Message{Source: "NAV-STATUS", RF: gnss.RF{HasSpoofing: true, Spoofing: gnss.ThreatNone}}, reason.ReceiverSpoofed}, {20, sec(gnss.ThreatNone, gnss.ThreatWarning), reason.ReceiverSpoofed}}},
		{"displaced", ReceiverConfig{Fixed: true, Place: place}, []step{{1, at(48.0005, 179.9999), reason.None}, {2, at(48.01, 179.9999), reason.None}, {3, at(48.01, 179.9999), reason.None},
			{4, at(48.01, 179.9999), reason.ReceiverMoved}, {5, at(48, 179.9999), reason.ReceiverMoved}, {15, at(48, 179.9999), reason.None}}},
	} {
		r := newReceiver(c.cfg)
		for _, s := range c.steps {
			m := s.m
			m.Mono = int64(s.at * 1e9)
			r.message(&m)
			if got := highest(r.current(m.Mono)...).Code; got != s.want {
				t.Errorf("%s, at %v s: %v, want %v", c.name, s.at, got, s.want)
			}
		}
	}
}

// Without a given place the first minute's mean is it; a jump during that
// minute starts it anew.
func TestReceiverLearnsPlace(t *testing.T) {
	r := newReceiver(ReceiverConfig{Fixed: true})
	feed := func(n int, lat float64) {
		for range n {
			r.message(&gnss.Message{Source: "GGA", Mono: r.now + 1e9, Fix: gnss.Fix3D, Solution: gnss.Solution{HasPos: true, Lat: lat, Lon: 11}})
		}
	}
	feed(30, 40)
	feed(60, 48)
	feed(5, 48.0003)
	if d := highest(r.current(r.now)...).Code; d != reason.None {
		t.Errorf("33 m away: %v", d)
	}
	feed(3, 48.002)
	if d := highest(r.current(r.now)...).Code; d != reason.ReceiverMoved {
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
