package report

import (
	"cmp"
	"slices"
	"time"

	"noonmark/refclock/gnss"
)

// Sky gathers the satellites in view from the messages that list them: all at once
// (NAV-SAT), or one group a satellite system, in several sentences (GSV, GSA).
type Sky struct {
	// Satellites are those that were listed lately, by system and number. The slice
	// is not changed once it is here.
	Satellites []gnss.Satellite

	at     int64 // CLOCK_MONOTONIC_RAW when Satellites was made, ns
	listed []listed
}

// listed is a satellite and when messages listed it, ns of CLOCK_MONOTONIC_RAW.
type listed struct {
	gnss.Satellite
	seen int64
	used int64 // as used; 0: never
}

// Limits of the list. A receiver lists each satellite at least once a second, or
// every few seconds if its port is slow.
const (
	maxSatellites = 128 // more than four systems have above the horizon
	skyAge        = int64(10 * time.Second)
	sameBurst     = int64(500 * time.Millisecond) // a satellite is listed once a signal
)

// message takes what a message says about satellites.
func (s *Sky) message(m *gnss.Message) {
	if len(m.Satellites) == 0 {
		if m.Fix == gnss.FixNone && len(s.Satellites) > 0 && m.Mono-s.at > skyAge {
			s.list(m.Mono) // those of before are not in view any more
		}
		return
	}
	for i := range m.Satellites {
		s.take(&m.Satellites[i], m.Mono)
	}
	if m.Parts == 0 || m.Part == m.Parts {
		s.list(m.Mono)
	}
}

// take takes one satellite of a message.
func (s *Sky) take(x *gnss.Satellite, mono int64) {
	i := slices.IndexFunc(s.listed, func(l listed) bool { return l.System == x.System && l.ID == x.ID })
	if i < 0 {
		if len(s.listed) >= maxSatellites {
			return
		}
		i = len(s.listed)
		s.listed = append(s.listed, listed{Satellite: *x})
	}
	l := &s.listed[i]
	if x.Used {
		l.used = mono
	}
	if x.Elevation == gnss.NoElevation && x.CN0 == 0 && l.seen != 0 {
		return // GSA: only a number
	}
	cn0 := x.CN0
	if mono-l.seen < sameBurst {
		cn0 = max(cn0, l.CN0)
	}
	l.Satellite, l.CN0, l.seen = *x, cn0, mono
}

// list makes the list of what was listed lately.
func (s *Sky) list(mono int64) {
	s.at = mono
	s.listed = slices.DeleteFunc(s.listed, func(l listed) bool { return mono-max(l.seen, l.used) > skyAge })
	out := make([]gnss.Satellite, 0, len(s.listed))
	for _, l := range s.listed {
		x := l.Satellite
		x.Used = l.used != 0 && mono-l.used < skyAge/3
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b gnss.Satellite) int { return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.ID, b.ID)) })
	s.Satellites = out
}

// SatelliteDetail is one satellite in view.
type SatelliteDetail struct {
	System    string `json:"system"` // GPS, Galileo, ...
	ID        int    `json:"id"`
	Elevation *int   `json:"elevation"` // degrees; null: not reported
	Azimuth   *int   `json:"azimuth"`   // degrees from north; null: not reported
	CN0       int    `json:"cn0"`       // dB-Hz; 0: not tracked
	Used      bool   `json:"used"`
}

// newSky describes the satellites in view at an instant of CLOCK_MONOTONIC_RAW, ns.
func newSky(s *Sky, mono int64) []SatelliteDetail {
	out := []SatelliteDetail{}
	if mono-s.at > skyAge {
		return out
	}
	for _, x := range s.Satellites {
		d := SatelliteDetail{System: x.System.String(), ID: x.ID, CN0: x.CN0, Used: x.Used}
		if x.Elevation != gnss.NoElevation {
			d.Elevation = &x.Elevation
		}
		if x.Azimuth != gnss.NoAzimuth {
			d.Azimuth = &x.Azimuth
		}
		out = append(out, d)
	}
	return out
}
