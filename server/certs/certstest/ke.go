package certstest

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// ServeKE runs NTS-KE with the certificates that get returns on a free port of loopback until the test ends.
// done, unless it is nil, gets the result of each exchange.
func ServeKE(t testing.TB, get func(*tls.ClientHelloInfo) (*tls.Certificate, error), done func(ntske.Reason, error)) *net.TCPAddr {
	t.Helper()
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := ntske.Config{TLS: &tls.Config{GetCertificate: get}, Ring: ring}
	if done != nil {
		cfg.Done = func(_ netip.AddrPort, r ntske.Reason, err error) { done(r, err) }
	}
	s, err := ntske.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return l.Addr().(*net.TCPAddr)
}
