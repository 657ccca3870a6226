package gnss

import (
	"math"
	"time"
)

// Doubt names why a receiver's time is not to be believed for the moment,
// whatever its messages say about the second. Its String is a metric label.
type Doubt uint8

const (
	NoDoubt      Doubt = iota
	DoubtFix           // it had a fix and says that it has none
	DoubtOpen          // the antenna supply carried current and no longer does
	DoubtShort         // the antenna supply is shorted
	DoubtJammed        // interference so strong that the fix is not to be trusted
	DoubtSpoofed       // the receiver recognises false signals
	DoubtMoved         // a fixed antenna appears to have moved

	numDoubts
)

var doubtNames = [numDoubts]string{"none", "fix_lost", "antenna_open", "antenna_short", "jamming", "spoofing", "position_jump"}

func (d Doubt) String() string {
	if d < numDoubts {
		return doubtNames[d]
	}
	return "unknown"
}

// WatchConfig says what a Watch minds. The zero value minds everything but the
// position.
type WatchConfig struct {
	// Settle is how long a cause must be gone before its doubt ends; default 10 s.
	Settle time.Duration
	// Fixed: the antenna stands still, and fixes farther than PositionLimit from
	// where it stands are doubted. The place is Place, or the mean of the first
	// minute of fixes where that is nil.
	Fixed         bool
	Place         *Position
	PositionLimit float64 // m; default 100, more than any multipath
}

const (
	// fixGrace is the age in ns of the last good fix from which another message
	// saying "none" is believed: receivers with several talkers report systems
	// singly, so that a GLGGA without a fix may follow a GPGGA with one.
	fixGrace = 900e6
	// placeFixes is how many fixes make the place of a fixed antenna.
	placeFixes = 60
	// movedFixes is how many fixes in a row must lie elsewhere.
	movedFixes = 3
	earthM     = 6371008.8 // mean radius, m
)

// Watch keeps the receiver's own warnings. It is for one goroutine.
type Watch struct {
	cfg     WatchConfig
	now     int64
	active  [numDoubts]bool
	endedAt [numDoubts]int64 // when the cause went away; 0 while it is there

	goodFix   int64 // mono of the last
	hadFix    bool
	antennaOK bool // the antenna has been seen in order
	spoofing  map[string]Threat

	lat, lon float64 // sum until the place is known, then the place
	fixes    int
	moved    int
}

// NewWatch returns a Watch that has no doubts.
func NewWatch(cfg WatchConfig) *Watch {
	if cfg.Settle == 0 {
		cfg.Settle = 10 * time.Second
	}
	if cfg.PositionLimit == 0 {
		cfg.PositionLimit = 100
	}
	w := &Watch{cfg: cfg, spoofing: make(map[string]Threat)}
	if p := cfg.Place; p != nil {
		w.lat, w.lon, w.fixes = p.Lat, p.Lon, placeFixes
	}
	return w
}

// Message takes every message of the receiver, in order.
func (w *Watch) Message(m *Message) {
	w.now = max(w.now, m.Mono)
	w.fix(m)
	w.antenna(m)
	if m.Jamming != ThreatUnknown {
		w.set(DoubtJammed, m.Jamming == ThreatCritical)
	}
	if m.Source == "SEC-SIG" || m.Source == "NAV-STATUS" {
		w.spoofing[m.Source] = m.Spoofing
		w.set(DoubtSpoofed, max(w.spoofing["SEC-SIG"], w.spoofing["NAV-STATUS"]) >= ThreatWarning)
	}
	if w.cfg.Fixed && m.HasPos && m.Fix.Good() {
		w.position(m.Lat, m.Lon)
	}
}

// Doubt returns the gravest doubt at mono; those named later are the graver.
func (w *Watch) Doubt(mono int64) Doubt {
	w.now = max(w.now, mono)
	for d := numDoubts - 1; d > NoDoubt; d-- {
		if w.active[d] && w.endedAt[d] != 0 && w.now-w.endedAt[d] >= int64(w.cfg.Settle) {
			w.active[d] = false
		}
		if w.active[d] {
			return d
		}
	}
	return NoDoubt
}

// set notes whether the cause of a doubt is there.
func (w *Watch) set(d Doubt, there bool) {
	switch {
	case there:
		w.active[d], w.endedAt[d] = true, 0
	case w.active[d] && w.endedAt[d] == 0:
		w.endedAt[d] = max(w.now, 1)
	}
}

// fix minds a fix that was there and is gone. A receiver that never had one is
// not doubted: its messages are not valid to begin with.
func (w *Watch) fix(m *Message) {
	switch m.Source {
	case "ZDA", "NAV-TIMEGPS", "NAV-TIMEUTC", "PUBX,04":
		return // these repeat what the others have said
	}
	switch {
	case m.Fix.Good():
		w.goodFix, w.hadFix = m.Mono, true
		w.set(DoubtFix, false)
	case m.Fix != FixUnknown && w.hadFix && m.Mono-w.goodFix >= fixGrace:
		w.set(DoubtFix, true)
	}
}

// antenna minds a change for the worse. An antenna that was "open" from the
// start is fed from elsewhere, through a splitter or a block for direct
// current, and no cause for doubt.
func (w *Watch) antenna(m *Message) {
	if !m.HasAntenna || m.Antenna == AntennaUnknown {
		return
	}
	w.antennaOK = w.antennaOK || m.Antenna == AntennaOK
	w.set(DoubtOpen, m.Antenna == AntennaOpen && w.antennaOK)
	w.set(DoubtShort, m.Antenna == AntennaShort)
}

func (w *Watch) position(lat, lon float64) {
	if w.fixes < placeFixes {
		if w.fixes > 0 && distance(lat, lon, w.lat/float64(w.fixes), w.lon/float64(w.fixes)) > w.cfg.PositionLimit {
			w.lat, w.lon, w.fixes = 0, 0, 0 // not settled yet
		}
		w.lat, w.lon, w.fixes = w.lat+lat, w.lon+lon, w.fixes+1
		if w.fixes == placeFixes {
			w.lat, w.lon = w.lat/placeFixes, w.lon/placeFixes
		}
		return
	}
	if distance(lat, lon, w.lat, w.lon) <= w.cfg.PositionLimit {
		w.moved = 0
		w.set(DoubtMoved, false)
		return
	}
	if w.moved++; w.moved >= movedFixes {
		w.set(DoubtMoved, true)
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
