package gnss

import "slices"

// Limits of framing. All of them bound memory and the time for which a false
// start of frame can hold back the good frames behind it.
const (
	// maxNMEA is the longest sentence taken, from $ to the checksum. The
	// standard allows 82; receivers send up to about 300. Garmin is known to
	// merge two sentences into one with a matching checksum, hence no more.
	maxNMEA = 512
	// maxUBX is the longest payload taken; RXM-RAWX of a receiver with 184
	// channels has 5904.
	maxUBX = 6144
	// maxComment is the longest comment line of a log file.
	maxComment = 4096
	// maxFrame is more than any of them with its envelope.
	maxFrame = 8192
	// staleAfter is the age in ns from which an incomplete binary frame is
	// looked through for complete ones. A burst lasts well below a second, so
	// a longer wait would hold back the seconds that follow.
	staleAfter = 300e6
)

// frameKind is the protocol of a frame.
type frameKind uint8

const (
	frameNMEA frameKind = iota
	frameUBX
	frameForeign
	frameComment
)

// frame is one complete frame with a good checksum. Data is valid only until
// the framer runs again.
type frame struct {
	kind frameKind
	data []byte
	mono int64 // of the first byte
}

// mark says when the bytes from an offset of the buffer on were read.
type mark struct {
	off  int
	mono int64
}

// framer cuts a byte stream into frames. Whatever the input, it holds at most
// maxFrame bytes of it, and never hands out a frame whose checksum is wrong.
// After damage it starts anew inside the damaged frame, so that a good frame
// that begins there is not lost.
type framer struct {
	c        *Counters
	comments bool // lines beginning with # are comments of a log file
	buf      []byte
	marks    []mark
	afterEOL bool // the byte before buf ended a line, or there is none
}

func newFramer(c *Counters, comments bool) *framer {
	return &framer{c: c, comments: comments, buf: make([]byte, 0, maxFrame), afterEOL: true}
}

// feed takes the bytes b, read at mono, and hands out what frames they end.
func (f *framer) feed(b []byte, mono int64, emit func(frame)) {
	if len(f.buf) > 0 && f.buf[0] != '$' && mono-f.marks[0].mono > staleAfter && f.holdsFrame() {
		f.drop(1, Truncated)
		f.scan(emit, false)
	}
	for len(b) > 0 {
		n := min(len(b), maxFrame-len(f.buf))
		if k := len(f.marks); k == 0 || f.marks[k-1].mono != mono {
			f.marks = append(f.marks, mark{len(f.buf), mono})
		}
		f.buf = append(f.buf, b[:n]...)
		b = b[n:]
		f.scan(emit, false)
	}
}

// flush treats what is held as all there will be.
func (f *framer) flush(emit func(frame)) { f.scan(emit, true) }

// scan hands out the frames in the buffer and keeps the incomplete rest; with
// final set no rest is kept.
func (f *framer) scan(emit func(frame), final bool) {
	at := 0
	noise := 0
	for at < len(f.buf) {
		b := f.buf[at:]
		m := f.match(b)
		if m.state == more {
			if !final {
				break
			}
			m = verdict{state: bad, n: 1, reason: m.reason}
		}
		switch m.state {
		case good:
			fr := frame{kind: m.kind, data: b[:m.n], mono: f.monoAt(at)}
			at += m.n
			f.afterEOL = m.kind == frameComment
			switch m.kind {
			case frameForeign:
				f.c.count(ForeignFrame)
			case frameComment:
			default:
				emit(fr)
			}
		case bad:
			if m.reason != Noise {
				f.c.count(m.reason)
			} else {
				noise += countNoise(b[:m.n])
			}
			f.afterEOL = b[m.n-1] == '\n' || b[m.n-1] == '\r'
			at += m.n
		}
	}
	f.c.byReason[Noise] += uint64(noise)
	f.discard(at)
}

// holdsFrame reports whether a complete frame lies inside the incomplete one
// at the start of the buffer: then the incomplete one was no frame.
func (f *framer) holdsFrame() bool {
	for i := 1; i < len(f.buf); i++ {
		if m := f.match(f.buf[i:]); m.state == good && m.kind != frameComment {
			return true
		}
	}
	return false
}

func (f *framer) drop(n int, why Reason) {
	f.c.count(why)
	f.discard(n)
}

// discard forgets the first n bytes.
func (f *framer) discard(n int) {
	if n == 0 {
		return
	}
	mono := f.monoAt(n)
	f.buf = f.buf[:copy(f.buf, f.buf[n:])]
	i := 0
	for i < len(f.marks) && f.marks[i].off <= n {
		i++
	}
	if len(f.buf) == 0 {
		f.marks = f.marks[:0]
		return
	}
	if i > 0 {
		i-- // the mark that covers the new first byte
	}
	f.marks = slices.Delete(f.marks, 0, i)
	for j := range f.marks {
		f.marks[j].off -= n
	}
	f.marks[0] = mark{0, mono}
}

// monoAt returns when the byte at offset i was read.
func (f *framer) monoAt(i int) int64 {
	var mono int64
	for _, m := range f.marks {
		if m.off > i {
			break
		}
		mono = m.mono
	}
	return mono
}

// countNoise counts bytes between frames; line ends belong to the sentences
// before them.
func countNoise(b []byte) int {
	n := 0
	for _, c := range b {
		if c != '\r' && c != '\n' {
			n++
		}
	}
	return n
}
