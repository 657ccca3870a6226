package ntske

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"noonmark/server/nts"
)

// t0 is the start of time in a testing/synctest bubble; certificates are valid
// around it and around the present.
var t0 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// authority is a CA and one server certificate of it.
type authority struct {
	pool *x509.CertPool
	key  *ecdsa.PrivateKey
	ca   *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: t0.AddDate(-1, 0, 0), NotAfter: t0.AddDate(100, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.ca)
	return a
}

// pem returns a certificate and its key for names and 127.0.0.1.
func (a *authority) pem(t testing.TB, notAfter time.Time, names ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]},
		NotBefore: t0.AddDate(-1, 0, 0), NotAfter: notAfter,
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.ca, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kder})
}

func (a *authority) serverTLS(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	cert, err := tls.X509KeyPair(a.pem(t, t0.AddDate(90, 0, 0), append(names, "time.test")...))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func (a *authority) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: a.pool, ServerName: "time.test", NextProtos: []string{ALPN}}
}

func newRing(t testing.TB) *nts.Ring {
	t.Helper()
	r, err := nts.NewRing(nts.RingConfig{}, t0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newServer(t testing.TB, a *authority, edit func(*Config)) *Server {
	t.Helper()
	cfg := Config{TLS: a.serverTLS(t), Ring: newRing(t)}
	if edit != nil {
		edit(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pipes is a net.Listener whose connections are pipes. Writes to them do not wait
// for the reader, as with sockets, unless slow is set.
type pipes struct {
	slow    bool
	dialled []net.Conn // only the goroutine of the test uses it

	conns chan net.Conn
	errs  chan error
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error, 1), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return addr("pipe") }

// hangUp closes all connections of dial.
func (p *pipes) hangUp() {
	for _, c := range p.dialled {
		c.Close()
	}
}

// connect dials and finishes the handshake.
func (p *pipes) connect(t *testing.T, a *authority) (net.Conn, *tls.Conn) {
	t.Helper()
	c, err := p.dial(tcp("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	tc := tls.Client(c, a.clientTLS())
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c, tc
}

// dial connects from an address.
func (p *pipes) dial(from net.Addr) (net.Conn, error) {
	c, s := net.Pipe()
	if !p.slow {
		c, s = queue(c), queue(s)
	}
	select {
	case p.conns <- fromConn{s, from}:
		p.dialled = append(p.dialled, c)
		return c, nil
	case <-p.done:
		c.Close()
		s.Close()
		return nil, errors.New("connection refused")
	}
}

// queued is a connection whose writes do not wait for the reader.
type queued struct {
	net.Conn
	out  chan []byte
	once sync.Once
}

func queue(c net.Conn) net.Conn {
	q := &queued{Conn: c, out: make(chan []byte, 1000)}
	go func() {
		defer c.Close()
		for b := range q.out {
			if _, err := c.Write(b); err != nil {
				for range q.out { // until Close
				}
			}
		}
	}()
	return q
}

func (q *queued) Write(b []byte) (int, error) {
	q.out <- append([]byte(nil), b...)
	return len(b), nil
}

// Only reads have a deadline: writes do not wait.
func (q *queued) SetDeadline(t time.Time) error    { return q.SetReadDeadline(t) }
func (q *queued) SetWriteDeadline(time.Time) error { return nil }

// Close lets what was written arrive, and drops what arrives.
func (q *queued) Close() error {
	q.once.Do(func() {
		close(q.out)
		q.SetReadDeadline(time.Time{})
		go io.Copy(io.Discard, q.Conn)
	})
	return nil
}

type fromConn struct {
	net.Conn
	from net.Addr
}

func (c fromConn) RemoteAddr() net.Addr { return c.from }

type addr string

func (addr) Network() string  { return "pipe" }
func (a addr) String() string { return string(a) }

func tcp(s string) *net.TCPAddr {
	return &net.TCPAddr{IP: net.ParseIP(s), Port: 1234}
}
