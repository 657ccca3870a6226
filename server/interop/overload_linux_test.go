package interop

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// niceness returns that of a process.
func niceness(t *testing.T, pid int) int {
	t.Helper()
	n, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	if err != nil {
		t.Fatal(err)
	}
	return 20 - n // getpriority(2)
}

// All places of NTS-KE are taken by silent connections, more come all the time, and
// hundreds of handshakes are done as fast as possible. That costs no NTP client an
// answer, and answers stay correct. What keeps it so is the priority of the NTS-KE
// process. How much slower the answers are is logged only: attackers, clients and server
// share the processors.
func TestNTSKEOverloadDoesNotAffectNTP(t *testing.T) {
	const places, attackers, handshakes, requests = 256, 8, 300, 300
	dir := setup(t)
	s := prepare(t, dir, newPKI(t, dir), fmt.Sprintf("timeout = \"30s\"\nmax_connections = %d", places))
	s.measured(t)
	s.start(t)
	var cs []*ntsclient.Client
	for _, cfg := range []ntsclient.Config{{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: longWait}, {Host: addrPlain, Plain: true, Timeout: longWait}} {
		c, err := ntsclient.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cs = append(cs, c)
	}
	idle := measure(t, requests, func() bool { return false }, cs...)

	ke := s.Children(t, "nts-ke-process")
	if len(ke) != 1 || niceness(t, ke[0]) < niceness(t, s.PID())+10 {
		t.Errorf("the NTS-KE processes %v have not a tenth of the weight of ntsserve, which has niceness %d", ke, niceness(t, s.PID()))
	}
	stop := flood(t, "127.0.0.1:4460", few, places, 100, silent)
	until(t, "all places are taken", s.proc, func() (bool, string) {
		open := int(metric(t, "noonmark_ntske_connections"))
		return exchanges(t, "displaced") > 0, fmt.Sprintf("%d connections, %d displaced", open, exchanges(t, "displaced"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	var made atomic.Uint64
	var wg sync.WaitGroup
	for range attackers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := ntske.Exchange(ctx, ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca)}); err == nil {
					made.Add(1)
				}
			}
		})
	}
	before := exchanges(t, "displaced")
	displaced := func() int { return exchanges(t, "displaced") - before }
	busy := measure(t, requests, func() bool { return made.Load() < handshakes || displaced() == 0 }, cs...)
	cancel()
	wg.Wait()
	stop()
	t.Logf("idle: %v", idle)
	t.Logf("with %d silent connections, %d displaced and %d handshakes: %v", places, displaced(), made.Load(), busy)
	if made.Load() < handshakes || displaced() == 0 {
		t.Errorf("that was no overload: %d handshakes, want %d; %d connections displaced", made.Load(), handshakes, displaced())
	}
	for name, v := range map[string]load{"idle": idle, "overload": busy} {
		if v.lost > 0 || v.outside > 0 {
			t.Errorf("%s: %d of %d requests not answered, %d answers outside their root distance", name, v.lost, v.requests, v.outside)
		}
	}
}
