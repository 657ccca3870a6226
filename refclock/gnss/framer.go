package gnss

import (
	"container/heap"
	"math"
	"slices"
)

// Limits of framing. They bound the memory, and the time for which a false
// start of a frame can hold back the valid frames behind it.
const (
	// MaxFrame is more than the longest frame of any protocol; RXM-RAWX of a
	// u-blox receiver with 184 channels has 5912 octets.
	MaxFrame = 8192
	// maxComment is the longest comment line of a log file.
	maxComment = 4096
	// staleAfter is the age, ns, from which an incomplete frame is searched for
	// complete ones. A burst lasts well below a second, so a longer wait would
	// hold back the seconds that follow.
	staleAfter = 300e6
)

// format is a framing that the framer knows.
type format struct {
	Framing
	decoder int // index of the protocol that decodes it; or one of those below
}

const (
	skipped = -1 // a frame that is counted and not decoded
	comment = -2 // a comment line of a log file
)

// frame is one complete frame with a valid checksum. Data is valid only until
// the framer runs again.
type frame struct {
	decoder int // index into Protocols.Decoded
	data    []byte
	mono    int64 // when the first octet was read
}

// candidate is what may be a frame: a format and the place where it begins.
type candidate struct {
	place  int // index of the buffer
	format int // index of framer.formats
	need   int // Match is not called before the buffer has so many octets
	match  Match
}

// framer cuts a stream into frames. Whatever the input, it holds at most
// MaxFrame undecided octets, hands out no frame whose checksum is wrong, and
// examines each octet a fixed number of times at most. After damage it starts
// again inside the damaged frame, so that a frame that begins there is not lost.
//
// The place that is decided next is the front. An incomplete frame there holds
// back everything behind it. If it is old, a scout looks behind it for complete
// frames; one of them shows that the incomplete one is a false start.
type framer struct {
	c        *Counters
	formats  []format
	byStart  [256][]int // formats that can begin with the octet
	comments bool       // lines beginning with # are comments of a log file
	afterEOL bool       // the octet before the front ended a line, or there is none

	buf     buffer
	window  Window      // of the Match that is called
	waiting []candidate // at the front; none: it was not looked at yet

	scouted int    // the scout has looked at the octets before this index
	pending byNeed // incomplete frames that the scout found
	found   int    // place of the last complete frame that it found; -1: none
}

func newFramer(c *Counters, p Protocols, comments bool) *framer {
	f := &framer{c: c, comments: comments, afterEOL: true, found: -1}
	f.buf.octets = make([]byte, 0, 2*MaxFrame)
	add := func(fr Framing, decoder int) {
		for _, b := range []byte(fr.Starts()) {
			f.byStart[b] = append(f.byStart[b], len(f.formats))
		}
		f.formats = append(f.formats, format{fr, decoder})
	}
	for i, x := range p.Decoded {
		add(x, i)
	}
	for _, x := range p.Skipped {
		add(x, skipped)
	}
	f.formats = append(f.formats, format{commentLine{}, comment})
	f.buf.sums = make([][]uint32, len(f.formats))
	return f
}

// feed takes the octets b, read at mono, and hands out the frames they end. b may
// be empty: time has passed.
func (f *framer) feed(b []byte, mono int64, emit func(frame)) {
	for len(b) > 0 {
		var drop int
		b, drop = f.buf.add(b, mono)
		f.dropped(drop)
		f.scan(emit, false)
	}
	for f.buf.held() > 0 && mono-f.buf.mono() > staleAfter && f.holdsFrame() {
		f.c.count(Truncated)
		f.advance(1, false)
		f.scan(emit, false)
	}
}

// flush treats what is held as all there will be.
func (f *framer) flush(emit func(frame)) { f.scan(emit, true) }

// scan decides places from the front on, hands out the frames, and stops at an
// incomplete one; if final is set that is refused.
func (f *framer) scan(emit func(frame), final bool) {
	for f.buf.held() > 0 {
		m, decoder := f.match()
		switch m.state {
		case complete:
			at := f.buf.front
			fr := frame{decoder: decoder, data: f.buf.octets[at : at+m.n : at+m.n], mono: f.buf.mono()}
			f.advance(m.n, decoder == comment)
			switch decoder {
			case skipped:
				f.c.count(ForeignFrame)
			case comment:
			default:
				emit(fr)
			}
			continue
		case incomplete:
			if !final && f.buf.held() < MaxFrame {
				return
			}
			m.n = 1
		}
		b := f.buf.octets[f.buf.front:][:m.n]
		if m.defect == Noise {
			f.c.byDefect[Noise] += f.countNoise(b)
		} else {
			f.c.count(m.defect)
		}
		f.advance(m.n, endsLine(b[m.n-1]))
	}
}

// advance moves the front by n octets.
func (f *framer) advance(n int, afterEOL bool) {
	f.buf.advance(n)
	f.afterEOL, f.waiting = afterEOL, f.waiting[:0]
}

// match looks at the front.
func (f *framer) match() (best Match, decoder int) {
	if len(f.waiting) == 0 {
		at := f.buf.front
		c := f.buf.octets[at]
		f.buf.examined++
		if c == '#' && f.comments && f.afterEOL {
			f.waiting = append(f.waiting, candidate{place: at, format: len(f.formats) - 1})
		}
		for _, i := range f.byStart[c] {
			f.waiting = append(f.waiting, candidate{place: at, format: i})
		}
	}
	best = NoFrame(1)
	for i := range f.waiting {
		c := &f.waiting[i]
		f.look(c)
		m := c.match
		if i == 0 || m.state > best.state || m.state == noise && best.state == noise && m.n < best.n {
			best, decoder = m, f.formats[c.format].decoder
		}
	}
	return best, decoder
}

// look calls Match for a candidate if there are the octets that it needs.
func (f *framer) look(c *candidate) {
	if len(f.buf.octets) < c.need {
		return
	}
	f.window = Window{b: &f.buf, place: c.place, format: c.format, resume: c.match.resume, carry: c.match.carry}
	c.match = f.formats[c.format].Match(&f.window)
	c.need = math.MaxInt // it is decided
	if c.match.state == incomplete {
		c.need = max(c.place+c.match.n, len(f.buf.octets)+1)
	}
}

// holdsFrame reports whether a complete frame lies behind the front, inside the
// incomplete one there. Then the incomplete one was no frame.
func (f *framer) holdsFrame() bool {
	for i := max(f.scouted, f.buf.front+1); i < len(f.buf.octets); i++ {
		f.buf.examined++
		for _, x := range f.byStart[f.buf.octets[i]] {
			f.scout(candidate{place: i, format: x})
		}
	}
	f.scouted = len(f.buf.octets)
	for len(f.pending) > 0 && f.pending[0].need <= len(f.buf.octets) {
		if c := heap.Pop(&f.pending).(candidate); c.place > f.buf.front {
			f.scout(c)
		}
	}
	return f.found > f.buf.front
}

// scout looks at a candidate behind the front.
func (f *framer) scout(c candidate) {
	f.look(&c)
	switch c.match.state {
	case complete:
		f.found = max(f.found, c.place)
	case incomplete:
		if c.match.n <= MaxFrame {
			heap.Push(&f.pending, c)
		}
	}
}

// dropped adapts places to a buffer that lost its first n octets.
func (f *framer) dropped(n int) {
	if n == 0 {
		return
	}
	f.scouted, f.found = max(0, f.scouted-n), max(-1, f.found-n)
	for i := range f.waiting {
		f.waiting[i].move(n)
	}
	for i := range f.pending {
		f.pending[i].move(n)
	}
	f.pending = slices.DeleteFunc(f.pending, func(c candidate) bool { return c.place <= f.buf.front })
	heap.Init(&f.pending)
}

// move adapts a candidate to a buffer that lost its first n octets.
func (c *candidate) move(n int) {
	c.place -= n
	if c.match.state == incomplete {
		c.need -= n
	}
}

// byNeed is a heap of candidates, the one that needs the fewest octets first.
type byNeed []candidate

func (h byNeed) Len() int           { return len(h) }
func (h byNeed) Less(i, j int) bool { return h[i].need < h[j].need }
func (h byNeed) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push appends x.
func (h *byNeed) Push(x any) { *h = append(*h, x.(candidate)) }

// Pop removes the last one.
func (h *byNeed) Pop() any {
	n := len(*h) - 1
	x := (*h)[n]
	*h = (*h)[:n]
	return x
}

// countNoise counts octets between frames; line ends belong to the sentences
// before them.
func (f *framer) countNoise(b []byte) (n uint64) {
	f.buf.examined += uint64(len(b))
	for _, c := range b {
		if !endsLine(c) {
			n++
		}
	}
	return n
}

// endsLine reports whether a line of text can end in c.
func endsLine(c byte) bool { return c == '\r' || c == '\n' }

// commentLine is a line of text that begins with #. The line may end in a line
// feed or a carriage return.
type commentLine struct{}

func (commentLine) Name() string   { return "comment" }
func (commentLine) Starts() string { return "#" }

func (commentLine) Match(w *Window) Match {
	i, _ := w.Resume()
	for ; i < w.Len(); i++ {
		switch c := w.Octet(i); {
		case endsLine(c):
			return Complete(i + 1)
		case c < ' ' && c != '\t', c == 0x7F, i >= maxComment:
			return NoFrame(1)
		}
	}
	return Incomplete(i+1, Noise).Resume(i, 0)
}
