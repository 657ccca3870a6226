package gnss

// Held returns the octets and marks that d holds, and for how many it has room.
func (d *Decoder) Held() (octets, octetRoom, marks, markRoom int) {
	b := &d.framer.buf
	return b.held(), cap(b.octets), len(b.marks), cap(b.marks)
}

// Examined returns how many octets d has looked at so far; one that it has looked
// at twice counts twice.
func (d *Decoder) Examined() uint64 { return d.framer.buf.examined }

// Plain is a framer without the means that make the framer of a Decoder fast: it
// looks at every place afresh, from its first octet on, as often as octets come.
// Both must find the same.
type Plain struct {
	Counters
	protocols Protocols
	emit      func(protocol string, frame []byte, mono int64)
	octets    []byte
	monos     []int64
}

// NewPlain returns a Plain that hands out frames by emit.
func NewPlain(p Protocols, emit func(protocol string, frame []byte, mono int64)) *Plain {
	return &Plain{protocols: p, emit: emit}
}

// Feed takes the octets b, read at mono.
func (p *Plain) Feed(b []byte, mono int64) {
	for _, c := range b {
		if len(p.octets) == MaxFrame {
			p.scan(false)
		}
		p.octets, p.monos = append(p.octets, c), append(p.monos, mono)
	}
	p.scan(false)
	for len(p.octets) > 0 && mono-p.monos[0] > staleAfter && p.holdsFrame() {
		p.count(Truncated)
		p.skip(1)
		p.scan(false)
	}
}

// Flush treats the input so far as complete.
func (p *Plain) Flush() { p.scan(true) }

func (p *Plain) skip(n int) { p.octets, p.monos = p.octets[n:], p.monos[n:] }

func (p *Plain) holdsFrame() bool {
	for i := 1; i < len(p.octets); i++ {
		if m, _, _ := p.match(p.octets[i:]); m.state == complete {
			return true
		}
	}
	return false
}

func (p *Plain) scan(final bool) {
	for len(p.octets) > 0 {
		m, x, decoded := p.match(p.octets)
		switch {
		case m.state == complete && decoded:
			p.emit(x.Name(), p.octets[:m.n], p.monos[0])
		case m.state == complete:
			p.count(ForeignFrame)
		case m.state == incomplete && !final && len(p.octets) < MaxFrame:
			return
		case m.state == incomplete:
			m.n = 1
			fallthrough
		default:
			for _, c := range p.octets[:m.n] {
				if m.defect == Noise && c != '\r' && c != '\n' {
					p.count(Noise)
				}
			}
			if m.defect != Noise {
				p.count(m.defect)
			}
		}
		p.skip(m.n)
	}
}

func (p *Plain) match(b []byte) (best Match, from Framing, decoded bool) {
	best = NoFrame(1)
	first := true
	look := func(x Framing, dec bool) {
		for _, c := range []byte(x.Starts()) {
			if c != b[0] {
				continue
			}
			m := x.Match(NewWindow(b))
			if first || m.state > best.state || m.state == noise && best.state == noise && m.n < best.n {
				best, from, decoded = m, x, dec
			}
			first = false
		}
	}
	for _, x := range p.protocols.Decoded {
		look(x, true)
	}
	for _, x := range p.protocols.Skipped {
		look(x, false)
	}
	return best, from, decoded
}
