// Package server answers NTP and NTS requests from a published snapshot of the
// clock. Responder turns one request into at most one answer, workers run it over
// batches of packets, Access decides who may ask, and Limiter how often.
package server

import (
	"math"
	"net/netip"

	"noonmark/phc/tai"
	"noonmark/server/mac"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/transport"
)

// MaxPacket is the length of the longest request that is answered, in octets.
const MaxPacket = transport.MaxPacket

const (
	minUniqueID = 32 // octets (RFC 8915, section 5.3)
	// maxCookies is the most that one answer carries: no client needs more than
	// the eight that it keeps (RFC 8915, section 5.7).
	maxCookies  = 8
	fieldHeader = 4
	// maxOther is room in a request for fields that we do not know, in octets, and
	// maxEcho the longest unique identifier field that is expected.
	maxOther = 128
	maxEcho  = 256
	// maxAnswer is the length of the longest answer, in octets. Answers are not
	// fragmented, so a longer one is lost where a link is too small for it. Every
	// link that carries IPv6 takes 1280 octets, of which headers need 48. The same
	// limit serves IPv4, whose tunnels (PPPoE 1492, WireGuard 1420) take less than
	// Ethernet, too: it costs two of eight cookies of AEAD 17, and of no other. A
	// client that lacks cookies gets them from the next answers.
	maxAnswer = 1280 - 48
	// maxUID is the length in octets of the longest unique identifier field that is
	// answered. It leaves room in an answer for the header and any MAC.
	maxUID = 1024
	// maxSteps limits how far a receive timestamp is moved to be a unique key in
	// Sent: 4 ns.
	maxSteps = 8
)

// Policy restricts how a request is answered.
type Policy uint8

// Restrictions.
const (
	NoPlain Policy = 1 << iota // NTS only
	NoNTS                      // plain NTP only
	Kiss                       // answer with the kiss code RATE
	// A MAC with an unknown key or a wrong digest gets a crypto-NAK (RFC 5905,
	// section 9.2), or an answer without a MAC; by default no answer, as of chronyd.
	NAKBadMAC
	PlainBadMAC
)

// Arrival is when a request arrived.
type Arrival struct {
	Mono int64    // CLOCK_MONOTONIC_RAW, ns
	Hard tai.Time // the reading of the served clock itself, which is preferred; 0 = none
}

// Responder answers requests. An answer depends only on the request, its
// arrival, the exported fields, and the random numbers of cookies and nonces. A
// Responder uses no socket, allocates nothing, and belongs to one goroutine.
//
// Respond calls Prepare, which does all slow work but the sealing, and Finish,
// which sets the transmit timestamp and seals. A worker prepares several answers,
// finishes them, and sends them together.
type Responder struct {
	View View
	Keys *nts.Keys // cookie keys; nil: NTS is off
	MACs *mac.Keys // symmetric keys; nil: none
	Sent *Sent     // nil: basic mode only
	// Limit counts each request that would be answered, by From and Mono; nil: no
	// limit.
	Limit *Limiter
	From  netip.AddrPort // source of the current request
	Mono  int64          // CLOCK_MONOTONIC_RAW of its batch, ns
	// Now returns the predicted CLOCK_MONOTONIC_RAW (ns) of the departure, for
	// Respond, which calls it once per answer.
	Now func() int64

	draft   Draft // of Respond
	sess    nts.SessionKeys
	c2s     aead.Key
	scratch nts.Scratch
	plain   [MaxPacket]byte // decrypted content of a request's authenticator
	digest  mac.Scratch
}

// Draft is a prepared answer: all of it but the transmit timestamp and what
// depends on that. Only the Responder that prepared it can finish it, with the
// same View.
type Draft struct {
	// Departure is the predicted reading of the served clock at the departure of
	// this answer, also if the answer is interleaved. Finish sets it.
	Departure tai.Time
	// Saved is the key in Sent under which the answer is stored, 0 if it is not:
	// Sent.Correct corrects its transmit timestamp.
	Saved ntp.Timestamp

	len     int      // octets of the answer without authenticator; 0 = no answer
	arrival tai.Time // of the request
	head    ntp.Header
	kiss    string // kiss code; empty: none

	// Of an interleaved answer: the transmit timestamp of the earlier answer, and
	// the root distance in that answer. earlierTx is 0 in basic mode.
	earlierTx       ntp.Timestamp
	earlierDistance ntp.Short

	sealing sealing
	code    macCode
}

// macCode is the MAC that Finish appends to an answer.
type macCode struct {
	len int      // octets; 0: no MAC
	key *mac.Key // nil: a crypto-NAK
}

// sealing is what Finish needs to make the authenticator of an NTS answer.
type sealing struct {
	needed     bool
	limit      int // largest length of the answer, octets
	s2c        aead.Key
	nonce      [16]byte // as long as the longest nonce that we use
	cookiesLen int
	cookies    [maxCookies * (fieldHeader + maxCookieLen)]byte
}

// maxCookieLen is room for the longest cookie, that of AEAD 17, in octets.
const maxCookieLen = 256

// Answered reports whether there is an answer to finish and send.
func (d *Draft) Answered() bool { return d.len > 0 }

// Secure reports whether Finish has to make an authenticator or a MAC, which takes
// longer than all its other work.
func (d *Draft) Secure() bool { return d.sealing.needed || d.code.key != nil }

// Respond writes the answer to req into dst. It returns the length, 0 for no
// answer, and the reason. dst must be at least as long as req and must not
// overlap it; an answer is never longer than req.
func (r *Responder) Respond(dst, req []byte, rx Arrival, p Policy) (int, Reason) {
	d := &r.draft
	why := r.Prepare(d, dst, req, rx, p)
	if !d.Answered() {
		return 0, why
	}
	return r.Finish(d, dst, r.Now()), why
}

// Prepare begins the answer to req in dst and d. d.Answered reports whether there
// is one. dst is as for Respond, and must be passed to Finish too.
func (r *Responder) Prepare(d *Draft, dst, req []byte, rx Arrival, p Policy) Reason {
	d.len, d.Saved, d.kiss, d.sealing.needed, d.code = 0, 0, "", false, macCode{}
	var q ntp.Header
	if q.Parse(req) != nil {
		return TooShort
	}
	if len(req) > MaxPacket {
		return TooLong
	}
	if why := checkMode(&q, r.From.Port()); why != NTP {
		return why
	}
	if len(req) == ntp.HeaderLen {
		if p&NoPlain != 0 {
			return PlainOff
		}
		return r.plainAnswer(d, &q, rx, p)
	}
	var f fields
	if q.Version < 4 { // no extension fields: a MAC follows the header
		if !mac.IsLen(len(req) - ntp.HeaderLen) {
			return BadField
		}
		f.mac = ntp.HeaderLen
		return r.unsecuredAnswer(d, dst, req, &q, &f, rx, p)
	}
	isNTS, why := f.scan(req)
	switch {
	case why != NTP:
		return why
	case f.uid.End-f.uid.Start > maxUID: // every answer repeats it
		return NoRoom
	case !isNTS:
		return r.unsecuredAnswer(d, dst, req, &q, &f, rx, p)
	case r.Keys == nil || p&NoNTS != 0:
		return NTSOff
	case q.Mode != ntp.ModeClient: // RFC 8915, section 5.2
		return ModeSymmetric
	}
	if why := f.check(); why != NTP {
		return why
	}
	return r.secureAnswer(d, dst, req, &q, &f, rx, p)
}

// unsecuredAnswer prepares the answer to a request without NTS, with a MAC or
// without.
func (r *Responder) unsecuredAnswer(d *Draft, dst, req []byte, q *ntp.Header, f *fields, rx Arrival, p Policy) Reason {
	if p&NoPlain != 0 {
		return PlainOff
	}
	// A unique identifier may be used without NTS. The answer must repeat it, and
	// one that is too short is invalid (RFC 8915, section 5.3).
	if f.uid.End != 0 && len(f.uid.Body) < minUniqueID {
		return ShortUniqueID
	}
	why := NTP
	if f.mac != 0 {
		why = r.checkMAC(d, req, q, f)
	}
	switch {
	case why == MAC:
		why = r.keyedAnswer(d, q, rx, p)
	case why == NTP || p&PlainBadMAC != 0:
		why = r.plainAnswer(d, q, rx, p)
	case p&NAKBadMAC != 0:
		why = r.cryptoNAK(d, q, rx)
	}
	if d.Answered() {
		d.len += copy(dst[d.len:], req[f.uid.Start:f.uid.End])
	}
	return why
}

// checkMAC returns MAC if that of the request is valid, and then prepares that of
// the answer.
func (r *Responder) checkMAC(d *Draft, req []byte, q *ntp.Header, f *fields) Reason {
	code := req[f.mac:]
	if r.MACs.Len() == 0 || len(code) <= mac.IDLen {
		return LegacyMAC
	}
	k := r.MACs.Find(mac.ID(code))
	if k == nil {
		return UnknownMACKey
	}
	if !k.Verify(req[:f.mac], code, q.Version, &r.digest) {
		return BadMAC
	}
	d.code = macCode{len(code), k}
	return MAC
}

// keyedAnswer prepares the answer to a request with a valid MAC. Over the limit,
// the kiss code is authenticated too.
func (r *Responder) keyedAnswer(d *Draft, q *ntp.Header, rx Arrival, p Policy) Reason {
	if !r.Limit.keyed(r.From.Addr(), r.Mono) {
		if !r.Limit.kissNow(r.Mono) {
			return RateLimited
		}
		p |= Kiss
	}
	return r.answer(d, q, rx, p, MAC)
}

// cryptoNAK prepares the answer that says that a MAC was not accepted: a MAC of a
// key identifier that is zero, and nothing else (RFC 5905, section 9.2).
func (r *Responder) cryptoNAK(d *Draft, q *ntp.Header, rx Arrival) Reason {
	if !r.Limit.failed(r.From.Addr(), r.Mono) {
		return RateLimited
	}
	r.header(d, q, rx, false)
	d.code = macCode{len: mac.IDLen}
	return CryptoNAK
}

// plainAnswer prepares the answer to a plain request.
func (r *Responder) plainAnswer(d *Draft, q *ntp.Header, rx Arrival, p Policy) Reason {
	if !r.Limit.plain(r.From.Addr(), r.Mono) {
		if !r.Limit.kissPlain(r.From, r.Mono) {
			return RateLimited
		}
		p |= Kiss
	}
	return r.answer(d, q, rx, p, NTP)
}

// secureAnswer prepares the answer to an NTS request.
func (r *Responder) secureAnswer(d *Draft, dst, req []byte, q *ntp.Header, f *fields, rx Arrival, p Policy) Reason {
	// Verifying takes time in proportion to the length. No client needs more.
	if f.auth.End > longestRequest(f) {
		return TooLong
	}
	s := &r.sess
	if err := r.Keys.OpenCookie(f.cookie.Body, s, &r.scratch); err != nil {
		if err == nts.UnknownCookieKey {
			return r.nak(d, dst, req, q, f, rx, NAKKey)
		}
		return r.nak(d, dst, req, q, f, rx, NAKCookie)
	}
	n := s.AEAD.KeyLen()
	if r.c2s.Init(s.AEAD, s.C2S[:n]) != nil || d.sealing.s2c.Init(s.AEAD, s.S2C[:n]) != nil {
		return r.nak(d, dst, req, q, f, rx, NAKCookie) // a cookie of a version with other AEADs
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
	limit := min(len(req), maxAnswer)
	room := limit - ntp.HeaderLen - len(uid) - nts.AuthLen(s.AEAD, 0)
	count := min(1+f.placeholders, maxCookies, room/one)
	if count < 1 || room < one {
		return NoRoom
	}
	inner := d.sealing.cookies[:0]
	for range count {
		var err error
		inner = append(inner, ntp.ExtCookie>>8, ntp.ExtCookie&0xff, byte(one>>8), byte(one))
		if inner, err = r.Keys.SealCookie(inner, s, &r.scratch); err != nil {
			return NoCookie
		}
	}
	d.sealing.cookiesLen = len(inner)
	copy(d.sealing.nonce[:], r.scratch.Random(s.AEAD.NonceLen()))
	why := r.answer(d, q, rx, p, NTS)
	d.len += copy(dst[d.len:], uid)
	d.sealing.needed, d.sealing.limit = true, limit
	return why
}

// longestRequest is the length in octets up to the end of the authenticator of the
// longest request with such a cookie that is answered.
func longestRequest(f *fields) int {
	uid := min(f.uid.End-f.uid.Start, maxEcho)
	return ntp.HeaderLen + uid + (1+maxCookies)*ntp.FieldLen(len(f.cookie.Body)) + nts.AuthLen(aead.AESSIVCMAC256, 0) + maxOther
}

// nak prepares the kiss code NTSN: the unique identifier in the clear and no
// authenticator (RFC 8915, section 5.7).
func (r *Responder) nak(d *Draft, dst, req []byte, q *ntp.Header, f *fields, rx Arrival, why Reason) Reason {
	if !r.Limit.failed(r.From.Addr(), r.Mono) {
		return RateLimited
	}
	r.header(d, q, rx, false)
	d.kiss = "NTSN"
	d.len += copy(dst[d.len:], req[f.uid.Start:f.uid.End])
	return why
}

// answer prepares the header of an answer.
func (r *Responder) answer(d *Draft, q *ntp.Header, rx Arrival, p Policy, why Reason) Reason {
	r.header(d, q, rx, p&Kiss == 0)
	switch {
	case p&Kiss != 0:
		d.kiss = "RATE"
		why = KissRate
	case d.earlierTx != 0:
		why++ // NTP to NTPInterleaved, NTS to NTSInterleaved
	}
	return why
}

// header prepares the header of an answer without what depends on its departure.
// interleave allows interleaved mode.
func (r *Responder) header(d *Draft, q *ntp.Header, rx Arrival, interleave bool) {
	v := &r.View
	arrival := rx.Hard
	if arrival == 0 {
		arrival = v.clockAt(rx.Mono)
	}
	receive := v.timestamp(arrival) | markRx
	origin := q.Transmit
	d.earlierTx = 0
	// A client that interleaves sends back a receive timestamp of ours, and its
	// own two timestamps differ (RFC 9769, section 2).
	save := interleave && r.Sent != nil && q.Mode == ntp.ModeClient && q.Origin&markRx != 0 && q.Receive != q.Transmit
	if save {
		if tx, dist, ok := r.Sent.Take(q.Origin); ok {
			d.earlierTx, d.earlierDistance, origin = tx, dist, q.Receive
		}
	}
	// No two timestamps of an answer are equal: receive and transmit timestamps
	// differ in markRx, and the receive timestamp is moved away from the origin
	// timestamp.
	for i := 0; receive == origin || save && i < maxSteps && r.Sent.Has(receive); i++ {
		receive += 2
	}
	if save {
		// This occupies the key; Finish sets the departure.
		r.Sent.Put(receive, receive&^markRx, rootDistance(&v.head))
		d.Saved = receive
	}
	d.len, d.arrival = ntp.HeaderLen, arrival
	d.head.Version, d.head.Mode, d.head.Poll = q.Version, answerMode(q), q.Poll
	d.head.Origin, d.head.Receive = origin, receive
}

// Finish completes a prepared answer that leaves at mono (CLOCK_MONOTONIC_RAW,
// ns): it writes header and authenticator into dst and returns the length. It may
// be called again with another departure.
func (r *Responder) Finish(d *Draft, dst []byte, mono int64) int {
	v := &r.View
	now := v.clockAt(mono)
	if now <= d.arrival {
		now = d.arrival + 1 // the noise of timestamps: an answer leaves after its request arrived
	}
	d.Departure = now
	h := v.header(now)
	transmit := v.timestamp(now) &^ markRx
	if d.Saved != 0 {
		r.Sent.Correct(d.Saved, transmit)
	}
	if d.earlierTx != 0 {
		transmit = d.earlierTx
		// The timestamp is no better than the earlier answer reported.
		if dist := rootDistance(&h); d.earlierDistance > dist {
			h.RootDisp += d.earlierDistance - dist
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
	if d.code.len > 0 {
		return r.appendMAC(d, dst)
	}
	s := &d.sealing
	if !s.needed {
		return d.len
	}
	nonce := s.nonce[:s.s2c.ID().NonceLen()]
	return len(nts.AppendAuth(dst[:d.len:s.limit], &s.s2c, nonce, s.cookies[:s.cookiesLen]))
}

// appendMAC appends the MAC to an answer and returns its length.
func (r *Responder) appendMAC(d *Draft, dst []byte) int {
	if d.code.key == nil {
		clear(dst[d.len : d.len+d.code.len])
		return d.len + d.code.len
	}
	return len(d.code.key.Append(dst[:d.len], d.code.len, &r.digest))
}

// rootDistance returns the root distance in a header (RFC 5905, section 11.2),
// limited to the largest root dispersion.
func rootDistance(h *ntp.Header) ntp.Short {
	half := h.RootDelay/2 + h.RootDelay%2
	return min(h.RootDisp, math.MaxUint32-half) + half
}
