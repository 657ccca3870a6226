package manager

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/crowd"
)

// Strangers who hold connections to the manager, with and without a TLS handshake, keep out
// nobody who comes from another address: a machine joins meanwhile.
func TestManagerSurvivesASiege(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	x := found(t, Founding{})
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}
	silent := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	for range 300 { // they come first, and stay until they are closed
		if c, err := silent.Dial("tcp", x.node.Manager); err == nil { // else it is refused already
			defer c.Close()
		}
	}
	var ended atomic.Bool
	var besiegers sync.WaitGroup
	besiegers.Go(func() {
		for n := seed; !ended.Load(); n++ {
			(&proctest.Siege{Addr: x.node.Manager, TLS: true, From: "127.0.0.9", Paths: []string{"/v1/join", "/"}, AtOnce: 200, Stay: 2 * time.Second, Seed: n}).Run(200)
		}
	})
	defer besiegers.Wait()
	defer ended.Store(true)
	counts := &x.counts.Connections
	proctest.Until(t, "all places are taken", func() bool { return counts[crowd.Displaced].Load()+counts[crowd.Refused].Load() > 0 })
	x.join(Invitation{Node: "b"})
	for n := 0; n < 30 || counts[crowd.Admitted].Load() < 300; n++ {
		r, err := client.Post("https://"+x.node.Manager+"/v1/join", "application/json", bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatalf("answer %d: %v", n, err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest || !r.Close {
			t.Fatalf("answer %d: %s, the connection is closed after it: %t", n, r.Status, r.Close)
		}
	}
	x.join(Invitation{Node: "c"})
	t.Logf("%d admitted, %d displaced, %d refused", counts[crowd.Admitted].Load(), counts[crowd.Displaced].Load(), counts[crowd.Refused].Load())
}
