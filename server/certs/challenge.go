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
	"golang.org/x/net/netutil"
)

// Kinds of challenges (RFC 8555, section 8.3, RFC 8737).
const (
	http01    = "http-01"
	tlsALPN01 = "tls-alpn-01"
)

// Limits of what strangers can cost while a desk is open.
const (
	deskConns   = 64
	deskTimeout = 10 * time.Second
)

var errNoChallenge = errors.New("the server does not offer this kind of challenge for it")

// desk answers an ACME server's questions, and nobody else's.
type desk struct {
	mu    sync.Mutex // guards what follows
	paths map[string]string
	certs map[string]*tls.Certificate
}

func newDesk() *desk {
	return &desk{paths: map[string]string{}, certs: map[string]*tls.Certificate{}}
}

// open begins to listen for one kind of challenge. The function it returns ends
// that and waits until all is closed.
func (d *desk) open(kind, addr string) (func(), error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l = netutil.LimitListener(l, deskConns)
	var wg sync.WaitGroup
	if kind == http01 {
		srv := &http.Server{Handler: d, ReadTimeout: deskTimeout, WriteTimeout: deskTimeout, MaxHeaderBytes: 8 << 10,
			ErrorLog: log.New(io.Discard, "", 0)}
		srv.SetKeepAlivesEnabled(false)
		wg.Go(func() { srv.Serve(l) })
		return func() { srv.Close(); wg.Wait() }, nil
	}
	cfg := &tls.Config{NextProtos: []string{acme.ALPNProto}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if c := d.certs[strings.ToLower(h.ServerName)]; c != nil && len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == acme.ALPNProto {
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
				time.Sleep(50 * time.Millisecond) // out of descriptors, or a peer that has left
				continue
			}
			wg.Go(func() {
				defer c.Close()
				if c.SetDeadline(time.Now().Add(deskTimeout)) == nil && tls.Server(c, cfg).Handshake() == nil {
					io.Copy(io.Discard, io.LimitReader(c, 1<<10)) // the server closes (RFC 8737, section 3)
				}
			})
		}
	})
	return func() { l.Close(); wg.Wait() }, nil
}

// ServeHTTP answers http-01.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	text, ok := d.paths[r.URL.Path]
	d.mu.Unlock()
	if !ok || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	io.WriteString(w, text)
}

// answer lays out the answer for one name, calls the server to look, and waits
// for its judgement.
func (d *desk) answer(ctx context.Context, client *acme.Client, z *acme.Authorization, kind string) error {
	var chal *acme.Challenge
	for _, c := range z.Challenges {
		if c.Type == kind {
			chal = c
		}
	}
	if chal == nil {
		return errNoChallenge
	}
	if err := d.lay(client, chal, z.Identifier.Value); err != nil {
		return err
	}
	if _, err := client.Accept(ctx, chal); err != nil {
		return err
	}
	_, err := client.WaitAuthorization(ctx, z.URI)
	return err
}

func (d *desk) lay(client *acme.Client, chal *acme.Challenge, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if chal.Type == http01 {
		text, err := client.HTTP01ChallengeResponse(chal.Token)
		d.paths[client.HTTP01ChallengePath(chal.Token)] = text
		return err
	}
	c, err := client.TLSALPN01ChallengeCert(chal.Token, name)
	d.certs[serverName(name)] = &c
	return err
}

// serverName is what an ACME server sends as SNI: the name, or that of an
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
