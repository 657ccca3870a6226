package ntske

import (
	"crypto/tls"
	"encoding/binary"
)

// Of RFC 8446: content type of a handshake record, type of a ClientHello, and the
// extension with the client's key shares.
const (
	recordHandshake    = 22
	messageClientHello = 1
	extKeyShare        = 51
	tlsRecordHeader    = 5
	tlsMessageHeader   = 4
)

// hello is what is known of a ClientHello before TLS looks at it.
type hello struct {
	complete bool // no more octets are needed, also because it is invalid
	tooLong  bool // it announces more than limit
	message  []byte
	missing  int // at least so many octets are needed before another look is worth it
}

// readHello examines the first octets of a client. It only finds out whether the
// handshake can go on: crypto/tls does all checks.
func readHello(b []byte, limit int) hello {
	var m []byte // of one record a part of b, else assembled
	need := tlsMessageHeader
	for {
		if len(b) < 1 || b[0] == recordHandshake && len(b) < tlsRecordHeader {
			return hello{missing: need - len(m)}
		}
		if b[0] != recordHandshake {
			return hello{complete: true}
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n == 0 {
			return hello{complete: true}
		}
		part := b[tlsRecordHeader:min(len(b), tlsRecordHeader+n)]
		if len(m) == 0 {
			m = part[:len(part):len(part)]
		} else {
			m = append(m, part...)
		}
		if len(m) >= tlsMessageHeader {
			if m[0] != messageClientHello {
				return hello{complete: true}
			}
			need = tlsMessageHeader + int(m[1])<<16 + int(m[2])<<8 + int(m[3])
			if need > limit {
				return hello{tooLong: true}
			}
		}
		if len(m) >= need {
			return hello{complete: true, message: m[:need]}
		}
		if len(b) < tlsRecordHeader+n {
			return hello{missing: need - len(m)}
		}
		b = b[tlsRecordHeader+n:]
	}
}

// shares returns the groups that the client has sent key shares for, nil if the
// message is invalid.
func (h hello) shares() (groups []tls.CurveID) {
	s := reader(h.message)
	s.skip(tlsMessageHeader + 2 + 32) // version, random
	s.skip(int(s.number(1)))          // session
	s.skip(int(s.number(2)))          // cipher suites
	s.skip(int(s.number(1)))          // compression methods
	for s = s.part(int(s.number(2))); len(s) > 0; {
		kind := s.number(2)
		body := s.part(int(s.number(2)))
		if kind != extKeyShare {
			continue
		}
		for body = body.part(int(body.number(2))); len(body) > 0; {
			groups = append(groups, tls.CurveID(body.number(2)))
			body.skip(int(body.number(2)))
		}
	}
	return groups
}

// reader takes numbers and parts off a message. Beyond its end there are zeros and
// empty parts.
type reader []byte

func (r *reader) part(n int) reader {
	n = min(n, len(*r))
	p := (*r)[:n]
	*r = (*r)[n:]
	return p
}

func (r *reader) skip(n int) { r.part(n) }

func (r *reader) number(octets int) (v uint) {
	for _, b := range r.part(octets) {
		v = v<<8 | uint(b)
	}
	return v
}
