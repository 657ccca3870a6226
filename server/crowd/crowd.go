// Package crowd limits the open connections of a listener so that nobody keeps others
// out by holding connections. netutil.LimitListener lets everybody wait until a place is
// free, and whoever connects and stays silent decides when that is.
package crowd

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Lengths of the prefixes that a subscriber of a network usually has.
const (
	bits4 = 32
	bits6 = 56
)

// Prefixes returns the prefixes that an address is counted by, the shortest first: what a
// provider has, the longest prefix that is routed (that of a site), and the longest that counts,
// of bits4 or bits6 bits. Whoever has the whole of one has one share among those of its length, not one
// for each longer prefix in it.
func Prefixes(a netip.Addr, bits4, bits6 int) (list []netip.Prefix) {
	a = a.Unmap().WithZone("")
	wider, longest := [...]int{16, 24}, bits4
	if a.Is6() {
		wider, longest = [...]int{32, 48}, bits6
	}
	for _, n := range append(wider[:], longest) {
		if n <= longest && (len(list) == 0 || n > list[len(list)-1].Bits()) {
			p, _ := a.Prefix(n) // of no address: none
			list = append(list, p)
		}
	}
	return list
}

// leastWait is how long a connection keeps its place against a new one of the same
// prefix: less, and clients that all come at once would take places from each other.
const leastWait = 250 * time.Millisecond

// Outcome is what became of a connection. Its String is the label of metrics.
type Outcome uint8

// The outcomes.
const (
	Admitted  Outcome = iota
	Displaced         // admitted, and closed later to make room
	Refused           // closed at once: all places are taken, and none may be
	NumOutcomes
)

// String returns the word for the outcome.
func (o Outcome) String() string {
	if words := [...]string{"admitted", "displaced", "refused"}; int(o) < len(words) {
		return words[o]
	}
	return "unknown"
}

// Counts counts connections by outcome. The zero value is ready; several listeners may
// share it.
type Counts [NumOutcomes]atomic.Uint64

// Listener is a listener with a limit. Where all places are taken, a new connection takes
// that of another one, which is found from the shortest prefixes to the longest: it is one of
// the prefix that has the most, or of its own prefix if that would have as many then. Among
// those that are left, it is the oldest.
type Listener struct {
	net.Listener
	max    int
	counts *Counts

	mu   sync.Mutex
	open map[*conn]struct{}
	last uint64 // number of the last connection that got a place
}

// Limit returns a listener of which at most max connections are open at once.
func Limit(l net.Listener, max int, counts *Counts) *Listener {
	return &Listener{Listener: l, max: max, counts: counts, open: map[*conn]struct{}{}}
}

// conn is a connection that has a place.
type conn struct {
	net.Conn
	of     *Listener
	within []netip.Prefix // the shortest first
	since  time.Time
	number uint64 // in the order of admission: two may have come at one instant
}

// Accept waits for a connection that gets a place.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		x := &conn{Conn: c, of: l, within: within(c.RemoteAddr()), since: time.Now()}
		victim, ok := l.admit(x)
		if victim != nil {
			l.counts[Displaced].Add(1)
			victim.abort()
		}
		if ok {
			l.counts[Admitted].Add(1)
			return x, nil
		}
		l.counts[Refused].Add(1)
		x.abort()
	}
}

// admit gives x a place, if it can. victim is the connection that has to make room, if
// any.
func (l *Listener) admit(x *conn) (victim *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max {
		if victim = l.victim(x); victim == nil {
			return nil, false
		}
		delete(l.open, victim)
	}
	l.last++
	x.number = l.last
	l.open[x] = struct{}{}
	return victim, true
}

// victim returns the connection that makes room for x, nil if there is none.
func (l *Listener) victim(x *conn) *conn {
	among := slices.Collect(maps.Keys(l.open))
	own := true // x displaces one of its own prefix, at this level and those before
	for level := range x.within {
		count, most := map[netip.Prefix]int{}, 0
		for _, c := range among {
			count[c.within[level]]++
			most = max(most, count[c.within[level]])
		}
		// A prefix with one place less would only exchange ranks with the fullest, as often as
		// it connects. Without a place it has none of its own to give.
		n := count[x.within[level]]
		own = own && n > 0 && n >= most-1
		among = slices.DeleteFunc(among, func(c *conn) bool {
			if own {
				return c.within[level] != x.within[level]
			}
			return count[c.within[level]] < most
		})
	}
	oldest := slices.MinFunc(among, func(a, b *conn) int { return cmp.Compare(a.number, b.number) })
	if own && x.since.Sub(oldest.since) < leastWait {
		return nil
	}
	return oldest
}

// within returns the prefixes that an address is counted by.
func within(a net.Addr) []netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		t = &net.TCPAddr{}
	}
	return Prefixes(t.AddrPort().Addr(), bits4, bits6)
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// abort closes the connection at once: the kernel keeps nothing of it.
func (c *conn) abort() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Conn.Close()
}
