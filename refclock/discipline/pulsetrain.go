package discipline

import (
	"math"

	"noonmark/phc/tai"
)

// pulseTrains sorts edges into rows that are whole seconds apart, by the clock to be
// disciplined. A receiver's pulses make one row, both edges of them two;
// interference makes rows of one.
type pulseTrains struct {
	train  [4]pulseTrain
	next   int // id of the next new row
	usedID int // id of the row the estimate was fed with
}

// keep is the number of edges kept to start the estimate from.
const trainLength = 8

type pulseTrain struct {
	id    int
	n     int // edges kept
	count int // seconds in a row
	clock [trainLength]tai.Time
	mono  [trainLength]int64
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

// shift moves all edges by a change of their correction.
func (t *pulseTrains) shift(d tai.Time) {
	for i := range t.train {
		for j := range t.train[i].n {
			t.train[i].clock[j] += d
		}
	}
}

// add sorts an edge in. It returns its row if that is the one to measure with;
// otherwise the reason why not, which is None for the first of a row.
func (t *pulseTrains) add(p Pulse, cfg Config) (*pulseTrain, Reason) {
	const stale = 3500e6 // ns without an edge end a row
	var best *pulseTrain
	bestDev := math.Inf(1)
	others := false
	for i := range t.train {
		q := &t.train[i]
		if q.n == 0 {
			continue
		}
		c, m := q.last()
		if p.Mono-m > stale {
			*q = pulseTrain{}
			continue
		}
		others = others || q.count > 1
		d := p.Clock - c
		whole := d.Round()
		dev := math.Abs(float64(d - whole))
		if whole >= tai.Second && dev <= float64(whole/tai.Second)*cfg.MaxErrorPPB+50e3 && dev < bestDev {
			best, bestDev = q, dev
		}
	}
	if best == nil {
		// A new row, in the place of the poorest.
		best = &t.train[0]
		for i := range t.train {
			if t.train[i].count < best.count {
				best = &t.train[i]
			}
		}
		t.next++
		*best = pulseTrain{id: t.next}
	} else if c, _ := best.last(); (p.Clock - c).Round() != tai.Second {
		best.count = 0 // a second is missing: not in a row
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

// choose tells whether r is the edge that counts and q the other one: None if
// so, PulseOffGrid if it is the other way round, AmbiguousEdge if nothing tells.
func (r *pulseTrain) choose(q *pulseTrain, cfg Config) Reason {
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
	// The edge that counts is followed by the other after the pulse's width.
	after := (d - c).Floor()
	after = d - c - after
	here, there := abs(after-tai.Time(cfg.PulseWidth)), abs(tai.Second-after-tai.Time(cfg.PulseWidth))
	switch {
	case abs(here-there) < 20e6:
		return AmbiguousEdge // half a second each way
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
