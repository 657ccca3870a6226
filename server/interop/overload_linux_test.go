package interop

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// load is what clients measured in one part of the test.
type load struct {
	requests, lost, outside int             // outside: the error is above the root distance
	delays, errors          []time.Duration // round trip; |offset|, because both ends have the same clock
}

// measure sends n requests with the clients in turn, and up to a hundred times as many
// while more returns true.
func measure(t *testing.T, n int, more func() bool, clients ...*ntsclient.Client) (v load) {
	t.Helper()
	for i := 0; i < n || i < 100*n && more(); i++ {
		v.requests++
		r, err := clients[i%len(clients)].Query(t.Context())
		if err != nil {
			t.Logf("request %d: %v", i, err)
			v.lost++
			continue
		}
		if e := r.Offset.Abs(); e > r.RootDistance() {
			v.outside++
		} else {
			v.errors = append(v.errors, e)
		}
		v.delays = append(v.delays, r.Delay)
	}
	slices.Sort(v.delays)
	slices.Sort(v.errors)
	return v
}

func (v load) String() string {
	q := func(d []time.Duration, p int) time.Duration { return d[(len(d)-1)*p/100] }
	if len(v.delays) == 0 || len(v.errors) == 0 {
		return fmt.Sprintf("%d requests, %d lost", v.requests, v.lost)
	}
	return fmt.Sprintf("%d requests, %d lost; round trip %v at the median, %v at 90 %%; error %v, %v", v.requests, v.lost,
		q(v.delays, 50), q(v.delays, 90), q(v.errors, 50), q(v.errors, 90))
}

// A thousand silent connections to NTS-KE, and handshakes as fast as possible, cost
// no NTP client an answer, and answers stay correct. How much slower they are is
// logged only: attackers, clients and server share the processors.
func TestNTSKEOverloadDoesNotAffectNTP(t *testing.T) {
	const holders, requests = 1000, 300
	dir := setup(t)
	s := serve(t, dir, fmt.Sprintf("timeout = \"30s\"\nmax_connections = %d\nmax_per_address = %[1]d", 2*holders))
	var cs []*ntsclient.Client
	for _, cfg := range []ntsclient.Config{{Host: ourAddr, RootCAs: pool(t, s.ca)}, {Host: addrPlain, Plain: true}} {
		c, err := ntsclient.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cs = append(cs, c)
	}
	idle := measure(t, requests, func() bool { return false }, cs...)

	held := 0
	for i := range holders {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ourAddrs[i%len(ourAddrs)])}}
		c, err := d.DialContext(t.Context(), "tcp", ourAddr+":4460")
		if err != nil {
			t.Skipf("only %d connections can be opened: %v", held, err)
		}
		defer c.Close()
		if i%2 == 0 {
			c.Write([]byte{22, 3, 1, 1, 0, 1}[:1+i%5]) // the start of a ClientHello
		}
		held++
	}
	ctx, cancel := context.WithCancel(t.Context())
	var made atomic.Uint64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := ntske.Exchange(ctx, ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca)}); err == nil {
					made.Add(1)
				}
			}
		})
	}
	busy := measure(t, requests, func() bool { return made.Load() == 0 }, cs...)
	cancel()
	wg.Wait()
	t.Logf("idle: %v", idle)
	t.Logf("with %d silent connections and %d handshakes: %v", held, made.Load(), busy)
	if made.Load() == 0 {
		t.Error("there were no handshakes")
	}
	for name, v := range map[string]load{"idle": idle, "overload": busy} {
		if v.lost > 0 || v.outside > 0 {
			t.Errorf("%s: %d of %d requests not answered, %d answers outside their root distance", name, v.lost, v.requests, v.outside)
		}
	}
}
