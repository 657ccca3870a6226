package ntsclient

import (
	"bytes"
	"encoding/binary"

	"noonmark/server/ntp"
	"noonmark/server/nts"
)

const (
	version   = 4
	uidLen    = 32   // RFC 8915, section 5.3: at least 32 octets
	maxPacket = 1232 // largest UDP payload that no IPv6 link fragments: 1280 - 40 - 8 octets
)

// request is a sent packet, and what its answer must contain.
type request struct {
	origin   ntp.Timestamp // the server's receive timestamp of the last exchange, 0 in basic mode
	receive  ntp.Timestamp // a nonce in interleaved mode, else 0
	transmit ntp.Timestamp // a nonce, which hides the reading of the local clock
	uid      [uidLen]byte  // with NTS
	nak      bool          // an NTS NAK for this request has come
	kiss     *ntp.Header   // an unauthenticated kiss code for it, obeyed if no valid answer comes
}

// append appends the packet of q to b. With s it is sealed, has a cookie of its
// jar, and placeholders for as many cookies as the jar lacks (RFC 8915, section
// 5.7). random fills a slice from a cryptographic source. append returns nil if the
// jar is empty.
func (q *request) append(b []byte, s *session, random func([]byte)) []byte {
	h := ntp.Header{Version: version, Mode: ntp.ModeClient, Origin: q.origin, Receive: q.receive, Transmit: q.transmit}
	start := len(b)
	b = append(b, make([]byte, ntp.HeaderLen)...)
	h.Put(b[start:])
	if s == nil {
		return b
	}
	cookie := s.jar.take()
	if cookie == nil {
		return nil
	}
	random(q.uid[:])
	b = ntp.AppendField(b, ntp.ExtUniqueID, q.uid[:])
	b = ntp.AppendField(b, ntp.ExtCookie, cookie)
	auth := nts.AuthLen(s.id, 0)
	blank := make([]byte, len(cookie))
	for n := jarSize - 1 - s.jar.n; n > 0 && len(b)-start+ntp.FieldLen(len(blank))+auth <= maxPacket; n-- {
		b = ntp.AppendField(b, ntp.ExtPlaceholder, blank)
	}
	nonce := make([]byte, s.id.NonceLen())
	random(nonce)
	return append(b[:start], nts.AppendAuth(b[start:len(b):len(b)], &s.c2s, nonce, nil)...)
}

// answer is a packet that was accepted.
type answer struct {
	h             ntp.Header
	interleaved   bool // h.Transmit is of the exchange before
	kiss          bool // stratum 0: h.RefID is a kiss code
	authenticated bool
	cookies       int // number of new ones in the jar
}

// check decides whether pkt is the answer to q (RFC 5905, section 8, and with s RFC
// 8915, section 5.7), and writes it to a. Only an Accepted packet changes the
// session; only a NAK or another kiss code changes q.
func (q *request) check(pkt []byte, s *session, a *answer) Reason {
	*a = answer{}
	if a.h.Parse(pkt) != nil {
		return Short
	}
	// Old servers answer with version 3, whatever was asked.
	if a.h.Version != version && (a.h.Version != 3 || s != nil) {
		return BadVersion
	}
	if a.h.Mode != ntp.ModeServer {
		return BadMode
	}
	switch a.h.Origin {
	case q.transmit:
	case q.receive:
		if q.receive == 0 {
			return BogusOrigin
		}
		a.interleaved = true
	default:
		return BogusOrigin
	}
	a.kiss = a.h.Stratum == 0
	if s == nil {
		return Accepted
	}
	auth, r := q.findAuth(pkt, a)
	if r != Accepted {
		switch r {
		case NAK:
			q.nak = true
		case UnauthenticatedKiss:
			h := a.h
			q.kiss = &h
		}
		return r
	}
	plain, err := nts.OpenAuth(pkt, auth.Start, auth.End, &s.s2c, nil)
	if err != nil {
		return BadAuthenticator
	}
	if r := s.addCookies(plain, a); r != Accepted {
		return r
	}
	s.alt = nil // the keys are right
	a.authenticated = true
	return Accepted
}

// findAuth finds the authenticator, which must follow the request's unique
// identifier. It ignores what follows the authenticator, which nothing
// authenticates.
func (q *request) findAuth(pkt []byte, a *answer) (auth ntp.Field, r Reason) {
	uid := false
	for off := ntp.HeaderLen; ; {
		f, ok, err := ntp.NextField(pkt, off)
		if err != nil {
			return f, BadField
		}
		if !ok {
			break
		}
		switch f.Type {
		case ntp.ExtUniqueID:
			if !bytes.Equal(f.Body, q.uid[:]) {
				return f, WrongUniqueID
			}
			uid = true
		case ntp.ExtAuthenticator:
			if !uid {
				return f, NoUniqueID
			}
			return f, Accepted
		}
		off = f.End
	}
	switch {
	case !uid:
		return auth, NoUniqueID
	case a.kiss && string(a.h.RefID[:]) == "NTSN":
		return auth, NAK
	case a.kiss:
		return auth, UnauthenticatedKiss
	}
	return auth, NoAuthenticator
}

// addCookies puts the cookies of an authenticator's plaintext into the jar. It
// refuses a malformed plaintext as a whole.
func (s *session) addCookies(plain []byte, a *answer) Reason {
	for off := 0; ; {
		f, ok, err := ntp.NextInner(plain, off)
		if err != nil {
			return BadField
		}
		if !ok {
			break
		}
		off = f.End
	}
	for off := 0; a.cookies < jarSize; {
		f, ok, _ := ntp.NextInner(plain, off)
		if !ok {
			break
		}
		if f.Type == ntp.ExtCookie && s.jar.put(f.Body) {
			a.cookies++
		}
		off = f.End
	}
	return Accepted
}

// nonce returns a random timestamp that is not zero.
func nonce(random func([]byte)) ntp.Timestamp {
	var b [8]byte
	for {
		random(b[:])
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return ntp.Timestamp(v)
		}
	}
}
