package gnss

// Window is the stream from one place on, as far as it has been received. It is
// valid during one call of Match.
type Window struct {
	b      *buffer
	place  int // index of its octet 0 in b.octets
	format int // for which sums are formed
	resume int
	carry  uint32
}

// NewWindow returns the window of a Framing on a stream that consists of b, for
// tests of protocols.
func NewWindow(b []byte) *Window { return &Window{b: &buffer{octets: b, sums: make([][]uint32, 1)}} }

// Len returns the number of octets received.
func (w *Window) Len() int { return len(w.b.octets) - w.place }

// Octet returns octet i, less than Len.
func (w *Window) Octet(i int) byte {
	w.b.examined++
	return w.b.octets[w.place+i]
}

// Resume returns what the Match before this one at the same place asked for by
// Match.Resume, and zeros for the first.
func (w *Window) Resume() (i int, carry uint32) { return w.resume, w.carry }

// Sums returns a running sum of the octets before octet from, and before octet
// to, at most Len. The sum begins somewhere before them, with 0, so the sum of the
// octets between them is to be derived from both. extend returns the sum with one
// more octet; it is the same function in all calls of one Framing. Each octet is
// summed once, however many frames seem to contain it.
func (w *Window) Sums(extend func(sum uint32, c byte) uint32, from, to int) (before, after uint32) {
	s := w.b.sumTo(extend, w.format, w.place+to)
	return s[w.place+from], s[w.place+to]
}

// buffer holds the octets of a stream that are not decided yet, and what was
// learned of them. Its octets before the front are decided and are dropped when
// room is needed.
type buffer struct {
	octets   []byte
	front    int
	marks    []mark
	mark     int        // index of the mark that covers the front
	sums     [][]uint32 // a format: running sums before each octet, as far as they were needed
	examined uint64     // octets looked at, for the test of their number
}

// mark says when the octets from an offset of the buffer on were read.
type mark struct {
	off  int
	mono int64
}

// held returns the number of octets that are not decided.
func (b *buffer) held() int { return len(b.octets) - b.front }

// mono returns when the octet at the front was read.
func (b *buffer) mono() int64 { return b.marks[b.mark].mono }

// add appends as many octets as there is room for, read at mono, and returns the
// rest. drop octets of the buffer were dropped to make room.
func (b *buffer) add(in []byte, mono int64) (rest []byte, drop int) {
	n := min(len(in), MaxFrame-b.held())
	if b.held() == 0 || len(b.octets)+n > cap(b.octets) {
		drop = b.front
		b.drop(drop)
	}
	if k := len(b.marks); k == 0 || b.marks[k-1].mono != mono {
		b.marks = append(b.marks, mark{len(b.octets), mono})
	}
	b.octets = append(b.octets, in[:n]...)
	return in[n:], drop
}

// drop drops the first n octets, which are decided. The room is for twice the
// longest frame, so each octet is moved once on average.
func (b *buffer) drop(n int) {
	b.front -= n
	b.octets = b.octets[:copy(b.octets, b.octets[n:])]
	if len(b.octets) == 0 {
		b.marks, b.mark = b.marks[:0], 0
	}
	b.marks = b.marks[:copy(b.marks, b.marks[b.mark:])]
	b.mark = 0
	for i := range b.marks {
		b.marks[i].off = max(0, b.marks[i].off-n)
	}
	for i, s := range b.sums {
		b.sums[i] = s[:copy(s, s[min(n, len(s)):])]
	}
}

// advance moves the front by n octets.
func (b *buffer) advance(n int) {
	b.front += n
	for b.mark+1 < len(b.marks) && b.marks[b.mark+1].off <= b.front {
		b.mark++
	}
}

// sumTo continues the running sums of a format up to an offset, and returns them.
func (b *buffer) sumTo(extend func(uint32, byte) uint32, format, to int) []uint32 {
	s := b.sums[format]
	if len(s) == 0 {
		s = append(s, 0)
	}
	for i := len(s) - 1; i < to; i++ {
		b.examined++
		s = append(s, extend(s[i], b.octets[i]))
	}
	b.sums[format] = s
	return s
}
