// Package server answers NTP and NTS requests from a published snapshot of the
// clock: Responder.Respond turns one request into at most one answer, workers
// run its two halves over batches of packets, Access and Limiter say who may
// ask and how often.
package server

import (
	"math"
	"net/netip"

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
// View, Keys, Sent, Limit, Now and the randomness of cookies and nonces alone; it
// touches no socket and allocates nothing. It belongs to one goroutine.
//
// Respond is Prepare, which does everything slow, and Finish, which dates the
// answer and seals it; a worker prepares several answers before it finishes them
// and sends them together.
type Responder struct {
	View View
	Keys *nts.Keys // cookie keys; nil: NTS is off
	Sent *Sent     // nil: basic mode only
	// Limit is asked about each request that would be answered, with From and Mono;
	// nil: no limit.
	Limit *Limiter
	From  netip.AddrPort // who sent the request at hand
	Mono  int64          // CLOCK_MONOTONIC_RAW of its batch, ns
	// Now returns CLOCK_MONOTONIC_RAW (ns) for the transmit timestamp of Respond,
	// the time to the wire included. It is called once per answer.
	Now func() int64

	draft   Draft // of Respond
	sess    nts.SessionKeys
	c2s     aead.Key
	scratch nts.Scratch
	plain   [MaxPacket]byte // what a request's authenticator holds
}

// Draft is a prepared answer: all of it but its transmit timestamp and what
// depends on that. It belongs to the Responder that prepared it, and needs the
// View of that time.
type Draft struct {
	// Left is the reading of the served clock that the answer's own departure was
	// dated with (also when the answer is interleaved). Finish sets it.
	Left tai.Time
	// Saved is the key in Sent under which the answer was remembered, 0 if it was
	// not: the caller may Correct its transmit timestamp.
	Saved ntp.Timestamp

	n       int      // octets of the answer that are neither header nor authenticator, and the header's; 0 = silence
	in      tai.Time // the request's arrival
	head    ntp.Header
	kiss    string        // the kiss code, or none
	earlier ntp.Timestamp // an interleaved answer's transmit timestamp, 0 in basic mode
	dist    ntp.Short     // and the root distance that was told with the answer it is of

	secure bool // NTS
	limit  int  // octets the answer may have
	s2c    aead.Key
	nonce  [16]byte // as long as any of our nonces
	inner  int      // octets of cookies
	room   [maxCookies * (fieldHeader + maxCookieLen)]byte
}

// maxCookieLen is enough for the longest cookie, that of AEAD 17.
const maxCookieLen = 256

// Answered reports whether there is anything to finish and send.
func (d *Draft) Answered() bool { return d.n > 0 }

// Secure reports whether Finish has an authenticator to make, which takes longer
// than all else it does.
func (d *Draft) Secure() bool { return d.secure }

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
	d := &r.draft
	why := r.Prepare(d, dst, req, rx, p)
	if !d.Answered() {
		return 0, why
	}
	return r.Finish(d, dst, r.Now()), why
}

// Prepare begins the answer to req in dst and d; d tells whether there is one.
// dst is as Respond wants it, and Finish gets the same.
func (r *Responder) Prepare(d *Draft, dst, req []byte, rx Stamp, p Policy) Reason {
	d.n, d.Saved, d.kiss, d.secure = 0, 0, "", false
	var q ntp.Header
	if q.Parse(req) != nil {
		return TooShort
	}
	if len(req) > MaxPacket {
		return TooLong
	}
	if why := checkMode(&q); why != NTP {
		return why
	}
	if len(req) == ntp.HeaderLen {
		if p&NoPlain != 0 {
			return PlainOff
		}
		return r.unvouched(d, &q, rx, p)
	}
	if q.Version < 4 { // no extension fields: only a MAC could follow
		if n := len(req) - ntp.HeaderLen; n == 12 || ntp.IsMAC(req, ntp.HeaderLen) {
			return LegacyMAC
		}
		return BadField
	}
	var f fields
	isNTS, why := f.scan(req)
	switch {
	case why != NTP:
		return why
	case !isNTS && p&NoPlain != 0:
		return PlainOff
	case !isNTS:
		// The unique identifier may be used without NTS; an answer without the
		// client's, or to one that is too short, would break the rules (RFC 8915,
		// section 5.3).
		if f.uid.End != 0 && len(f.uid.Body) < minUniqueID {
			return ShortUniqueID
		}
		why := r.unvouched(d, &q, rx, p)
		if d.Answered() {
			d.n += copy(dst[d.n:], req[f.uid.Start:f.uid.End])
		}
		return why
	case r.Keys == nil || p&NoNTS != 0:
		return NTSOff
	}
	if why := f.check(); why != NTP {
		return why
	}
	return r.secure(d, dst, req, &q, &f, rx, p)
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

// scanInner reads what a request's authenticator encrypts: placeholders may be
// there (RFC 8915, section 5.7), other fields are ignored.
func (f *fields) scanInner(plain []byte) Reason {
	for off := 0; ; {
		x, ok, err := ntp.NextInner(plain, off)
		if err != nil {
			return BadField
		}
		if !ok {
			return NTP
		}
		if x.Type == ntp.ExtPlaceholder {
			if len(x.Body) != len(f.cookie.Body) {
				return PlaceholderLength
			}
			f.placeholders++
		}
		off = x.End
	}
}

// unvouched prepares the answer to a plain request.
func (r *Responder) unvouched(d *Draft, q *ntp.Header, rx Stamp, p Policy) Reason {
	if !r.Limit.plain(r.From.Addr(), r.Mono) {
		if !r.Limit.kissPlain(r.From, r.Mono) {
			return RateLimited
		}
		p |= Kiss
	}
	return r.answer(d, q, rx, p, NTP)
}

// secure prepares the answer to an NTS request.
func (r *Responder) secure(d *Draft, dst, req []byte, q *ntp.Header, f *fields, rx Stamp, p Policy) Reason {
	s := &r.sess
	if err := r.Keys.OpenCookie(f.cookie.Body, s, &r.scratch); err != nil {
		if err == nts.UnknownCookieKey {
			return r.nak(d, dst, req, q, f, rx, NAKKey)
		}
		return r.nak(d, dst, req, q, f, rx, NAKCookie)
	}
	n := s.AEAD.KeyLen()
	if r.c2s.Init(s.AEAD, s.C2S[:n]) != nil || d.s2c.Init(s.AEAD, s.S2C[:n]) != nil {
		return r.nak(d, dst, req, q, f, rx, NAKCookie) // a cookie of a version that had another AEAD
	}
	plain, err := nts.OpenRequestAuth(req, f.auth.Start, f.auth.End, &r.c2s, r.plain[:0])
	if err != nil {
		switch err {
		case nts.AuthFailed:
			return r.nak(d, dst, req, q, f, rx, NAKAuth)
		case nts.BadNonce:
			return BadNonce
		case nts.ShortPadding:
			return ShortPadding
		}
		return BadAuthenticator
	}
	if len(plain) > 0 {
		if why := f.scanInner(plain); why != NTP {
			return why
		}
	}
	if !r.Limit.session(s, r.Mono) {
		if !r.Limit.kissNow(r.Mono) {
			return RateLimited
		}
		p |= Kiss
	}

	one := ntp.FieldLen(nts.CookieLen(s.AEAD))
	uid := req[f.uid.Start:f.uid.End]
	room := len(req) - ntp.HeaderLen - len(uid) - nts.AuthLen(s.AEAD, 0)
	count := min(1+f.placeholders, maxCookies, room/one)
	if count < 1 || room < one {
		return NoRoom
	}
	inner := d.room[:0]
	for range count {
		var err error
		inner = append(inner, ntp.ExtCookie>>8, ntp.ExtCookie&0xff, byte(one>>8), byte(one))
		if inner, err = r.Keys.SealCookie(inner, s, &r.scratch); err != nil {
			return NoCookie
		}
	}
	d.inner = len(inner)
	copy(d.nonce[:], r.scratch.Random(s.AEAD.NonceLen()))
	why := r.answer(d, q, rx, p, NTS)
	d.n += copy(dst[d.n:], uid)
	d.secure, d.limit = true, len(req)
	return why
}

// nak prepares the kiss code NTSN: the unique identifier in the clear and no
// authenticator (RFC 8915, section 5.7).
func (r *Responder) nak(d *Draft, dst, req []byte, q *ntp.Header, f *fields, rx Stamp, why Reason) Reason {
	if !r.Limit.failed(r.From.Addr(), r.Mono) {
		return RateLimited
	}
	r.header(d, q, rx, false)
	d.kiss = "NTSN"
	d.n += copy(dst[d.n:], req[f.uid.Start:f.uid.End])
	return why
}

// answer prepares the header of an answer.
func (r *Responder) answer(d *Draft, q *ntp.Header, rx Stamp, p Policy, why Reason) Reason {
	r.header(d, q, rx, p&Kiss == 0)
	switch {
	case p&Kiss != 0:
		d.kiss = "RATE"
		why = KissRate
	case d.earlier != 0:
		why++ // NTP to NTPInterleaved, NTS to NTSInterleaved
	}
	return why
}

// header prepares the header of an answer but for what its departure decides. It
// interleaves if it may and can.
func (r *Responder) header(d *Draft, q *ntp.Header, rx Stamp, may bool) {
	v := &r.View
	in := rx.Hard
	if in == 0 {
		in = v.at(rx.Mono)
	}
	receive := v.wire(in) | markRx
	origin := q.Transmit
	d.earlier = 0
	// A client that interleaves sends back a receive timestamp of ours, and its
	// own two timestamps differ (RFC 9769, section 2).
	save := may && r.Sent != nil && q.Origin&markRx != 0 && q.Receive != q.Transmit
	if save {
		if tx, dist, ok := r.Sent.Take(q.Origin); ok {
			d.earlier, d.dist, origin = tx, dist, q.Receive
		}
	}
	// No two timestamps of an answer are equal: receive and transmit differ in
	// the mark, and the client's is stepped around.
	for i := 0; receive == origin || save && i < maxSteps && r.Sent.Has(receive); i++ {
		receive += 2
	}
	if save {
		// Taken from now on; Finish tells the departure.
		r.Sent.Put(receive, receive&^markRx, distance(&v.head))
		d.Saved = receive
	}
	d.n, d.in = ntp.HeaderLen, in
	d.head.Version, d.head.Mode, d.head.Poll = q.Version, ntp.ModeServer, q.Poll
	d.head.Origin, d.head.Receive = origin, receive
}

// Finish dates a prepared answer with its departure at mono
// (CLOCK_MONOTONIC_RAW, ns), writes header and authenticator into dst, and
// returns the answer's length.
func (r *Responder) Finish(d *Draft, dst []byte, mono int64) int {
	v := &r.View
	now := v.at(mono)
	if now <= d.in {
		now = d.in + 1 // the stamps' noise: an answer leaves after its request came
	}
	d.Left = now
	h := v.header(now)
	transmit := v.wire(now) &^ markRx
	if d.Saved != 0 {
		r.Sent.Correct(d.Saved, transmit)
	}
	if d.earlier != 0 {
		transmit = d.earlier
		// Its timestamps are the earlier answer's, and no better than that told.
		if dist := distance(&h); d.dist > dist {
			h.RootDisp += d.dist - dist
		}
	}
	for transmit == d.head.Origin || transmit == 0 {
		transmit += 2
	}
	h.Version, h.Mode, h.Poll = d.head.Version, d.head.Mode, d.head.Poll
	h.Origin, h.Receive, h.Transmit = d.head.Origin, d.head.Receive, transmit
	if d.kiss != "" { // RFC 5905, section 7.4
		h.Leap, h.Stratum = ntp.LeapUnknown, 0
		copy(h.RefID[:], d.kiss)
	}
	h.Put(dst)
	if !d.secure {
		return d.n
	}
	nonce := d.nonce[:d.s2c.ID().NonceLen()]
	return len(nts.AppendAuth(dst[:d.n:d.limit], &d.s2c, nonce, d.room[:d.inner]))
}

// distance is the root distance that a header tells (RFC 5905, section 11.2), held
// at what root dispersion can be.
func distance(h *ntp.Header) ntp.Short {
	half := h.RootDelay/2 + h.RootDelay%2
	return min(h.RootDisp, math.MaxUint32-half) + half
}
