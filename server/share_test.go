package server

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"noonmark/server/nts/aead"
)

// responders returns those of all workers of a server with so many endpoints, and
// clients with sessions of that server.
func responders(t *testing.T, limit LimitConfig, endpoints, workers, sessions int) (all []*Responder, clients []*rig) {
	t.Helper()
	cfg := Config{Limit: limit, BasicOnly: true}
	for i := range endpoints {
		e := Endpoint{Name: fmt.Sprint(i)}
		e.Socket.Addr, e.Socket.Sockets = netip.MustParseAddrPort("127.0.0.1:0"), workers
		cfg.Endpoints = append(cfg.Endpoints, e)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for range sessions {
		g := newRig(t, aead.AESSIVCMAC256)
		if clients = append(clients, g); len(clients) > 1 {
			g.ring, g.Keys = clients[0].ring, clients[0].Keys
		}
	}
	for _, e := range s.endpoints {
		if _, err := e.problem(); len(e.workers) != workers {
			t.Skipf("no sockets: %v", err)
		}
		for _, w := range e.workers {
			r := &w.resp
			r.View.Set(locked(t2026), 1795392000e9, rxMono, -24)
			r.Now = func() int64 { return txMono }
			if clients != nil {
				r.Keys = clients[0].Keys
			}
			all = append(all, r)
		}
	}
	return all, clients
}

// flood lets all workers answer these requests at once, each of them every 2 ms for 5 s
// of virtual time, from 64 addresses of 64 networks of one /56. It returns how often
// each request had each outcome.
func flood(t *testing.T, workers []*Responder, reqs [][]byte) []map[Reason]int {
	t.Helper()
	total := make([]map[Reason]int, len(reqs))
	for i := range total {
		total[i] = map[Reason]int{}
	}
	ask := func(w, ms int, dst []byte, count func(request int, why Reason)) {
		r := workers[w]
		r.From = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(8*(w%8) + ms/2%8)}), 40000)
		r.Mono = rxMono + int64(ms)*1e6
		for i, req := range reqs {
			_, why := r.Respond(dst, req, Arrival{Mono: r.Mono}, 0)
			count(i, why)
		}
	}
	// The client enters the table here, where no worker can give it a request more.
	ask(0, 0, make([]byte, MaxPacket), func(i int, why Reason) { total[i][why]++ })
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			dst, own := make([]byte, MaxPacket), make([][numReasons]int, len(reqs))
			for ms := 0; ms < 5000; ms += 2 {
				ask(w, ms, dst, func(i int, why Reason) { own[i][why]++ })
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range own {
				for why, n := range own[i] {
					total[i][Reason(why)] += n
				}
			}
		})
	}
	wg.Wait()
	return total
}

// shares are ways to have eight workers.
var shares = []struct{ endpoints, workers int }{{1, 8}, {2, 4}, {8, 1}}

// A prefix and a session get what the limit says, whichever workers and endpoints
// their requests meet.
func TestLimitCountsAcrossWorkers(t *testing.T) {
	t.Parallel()
	// A burst of 16 and ten a second, of which the last comes after 4.9 s.
	const want = 16 + 49
	for _, by := range shares {
		workers, clients := responders(t, LimitConfig{Rate: 10, Burst: 16}, by.endpoints, by.workers, 3)
		got := flood(t, workers, [][]byte{header(v4client)})
		if n := got[0][NTP]; n != want {
			t.Errorf("%+v: %d plain requests answered, want %d", by, n, want)
		}
		var reqs [][]byte
		for _, c := range clients {
			reqs = append(reqs, c.request(0))
		}
		for i, n := range flood(t, workers, reqs) {
			if n[NTS] != want || n[RateLimited] != 1+8*2500-want {
				t.Errorf("%+v, session %d: %d answered and %d refused, want %d answered", by, i, n[NTS], n[RateLimited], want)
			}
		}
	}
}

// All workers and endpoints together send as many kiss codes as the rate says.
func TestKissRateCountsAcrossWorkers(t *testing.T) {
	t.Parallel()
	for _, by := range shares {
		workers, clients := responders(t, LimitConfig{Rate: 1, Burst: 1, KissRate: 4}, by.endpoints, by.workers, 3)
		var reqs [][]byte
		for _, c := range clients {
			reqs = append(reqs, c.request(0))
		}
		kisses := 0
		for _, n := range flood(t, workers, reqs) {
			kisses += n[KissRate]
		}
		if kisses < 18 || kisses > 20 { // some are late by the 2 ms between requests
			t.Errorf("%+v: %d kiss codes in 5 s, want 20", by, kisses)
		}
	}
}
