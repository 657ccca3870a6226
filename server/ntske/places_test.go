package ntske

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// fixture is a table of places with a clock and names for connections.
type fixture struct {
	t   *testing.T
	p   *places
	now time.Time
}

func newFixture(t *testing.T, max, perPrefix int) *fixture {
	return &fixture{t, newPlaces(max, perPrefix, 32, 56), t0}
}

// come admits a connection from an address and checks what becomes of it.
func (d *fixture) come(from string, want Reason) (c, displaced *conn) {
	d.t.Helper()
	c = &conn{remote: netip.AddrPortFrom(netip.MustParseAddr(from), 1234)}
	c.byAge.of, c.byPhase.of = c, c
	d.now = d.now.Add(time.Millisecond)
	displaced, r := d.p.admit(c, d.now)
	if r != want {
		d.t.Errorf("%s: %v, want %v", from, r, want)
	}
	return c, displaced
}

func TestEverybodyGetsAPlaceWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	d := newFixture(t, 100, 0)
	for range 100 { // a whole network behind one address
		d.come("192.0.2.1", Served)
	}
	d = newFixture(t, 100, 3)
	for range 3 {
		d.come("192.0.2.1", Served)
	}
	d.come("192.0.2.1", AddressCap)
	d.come("192.0.2.2", Served)
}

// All places are taken by one network, by many addresses with several connections,
// or by many with one.
func TestFullestPrefixMakesRoomForAnother(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]func(i int) string{
		"one network":               func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%256) },
		"32 addresses":              func(i int) string { return fmt.Sprintf("198.51.100.%d", i%32) },
		"each connection a network": func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(t, 512, 0)
			var held []*conn
			for i := range 512 {
				c, _ := d.come(from(i), Served)
				held = append(held, c)
			}
			_, displaced := d.come("192.0.2.1", Served)
			if displaced == nil || displaced.phase != gone || d.p.all.n != 512 {
				t.Fatalf("nobody makes room: %+v, %d places", displaced, d.p.all.n)
			}
			if name != "32 addresses" && displaced != held[0] {
				t.Error("it is not the oldest")
			}
			// The newcomer stays while the flood goes on.
			d.now = d.now.Add(time.Second)
			for i := range 400 {
				if _, displaced := d.come(from(i), Served); displaced.remote.Addr().String() == "192.0.2.1" {
					t.Fatalf("connection %d of the flood displaces it", i)
				}
			}
		})
	}
}

// Whoever has a whole network of many prefixes has one share of the places, and one turn
// between two of another client. It takes no place from a client elsewhere, however often it
// connects and from wherever it can.
func TestAWholeNetworkHasOneShareAndOneTurn(t *testing.T) {
	t.Parallel()
	const places, half = 64, 32
	for name, c := range map[string]struct {
		from  func(i int) string
		other string // as near as can be
	}{
		"a /48 of IPv6, each /56 in it":    {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%256<<8) }, "2001:db8:1::1"},
		"a /32 of IPv6, each /48 in it":    {func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i%65536) }, "2001:db9::1"},
		"a /32 of IPv6, many /56 of a few": {func(i int) string { return fmt.Sprintf("2001:db8:%x:%x::1", i%7, i%256<<8) }, "2001:db9::1"},
		"a /24 of IPv4, each address":      {func(i int) string { return fmt.Sprintf("198.51.100.%d", i%256) }, "198.51.101.1"},
		"a /16 of IPv4, each /24 in it":    {func(i int) string { return fmt.Sprintf("198.51.%d.1", i%256) }, "198.52.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(t, places, 0)
			var network, others []*conn
			attack := func(times int) {
				for range times {
					x, _ := d.come(c.from(len(network)), Served)
					network = append(network, x)
					d.now = d.now.Add(leastWait / 4)
				}
			}
			open := func(list []*conn) (n int) {
				for _, c := range list {
					if c.phase != gone {
						n++
					}
				}
				return n
			}
			attack(places)
			for i := range half {
				x, _ := d.come(c.other, Served)
				others = append(others, x)
				attack(100)
				if n := open(others); n != i+1 {
					t.Fatalf("of %d connections of another client, %d keep their places", i+1, n)
				}
			}
			if n := open(network); n != places-half {
				t.Errorf("the network has %d places, want %d", n, places-half)
			}
			for _, x := range append(network, others...) {
				if x.phase != gone {
					d.p.move(x, forHello, d.now)
				}
			}
			for i := range half {
				one, two := d.p.turn(), d.p.turn()
				if a, b := one.remote.Addr().String(), two.remote.Addr().String(); (a == c.other) == (b == c.other) {
					t.Fatalf("turns %d of the two networks: %s and %s", i+1, a, b)
				}
				d.p.move(one, forAnswer, d.now)
				d.p.move(two, forAnswer, d.now)
			}
		})
	}
}

// A client whose neighbours are hostile gets a place, and keeps it, as long as these have
// more of one prefix: a network that is one share is shared in turn.
func TestHostileNeighboursShareOneNetwork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, honest string }{
		"IPv6": {"2001:db8:0:%x00::1", "2001:db8:0:ff00::1"},
		"IPv4": {"198.51.100.%d", "198.51.100.99"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(t, 64, 0)
			n := 0
			attack := func(times int) {
				for range times {
					d.come(fmt.Sprintf(c.from, n%5), Served)
					d.now = d.now.Add(leastWait)
					n++
				}
			}
			attack(64)
			for range 32 { // half of the places are another network's
				d.come("203.0.113.1", Served)
			}
			one, _ := d.come(c.honest, Served)
			two, _ := d.come(c.honest, Served)
			attack(500)
			if n := d.p.group(netip.MustParseAddr("203.0.113.1")).n; one.phase == gone || two.phase == gone || n != 32 {
				t.Errorf("near the attacker: lost %t and %t; %d of 32 places are left elsewhere", one.phase == gone, two.phase == gone, n)
			}
		})
	}
}

// A prefix that would only change ranks with a fuller one takes no place from it: whoever
// connects again and again would end the oldest connections of others without an end.
func TestRanksAreNotExchanged(t *testing.T) {
	t.Parallel()
	for name, from := range map[string][3]string{
		"networks":  {"192.0.2.1", "198.51.100.1", "203.0.113.1"},
		"addresses": {"192.0.2.1", "192.0.2.2", "192.0.2.3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(t, 4, 0)
			a, _ := d.come(from[0], Served)
			b, _ := d.come(from[0], Served)
			c, _ := d.come(from[1], Served)
			stranger, _ := d.come(from[2], Served)
			for range 20 {
				d.now = d.now.Add(leastWait)
				x, displaced := d.come(from[2], Served)
				if displaced != stranger {
					t.Error("a stranger does not take the place of his own connection")
				}
				stranger = x
			}
			if a.phase == gone || b.phase == gone || c.phase == gone {
				t.Error("a stranger with one place takes another")
			}
		})
	}
}

// Clients of one network that come at once must not take places from each other.
func TestFullNetworkDisplacesOnlyItsSilentConnections(t *testing.T) {
	t.Parallel()
	d := newFixture(t, 3, 0)
	first, _ := d.come("192.0.2.1", Served)
	d.come("192.0.2.1", Served)
	d.come("192.0.2.1", Served)
	d.come("192.0.2.1", ConnectionCap)
	d.now = d.now.Add(leastWait)
	if _, displaced := d.come("192.0.2.1", Served); displaced != first {
		t.Error("a connection that has been silent for long keeps its place")
	}
	for l := d.p.open.head; l != nil; l = l.next {
		d.p.move(l.of, forHello, d.now)
	}
	d.now = d.now.Add(time.Minute)
	d.come("192.0.2.1", ConnectionCap) // they wait for the server
}

// The fullest address of the fullest network has only connections that wait for the server. The
// network makes room by one that waits for its client.
func TestANetworkMakesRoomThoughItsFullestAddressCannot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		busy, other string
		silent      func(i int) string
	}{
		"addresses of a /24": {"198.51.100.0", "203.0.113.9", func(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }},
		"/24 of a /16":       {"198.51.100.0", "203.0.113.9", func(i int) string { return fmt.Sprintf("198.51.%d.1", i+101) }},
		"/56 of a /48":       {"2001:db8::", "2001:db9::1", func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", (i+1)<<8) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFixture(t, 64, 0)
			var silent []*conn
			for i := range 62 {
				x, _ := d.come(c.silent(i), Served)
				silent = append(silent, x)
			}
			for range 2 {
				x, _ := d.come(c.busy, Served)
				d.p.move(x, forAnswer, d.now)
			}
			if _, displaced := d.come(c.other, Served); displaced != silent[0] {
				t.Errorf("the connection that has waited longest keeps its place: %+v makes room", displaced)
			}
			d.check(&d.p.all)
		})
	}
}

func TestCompleteExchangeMakesRoomFirst(t *testing.T) {
	t.Parallel()
	d := newFixture(t, 3, 0)
	d.come("192.0.2.1", Served)
	d.come("192.0.2.1", Served)
	done, _ := d.come("192.0.2.2", Served)
	d.p.move(done, forClose, d.now)
	if _, displaced := d.come("192.0.2.3", Served); displaced != done {
		t.Error("a connection that only waits for its client's end keeps its place")
	}
}

func TestPrefixesTakeTurns(t *testing.T) {
	t.Parallel()
	d := newFixture(t, 1000, 0)
	for range 500 {
		c, _ := d.come("198.51.100.1", Served)
		d.p.move(c, forHello, d.now)
	}
	for _, from := range []string{"192.0.2.1", "2001:db8::1"} {
		c, _ := d.come(from, Served)
		d.p.move(c, forHello, d.now)
	}
	var order string
	for range 5 {
		c := d.p.turn()
		order += c.group.prefix.String() + " "
		d.p.move(c, forClient, d.now)
	}
	if want := "198.51.100.1/32 192.0.2.1/32 2001:db8::/56 198.51.100.1/32 198.51.100.1/32 "; order != want {
		t.Errorf("turns: %s, want %s", order, want)
	}
}

// Any sequence of events leaves the counts and the lists in agreement.
func TestPlacesStayConsistent(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	d := newFixture(t, 20, 6)
	open := map[*conn]bool{}
	pick := func() *conn {
		for c := range open {
			return c
		}
		return nil
	}
	for range 20000 {
		d.now = d.now.Add(time.Duration(rnd.IntN(100)) * time.Millisecond)
		switch rnd.IntN(6) {
		case 0, 1, 2:
			from := netip.AddrFrom4([4]byte{192, byte(rnd.IntN(2)), byte(rnd.IntN(2)), byte(rnd.IntN(4))})
			if rnd.IntN(3) == 0 {
				from = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(rnd.IntN(2)), byte(rnd.IntN(4))})
			}
			c := &conn{remote: netip.AddrPortFrom(from, 1)}
			c.byAge.of, c.byPhase.of = c, c
			displaced, r := d.p.admit(c, d.now)
			delete(open, displaced)
			if r == Served {
				open[c] = true
			}
		case 3:
			if c := pick(); c != nil && c.phase != forClose {
				d.p.move(c, []phase{forClient, forHello, forAnswer, forClose}[rnd.IntN(4)], d.now)
			}
		case 4:
			if c := d.p.turn(); c != nil {
				if c.phase != forHello {
					t.Fatalf("turn of a connection in phase %d", c.phase)
				}
				d.p.move(c, forClient, d.now)
			}
		case 5:
			if c := pick(); c != nil {
				d.p.leave(c)
				delete(open, c)
			}
		}
		if n := d.check(&d.p.all); n != len(open) || n > 20 {
			t.Fatalf("%d open, %d in groups", len(open), n)
		}
		if n := len(d.p.groups); n > 3*len(open) {
			t.Fatalf("%d groups of %d connections", n, len(open))
		}
	}
}

// check examines a group and those in it, and returns its number of connections.
func (d *fixture) check(g *group) (n int) {
	members, listed, last := 0, 0, 0
	for _, in := range d.p.groups {
		if in.up == g {
			members++
			n += d.check(in)
			if has := in.hellos.first() != nil || in.turns.first() != nil; has != (in.turn.in == &g.turns) {
				d.t.Fatalf("%v has turns: %t, and takes them: %t", in.prefix, has, !has)
			}
			if in.class.n != in.n || in.equal.in != &in.class.groups || in.class.order.in != &g.sizes {
				d.t.Fatalf("%v with %d connections is listed with those of %d", in.prefix, in.n, in.class.n)
			}
		}
	}
	for l := g.sizes.head; l != nil; l = l.next {
		if l.of.n <= last || l.of.groups.first() == nil {
			d.t.Fatalf("%v: groups of %d after those of %d, or none", g.prefix, l.of.n, last)
		}
		last = l.of.n
		for in := l.of.groups.head; in != nil; in = in.next {
			listed++
		}
	}
	for in := g.turns.head; in != nil; in = in.next {
		if d.p.groups[in.of.prefix] != in.of {
			d.t.Fatalf("%v takes turns and is forgotten", in.of.prefix)
		}
	}
	for l := d.p.open.head; l != nil; l = l.next {
		if l.of.group == g {
			n++
		}
	}
	for l := d.p.closing.head; l != nil; l = l.next {
		if l.of.group == g {
			n++
		}
	}
	if n != g.n || last != g.most() || members != listed {
		d.t.Fatalf("%v: %d connections, counted %d; the fullest in it has %d of %d; %d groups, listed %d", g.prefix, n, g.n, last, g.most(), members, listed)
	}
	return n
}

func TestRateOfABucket(t *testing.T) {
	t.Parallel()
	now := t0
	table := newBucketTable(2)
	p := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
	count := func(of netip.Prefix, n int) (ok int) {
		for range n {
			if table.take(of, now) {
				ok++
			}
		}
		return ok
	}
	if n := count(p("192.0.2.1/32"), 10); n != 4 { // two seconds' worth
		t.Errorf("%d at once", n)
	}
	now = now.Add(1500 * time.Millisecond)
	if n := count(p("192.0.2.1/32"), 10); n != 3 {
		t.Errorf("%d after a second and a half", n)
	}
	now = now.Add(-time.Hour) // a clock that was set back changes nothing
	if n := count(p("192.0.2.1/32"), 10); n != 0 {
		t.Errorf("%d after the clock went back", n)
	}
	b := newBucket(100)
	if b.wait(now) != 0 {
		t.Error("a new bucket makes wait")
	}
	for b.take(now) {
	}
	if w := b.wait(now); w != 10*time.Millisecond {
		t.Errorf("wait %v for the next token", w)
	}
	if now = now.Add(10 * time.Millisecond); !b.take(now) || b.take(now) {
		t.Error("not one token after the wait")
	}
	if none := newBucket(0); !none.take(now) || none.wait(now) != 0 || !newBucketTable(0).take(netip.Prefix{}, now) {
		t.Error("no rate is a limit")
	}
}
