package ntske

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// desk is a table of places with a clock and names for connections.
type desk struct {
	t   *testing.T
	p   *places
	now time.Time
}

func newDesk(t *testing.T, max, perPrefix int) *desk {
	return &desk{t, newPlaces(max, perPrefix, 32, 56), t0}
}

// come admits a connection from an address and checks what becomes of it.
func (d *desk) come(from string, want Reason) (c, displaced *conn) {
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

func TestPrefixOfAnAddress(t *testing.T) {
	t.Parallel()
	p := newPlaces(1, 0, 24, 56)
	for in, want := range map[string]string{
		"192.0.2.1":             "192.0.2.0/24",
		"2001:db8:1:2ff:3::":    "2001:db8:1:200::/56",
		"fe80::1%eth0":          "fe80::/56",
		"2001:db8:1:2ff:3::1.2": "",
	} {
		a, _ := netip.ParseAddr(in)
		if got := p.prefix(a); got.IsValid() != (want != "") || want != "" && got.String() != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
}

func TestEverybodyGetsAPlaceWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 100, 0)
	for range 100 { // a whole network behind one address
		d.come("192.0.2.1", Served)
	}
	d = newDesk(t, 100, 3)
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
			d := newDesk(t, 512, 0)
			var held []*conn
			for i := range 512 {
				c, _ := d.come(from(i), Served)
				held = append(held, c)
			}
			_, displaced := d.come("192.0.2.1", Served)
			if displaced == nil || displaced.phase != gone || d.p.n != 512 {
				t.Fatalf("nobody makes room: %+v, %d places", displaced, d.p.n)
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

// Clients of one network that come at once must not take places from each other.
func TestFullNetworkDisplacesOnlyItsSilentConnections(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 3, 0)
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

func TestCompleteExchangeMakesRoomFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 3, 0)
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
	d := newDesk(t, 1000, 0)
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
	d := newDesk(t, 20, 6)
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
			c := &conn{remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(8))}), 1)}
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
		n, turns, most := 0, 0, 0
		for _, g := range d.p.groups {
			n, most = n+g.n, max(most, g.n)
			if g.hellos.first() != nil {
				turns++
			}
			if g.size.in != &d.p.sizes[g.n] {
				t.Fatalf("%v with %d connections is not listed with those", g.prefix, g.n)
			}
		}
		inTurn := 0
		for l := d.p.turns.head; l != nil; l = l.next {
			inTurn++
		}
		if n != len(open) || n != d.p.n || n > 20 || turns != inTurn || most != d.p.most {
			t.Fatalf("%d open, %d places, %d in groups, %d of %d turns, most %d of %d", len(open), d.p.n, n, inTurn, turns, most, d.p.most)
		}
	}
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
