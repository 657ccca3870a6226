package server

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

func TestLimiterCountsByPrefixAndSession(t *testing.T) {
	t.Parallel()
	if NewLimiter(LimitConfig{}) != nil {
		t.Error("a limiter without a rate")
	}
	const second = int64(time.Second)
	l := NewLimiter(LimitConfig{Rate: 2, Burst: 4, Prefix4: 24, KissRate: 1})
	addr := netip.MustParseAddr
	one, two := &nts.SessionKeys{}, &nts.SessionKeys{}
	one.C2S[15], two.C2S[0] = 1, 1
	plain := func(ip string) func(int64) bool {
		return func(at int64) bool { return l.plain(addr(ip), at) }
	}
	now := 5 * second
	for _, c := range []struct {
		name  string
		allow func(mono int64) bool
		at    int64
		n     int
		want  int
	}{
		{"burst", plain("192.0.2.1"), 0, 10, 4},
		{"same prefix", plain("192.0.2.200"), 0, 5, 0},
		{"other prefix", plain("192.0.3.1"), 0, 5, 4},
		{"NTS that failed is counted apart", func(at int64) bool { return l.failed(addr("192.0.2.1"), at) }, 0, 5, 4},
		{"the same again", func(at int64) bool { return l.failed(addr("192.0.2.7"), at) }, 0, 5, 0},
		{"a session", func(at int64) bool { return l.session(one, at) }, 0, 5, 4},
		{"another session", func(at int64) bool { return l.session(two, at) }, 0, 5, 4},
		{"half a second later", plain("192.0.2.1"), second / 2, 5, 1},
		{"a session half a second later", func(at int64) bool { return l.session(one, at) }, second / 2, 5, 1},
		{"a minute later", plain("192.0.2.1"), 60 * second, 10, 4},
		{"back in time", plain("192.0.2.1"), 59 * second, 1, 0},
	} {
		got := 0
		for range c.n {
			if c.allow(now + c.at) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%s: %d allowed, want %d", c.name, got, c.want)
		}
	}
	if !l.kissNow(now) || l.kissNow(now) || l.kissNow(now+second/2) || !l.kissNow(now+second) {
		t.Error("kisses are not one a second")
	}
	if NewLimiter(LimitConfig{Rate: 1}).kissNow(now) {
		t.Error("a kiss without a rate")
	}
	six := NewLimiter(LimitConfig{Rate: 1, Burst: 1})
	if !six.plain(addr("2001:db8:0:0::1"), now) || six.plain(addr("2001:db8:0:ff::9"), now) || !six.plain(addr("2001:db8:0:100::1"), now) {
		t.Error("IPv6 is not limited by /56")
	}
}

// A prefix over its limit stays limited while strangers fill the table, which does
// not grow.
func TestLimiterKeepsItsMemoryAndLimitUnderFlood(t *testing.T) {
	l := NewLimiter(LimitConfig{Rate: 1, Burst: 8, TableBits: 8})
	a := netip.MustParseAddr("192.0.2.1")
	now := int64(1e12)
	for l.plain(a, now) {
	}
	for i := range 100000 {
		l.plain(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if i%1000 == 0 && l.plain(a, now) {
			t.Fatalf("after %d other addresses the limit is lost", i)
		}
	}
	if len(l.sets) != 64 {
		t.Errorf("%d sets", len(l.sets))
	}
	var s nts.SessionKeys
	if n := testing.AllocsPerRun(100, func() {
		l.failed(a, now)
		l.session(&s, now)
		l.kissPlain(netip.AddrPortFrom(a, 7), now)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Requests with a forged client address take nothing from that client's NTS
// service and cause no kiss code for it. The number of answers to them is limited.
func TestForgedAddressTakesNothingFromAClient(t *testing.T) {
	t.Parallel()
	const burst = 4
	for _, id := range aeads {
		g := newRig(t, id)
		g.Limit = NewLimiter(LimitConfig{Rate: 1, Burst: burst, KissRate: 1})
		g.Mono = rxMono
		client := netip.MustParseAddrPort("192.0.2.1:40123")
		forger := newRig(t, id) // with keys of its own, from the same server
		forger.ring, forger.Keys = g.ring, g.ring.Load()
		other := newRig(t, id) // of another server

		// The flood comes first, and the client sends as many requests as it may.
		answered := map[Reason]int{}
		flood := func(n int) {
			for range n {
				from := netip.AddrPortFrom(client.Addr(), uint16(g.rnd.Uint32()))
				damaged := g.request(0)
				damaged[len(damaged)-1-g.rnd.IntN(16)] ^= 1
				for _, req := range [][]byte{
					header(v4client),
					ntp.AppendField(header(v4client), 0x2005, make([]byte, 300)),
					damaged, forger.request(0), other.request(0),
				} {
					g.From = from
					if _, why := g.respond(req, 0); why.Answered() {
						answered[why]++
					}
				}
			}
		}
		flood(1000)
		if answered[KissRate] == 1 { // to the forger's own session
			answered[KissRate] = 0
		}
		for why, want := range map[Reason]int{NTP: burst, NTS: burst, NAKKey: burst, KissRate: 0} {
			// Damaged requests and cookies of another server share what failed ones may.
			got := answered[why]
			if why == NAKKey {
				got += answered[NAKAuth] + answered[NAKCookie]
			}
			if got != want {
				t.Errorf("%v: the flood got %d times %v, want %d", id, got, why, want)
			}
		}
		g.From = client
		for i := range burst {
			if _, why := g.respond(g.request(0), 0); why != NTS {
				t.Errorf("%v: the client's request %d gets %v", id, i, why)
			}
			flood(3)
		}
		// Over its own limit the client gets an authenticated kiss code. It is the first
		// one, so the limit of kiss codes allows it.
		g.Mono += int64(time.Second) // the limits' own second
		g.From = client
		g.respond(g.request(0), 0)
		out, why := g.respond(g.request(0), 0)
		if why != KissRate || len(g.openNTS(out)) != 1 {
			t.Errorf("%v: over its limit the client gets %v", id, why)
		}
		if _, why := g.respond(g.request(0), 0); why != RateLimited {
			t.Errorf("%v: and then %v", id, why)
		}
	}
}

// The holder of keys gets no more answers by forging addresses.
func TestForgedAddressesGainNothingForASession(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	g.Limit = NewLimiter(LimitConfig{Rate: 1, Burst: 8, KissRate: 1})
	g.Mono = rxMono
	n := 0
	for i := range 1000 {
		g.From = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 123)
		if _, why := g.respond(g.request(7), 0); why.Answered() {
			n++
		}
	}
	if n != 8+1 {
		t.Errorf("%d answers, want a burst of 8 and a kiss", n)
	}
}

// A plain client over its limit gets kiss codes at a limited rate, and none for
// what others send with its address.
func TestPlainKissCodeIsForTheClientsOwnPort(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const second = int64(time.Second)
	g := newRig(t, aead.AESSIVCMAC256)
	g.Limit = NewLimiter(LimitConfig{Rate: 1, Burst: 16, KissRate: 2})
	victim := netip.MustParseAddrPort("192.0.2.1:40123")
	ask := func(from netip.AddrPort, at int64) Reason {
		g.From, g.Mono = from, rxMono+at
		_, why := g.respond(header(v4client), 0)
		return why
	}
	// A minute of forged requests, and the client's own, every two seconds.
	for i := range 60000 {
		at := int64(i) * second / 1000
		port := uint16(rnd.Uint32())
		if port == victim.Port() {
			port++
		}
		if why := ask(netip.AddrPortFrom(victim.Addr(), port), at); why == KissRate {
			t.Fatalf("port %d gets a kiss", port)
		}
		if i%2000 == 0 {
			if why := ask(victim, at); why == KissRate {
				t.Fatal("the client gets a kiss for others")
			}
		}
	}
	// A client that sends too fast gets two kiss codes a second.
	kisses := 0
	for i := range 10000 {
		if ask(netip.MustParseAddrPort("198.51.100.1:5000"), 100*second+int64(i)*second/1000) == KissRate {
			kisses++
		}
	}
	if kisses < 18 || kisses > 21 {
		t.Errorf("%d kisses in ten seconds, want about 20", kisses)
	}
}
