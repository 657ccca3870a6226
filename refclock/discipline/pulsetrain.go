package discipline

import (
	"math"

	"noonmark/phc/tai"
)

// tracks sorts edges into rows that are whole seconds apart, by the clock to be
// disciplined. A receiver's pulses make one row, both edges of them two;
// interference makes rows of one.
type tracks struct {
	row  [4]track
	next int // id of the next new row
	fed  int // id of the row the estimate was fed with
}

// keep is the number of edges kept to start the estimate from.
const keep = 8

type track struct {
	id    int
	n     int // edges kept
	count int // seconds in a row
	clock [keep]tai.Time
	mono  [keep]int64
}

func (t *tracks) clear() { *t = tracks{next: t.next, fed: t.fed} }

func (r *track) last() (tai.Time, int64) { return r.clock[r.n-1], r.mono[r.n-1] }

func (r *track) push(p Pulse) {
	if r.n == keep {
		copy(r.clock[:], r.clock[1:])
		copy(r.mono[:], r.mono[1:])
		r.n--
	}
	r.clock[r.n], r.mono[r.n] = p.Clock, p.Mono
	r.n++
}

// shift moves all edges by a change of their correction.
func (t *tracks) shift(d tai.Time) {
	for i := range t.row {
		for j := range t.row[i].n {
			t.row[i].clock[j] += d
		}
	}
}

// add sorts an edge in. It returns its row if that is the one to measure with;
// otherwise the reason why not, which is None for the first of a row.
func (t *tracks) add(p Pulse, cfg Config) (*track, Reason) {
	const stale = 3500e6 // ns without an edge end a row
	var best *track
	bestDev := math.Inf(1)
	others := false
	for i := range t.row {
		q := &t.row[i]
		if q.n == 0 {
			continue
		}
		c, m := q.last()
		if p.Mono-m > stale {
			*q = track{}
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
		best = &t.row[0]
		for i := range t.row {
			if t.row[i].count < best.count {
				best = &t.row[i]
			}
		}
		t.next++
		*best = track{id: t.next}
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
	for i := range t.row {
		q := &t.row[i]
		if q == best || q.count < 2 {
			continue
		}
		if r := best.against(q, cfg); r != None {
			return nil, r
		}
	}
	return best, None
}

// against tells whether r is the edge that counts and q the other one: None if
// so, PulseOffGrid if it is the other way round, AmbiguousEdge if nothing tells.
func (r *track) against(q *track, cfg Config) Reason {
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
