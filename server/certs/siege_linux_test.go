package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
	"noonmark/server/crowd"
)

// besieged lets strangers attack an address until the test says that it is over, and
// waits for them then.
func besieged(addr, from string) (over func()) {
	var ended atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for seed := uint64(0); !ended.Load(); seed++ {
			(&proctest.Siege{Addr: addr, From: from, Paths: []string{"/.well-known/acme-challenge/token", "/"}, AtOnce: 300, Stay: 2 * time.Second, Seed: seed}).Run(300)
		}
	})
	return func() { ended.Store(true); wg.Wait() }
}

// Strangers who hold connections to the listeners of challenges keep out nobody who comes
// from another address. No more connections than the limit are open, and the others are
// counted.
func TestChallengeListenersSurviveASiege(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	client := &acme.Client{Key: key}
	for _, kind := range []string{http01, tlsALPN01} {
		t.Run(kind, func(t *testing.T) {
			var counts crowd.Counts
			s := newChallengeServer(&counts)
			if err := s.prepare(client, &acme.Challenge{Type: kind, Token: "token"}, "a.test"); err != nil {
				t.Fatal(err)
			}
			addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
			closeServer, err := s.open(kind, addr)
			if err != nil {
				t.Fatal(err)
			}
			from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: time.Minute}
			ask := askHTTP(from, addr)
			if kind == tlsALPN01 {
				ask = askTLS(from, addr)
			}
			over := besieged(addr, "127.0.0.1")
			proctest.Until(t, "all places are taken", func() bool { return counts[crowd.Displaced].Load()+counts[crowd.Refused].Load() > 0 })
			for n := 0; n < 50 || counts[crowd.Admitted].Load() < 500; n++ {
				if err := ask(); err != nil {
					t.Errorf("answer %d: %v", n, err)
					break
				}
			}
			open := func() int {
				list, err := os.ReadDir("/proc/self/fd")
				if err != nil {
					t.Fatal(err)
				}
				return len(list)
			}
			over()
			proctest.UntilState(t, "the descriptors are closed", func() (bool, string) { n := open(); return n < 64, fmt.Sprint(n) })
			closeServer()
			t.Logf("%d admitted, %d displaced, %d refused", counts[crowd.Admitted].Load(), counts[crowd.Displaced].Load(), counts[crowd.Refused].Load())
		})
	}
}

// askHTTP asks for the answer to the challenge of http-01.
func askHTTP(d *net.Dialer, addr string) func() error {
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: d.DialContext}}
	return func() error {
		r, err := c.Get("http://" + addr + "/.well-known/acme-challenge/token")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if b, err := io.ReadAll(r.Body); err != nil || !strings.HasPrefix(string(b), "token.") {
			return fmt.Errorf("%s, %q, %w", r.Status, b, err)
		}
		return nil
	}
}

// askTLS does the handshake of tls-alpn-01.
func askTLS(d *net.Dialer, addr string) func() error {
	return func() error {
		c, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "a.test", NextProtos: []string{acme.ALPNProto}})
		if err == nil {
			c.Close()
		}
		return err
	}
}

// An ACME server validates, and its certificate is in use, while strangers attack the
// listener from before it opens until it closes.
func TestOrderSucceedsUnderASiege(t *testing.T) {
	p := certstest.Start(t)
	for kind, port := range map[string]int{http01: p.HTTPPort, tlsALPN01: p.TLSPort} {
		t.Run(kind, func(t *testing.T) {
			name := strings.ReplaceAll(kind, "-", "") + ".siege.test"
			addr := fmt.Sprintf("%s:%d", p.Host(name), port)
			a := ACME{Directory: p.Directory, CAFile: p.CA, Names: []string{name}, AcceptTerms: true, Dir: filepath.Join(t.TempDir(), "acme")}
			if kind == http01 {
				a.HTTP = addr
			} else {
				a.TLS = addr
			}
			var ev events
			s, err := New(Config{ACME: &a, Event: ev.add})
			if err != nil {
				t.Fatal(err)
			}
			over := besieged(addr, "127.200.0.1")
			s.stepACME(t.Context())
			over()
			if list := fmt.Sprint(ev.list); !strings.HasSuffix(strings.Join(ev.take(), ","), "loaded") {
				t.Errorf("events %s", list)
			}
			t.Logf("%d admitted, %d displaced, %d refused", Challenges(s, crowd.Admitted), Challenges(s, crowd.Displaced), Challenges(s, crowd.Refused))
		})
	}
}
