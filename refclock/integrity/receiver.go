package integrity

import (
	"math"
	"time"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// ReceiverConfig says which of the receiver's own statements raise an alarm.
// The zero value takes all but the position into account.
type ReceiverConfig struct {
	// Settle is how long a cause must be gone before its alarm ends; default 10 s.
	Settle time.Duration
	// Fixed: the antenna stands still, and fixes farther than PositionLimit from
	// its place raise an alarm. The place is Place, or the mean of the first
	// minute of fixes where that is nil.
	Fixed         bool
	Place         *gnss.Position
	PositionLimit float64 // m; default 100, more than any multipath
}

const (
	// fixGrace is the age, ns, of the last good fix from which a message without a
	// fix counts. Receivers with several talkers report each system by itself, so a
	// GLGGA without a fix may follow a GPGGA with one.
	fixGrace = 900e6
	// placeFixes is how many fixes make the place of a fixed antenna.
	placeFixes = 60
	// movedFixes is how many fixes in a row must lie elsewhere.
	movedFixes = 3
	earthM     = 6371008.8 // mean radius, m
)

// receiver keeps what the receiver says against its own time: fix lost, antenna,
// jamming, spoofing, a fixed antenna that moved.
type receiver struct {
	cfg    ReceiverConfig
	now    int64                 // latest CLOCK_MONOTONIC_RAW seen, ns
	raised map[reason.Code]int64 // alarms, with the mono at which the cause went away; 0 while it is there

	goodFix   int64 // mono of the last good fix
	hadFix    bool
	antennaOK bool // the antenna has been reported in order
	spoofing  map[string]gnss.Threat

	lat, lon float64 // sum of fixes until the place is known, then the place
	fixes    int
	moved    int // fixes elsewhere in a row
}

// newReceiver returns a receiver without alarms.
func newReceiver(cfg ReceiverConfig) *receiver {
	if cfg.Settle == 0 {
		cfg.Settle = 10 * time.Second
	}
	if cfg.PositionLimit == 0 {
		cfg.PositionLimit = 100
	}
	r := &receiver{cfg: cfg, raised: make(map[reason.Code]int64), spoofing: make(map[string]gnss.Threat)}
	if p := cfg.Place; p != nil {
		r.lat, r.lon, r.fixes = p.Lat, p.Lon, placeFixes
	}
	return r
}

// message takes every message of the receiver, in order.
func (r *receiver) message(m *gnss.Message) {
	r.now = max(r.now, m.Mono)
	r.fix(m)
	r.antenna(m)
	if m.Jamming != gnss.ThreatUnknown {
		r.set(reason.ReceiverJammed, m.Jamming == gnss.ThreatCritical)
	}
	if m.HasSpoofing {
		r.spoofing[m.Source] = m.Spoofing
		worst := gnss.ThreatUnknown
		for _, s := range r.spoofing {
			worst = max(worst, s)
		}
		r.set(reason.ReceiverSpoofed, worst >= gnss.ThreatWarning)
	}
	if r.cfg.Fixed && m.HasPos && m.Fix.Good() {
		r.position(m.Lat, m.Lon)
	}
}

// current returns the alarms at mono, in no order.
func (r *receiver) current(mono int64) (alarms []Alarm) {
	r.now = max(r.now, mono)
	for code, gone := range r.raised {
		if gone != 0 && r.now-gone >= int64(r.cfg.Settle) {
			delete(r.raised, code)
			continue
		}
		alarms = append(alarms, Alarm{Code: code})
	}
	return alarms
}

// set notes whether the cause of an alarm is there.
func (r *receiver) set(code reason.Code, there bool) {
	gone, raised := r.raised[code]
	switch {
	case there:
		r.raised[code] = 0
	case raised && gone == 0:
		r.raised[code] = max(r.now, 1)
	}
}

// fix looks for a fix that was there and is gone. A receiver that never had one
// raises no alarm: its messages are not valid to begin with.
func (r *receiver) fix(m *gnss.Message) {
	if m.FixRepeated || m.FixElsewhere {
		return
	}
	switch {
	case m.Fix.Good():
		r.goodFix, r.hadFix = m.Mono, true
		r.set(reason.ReceiverFixLost, false)
	case m.Fix != gnss.FixUnknown && r.hadFix && m.Mono-r.goodFix >= fixGrace:
		r.set(reason.ReceiverFixLost, true)
	}
}

// antenna looks for a change for the worse. An antenna that was "open" from the
// start is powered from elsewhere, through a splitter or a DC block, and is no
// cause for an alarm.
func (r *receiver) antenna(m *gnss.Message) {
	if !m.HasAntenna || m.Antenna == gnss.AntennaUnknown {
		return
	}
	r.antennaOK = r.antennaOK || m.Antenna == gnss.AntennaOK
	r.set(reason.ReceiverAntennaOpen, m.Antenna == gnss.AntennaOpen && r.antennaOK)
	r.set(reason.ReceiverAntennaShort, m.Antenna == gnss.AntennaShort)
}

// position learns the place of a fixed antenna, then compares fixes with it.
func (r *receiver) position(lat, lon float64) {
	if r.fixes < placeFixes {
		if r.fixes > 0 && distance(lat, lon, r.lat/float64(r.fixes), r.lon/float64(r.fixes)) > r.cfg.PositionLimit {
			r.lat, r.lon, r.fixes = 0, 0, 0 // not settled yet
		}
		r.lat, r.lon, r.fixes = r.lat+lat, r.lon+lon, r.fixes+1
		if r.fixes == placeFixes {
			r.lat, r.lon = r.lat/placeFixes, r.lon/placeFixes
		}
		return
	}
	if distance(lat, lon, r.lat, r.lon) <= r.cfg.PositionLimit {
		r.moved = 0
		r.set(reason.ReceiverMoved, false)
		return
	}
	if r.moved++; r.moved >= movedFixes {
		r.set(reason.ReceiverMoved, true)
	}
}

// distance returns the distance in m of two places given in degrees, along the
// sphere.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	a, b := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	h := a*a + math.Cos(lat1*rad)*math.Cos(lat2*rad)*b*b
	return 2 * earthM * math.Asin(math.Sqrt(min(h, 1)))
}
