package ntsclient

import (
	"bytes"
	"encoding/binary"

	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

const (
	version   = 4
	uidLen    = 32   // RFC 8915, section 5.3: at least 32 octets
	maxPacket = 1232 // the UDP payload that no IPv6 link fragments: 1280 - 40 - 8
)

// request is one packet in flight and what its answer must show.
type request struct {
	origin   ntp.Timestamp // server's receive stamp of the exchange before, 0 in basic mode
	receive  ntp.Timestamp // a nonce in interleaved mode, else 0
	transmit ntp.Timestamp // a nonce: what the local clock reads is nobody's business
	uid      [uidLen]byte  // with NTS
	nak      bool          // a NAK for this request has come
	kiss     *ntp.Header   // an unauthenticated kiss code for it, to be obeyed if no valid answer comes
}

// session is what a key exchange gave, ready for use.
type session struct {
	c2s, s2c aead.Key
	id       aead.ID
	jar      jar
	alt      *nts.SessionKeys // other keys to try after a NAK, see ntske.Session
}

func (s *session) init(k *nts.SessionKeys) error {
	s.id = k.AEAD
	if err := s.c2s.Init(s.id, k.C2S[:s.id.KeyLen()]); err != nil {
		return err
	}
	return s.s2c.Init(s.id, k.S2C[:s.id.KeyLen()])
}

// switchKeys goes over to the other keys and reports whether there are any.
func (s *session) switchKeys() bool {
	alt := s.alt
	s.alt = nil
	return alt != nil && s.init(alt) == nil
}

// append appends the packet of q to b: with s, sealed and with a cookie
// of its jar and room in the answer for as many as the jar lacks (RFC 8915,
// section 5.7). random fills a slice from a cryptographic source. It returns nil
// if the jar is empty.
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
	h           ntp.Header
	interleaved bool // the answer is to the request's receive nonce: h.Transmit belongs to the exchange before
	kiss        bool // stratum 0: h.RefID is a kiss code
	vouched     bool // authenticated
	cookies     int  // fresh ones put into the jar
}

// judge decides whether pkt is the answer to q: RFC 5905, section 8 and, with
// s, RFC 8915, section 5.7. Only an Accepted packet changes the session; only a
// NAK or another kiss code changes q.
func (q *request) judge(pkt []byte, s *session, a *answer) Reason {
	*a = answer{}
	if a.h.Parse(pkt) != nil {
		return Short
	}
	if a.h.Version != version {
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
	if r := s.restock(plain, a); r != Accepted {
		return r
	}
	s.alt = nil // these keys are the right ones
	a.vouched = true
	return Accepted
}

// findAuth walks the fields up to the authenticator, which must come after the
// request's unique identifier. Whatever follows it nobody vouches for; it is
// not looked at.
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

// restock puts the cookies of an authenticator's plaintext into the jar. A
// plaintext that does not parse is refused whole.
func (s *session) restock(plain []byte, a *answer) Reason {
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

// nonce draws a timestamp that is not zero.
func nonce(random func([]byte)) ntp.Timestamp {
	var b [8]byte
	for {
		random(b[:])
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return ntp.Timestamp(v)
		}
	}
}
