package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
	"noonmark/server/transport/sockets"
)

// served is a running server on kernel sockets, with a snapshot of the test's own.
type served struct {
	*Server
	t    *testing.T
	snap *status.Writer
	path string
	ring *nts.Ring
}

// lockedNow returns a snapshot of a locked clock that is ahead of the system
// clock by ahead.
func lockedNow(ahead time.Duration) *status.Snapshot {
	mono, now := phc.MonoRaw(), time.Now()
	at := tai.FromUnix(now.Unix(), int64(now.Nanosecond()), 37).Add(ahead)
	return &status.Snapshot{
		State: status.Locked, Kind: status.SimClock, PHCIndex: -1, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'},
		Mono: mono, Clock: at, Bound: 500, BoundRate: 100, Limit: time.Millisecond, TAIOffset: 37, RefTime: at,
	}
}

func serve(t *testing.T, cfg Config) *served {
	t.Helper()
	before := runtime.NumGoroutine()
	s := &served{t: t, path: filepath.Join(t.TempDir(), "status")}
	var err error
	if s.snap, err = status.Create(s.path); err != nil {
		t.Fatal(err)
	}
	if s.ring, err = nts.NewRing(nts.RingConfig{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	cfg.Snapshot, cfg.Ring = s.path, s.ring
	if cfg.Endpoints == nil {
		cfg.Endpoints = []Endpoint{{Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 2}}}
	}
	if s.Server, err = New(cfg); err != nil {
		t.Skipf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server ended with %v", err)
		}
		s.snap.Close()
		proctest.UntilState(t, fmt.Sprintf("there are %d goroutines, as before", before), func() (bool, string) { // ended ones may not be gone yet
			n := runtime.NumGoroutine()
			return n <= before, fmt.Sprint(n)
		})
	})
	return s
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ask(t *testing.T, c *net.UDPConn, req []byte) []byte {
	t.Helper()
	if _, err := c.Write(req); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, MaxPacket)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// Answers follow the snapshot: before there is one, while it is locked, and when
// the clock is unlocked.
func TestServerFollowsTheSnapshot(t *testing.T) {
	s := serve(t, Config{})
	c := dial(t, s.Addrs()[0])
	get := func() (h ntp.Header) {
		t.Helper()
		if err := h.Parse(ask(t, c, header(v4client))); err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := get(); h.Leap != 3 || h.Stratum != 16 {
		t.Errorf("nothing published: %+v", h)
	}
	snap := lockedNow(100 * time.Second)
	s.snap.Write(snap)
	before := snap.ClockAt(phc.MonoRaw())
	h := get()
	after := snap.ClockAt(phc.MonoRaw())
	if h.Leap != 0 || h.Stratum != 1 || string(h.RefID[:]) != "GPS\x00" || h.RefTime != ntp.FromTAI(snap.RefTime, 37) {
		t.Errorf("locked: %+v", h)
	}
	// A kernel timestamp is converted from CLOCK_REALTIME to CLOCK_MONOTONIC_RAW by
	// readings of both; this is their error.
	slack := 100 * time.Microsecond
	if r := h.Receive.TAI(before, 37); r < before.Add(-slack) || r > after.Add(slack) {
		t.Errorf("receive %d is not within %d to %d", r, before, after)
	}
	if r := h.Transmit.TAI(before, 37); r < h.Receive.TAI(before, 37) || r > after.Add(slack) {
		t.Errorf("transmit %d is not within %d to %d", r, before, after)
	}
	snap.State = status.Unlocked
	s.snap.Write(snap)
	if h := get(); h.Leap != 3 || h.Stratum != 16 || h.RefTime != 0 {
		t.Errorf("unlocked: %+v", h)
	}
}

// certificate makes a certificate for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(crand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// NTS over real TLS and real sockets, for each AEAD: key establishment, a request,
// the cookies of its answer, interleaved mode, a rotation of the cookie keys,
// their revocation.
func TestServerNTS(t *testing.T) {
	s := serve(t, Config{})
	s.snap.Write(lockedNow(0))
	cert, pool := certificate(t)
	ke, err := ntske.NewServer(ntske.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Ring: s.ring, NTPPort: int(s.Addrs()[0].Port())})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ke.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, id := range aeads {
		sess, err := ntske.Exchange(ctx, ntske.ClientConfig{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, RootCAs: pool, AEADs: []aead.ID{id}})
		if err != nil {
			t.Fatal(err)
		}
		if sess.Keys.AEAD != id || sess.Port != int(s.Addrs()[0].Port()) || len(sess.Cookies) == 0 {
			t.Fatalf("%v: %+v", id, sess)
		}
		c := dial(t, s.Addrs()[0])
		g := &rig{t: t, sess: sess.Keys, uid: bytes.Repeat([]byte{7}, 32)}
		n := id.KeyLen()
		if g.key.Init(id, sess.Keys.C2S[:n]) != nil || g.s2c.Init(id, sess.Keys.S2C[:n]) != nil {
			t.Fatal("keys")
		}
		cookies := sess.Cookies
		exchange := func(origin ntp.Timestamp) (h ntp.Header) {
			t.Helper()
			q := ntp.Header{Version: 4, Mode: 3, Origin: origin, Receive: 11, Transmit: 22}
			b := make([]byte, ntp.HeaderLen)
			q.Put(b)
			b = ntp.AppendField(ntp.AppendField(b, ntp.ExtUniqueID, g.uid), ntp.ExtCookie, cookies[0])
			out := ask(t, c, g.seal(ntp.AppendField(b, ntp.ExtPlaceholder, cookies[0])))
			cookies = append(cookies[1:], g.openNTS(out)...)
			if err := h.Parse(out); err != nil {
				t.Fatal(err)
			}
			return h
		}
		h := exchange(0)
		if h.Stratum != 1 || h.Leap != 0 || h.Origin != 22 {
			t.Errorf("%v: %+v", id, h)
		}
		first := exchange(h.Receive)
		second := exchange(first.Receive)
		if second.Origin != 11 { // interleaved answers have the request's receive timestamp
			t.Errorf("%v: not interleaved: %+v", id, second)
		}
		// The kernel's transmit timestamp of the earlier answer differs from the predicted one,
		// but for chance.
		const chances = 10
		for i := 0; hasStamps && second.Transmit == first.Transmit; i++ {
			if i == chances {
				t.Errorf("%v: the earlier answer's transmit timestamp was not corrected", id)
				break
			}
			first, second = second, exchange(second.Receive)
		}
		s.ring.Rotate(time.Now().Add(24 * time.Hour))
		if h := exchange(0); h.Stratum != 1 {
			t.Errorf("%v: after a rotation: %+v", id, h)
		}
		s.ring.Rotate(time.Now())
		if err := s.ring.Revoke(time.Now()); err != nil {
			t.Fatal(err)
		}
		out := ask(t, c, g.requestWith(cookies[0]))
		if err := h.Parse(out); err != nil || h.Stratum != 0 || string(h.RefID[:]) != "NTSN" {
			t.Errorf("%v: after a revocation: %+v", id, h)
		}
	}
}
