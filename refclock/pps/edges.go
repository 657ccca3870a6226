package pps

import (
	"sync/atomic"
	"time"

	"noonmark/phc"
)

const second = int64(time.Second)

// Constants of the edge filter.
const (
	// nearSecond and maxDrift bound how far the distance of two edges of one kind
	// may be from whole seconds: more jitter than any time pulse has, and a clock
	// that is 200 ppm off in between.
	nearSecond = 2e6  // ns
	maxDrift   = 5000 // one part in
	// minPart is the shortest time between the two edges of a pulse, ns.
	minPart = 1e3
	// halfDuty is how far from half a second the width of a pulse of half duty may
	// be, ns.
	halfDuty = 10e6
	// staleGap is the longest silence over which phases stay valid.
	staleGap = 100 * second
	// learnEdges is how many stamps, whole seconds apart, show a single edge if the
	// driver does not guarantee it; learnUncertain if the width of the pulse is
	// configured: stamps of the other edge may be lost. learnTwins is how many it takes
	// if the card has stamped both edges.
	learnEdges, learnUncertain, learnTwins = 3, 5, 20
	// strayTwins is how many stamps beside a single edge, whole seconds apart, show
	// that there is another edge.
	strayTwins = 5
	// strayGap is the longest time between two of them: another edge comes every second.
	strayGap = 8 * second
	// lostEdges is how many unwanted edges in a row, without a wanted one, make the
	// filter learn again.
	lostEdges = 30
	// oddLimit is the score of stray stamps above which the filter learns again:
	// two points for a stamp that fits neither edge, one less for one that does.
	oddLimit = 4
	// replays is how many stamps are kept to recognise a replayed one.
	replays = 8
)

// decision is what the filter does with one stamp.
type decision struct {
	ok         bool    // deliver it
	reason     Discard // if not ok
	identified bool    // if ok: it is known to be the wanted edge
}

// edgeFilter finds the wanted edge by the stamps alone. The kernel does not name
// it, and i225, i226, igb and version-1 ioctls stamp both edges whatever was
// requested. Two edges of one kind are whole seconds apart; the two kinds divide
// the second into two parts. The wanted edge is found, in this order, by
//
//   - the configured width of the pulse: the active edge is the one that the
//     other follows after this time;
//   - without it, or at half duty: the edge nearer to the grid that the consumer
//     gives;
//   - the shorter part: pulses are commonly active for less than half of the
//     second (100 ms by default). That is a guess and marked as one;
//   - at half duty without a grid: not at all. Messages cannot reveal an error of
//     half a second, because their delay is as long.
type edgeFilter struct {
	certain bool  // the driver guarantees a single edge
	invert  bool  // the inactive edge is wanted (falling)
	width   int64 // configured active time of the pulse, ns, 0 unknown
	grid    func() (phase, within time.Duration, ok bool)

	recent [replays]int64 // stamps, for duplicates
	nrec   int

	state filterState
	phase int64 // newest stamp of the wanted edge, unless learning
	seen  int64 // mono when phase was read, if single
	other int64 // newest stamp of the unwanted edge, if both
	lost  int   // unwanted edges since the last wanted one
	odd   int   // score of stray stamps, if both
	guess bool  // only the width identified the edge, if both
	last  int64 // newest stamp that was no duplicate
	heard int64 // CLOCK_MONOTONIC_RAW when it was read
	hist  [4]int64
	n     int // stamps in hist, oldest first
	run   int // stamps in succession, whole seconds apart

	twin struct { // of a single edge
		newest int64 // stamp
		n      int   // so many, whole seconds apart
		seen   bool  // the card has stamped both edges
	}
}

// filterState is what the filter knows of the card.
type filterState uint8

const (
	learning filterState = iota // which edges it stamps is unknown
	single                      // one edge
	both                        // both edges
)

// push decides about one stamp that was read at mono.
func (f *edgeFilter) push(t, mono int64) decision {
	for i := range min(f.nrec, replays) {
		if f.recent[i] == t {
			return decision{reason: Duplicate}
		}
	}
	f.recent[f.nrec%replays] = t
	if f.nrec++; f.nrec == 2*replays {
		f.nrec = replays
	}
	gap, silent := t-f.last, mono-f.heard
	f.last, f.heard = t, mono
	if f.state != learning && (silent < 0 || silent > staleGap) {
		f.relearn()
	}
	// If the clock advanced by another time than elapsed, it was stepped. A step by
	// whole seconds that was not reported leaves a single edge where it is. Of two
	// edges, one could be mistaken for the other.
	stepped := abs(gap-silent) > second/2
	switch f.state {
	case single:
		return f.pushSingle(t, mono)
	case both:
		if stepped {
			f.relearn()
			break
		}
		if d, ok := f.pushBoth(t, gap); ok {
			return d
		}
	}
	return f.learn(t)
}

// pushSingle decides about a stamp of a card that stamps one edge.
func (f *edgeFilter) pushSingle(t, mono int64) decision {
	if abs(off(t-f.phase)) <= tolerance(mono-f.seen) {
		f.phase, f.seen, f.n = t, mono, 0
		return decision{ok: true, identified: true}
	}
	if f.twins(t) {
		f.relearn()
		return f.learn(t)
	}
	// A stray, or the other edge, or the clock was stepped: some in a row on a new
	// grid decide.
	d := f.learn(t)
	if d.reason == LearningEdge {
		d.reason = WrongEdge
	}
	return d
}

// twins reports whether the card stamps both edges after all, and the single one is not
// the wanted one: the wanted one, lost while the filter learned, comes the width of the
// pulse before it.
func (f *edgeFilter) twins(t int64) bool {
	lead := mod(f.phase - t)
	if f.invert {
		lead = mod(t - f.phase)
	}
	if f.certain || f.width == 0 || abs(lead-f.width) > nearSecond+f.width/8 {
		return false
	}
	x := &f.twin
	if gap := t - x.newest; abs(gap) > strayGap || abs(off(gap)) > tolerance(gap) {
		x.n = 0
	}
	x.newest = t
	if x.n++; x.n < strayTwins {
		return false
	}
	x.seen = true
	return true
}

// pushBoth decides about a stamp of a card that stamps both edges, gap after the
// one before. ok is false if the filter is to learn again from this stamp.
func (f *edgeFilter) pushBoth(t, gap int64) (d decision, ok bool) {
	tol := min(tolerance(gap)+min(mod(f.other-f.phase), mod(f.phase-f.other))/8, second/16)
	dw, do := abs(off(t-f.phase)), abs(off(t-f.other))
	switch {
	case dw <= tol && dw < do:
		f.phase, f.lost, f.odd = t, 0, max(0, f.odd-1)
		return decision{ok: true, identified: true}, true
	case do <= tol:
		f.other, f.odd = t, max(0, f.odd-1)
		if f.lost++; f.lost > lostEdges {
			f.relearn()
		}
		return decision{reason: WrongEdge}, true
	}
	if f.odd += 2; f.odd <= oddLimit { // a stray, unless they continue
		return decision{reason: WrongEdge}, true
	}
	f.relearn()
	return decision{}, false
}

// stepped moves all stamps by a step of the clock.
func (f *edgeFilter) stepped(d int64) {
	f.phase += d
	f.other += d
	f.last += d
	for i := range f.hist[:f.n] {
		f.hist[i] += d
	}
}

// relearn drops what is known of the edges.
func (f *edgeFilter) relearn() {
	f.state, f.n, f.lost, f.odd, f.guess, f.twin.n = learning, 0, 0, 0, false, 0
}

// learn looks for a pattern in the newest stamps.
func (f *edgeFilter) learn(t int64) decision {
	if f.n == len(f.hist) {
		copy(f.hist[:], f.hist[1:])
		f.n--
	}
	f.hist[f.n] = t
	f.n++
	h := f.hist[:f.n]
	if k := len(h); k == 4 && h[1]-h[0] >= minPart && h[2]-h[1] >= minPart && h[3]-h[2] >= minPart &&
		abs(h[2]-h[0]-second) <= nearSecond && abs(h[3]-h[1]-second) <= nearSecond {
		return f.choose(h[1], h[2], h[3])
	}
	if k := len(h); k < 2 || !whole(h[k-2], t) {
		f.run = 0
	}
	if f.run++; f.run >= f.enough() {
		f.state, f.phase, f.seen, f.n = single, t, f.heard, 0
		return decision{ok: true, identified: f.certain}
	}
	if f.certain {
		// The driver guarantees the edge. Whether the stamp fits is left to the gate
		// of the discipline.
		return decision{ok: true, identified: true}
	}
	return decision{reason: LearningEdge}
}

// enough returns how many stamps in succession, whole seconds apart, show a single
// edge.
func (f *edgeFilter) enough() int {
	switch {
	case f.certain:
		return learnEdges
	case f.twin.seen:
		return learnTwins
	case f.width > 0:
		return learnUncertain
	}
	return learnEdges
}

// whole reports whether a stamp comes whole seconds after another.
func whole(a, b int64) bool {
	d := b - a
	return d >= second/2 && abs(off(d)) <= tolerance(d)
}

// tolerance returns how far edges of one kind, gap apart, may be from whole
// seconds, ns.
func tolerance(gap int64) int64 { return nearSecond + gap/maxDrift }

// choose finds the wanted kind of edge from three stamps: a and c are of one kind,
// b of the other.
func (f *edgeFilter) choose(a, b, c int64) decision {
	ab := b - a // the part from a's kind to b's
	half := abs(2*ab-second) <= 2*halfDuty
	if f.grid != nil && (half || f.width == 0) {
		if g, within, ok := f.grid(); ok {
			// It cannot choose between edges that are nearer to each other than it is right.
			db, dc := abs(off(b-int64(g))), abs(off(c-int64(g)))
			if min(db, dc) < second/8 && max(db, dc) > int64(within) {
				return f.settle(dc < db, b, c)
			}
		}
	}
	if half {
		return decision{reason: Ambiguous}
	}
	active := 2*ab < second // a's kind begins the pulse
	if f.width > 0 {
		active = abs(ab-f.width) < abs(second-ab-f.width)
	}
	f.guess = f.width == 0
	return f.settle(active != f.invert, b, c)
}

// settle ends learning. c, the newest stamp, is of the wanted kind if wantC; else
// b is.
func (f *edgeFilter) settle(wantC bool, b, c int64) decision {
	f.state, f.n, f.lost, f.odd, f.twin.seen = both, 0, 0, 0, true
	if wantC {
		f.phase, f.other = c, b
		return decision{ok: true, identified: true}
	}
	f.phase, f.other = b, c
	return decision{reason: WrongEdge}
}

// Filter passes on the wanted edges among a card's external timestamps. It needs no
// device. Apart from Stepped and Count it is for one goroutine.
type Filter struct {
	Counters
	edges   edgeFilter
	channel int
	seq     uint32
	last    int64 // mono of the last edge delivered
	unclear int   // ambiguous stamps since the last edge
	tap     Tap   // may be nil
	step    atomic.Int64
}

// NewFilter returns a filter of what a card granted.
func NewFilter(opt ExtTSOptions, g phc.ExtTSGrant) *Filter {
	if opt.Tap != nil {
		opt.Tap.Enabled(g)
	}
	return &Filter{channel: opt.Channel, tap: opt.Tap, edges: edgeFilter{
		certain: g.Certain && g.Edges == opt.edge(),
		invert:  opt.edge() == phc.Falling,
		width:   int64(opt.Width),
		grid:    opt.Grid,
	}}
}

// Stepped reports that the clock was stepped by delta (+ = forward). The pulses
// are then expected at their new place, so that none is lost. It is for any
// goroutine. Stamps from before the step that come after it are discarded as wrong
// edges. Steps by whole seconds need not be reported.
func (x *Filter) Stepped(delta time.Duration) { x.step.Add(int64(delta)) }

// ambiguousLimit is how many ambiguous stamps make an error: 2 s.
const ambiguousLimit = 4

// Push returns the edge of an event, and false if there is none to deliver. The
// error is ErrAmbiguous, from time to time while that lasts.
func (x *Filter) Push(ev phc.ExtTSEvent) (Edge, bool, error) {
	if x.tap != nil {
		x.tap.Stamp(ev)
	}
	before := x.Count(Ambiguous)
	if e, ok := x.push(ev); ok {
		x.unclear = 0
		return e, true, nil
	}
	if x.unclear += int(x.Count(Ambiguous) - before); x.unclear >= ambiguousLimit {
		x.unclear = 0
		return Edge{}, false, ErrAmbiguous
	}
	return Edge{}, false, nil
}

// push returns the edge of an event, and false if there is none to deliver.
func (x *Filter) push(ev phc.ExtTSEvent) (Edge, bool) {
	switch {
	case ev.Channel != x.channel:
		x.add(OtherChannel, 1)
		return Edge{}, false
	case ev.Offset:
		x.add(NotAStamp, 1)
		return Edge{}, false
	}
	if d := x.step.Swap(0); d != 0 {
		x.edges.stepped(d)
	}
	d := x.edges.push(int64(ev.Clock), ev.Mono)
	if !d.ok {
		x.add(d.reason, 1)
		return Edge{}, false
	}
	// Missed edges are counted by the time of reading, which no step of the clock
	// changes.
	if n := (ev.Mono-x.last+second/2)/second - 1; n > 0 && x.seq > 0 {
		x.add(Missed, uint64(n))
	}
	x.seq++
	x.last = ev.Mono
	e := Edge{Scale: Clock, Stamp: int64(ev.Clock), Mono: ev.Mono, Seq: x.seq, Rising: d.identified}
	if f := &x.edges; f.guess && f.state == both {
		e.Other = time.Duration(mod(f.other - f.phase))
	}
	return e, true
}

// off returns how far d is from whole seconds, -0.5 s to 0.5 s.
func off(d int64) int64 {
	d = mod(d)
	if d >= second/2 {
		d -= second
	}
	return d
}

// mod returns d modulo one second, never negative.
func mod(d int64) int64 {
	if d %= second; d < 0 {
		d += second
	}
	return d
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}
