// Package crowd limits the open connections of a listener so that nobody keeps others
// out by holding connections. netutil.LimitListener lets everybody wait until a place is
// free, and whoever connects and stays silent decides when that is.
package crowd

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Lengths of the prefixes that connections are counted by: a subscriber of a network
// usually has as much.
const (
	bits4 = 32
	bits6 = 56
)

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
// that of the oldest one of the prefix that has the most, or of its own prefix if that
// would have as many then.
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
	prefix netip.Prefix
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
		x := &conn{Conn: c, of: l, prefix: prefixOf(c.RemoteAddr()), since: time.Now()}
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
func (l *Listener) victim(x *conn) (oldest *conn) {
	count, most := map[netip.Prefix]int{}, 0
	for c := range l.open {
		count[c.prefix]++
		most = max(most, count[c.prefix])
	}
	// A prefix with one place less would only exchange ranks with the fullest, as often as
	// it connects. Without a place it has none of its own to give.
	own := count[x.prefix] > 0 && count[x.prefix] >= most-1
	for c := range l.open {
		if own && c.prefix != x.prefix || !own && count[c.prefix] < most {
			continue
		}
		if oldest == nil || c.number < oldest.number {
			oldest = c
		}
	}
	if own && x.since.Sub(oldest.since) < leastWait {
		return nil
	}
	return oldest
}

// prefixOf returns the prefix that an address is counted by.
func prefixOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := t.AddrPort().Addr().Unmap().WithZone("")
	bits := bits4
	if addr.Is6() {
		bits = bits6
	}
	p, _ := addr.Prefix(bits) // no error with these lengths
	return p
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
