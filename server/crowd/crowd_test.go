package crowd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestPrefixesOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		addr         string
		bits4, bits6 int
		want         string
	}{
		{"", 32, 56, "[invalid Prefix invalid Prefix invalid Prefix]"}, // no address, such as of a pipe
		{"192.0.2.1", 32, 56, "[192.0.0.0/16 192.0.2.0/24 192.0.2.1/32]"},
		{"::ffff:192.0.2.1", 32, 56, "[192.0.0.0/16 192.0.2.0/24 192.0.2.1/32]"},
		{"192.0.2.1", 24, 56, "[192.0.0.0/16 192.0.2.0/24]"},
		{"192.0.2.1", 8, 56, "[192.0.0.0/8]"},
		{"2001:db8:1:2ff::1", 32, 56, "[2001:db8::/32 2001:db8:1::/48 2001:db8:1:200::/56]"},
		{"fe80::1%eth0", 32, 56, "[fe80::/32 fe80::/48 fe80::/56]"},
		{"2001:db8:1:2ff::1", 32, 64, "[2001:db8::/32 2001:db8:1::/48 2001:db8:1:2ff::/64]"},
		{"2001:db8:1:2ff::1", 32, 40, "[2001:db8::/32 2001:db8::/40]"},
	} {
		a, _ := netip.ParseAddr(tt.addr)
		if got := fmt.Sprint(Prefixes(a, tt.bits4, tt.bits6)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.addr, got, tt.want)
		}
	}
}

// script is a listener whose connections are those of the test.
type script struct{ next chan net.Conn }

func (s script) Accept() (net.Conn, error) {
	c, ok := <-s.next
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (s script) Close() error   { return nil }
func (s script) Addr() net.Addr { return &net.TCPAddr{} }

// client is a connection of an address.
type client struct {
	net.Conn
	from   netip.AddrPort
	closed bool
}

func (c *client) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }
func (c *client) Close() error         { c.closed = true; return nil }

// rig has a listener with a few places.
type rig struct {
	t      *testing.T
	s      script
	l      *Listener
	counts Counts
}

func newRig(t *testing.T, places int) *rig {
	r := &rig{t: t, s: script{make(chan net.Conn)}}
	r.l = Limit(r.s, places, &r.counts)
	go func() {
		for {
			if _, err := r.l.Accept(); err != nil {
				return
			}
		}
	}()
	return r
}

func (r *rig) connect(from string) *client {
	r.t.Helper()
	c := &client{from: netip.AddrPortFrom(netip.MustParseAddr(from), 1)}
	r.s.next <- c
	synctest.Wait()
	return c
}

func (r *rig) want(admitted, displaced, refused uint64) {
	r.t.Helper()
	for o, n := range []uint64{admitted, displaced, refused} {
		if got := r.counts[o].Load(); got != n {
			r.t.Errorf("%v: %d, want %d", Outcome(o), got, n)
		}
	}
}

func TestPlacesCannotBeHeldAgainstOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		defer close(r.s.next)
		var held []*client
		for range 4 {
			held = append(held, r.connect("192.0.2.1"))
			time.Sleep(time.Millisecond)
		}
		// The same address: not before they have had their time.
		if c := r.connect("192.0.2.1"); !c.closed {
			t.Error("a place is taken from a young connection of the same address")
		}
		r.want(4, 0, 1)
		// Another one: at once, from the oldest.
		other := r.connect("192.0.2.2")
		if other.closed || !held[0].closed || held[1].closed {
			t.Errorf("another address: %v, %v, %v", other.closed, held[0].closed, held[1].closed)
		}
		r.want(5, 1, 1)
		// A flood of the first address never takes that of the other one.
		for range 100 {
			r.connect("192.0.2.1")
			time.Sleep(100 * time.Millisecond)
		}
		if other.closed {
			t.Error("a flood takes the place of another address")
		}
		if n := r.counts[Displaced].Load(); n < 50 {
			t.Errorf("%d displaced: the first address keeps out itself", n)
		}
	})
}

func TestPrefixesAndFreedPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		defer close(r.s.next)
		for _, a := range []string{"2001:db8::1", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"} {
			r.connect(a)
		}
		// Two prefixes have two each; a third one is admitted at once, a fourth too.
		x, y := r.connect("2001:db8:1::1"), r.connect("198.51.100.1")
		if x.closed || y.closed {
			t.Errorf("other prefixes: %v, %v", x.closed, y.closed)
		}
		r.want(6, 2, 0)
		// Each prefix has one now: the oldest makes room for a new one, and not twice.
		r.connect("203.0.113.1")
		r.want(7, 3, 0)
		for c := range r.l.open {
			c.Close()
			c.Close()
		}
		for range 4 {
			r.connect("203.0.113.1")
		}
		r.want(11, 3, 0)
	})
}

// A prefix that would only change ranks with a fuller one takes no place from it: whoever
// connects again and again would end the oldest connections of others without an end.
func TestRanksAreNotExchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		defer close(r.s.next)
		page := []*client{r.connect("192.0.2.1")}
		time.Sleep(time.Millisecond)
		page = append(page, r.connect("192.0.2.1"))
		scraper, stranger := r.connect("203.0.113.2"), r.connect("198.51.100.1")
		for range 20 {
			time.Sleep(time.Second)
			c := r.connect("198.51.100.1")
			if c.closed || !stranger.closed {
				t.Error("a stranger does not take the place of his own connection")
			}
			stranger = c
		}
		if page[0].closed || page[1].closed || scraper.closed {
			t.Errorf("a stranger with one place takes another: %v, %v, %v", page[0].closed, page[1].closed, scraper.closed)
		}
		// Who has no place gets one.
		if c := r.connect("233.252.0.1"); c.closed || !page[0].closed {
			t.Errorf("another prefix: %v, %v", c.closed, page[0].closed)
		}
	})
}

// Whoever has a whole network of many prefixes has one share of the places. It takes none
// from a client elsewhere, however often it connects and from wherever it can.
func TestAWholeNetworkHasOneShare(t *testing.T) {
	const places, half = 32, 16
	for name, c := range map[string]struct {
		from  func(i int) string
		other string // as near as can be
	}{
		"a /48 of IPv6, each /56 in it":      {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%256<<8) }, "2001:db8:1::1"},
		"a /32 of IPv6, each /48 in it":      {func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i%65536) }, "2001:db9::1"},
		"a /32 of IPv6, many /56 of a few":   {func(i int) string { return fmt.Sprintf("2001:db8:%x:%x::1", i%7, i%256<<8) }, "2001:db9::1"},
		"a /24 of IPv4, each address in it":  {func(i int) string { return fmt.Sprintf("198.51.100.%d", i%256) }, "198.51.101.1"},
		"a /16 of IPv4, each /24 in it":      {func(i int) string { return fmt.Sprintf("198.51.%d.1", i%256) }, "198.52.0.1"},
		"a /16 of IPv4, against one of IPv6": {func(i int) string { return fmt.Sprintf("198.51.%d.%d", i%256, i%7) }, "2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, places)
				defer close(r.s.next)
				var network, others []*client
				attack := func(times int) {
					for range times {
						network = append(network, r.connect(c.from(len(network))))
						time.Sleep(time.Millisecond)
					}
				}
				attack(places)
				for i := range half {
					others = append(others, r.connect(c.other))
					attack(100)
					if n := open(others); n != i+1 {
						t.Fatalf("of %d connections of another client, %d keep their places", i+1, n)
					}
				}
				if n := open(network); n != places-half {
					t.Errorf("the network has %d places, want %d", n, places-half)
				}
			})
		})
	}
}

// A client whose neighbours are hostile gets a place, and keeps it, as long as these have
// more of one prefix: a network that is one share is shared in turn.
func TestHostileNeighboursShareOneNetwork(t *testing.T) {
	for name, c := range map[string]struct{ from, honest string }{
		"IPv6": {"2001:db8:0:%x00::1", "2001:db8:0:ff00::1"},
		"IPv4": {"198.51.100.%d", "198.51.100.99"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 32)
				defer close(r.s.next)
				n := 0
				attack := func(times int) {
					for range times {
						r.connect(fmt.Sprintf(c.from, n%5))
						time.Sleep(time.Millisecond)
						n++
					}
				}
				attack(32)
				var elsewhere []*client
				for range 16 { // half of the places are another network's
					elsewhere = append(elsewhere, r.connect("203.0.113.1"))
				}
				honest := []*client{r.connect(c.honest), r.connect(c.honest)}
				attack(500)
				if open(honest) != 2 || open(elsewhere) != 16 {
					t.Errorf("%d of 2 places near the attacker are left, %d of 16 elsewhere", open(honest), open(elsewhere))
				}
			})
		})
	}
}

// open returns how many connections are open.
func open(list []*client) (n int) {
	for _, c := range list {
		if !c.closed {
			n++
		}
	}
	return n
}

// Over real sockets, whoever lost a place notices it at once.
func TestRealConnections(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	var counts Counts
	l := Limit(ln, 1, &counts)
	defer l.Close()
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Skipf("no second address: %v", err)
		}
		<-accepted
		return c
	}
	first := dial("127.0.0.1")
	defer first.Close()
	second := dial("127.0.0.2")
	defer second.Close()
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the first connection: %v, want a reset", err)
	}
	if counts[Admitted].Load() != 2 || counts[Displaced].Load() != 1 {
		t.Error("not counted")
	}
}
