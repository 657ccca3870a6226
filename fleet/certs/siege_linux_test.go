package certs

import (
	"fmt"
	"io"
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

// Strangers who hold connections to the listener of challenges keep out nobody who asks from
// another address: the ACME server gets its answer.
func TestResponderSurvivesASiege(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var counts crowd.Counts
	addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	r := NewResponder(addr, &counts)
	must(t, r.Set(map[string]string{"token": "answer"}))
	defer r.Close()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}
	var ended atomic.Bool
	var besiegers sync.WaitGroup
	besiegers.Go(func() {
		for n := seed; !ended.Load(); n++ {
			(&proctest.Siege{Addr: addr, From: "127.0.0.1", Paths: []string{wellKnown + "token", "/"}, AtOnce: 300, Stay: 8 * time.Second, Seed: n}).Run(300)
		}
	})
	defer besiegers.Wait()
	defer ended.Store(true)
	proctest.Until(t, "all places are taken", func() bool { return counts[crowd.Displaced].Load()+counts[crowd.Refused].Load() > 0 })
	for n := 0; n < 50 || counts[crowd.Admitted].Load() < 500; n++ {
		q, err := client.Get("http://" + addr + wellKnown + "token")
		if err != nil {
			t.Fatalf("answer %d: %v", n, err)
		}
		b, err := io.ReadAll(q.Body)
		q.Body.Close()
		if err != nil || string(b) != "answer" {
			t.Fatalf("answer %d: %q, %v", n, b, err)
		}
	}
	t.Logf("%d admitted, %d displaced, %d refused", counts[crowd.Admitted].Load(), counts[crowd.Displaced].Load(), counts[crowd.Refused].Load())
}
