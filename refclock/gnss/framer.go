package gnss

import "slices"

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

// mark says when the octets from an offset of the buffer on were read.
type mark struct {
	off  int
	mono int64
}

// framer cuts a stream into frames. Whatever the input, it holds at most
// MaxFrame octets, and hands out no frame whose checksum is wrong. After damage
// it starts again inside the damaged frame, so that a frame that begins there is
// not lost.
type framer struct {
	c        *Counters
	byStart  [256][]format
	comments bool // lines beginning with # are comments of a log file
	buf      []byte
	marks    []mark
	afterEOL bool // the octet before buf ended a line, or there is none
}

func newFramer(c *Counters, p Protocols, comments bool) *framer {
	f := &framer{c: c, comments: comments, buf: make([]byte, 0, MaxFrame), afterEOL: true}
	add := func(fr Framing, decoder int) {
		for _, b := range []byte(fr.Starts()) {
			f.byStart[b] = append(f.byStart[b], format{fr, decoder})
		}
	}
	for i, x := range p.Decoded {
		add(x, i)
	}
	for _, x := range p.Skipped {
		add(x, skipped)
	}
	return f
}

// feed takes the octets b, read at mono, and hands out the frames they end.
func (f *framer) feed(b []byte, mono int64, emit func(frame)) {
	if len(f.buf) > 0 && mono-f.marks[0].mono > staleAfter && f.holdsFrame() {
		f.c.count(Truncated)
		f.discard(1)
		f.scan(emit, false)
	}
	for len(b) > 0 {
		n := min(len(b), MaxFrame-len(f.buf))
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

// scan hands out the frames in the buffer and keeps the incomplete rest; if
// final is set no rest is kept.
func (f *framer) scan(emit func(frame), final bool) {
	at := 0
	for at < len(f.buf) {
		b := f.buf[at:]
		m, decoder := f.match(b)
		switch m.state {
		case complete:
			fr := frame{decoder: decoder, data: b[:m.n], mono: f.monoAt(at)}
			at += m.n
			f.afterEOL = decoder == comment
			switch decoder {
			case skipped:
				f.c.count(ForeignFrame)
			case comment:
			default:
				emit(fr)
			}
			continue
		case incomplete:
			if !final && len(b) < MaxFrame {
				f.discard(at)
				return
			}
		}
		if m.defect == Noise {
			f.c.byDefect[Noise] += countNoise(b[:m.n])
		} else {
			f.c.count(m.defect)
		}
		f.afterEOL = b[m.n-1] == '\n' || b[m.n-1] == '\r'
		at += m.n
	}
	f.discard(at)
}

// match looks at the beginning of b, which is not empty.
func (f *framer) match(b []byte) (best Match, decoder int) {
	if b[0] == '#' && f.comments && f.afterEOL {
		if m := matchComment(b); m.state != noise {
			return m, comment
		}
	}
	best = NoFrame(1)
	for i, x := range f.byStart[b[0]] {
		if m := x.Match(b); i == 0 || m.state > best.state || m.state == noise && best.state == noise && m.n < best.n {
			best, decoder = m, x.decoder
		}
	}
	return best, decoder
}

// matchComment takes a line of text that begins with #. The line may end in a
// line feed or a carriage return.
func matchComment(b []byte) Match {
	for i, c := range b {
		switch {
		case c == '\n', c == '\r':
			return Complete(i + 1)
		case c < ' ' && c != '\t', c == 0x7F, i >= maxComment:
			return NoFrame(1)
		}
	}
	return Incomplete(Noise)
}

// holdsFrame reports whether a complete frame lies inside the incomplete one at
// the beginning of the buffer. Then the incomplete one was no frame.
func (f *framer) holdsFrame() bool {
	for i := 1; i < len(f.buf); i++ {
		if m, decoder := f.match(f.buf[i:]); m.state == complete && decoder != comment {
			return true
		}
	}
	return false
}

// discard drops the first n octets.
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
		i-- // the mark that covers the new first octet
	}
	f.marks = slices.Delete(f.marks, 0, i)
	for j := range f.marks {
		f.marks[j].off -= n
	}
	f.marks[0] = mark{0, mono}
}

// monoAt returns when the octet at offset i was read.
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

// countNoise counts octets between frames; line ends belong to the sentences
// before them.
func countNoise(b []byte) (n uint64) {
	for _, c := range b {
		if c != '\r' && c != '\n' {
			n++
		}
	}
	return n
}
