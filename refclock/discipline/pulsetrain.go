package discipline

import (
	"math"

	"noonmark/phc/tai"
)

// pulseTrains sorts edges into trains whose edges are whole seconds apart, by
// the clock to be disciplined. The pulses of a receiver make one train, both
// edges of them two; interference makes trains of one edge.
type pulseTrains struct {
	train  [4]pulseTrain
	next   int // id of the next new train
	usedID int // id of the train that the estimate was started from
}

// trainLength is the number of edges kept to start the estimate from.
const trainLength = 8

type pulseTrain struct {
	id    int
	n     int // edges kept
	count int // consecutive seconds
	clock [trainLength]tai.Time
	mono  [trainLength]int64 // CLOCK_MONOTONIC_RAW, ns
}

func (t *pulseTrains) clear() { *t = pulseTrains{next: t.next, usedID: t.usedID} }

func (r *pulseTrain) last() (tai.Time, int64) { return r.clock[r.n-1], r.mono[r.n-1] }

func (r *pulseTrain) push(p Pulse) {
	if r.n == trainLength {
		copy(r.clock[:], r.clock[1:])
		copy(r.mono[:], r.mono[1:])
		r.n--
	}
	r.clock[r.n], r.mono[r.n] = p.Clock, p.Mono
	r.n++
}

// continues returns how far, ns, the edge p is from whole seconds after the
// train's last one, and whether it belongs to the train.
func (r *pulseTrain) continues(p Pulse, cfg *Config) (dev float64, ok bool) {
	const phaseJump = 50e3 // ns: noise of late stamps
	last, _ := r.last()
	d := p.Clock - last
	whole := d.Round()
	dev = math.Abs(float64(d - whole))
	return dev, whole >= tai.Second && dev <= float64(whole/tai.Second)*cfg.MaxErrorPPB+phaseJump
}

// shift moves all edges by a change of their correction.
func (t *pulseTrains) shift(d tai.Time) {
	for i := range t.train {
		for j := range t.train[i].n {
			t.train[i].clock[j] += d
		}
	}
}

// add sorts an edge in. It returns its train if that is the one to measure with;
// otherwise the reason why not, which is None for the first edge of a train.
func (t *pulseTrains) add(p Pulse, cfg *Config) (*pulseTrain, Reason) {
	const stale = 3500e6 // ns without an edge end a train
	var best *pulseTrain
	bestDev := math.Inf(1)
	others := false
	for i := range t.train {
		q := &t.train[i]
		if q.n == 0 {
			continue
		}
		if _, m := q.last(); p.Mono-m > stale {
			*q = pulseTrain{}
			continue
		}
		others = others || q.count > 1
		if dev, ok := q.continues(p, cfg); ok && dev < bestDev {
			best, bestDev = q, dev
		}
	}
	if best == nil {
		best = t.begin()
	} else if c, _ := best.last(); (p.Clock - c).Round() != tai.Second {
		best.count = 0 // a second is missing
	}
	best.push(p)
	best.count++
	if best.count < 2 {
		if others {
			return nil, PulseOffGrid
		}
		return nil, None
	}
	for i := range t.train {
		q := &t.train[i]
		if q == best || q.count < 2 {
			continue
		}
		if r := best.choose(q, cfg); r != None {
			return nil, r
		}
	}
	return best, None
}

// begin starts a train in the place of the shortest one.
func (t *pulseTrains) begin() *pulseTrain {
	r := &t.train[0]
	for i := range t.train {
		if t.train[i].count < r.count {
			r = &t.train[i]
		}
	}
	t.next++
	*r = pulseTrain{id: t.next}
	return r
}

// choose decides which edge of the pulse begins the second, if r and q are its
// two edges: None if r does, PulseOffGrid if q does, AmbiguousEdge if nothing
// decides it.
func (r *pulseTrain) choose(q *pulseTrain, cfg *Config) Reason {
	c, _ := r.last()
	d, _ := q.last()
	if w := tai.Time(cfg.ClockWithin); w > 0 {
		a, b := abs(c-c.Round()) <= w, abs(d-d.Round()) <= w
		switch {
		case a && !b:
			return None
		case b && !a:
			return PulseOffGrid
		}
	}
	if cfg.PulseWidth == 0 {
		return AmbiguousEdge
	}
	// The other edge follows the one that begins the second after the pulse's
	// width.
	after := (d - c).Floor()
	after = d - c - after
	here, there := abs(after-tai.Time(cfg.PulseWidth)), abs(tai.Second-after-tai.Time(cfg.PulseWidth))
	switch {
	case abs(here-there) < 20e6:
		return AmbiguousEdge // both edges are about half a second apart
	case here < there:
		return None
	}
	return PulseOffGrid
}

func abs(a tai.Time) tai.Time {
	if a < 0 {
		return -a
	}
	return a
}
