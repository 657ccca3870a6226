package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"noonmark/server/crowd"
	"noonmark/server/network"
)

// Kinds of challenges (RFC 8555, section 8.3, RFC 8737).
const (
	http01    = "http-01"
	tlsALPN01 = "tls-alpn-01"
)

// Limits for strangers while a challenge server listens.
const (
	challengeConns   = 64
	challengeTimeout = 10 * time.Second
	acceptPause      = 50 * time.Millisecond // after a failed accept
)

var errNoChallenge = errors.New("the ACME server does not offer this kind of challenge")

// challengeServer answers the challenges of an ACME server.
type challengeServer struct {
	conns *crowd.Counts
	mu    sync.Mutex                  // guards the maps
	paths map[string]string           // http-01: content by path
	certs map[string]*tls.Certificate // tls-alpn-01: certificate by server name
}

func newChallengeServer(conns *crowd.Counts) *challengeServer {
	return &challengeServer{conns: conns, paths: map[string]string{}, certs: map[string]*tls.Certificate{}}
}

// open listens for one kind of challenge. The returned function closes the listener
// and waits until all connections are closed.
func (s *challengeServer) open(kind, addr string) (func(), error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		at, _ := netip.ParseAddrPort(addr)
		return nil, network.ExplainBind(err, "tcp", at.Port())
	}
	l = crowd.Limit(l, challengeConns, s.conns)
	var wg sync.WaitGroup
	if kind == http01 {
		srv := &http.Server{Handler: s, ReadTimeout: challengeTimeout, WriteTimeout: challengeTimeout, MaxHeaderBytes: 8 << 10,
			ErrorLog: log.New(io.Discard, "", 0)}
		srv.SetKeepAlivesEnabled(false)
		wg.Go(func() { srv.Serve(l) })
		return func() { srv.Close(); wg.Wait() }, nil
	}
	cfg := &tls.Config{NextProtos: []string{acme.ALPNProto}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if c := s.certs[strings.ToLower(h.ServerName)]; c != nil && len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == acme.ALPNProto {
				return c, nil
			}
			return nil, errors.New("no challenge for this name")
		}}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(acceptPause) // no free file descriptor, or the peer has left
				continue
			}
			wg.Go(func() {
				defer c.Close()
				if c.SetDeadline(time.Now().Add(challengeTimeout)) == nil && tls.Server(c, cfg).Handshake() == nil {
					io.Copy(io.Discard, io.LimitReader(c, 1<<10)) // the server closes (RFC 8737, section 3)
				}
			})
		}
	})
	return func() { l.Close(); wg.Wait() }, nil
}

// ServeHTTP answers http-01 challenges.
func (s *challengeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	text, ok := s.paths[r.URL.Path]
	s.mu.Unlock()
	if !ok || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	io.WriteString(w, text)
}

// answer prepares the answer for one name, asks the ACME server to validate it, and
// waits for the result.
func (s *challengeServer) answer(ctx context.Context, client *acme.Client, z *acme.Authorization, kind string) error {
	var chal *acme.Challenge
	for _, c := range z.Challenges {
		if c.Type == kind {
			chal = c
		}
	}
	if chal == nil {
		return errNoChallenge
	}
	if err := s.prepare(client, chal, z.Identifier.Value); err != nil {
		return err
	}
	if _, err := client.Accept(ctx, chal); err != nil {
		return err
	}
	_, err := client.WaitAuthorization(ctx, z.URI)
	return err
}

// prepare makes the answer to a challenge.
func (s *challengeServer) prepare(client *acme.Client, chal *acme.Challenge, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if chal.Type == http01 {
		text, err := client.HTTP01ChallengeResponse(chal.Token)
		s.paths[client.HTTP01ChallengePath(chal.Token)] = text
		return err
	}
	c, err := client.TLSALPN01ChallengeCert(chal.Token, name)
	s.certs[serverName(name)] = &c
	return err
}

// serverName returns the SNI that an ACME server sends: the name, or that of an
// address in the reverse tree (RFC 8738, section 6).
func serverName(name string) string {
	a, err := netip.ParseAddr(name)
	if err != nil {
		return name
	}
	var b strings.Builder
	octets := a.AsSlice()
	for i := len(octets) - 1; i >= 0; i-- {
		if a.Is4() {
			fmt.Fprintf(&b, "%d.", octets[i])
		} else {
			fmt.Fprintf(&b, "%x.%x.", octets[i]&15, octets[i]>>4)
		}
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}
