package pps

import (
	"sync/atomic"
	"time"

	"noonmark/phc"
)

const second = int64(time.Second)

// Tuning of the edge filter.
const (
	// nearSecond and maxDrift bound how far two edges of one kind may be from
	// whole seconds apart: jitter no time pulse has, and a clock that is
	// 200 ppm off for the time between them.
	nearSecond = 2e6  // ns
	maxDrift   = 5000 // one part in
	// minPart is the shortest time between the two edges of a pulse, in ns.
	minPart = 1e3
	// halfDuty is how near to half a second the parts must be to be one, ns.
	halfDuty = 10e6
	// staleGap is the longest silence over which phases are trusted.
	staleGap = 100 * second
	// learnEdges is how many stamps, whole seconds apart, prove a single edge
	// where the driver does not vouch for it.
	learnEdges = 3
	// lostEdges is how many unwanted edges in a row, without a wanted one,
	// make the filter think again.
	lostEdges = 30
	// oddLimit is how many points stray stamps may make among the edges of a
	// pulse that is known (two for one that fits neither, one back for one that
	// does) before the filter thinks again.
	oddLimit = 4
	// replays is how many stamps are remembered to know a replayed one.
	replays = 8
)

// verdict of the filter over one stamp.
type verdict struct {
	ok     bool
	reason Reason // when not ok
	told   bool   // when ok: the wanted edge was told from the other
}

// edgeFilter decides from the stamps alone which of them are the wanted edge.
// The kernel does not say it, and i225, i226, igb and version-1 ioctls stamp
// both edges whatever was asked. Two edges of a kind are whole seconds apart;
// the two kinds cut the second into two parts. The wanted edge is found, in
// this order, by
//
//   - the configured width of the pulse: the active edge is the one followed
//     by the other after it;
//   - without it, or at half duty: the edge nearer to the grid that the consumer
//     gives;
//   - the shorter part: pulses are commonly active for less than half of the
//     second (100 ms by default). That is a guess, and is told so;
//   - at half duty without a grid nothing. Half a second of error cannot be found
//     out from messages, whose delay is as long.
//
// It is pure: the caller owns it.
type edgeFilter struct {
	certain bool  // the driver vouches for a single edge
	invert  bool  // the inactive edge is wanted (falling)
	width   int64 // configured active time of the pulse in ns, 0 unknown
	grid    func() (phase time.Duration, ok bool)

	recent [replays]int64
	nrec   int

	state filterState
	phase int64 // newest stamp of the wanted edge, when not learning
	seen  int64 // when phase was read, when single
	other int64 // newest stamp of the unwanted edge, when both
	lost  int   // unwanted edges since the last wanted one
	odd   int   // points of strays, when both
	guess bool  // only their distance told the edges apart, when both
	last  int64 // newest stamp that was no duplicate
	heard int64 // CLOCK_MONOTONIC_RAW when it was read
	hist  [4]int64
	n     int // stamps in hist, oldest first
}

type filterState uint8

const (
	learning filterState = iota
	single
	both
)

// push judges one stamp that was read at mono.
func (f *edgeFilter) push(t, mono int64) verdict {
	for i := range min(f.nrec, replays) {
		if f.recent[i] == t {
			return verdict{reason: Duplicate}
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
	// Where the clock went by another time than passed, it was stepped. By
	// whole seconds, the grid stays; nobody having told of it, that is seen from
	// the stamp. With both edges it is not: they could be mistaken for each
	// other.
	stepped := abs(gap-silent) > second/2
	switch f.state {
	case single:
		if abs(off(t-f.phase)) <= tolerance(mono-f.seen) {
			f.phase, f.seen, f.n = t, mono, 0
			return verdict{ok: true, told: true}
		}
		// Wild, or of the other kind, or the clock was stepped: three in a
		// row on a new grid tell.
		v := f.learn(t)
		if v.reason == LearningEdge {
			v.reason = WrongEdge
		}
		return v
	case both:
		if stepped {
			f.relearn()
			break
		}
		tol := min(tolerance(gap)+min(mod(f.other-f.phase), mod(f.phase-f.other))/8, second/16)
		dw, do := abs(off(t-f.phase)), abs(off(t-f.other))
		switch {
		case dw <= tol && dw < do:
			f.phase, f.lost, f.odd = t, 0, max(0, f.odd-1)
			return verdict{ok: true, told: true}
		case do <= tol:
			f.other, f.odd = t, max(0, f.odd-1)
			if f.lost++; f.lost > lostEdges {
				f.relearn()
			}
			return verdict{reason: WrongEdge}
		}
		// A stray, unless they keep coming.
		if f.odd += 2; f.odd <= oddLimit {
			return verdict{reason: WrongEdge}
		}
		f.relearn()
	}
	return f.learn(t)
}

// stepped moves all that is known of the clock by a step of it.
func (f *edgeFilter) stepped(d int64) {
	f.phase += d
	f.other += d
	f.last += d
	for i := range f.hist[:f.n] {
		f.hist[i] += d
	}
}

func (f *edgeFilter) relearn() { f.state, f.n, f.lost, f.odd, f.guess = learning, 0, 0, 0, false }

// learn looks for a pattern in the newest stamps.
func (f *edgeFilter) learn(t int64) verdict {
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
	if k := len(h); k >= learnEdges && whole(h[k-learnEdges:]) {
		f.state, f.phase, f.seen, f.n = single, t, f.heard, 0
		return verdict{ok: true, told: f.certain}
	}
	if f.certain {
		// The driver vouches for the edge; whether it fits is for the outlier
		// gate behind.
		return verdict{ok: true, told: true}
	}
	return verdict{reason: LearningEdge}
}

// whole tells whether the stamps ascend by whole seconds.
func whole(h []int64) bool {
	for i := 1; i < len(h); i++ {
		if d := h[i] - h[i-1]; d < second/2 || abs(off(d)) > tolerance(d) {
			return false
		}
	}
	return true
}

func tolerance(gap int64) int64 { return nearSecond + gap/maxDrift }

// choose is called with three stamps of which a and c are of one kind and b of
// the other, and finds which kind is wanted.
func (f *edgeFilter) choose(a, b, c int64) verdict {
	ab := b - a // the part between a's kind and b's
	half := abs(2*ab-second) <= 2*halfDuty
	if f.grid != nil && (half || f.width == 0) {
		if g, ok := f.grid(); ok {
			db, dc := abs(off(b-int64(g))), abs(off(c-int64(g)))
			if min(db, dc) < second/8 {
				return f.settle(dc < db, b, c)
			}
		}
	}
	if half {
		return verdict{reason: Ambiguous}
	}
	active := 2*ab < second // a's kind begins the pulse
	if f.width > 0 {
		active = abs(ab-f.width) < abs(second-ab-f.width)
	}
	f.guess = f.width == 0
	return f.settle(active != f.invert, b, c)
}

// settle ends learning: c, the newest stamp, is of the wanted kind, or b is.
func (f *edgeFilter) settle(wantC bool, b, c int64) verdict {
	f.state, f.n, f.lost, f.odd = both, 0, 0, 0
	if wantC {
		f.phase, f.other = c, b
		return verdict{ok: true, told: true}
	}
	f.phase, f.other = b, c
	return verdict{reason: WrongEdge}
}

// extTS turns external timestamps into edges: the part of the source that
// needs no device.
type extTS struct {
	Counters
	filter  edgeFilter
	channel int
	seq     uint32
	last    int64 // Mono of the last edge delivered
	step    atomic.Int64
}

// push judges one event; ok when it is an edge to deliver.
func (x *extTS) push(ev phc.ExtTSEvent) (Edge, bool) {
	switch {
	case ev.Channel != x.channel:
		x.add(OtherChannel, 1)
		return Edge{}, false
	case ev.Offset:
		x.add(NotAStamp, 1)
		return Edge{}, false
	}
	if d := x.step.Swap(0); d != 0 {
		x.filter.stepped(d)
	}
	v := x.filter.push(int64(ev.Clock), ev.Mono)
	if !v.ok {
		x.add(v.reason, 1)
		return Edge{}, false
	}
	// Missed ones by the time of reading, which no step of the clock disturbs.
	if n := (ev.Mono-x.last+second/2)/second - 1; n > 0 && x.seq > 0 {
		x.add(Missed, uint64(n))
	}
	x.seq++
	x.last = ev.Mono
	e := Edge{Scale: Clock, Stamp: int64(ev.Clock), Mono: ev.Mono, Seq: x.seq, Rising: v.told}
	if f := &x.filter; f.guess && f.state == both {
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
