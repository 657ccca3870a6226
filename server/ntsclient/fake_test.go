package ntsclient

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// fake is a server and the network to it, in virtual time. It uses the real packet
// format: it parses and opens requests, and makes and seals answers.
type fake struct {
	t       *testing.T
	now     time.Time     // the client's clock
	ahead   time.Duration // server's clock minus client's clock
	there   time.Duration // delay of the request
	inside  time.Duration // from receive to transmit timestamp
	late    time.Duration // from the transmit timestamp to the transmission
	back    time.Duration // delay of the answer
	step    time.Duration // of the client's wall clock after sending
	aead    aead.ID
	cookies map[string]nts.SessionKeys
	pending []packet
	h       ntp.Header                     // of answers, without times
	mangle  func(req, ans []byte) [][]byte // the packets that come instead of ans
	precise map[ntp.Timestamp]ntp.Timestamp

	exchanges, requests, placeholders, dials int
	sizes                                    []int
	failKE                                   error
	altKeys                                  bool       // the key exchange leaves open which keys the server uses
	last                                     ntp.Header // of the requests
	uids                                     map[string]bool
}

type packet struct {
	b  []byte
	at time.Time
}

func newFake(t *testing.T, id aead.ID) *fake {
	return &fake{t: t, now: time.Unix(1795435200, 123456789), aead: id, cookies: map[string]nts.SessionKeys{}, uids: map[string]bool{},
		there: 3 * time.Millisecond, inside: 10 * time.Microsecond, back: 3 * time.Millisecond,
		precise: map[ntp.Timestamp]ntp.Timestamp{},
		h: ntp.Header{Version: 4, Mode: 4, Stratum: 1, Precision: -24, RefID: [4]byte{'G', 'P', 'S'},
			RootDelay: ntp.ShortFrom(time.Millisecond), RootDisp: ntp.ShortFrom(2 * time.Millisecond)}}
}

// config returns c with the fake as server.
func (f *fake) config(c Config) Config {
	c.Host = "time.test"
	c.Plain = f.aead == 0
	c.Exchange = f.exchange
	c.Dial = func(context.Context, string, string) (Conn, error) { f.dials++; return f, nil }
	c.Now = func() time.Time { return f.now }
	return c
}

func (f *fake) client(c Config) *Client {
	f.t.Helper()
	cl, err := New(f.config(c))
	if err != nil {
		f.t.Fatal(err)
	}
	return cl
}

func (f *fake) newCookie(k nts.SessionKeys) []byte {
	b := make([]byte, 100)
	rand.Read(b)
	f.cookies[string(b)] = k
	return b
}

func (f *fake) exchange(context.Context) (*ntske.Session, error) {
	f.exchanges++
	if f.failKE != nil {
		return nil, f.failKE
	}
	var alt nts.SessionKeys
	s := &ntske.Session{Keys: nts.SessionKeys{AEAD: f.aead}, Server: "192.0.2.1", Port: 123}
	rand.Read(s.Keys.C2S[:f.aead.KeyLen()])
	rand.Read(s.Keys.S2C[:f.aead.KeyLen()])
	for range 8 {
		s.Cookies = append(s.Cookies, f.newCookie(s.Keys))
	}
	if f.altKeys {
		alt = s.Keys
		rand.Read(s.Keys.C2S[:f.aead.KeyLen()])
		rand.Read(s.Keys.S2C[:f.aead.KeyLen()])
		s.AltKeys = &alt
	}
	return s, nil
}

// The methods of Conn.

func (f *fake) RemoteAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:123"))
}
func (f *fake) Close() error        { return nil }
func (f *fake) Sent() (Stamp, bool) { return Stamp{}, false }

func (f *fake) Send(b []byte) (Stamp, error) {
	f.requests++
	f.sizes = append(f.sizes, len(b))
	at := Stamp{Real: f.now.Add(-f.step).UnixNano()}
	ans := f.serve(b, f.now.Add(f.there))
	for i, p := range ans {
		f.pending = append(f.pending, packet{p, f.now.Add(f.there + f.inside + f.late + f.back + time.Duration(i))})
	}
	return at, nil
}

func (f *fake) Receive(b []byte, deadline time.Time) (int, Stamp, error) {
	if len(f.pending) == 0 || f.pending[0].at.After(deadline) {
		f.now = deadline
		return 0, Stamp{}, os.ErrDeadlineExceeded
	}
	p := f.pending[0]
	f.pending = f.pending[1:]
	f.now = p.at
	return copy(b, p.b), Stamp{Real: f.now.UnixNano()}, nil
}

// serve answers one request that arrives at at, by the client's clock.
func (f *fake) serve(req []byte, at time.Time) [][]byte {
	var h ntp.Header
	if h.Parse(req) != nil || h.Mode != ntp.ModeClient || h.Version != 4 {
		f.t.Errorf("not a client request: % x", req)
		return nil
	}
	f.last = h
	a := f.h
	a.Origin = h.Transmit
	a.Receive = local(at.Add(f.ahead).UnixNano())
	a.Transmit = a.Receive.Add(f.inside)
	if a.RefTime == 0 {
		a.RefTime = a.Receive.Add(-time.Second)
	}
	true3 := a.Transmit.Add(f.late)
	if t, ok := f.precise[h.Origin]; ok && h.Receive != h.Transmit {
		a.Origin, a.Transmit = h.Receive, t
	}
	f.precise = map[ntp.Timestamp]ntp.Timestamp{a.Receive: true3}
	ans := make([]byte, ntp.HeaderLen)
	a.Put(ans)
	if f.aead != 0 {
		ans = f.seal(req, ans)
	}
	if f.mangle != nil {
		return f.mangle(req, ans)
	}
	return [][]byte{ans}
}

// seal checks a request by RFC 8915 and makes the answer or a NAK.
func (f *fake) seal(req, ans []byte) []byte {
	var uid, cookie []byte
	var keys nts.SessionKeys
	want, known := 1, false
	for off := ntp.HeaderLen; ; {
		fd, ok, err := ntp.NextField(req, off)
		if err != nil || !ok {
			f.t.Errorf("request ends without authenticator: %v", err)
			return nil
		}
		switch fd.Type {
		case ntp.ExtUniqueID:
			if uid = fd.Body; len(uid) < 32 || f.uids[string(uid)] {
				f.t.Errorf("unique identifier % x is short or repeated", uid)
			}
			f.uids[string(uid)] = true
		case ntp.ExtCookie:
			cookie = fd.Body
			keys, known = f.cookies[string(cookie)]
			delete(f.cookies, string(cookie)) // a second use is an error
		case ntp.ExtPlaceholder:
			if len(fd.Body) != len(cookie) {
				f.t.Errorf("placeholder of %d octets for cookies of %d", len(fd.Body), len(cookie))
			}
			want++
		case ntp.ExtAuthenticator:
			ans = ntp.AppendField(ans, ntp.ExtUniqueID, uid)
			if !known {
				return kiss(ans, "NTSN")
			}
			f.placeholders = want - 1
			if _, err := nts.OpenRequestAuth(req, fd.Start, fd.End, f.key(keys.C2S), nil); err != nil {
				return kiss(ans, "NTSN")
			}
			var plain []byte
			for range want {
				plain = ntp.AppendField(plain, ntp.ExtCookie, f.newCookie(keys))
			}
			nonce := make([]byte, f.aead.NonceLen())
			rand.Read(nonce)
			ans = nts.AppendAuth(ans, f.key(keys.S2C), nonce, plain)
			if len(ans) > len(req) {
				f.t.Errorf("no room for the answer: %d octets to a request of %d", len(ans), len(req))
			}
			return ans
		}
		off = fd.End
	}
}

func (f *fake) key(b [64]byte) *aead.Key {
	k := new(aead.Key)
	if err := k.Init(f.aead, b[:f.aead.KeyLen()]); err != nil {
		f.t.Fatal(err)
	}
	return k
}

// kiss turns an answer's header into one with a kiss code.
func kiss(ans []byte, code string) []byte {
	ans[0] |= 3 << 6
	ans[1] = 0
	copy(ans[12:16], code)
	return ans
}
