package ntske

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/nts"
	fb "github.com/facebook/time/ntp/ntske"

	ours "noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// fakeServer answers one connection with given octets.
func fakeServer(t *testing.T, cfg *tls.Config, answer []byte) ClientConfig {
	c, sc := net.Pipe()
	c, sc = queue(c), queue(sc)
	go func() {
		tc := tls.Server(sc, cfg)
		defer sc.Close()
		if tc.Handshake() != nil {
			return
		}
		if _, err := ReadMessage(tc, maxOctets); err == nil {
			tc.Write(answer)
		}
		if answer != nil {
			tc.CloseWrite()
		}
		io.Copy(io.Discard, sc)
	}()
	return ClientConfig{Host: "time.test", Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
}

func TestClientRefusesInvalidServers(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	np, ae, ck := Record{true, RecordNextProtocol, []byte{0, 0}}, Record{true, RecordAEAD, []byte{0, 15}}, Record{false, RecordCookie, bytes.Repeat([]byte{1}, 100)}
	good := appendMessage(nil, np, ae, ck)
	odd := func(n int) Record { return Record{false, RecordCookie, make([]byte, n)} }
	for _, c := range []struct {
		name   string
		tls    func(*tls.Config)
		client func(*ClientConfig)
		answer []byte
		check  func(error) bool // nil: must succeed
	}{
		{"unknown CA", nil, func(c *ClientConfig) { c.RootCAs = other.pool }, good,
			func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
		{"another name", nil, func(c *ClientConfig) { c.ServerName = "other.test" }, good,
			func(err error) bool { return errors.As(err, new(x509.HostnameError)) }},
		{"expired", nil, func(c *ClientConfig) { c.Time = func() time.Time { return t0.AddDate(95, 0, 0) } }, good,
			func(err error) bool { return errors.As(err, new(x509.CertificateInvalidError)) }},
		{"TLS 1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 }, nil, good,
			func(err error) bool { return strings.Contains(err.Error(), "protocol version") }},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, nil, good,
			func(err error) bool { return errors.Is(err, ErrResponse) }},
		{"error record", nil, nil, refusal(BadRequest),
			func(err error) bool {
				var r RemoteError
				return errors.As(err, &r) && r == RemoteError(CodeBadRequest)
			}},
		{"no common AEAD", nil, nil, refusal(NoCommonAEAD), func(err error) bool { return errors.Is(err, ErrResponse) }},
		{"too long", nil, nil, bytes.Repeat(Record{false, 99, make([]byte, 8000)}.Append(nil), 9),
			func(err error) bool { return errors.Is(err, ErrTooLong) }},
		{"cut short", nil, nil, good[:len(good)-4], func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"empty", nil, nil, []byte{}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"silence", nil, nil, nil, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"unsupported AEAD", nil, func(c *ClientConfig) { c.AEADs = []aead.ID{99} }, good,
			func(err error) bool { return strings.Contains(err.Error(), "not supported") }},
		{"odd cookies only", nil, nil, appendMessage(nil, np, ae, odd(0), odd(102), odd(4000)), func(err error) bool { return errors.Is(err, ErrResponse) }},
		{"odd cookies around a good one", nil, nil, appendMessage(nil, np, ae, odd(0), odd(102), ck, odd(4000)), nil},
		{"good", nil, nil, good, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := secure(a.serverTLS(t))
				if c.tls != nil {
					c.tls(cfg)
				}
				cc := fakeServer(t, cfg, c.answer)
				cc.RootCAs = a.pool
				if c.client != nil {
					c.client(&cc)
				}
				begin := time.Now()
				s, err := Exchange(t.Context(), cc)
				if c.check == nil {
					if err != nil || len(s.Cookies) != 1 || !bytes.Equal(s.Cookies[0], ck.Body) {
						t.Errorf("%+v, %v", s, err)
					}
				} else if err == nil || !c.check(err) || !strings.Contains(err.Error(), "time.test") {
					t.Errorf("error: %v", err)
				}
				if d := time.Since(begin); d > 5*time.Second {
					t.Errorf("took %v", d)
				}
				if c.name == "unsupported AEAD" {
					conn, _ := cc.Dial(t.Context(), "", "")
					conn.Close() // the client did not dial
				}
			})
		})
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		cc := fakeServer(t, secure(a.serverTLS(t)), nil)
		cc.RootCAs = a.pool
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		if _, err := Exchange(ctx, cc); !errors.Is(err, context.Canceled) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		boom := errors.New("boom")
		cc.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, boom }
		if _, err := Exchange(t.Context(), cc); !errors.Is(err, boom) {
			t.Errorf("%v", err)
		}
	})
}

// loopback serves s on a real socket.
func loopback(t testing.TB, s *Server) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no loopback: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

func TestExchangeOverLoopback(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newServer(t, a, nil)
	host, port := loopback(t, s)
	got, err := Exchange(t.Context(), ClientConfig{Host: host, Port: port, RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	if got.Server != "127.0.0.1" || got.Port != 123 || got.Keys.AEAD != aead.AESSIVCMAC256 {
		t.Errorf("%+v", got)
	}
	checkCookies(t, s, got)
}

// facebook/time's NTS-KE client gets the keys that are in the cookies, for each
// AEAD.
func TestFacebookClientGetsTheKeys(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newServer(t, a, func(c *Config) { c.NTPServer, c.NTPPort = "ntp.test", 4123 })
	host, port := loopback(t, s)
	for _, id := range []uint16{15, 17, 30} {
		c := &fb.Client{SupportedAEAD: []uint16{id}, RequestCompliantExport: true}
		got, err := c.Handshake(t.Context(), net.JoinHostPort(host, strconv.Itoa(port)), a.clientTLS())
		if err != nil {
			t.Fatalf("AEAD %d: %v", id, err)
		}
		keys := ours.SessionKeys{AEAD: aead.ID(got.AEAD)}
		copy(keys.C2S[:], got.C2S)
		copy(keys.S2C[:], got.S2C)
		if got.NTPServer != "ntp.test" || got.NTPPort != 4123 || got.AEAD != id || len(got.Cookies) != 8 {
			t.Errorf("%+v", got)
		}
		checkCookies(t, s, &Session{Keys: keys, Cookies: got.Cookies})
	}
}

func TestBeevikClientAcceptsTheAnswer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newServer(t, a, func(c *Config) { c.NTPPort = 4123 })
	host, port := loopback(t, s)
	got, err := nts.NewSessionWithOptions(net.JoinHostPort(host, strconv.Itoa(port)), &nts.SessionOptions{TLSConfig: a.clientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	if got.Address() != "127.0.0.1:4123" {
		t.Errorf("address %s", got.Address())
	}
}
