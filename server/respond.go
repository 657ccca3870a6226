// Package server answers NTP and NTS requests from a published snapshot of the
// clock: Responder.Respond turns one request into at most one answer, workers
// run it over batches of packets, Access and Limiter say who may ask and how
// often.
package server

import (
	"noonmark/phc/tai"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// MaxPacket is the longest request that is looked at, in octets. A request
// with eight cookies of AEAD 17 has under 1600.
const MaxPacket = 2048

const (
	minUniqueID = 32 // octets (RFC 8915, section 5.3)
	// maxCookies is the most that one answer carries: a client keeps eight
	// (RFC 8915, section 5.7), and asks for more only to be a nuisance.
	maxCookies  = 8
	fieldHeader = 4
	// maxSteps bounds how far a receive timestamp is moved to be a key of its
	// own in Sent: 4 ns.
	maxSteps = 8
)

// Policy restricts how a request may be answered.
type Policy uint8

// Restrictions.
const (
	NoPlain Policy = 1 << iota // NTS only
	NoNTS                      // plain NTP only
	Kiss                       // answer with the kiss code RATE
)

// Stamp is the arrival of a request.
type Stamp struct {
	Mono int64    // CLOCK_MONOTONIC_RAW, ns
	Hard tai.Time // the served clock's own reading at arrival, 0 if there is none
}

// Responder answers requests. Its answers follow from the request, its stamp,
// View, Keys, Sent, Now and the randomness of cookies and nonces alone; it
// touches no socket and allocates nothing. It belongs to one goroutine.
type Responder struct {
	View View
	Keys *nts.Keys // cookie keys; nil: NTS is off
	Sent *Sent     // nil: basic mode only
	// Now returns CLOCK_MONOTONIC_RAW (ns) for the transmit timestamp, the time
	// to the wire included. It is called once per answer, after everything slow
	// that can be done before.
	Now func() int64

	// Left is the reading of the served clock that the last answer's own
	// departure was dated with (also when the answer was interleaved).
	Left tai.Time
	// Saved is the key in Sent under which the last answer was remembered, 0 if
	// it was not: the caller may Correct its transmit timestamp.
	Saved ntp.Timestamp

	sess    nts.SessionKeys
	c2s     aead.Key
	s2c     aead.Key
	scratch nts.Scratch
	plain   [MaxPacket]byte // what a request's authenticator holds
	cookies [maxCookies * (fieldHeader + 256)]byte
}

// fields is where the extension fields of a request are.
type fields struct {
	uid, cookie, auth ntp.Field // End == 0: absent
	placeholders      int
	odd               bool // a placeholder of another length than the cookie
}

// Respond writes the answer to req into dst and returns its length, 0 for
// silence, and the reason. dst must be at least as long as req and not overlap
// it; an answer is never longer than req.
func (r *Responder) Respond(dst, req []byte, rx Stamp, p Policy) (int, Reason) {
	r.Saved = 0
	var q ntp.Header
	if q.Parse(req) != nil {
		return 0, TooShort
	}
	if len(req) > MaxPacket {
		return 0, TooLong
	}
	if why := checkMode(&q); why != NTP {
		return 0, why
	}
	if len(req) == ntp.HeaderLen {
		if p&NoPlain != 0 {
			return 0, PlainOff
		}
		return r.answer(dst, &q, rx, p, NTP)
	}
	if q.Version < 4 { // no extension fields: only a MAC could follow
		if n := len(req) - ntp.HeaderLen; n == 12 || ntp.IsMAC(req, ntp.HeaderLen) {
			return 0, LegacyMAC
		}
		return 0, BadField
	}
	var f fields
	isNTS, why := f.scan(req)
	switch {
	case why != NTP:
		return 0, why
	case !isNTS && p&NoPlain != 0:
		return 0, PlainOff
	case !isNTS:
		n, why := r.answer(dst, &q, rx, p, NTP)
		// The unique identifier may be used without NTS (RFC 8915, section 5.3).
		if len(f.uid.Body) >= minUniqueID {
			n += copy(dst[n:], req[f.uid.Start:f.uid.End])
		}
		return n, why
	case r.Keys == nil || p&NoNTS != 0:
		return 0, NTSOff
	}
	if why := f.check(); why != NTP {
		return 0, why
	}
	return r.secure(dst, req, &q, &f, rx, p)
}

// checkMode accepts client requests of NTPv4 and NTPv3 with NTP.
func checkMode(q *ntp.Header) Reason {
	if q.Version != 4 && q.Version != 3 {
		return BadVersion
	}
	switch q.Mode {
	case ntp.ModeClient:
		return NTP
	case ntp.ModeSymmetricActive, ntp.ModeSymmetricPassive:
		return ModeSymmetric
	case ntp.ModeServer:
		return ModeServer
	case ntp.ModeBroadcast:
		return ModeBroadcast
	case ntp.ModeControl:
		return ModeControl
	case ntp.ModePrivate:
		return ModePrivate
	}
	return ModeReserved
}

// scan finds the fields of a request up to its authenticator; what follows
// that is ignored (RFC 8915, section 5.7). It reports whether any of them
// belongs to NTS, and NTP unless the request deserves silence.
func (f *fields) scan(req []byte) (isNTS bool, why Reason) {
	off := ntp.HeaderLen
	var place int // length of the first placeholder
	for {
		x, ok, err := ntp.NextField(req, off)
		if err != nil {
			return isNTS, BadField
		}
		if !ok {
			break
		}
		switch x.Type {
		case ntp.ExtUniqueID:
			if f.uid.End != 0 {
				return isNTS, DuplicateField
			}
			f.uid = x
		case ntp.ExtCookie:
			if isNTS = true; f.cookie.End != 0 {
				return isNTS, DuplicateField
			}
			f.cookie = x
		case ntp.ExtPlaceholder:
			isNTS = true
			if place == 0 {
				place = len(x.Body)
			}
			f.odd = f.odd || len(x.Body) != place
			f.placeholders++
		case ntp.ExtAuthenticator:
			f.auth = x
			f.odd = f.odd || f.placeholders > 0 && place != len(f.cookie.Body)
			return true, NTP
		}
		off = x.End
	}
	if off != len(req) {
		return isNTS, LegacyMAC
	}
	return isNTS, NTP
}

// check looks for what an NTS request must have (RFC 8915, section 5.7).
func (f *fields) check() Reason {
	switch {
	case f.auth.End == 0:
		return NoAuthenticator
	case f.uid.End == 0:
		return NoUniqueID
	case len(f.uid.Body) < minUniqueID:
		return ShortUniqueID
	case f.cookie.End == 0:
		return NoCookie
	case f.odd:
		return PlaceholderLength
	}
	return NTP
}

// secure answers an NTS request.
func (r *Responder) secure(dst, req []byte, q *ntp.Header, f *fields, rx Stamp, p Policy) (int, Reason) {
	s := &r.sess
	if err := r.Keys.OpenCookie(f.cookie.Body, s, &r.scratch); err != nil {
		if err == nts.UnknownCookieKey {
			return r.nak(dst, req, q, f, rx, NAKKey)
		}
		return r.nak(dst, req, q, f, rx, NAKCookie)
	}
	n := s.AEAD.KeyLen()
	if r.c2s.Init(s.AEAD, s.C2S[:n]) != nil || r.s2c.Init(s.AEAD, s.S2C[:n]) != nil {
		return r.nak(dst, req, q, f, rx, NAKCookie) // a cookie of a version that had another AEAD
	}
	if _, err := nts.OpenRequestAuth(req, f.auth.Start, f.auth.End, &r.c2s, r.plain[:0]); err != nil {
		switch err {
		case nts.AuthFailed:
			return r.nak(dst, req, q, f, rx, NAKAuth)
		case nts.BadNonce:
			return 0, BadNonce
		case nts.ShortPadding:
			return 0, ShortPadding
		}
		return 0, BadAuthenticator
	}

	// Everything slow comes before the transmit timestamp: cookies and nonce.
	one := ntp.FieldLen(nts.CookieLen(s.AEAD))
	uid := req[f.uid.Start:f.uid.End]
	room := len(req) - ntp.HeaderLen - len(uid) - nts.AuthLen(s.AEAD, 0)
	count := min(1+f.placeholders, maxCookies, room/one)
	if count < 1 || room < one {
		return 0, NoRoom
	}
	inner := r.cookies[:0]
	for range count {
		var err error
		inner = append(inner, ntp.ExtCookie>>8, ntp.ExtCookie&0xff, byte(one>>8), byte(one))
		if inner, err = r.Keys.SealCookie(inner, s, &r.scratch); err != nil {
			return 0, NoCookie
		}
	}
	nonce := r.scratch.Random(s.AEAD.NonceLen())
	at := ntp.HeaderLen
	at += copy(dst[at:], uid)
	_, why := r.answer(dst, q, rx, p, NTS)
	out := nts.AppendAuth(dst[:at:len(req)], &r.s2c, nonce, inner)
	return len(out), why
}

// nak writes the kiss code NTSN: the unique identifier in the clear and no
// authenticator (RFC 8915, section 5.7).
func (r *Responder) nak(dst, req []byte, q *ntp.Header, f *fields, rx Stamp, why Reason) (int, Reason) {
	h, _ := r.header(q, rx, false)
	kiss(&h, "NTSN")
	h.Put(dst)
	return ntp.HeaderLen + copy(dst[ntp.HeaderLen:], req[f.uid.Start:f.uid.End]), why
}

// answer writes the header of an answer.
func (r *Responder) answer(dst []byte, q *ntp.Header, rx Stamp, p Policy, why Reason) (int, Reason) {
	h, interleaved := r.header(q, rx, p&Kiss == 0)
	switch {
	case p&Kiss != 0:
		kiss(&h, "RATE")
		why = KissRate
	case interleaved:
		why++ // NTP to NTPInterleaved, NTS to NTSInterleaved
	}
	h.Put(dst)
	return ntp.HeaderLen, why
}

// kiss makes a header one of a kiss-o'-death packet (RFC 5905, section 7.4).
func kiss(h *ntp.Header, code string) {
	h.Leap, h.Stratum = ntp.LeapUnknown, 0
	copy(h.RefID[:], code)
}

// header makes the header of an answer and takes its transmit timestamp. It
// interleaves if it may and can.
func (r *Responder) header(q *ntp.Header, rx Stamp, may bool) (h ntp.Header, interleaved bool) {
	v := &r.View
	in := rx.Hard
	if in == 0 {
		in = v.at(rx.Mono)
	}
	receive := v.wire(in) | markRx
	origin := q.Transmit
	var earlier ntp.Timestamp
	// A client that interleaves sends back a receive timestamp of ours, and its
	// own two timestamps differ (RFC 9769, section 2).
	save := may && r.Sent != nil && q.Origin&markRx != 0 && q.Receive != q.Transmit
	if save {
		if earlier, interleaved = r.Sent.Get(q.Origin); interleaved {
			origin = q.Receive
		}
	}
	// No two timestamps of an answer are equal: receive and transmit differ in
	// the mark, and the client's is stepped around.
	for i := 0; receive == origin || save && i < maxSteps && r.taken(receive); i++ {
		receive += 2
	}

	now := v.at(r.Now())
	if now <= in {
		now = in + 1 // the stamps' noise: an answer leaves after its request came
	}
	r.Left = now
	h = v.header(now)
	transmit := v.wire(now) &^ markRx
	if save {
		r.Sent.Put(receive, transmit)
		r.Saved = receive
	}
	if interleaved {
		transmit = earlier
	}
	for transmit == origin || transmit == 0 {
		transmit += 2
	}
	h.Version, h.Mode, h.Poll = q.Version, ntp.ModeServer, q.Poll
	h.Origin, h.Receive, h.Transmit = origin, receive, transmit
	return h, interleaved
}

// taken reports whether a receive timestamp is a key in Sent already.
func (r *Responder) taken(rx ntp.Timestamp) bool {
	_, ok := r.Sent.Get(rx)
	return ok
}
