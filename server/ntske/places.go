package ntske

import (
	"net/netip"
	"time"
)

// phase is what a connection waits for.
type phase uint8

const (
	forClient phase = iota // octets of the client
	forHello               // its turn: the ClientHello is complete
	forAnswer              // its turn: the client has answered the server's part of the handshake
	forClose               // the client's end: the exchange is complete
	gone                   // nothing: it has no place
)

// places are the connections that are open. Their number is bounded. While there is
// room, everybody gets a place, also a whole network behind one address. When all
// are taken, a new connection takes the place of the one that has waited longest for
// its client in the prefix that has the most, so nobody can shut out others by
// holding connections.
//
// Handshakes cost processor time, so they take turns by prefix: a prefix with
// thousands of them delays another one by one handshake.
type places struct {
	max          int // connections
	perPrefix    int // connections of one prefix; 0 = max
	bits4, bits6 int // prefix lengths

	n       int
	groups  map[netip.Prefix]*group
	open    fifo[conn]    // unfinished, in the order of admission: of their deadlines
	answers fifo[conn]    // in phase forAnswer
	closing fifo[conn]    // in phase forClose
	turns   fifo[group]   // with connections in phase forHello, in the order of their turns
	sizes   []fifo[group] // by number of connections, in the order in which they came to it
	most    int           // connections of the fullest prefix
}

// group has the connections of one prefix.
type group struct {
	prefix  netip.Prefix
	n       int
	waiting fifo[conn] // in phase forClient
	hellos  fifo[conn] // in phase forHello
	turn    link[group]
	size    link[group]
}

// leastWait is how long a connection has waited for its client before another one of
// the same prefix may take its place: less, and clients that all come at once would
// take them from each other.
const leastWait = 250 * time.Millisecond

func newPlaces(max, perPrefix, bits4, bits6 int) *places {
	return &places{
		max: max, perPrefix: perPrefix, bits4: bits4, bits6: bits6,
		groups: map[netip.Prefix]*group{}, sizes: make([]fifo[group], max+1),
	}
}

// prefix returns the prefix that an address is counted by.
func (p *places) prefix(a netip.Addr) netip.Prefix {
	a = a.WithZone("")
	bits := p.bits4
	if a.Is6() {
		bits = p.bits6
	}
	x, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: a pipe in a test
	}
	return x
}

// admit gives c a place and returns Served, or why there is none. displaced is the
// connection that has to make room, if any; the caller closes it.
func (p *places) admit(c *conn, now time.Time) (displaced *conn, r Reason) {
	key := p.prefix(c.remote.Addr())
	g := p.groups[key]
	if g == nil {
		g = &group{prefix: key}
		g.turn.of, g.size.of = g, g
	}
	if p.perPrefix > 0 && g.n >= p.perPrefix {
		return nil, AddressCap
	}
	if p.n >= p.max {
		if displaced = p.victim(g, now); displaced == nil {
			return nil, ConnectionCap
		}
		p.leave(displaced)
	}
	p.groups[key] = g
	p.resize(g, g.n+1)
	c.group, c.phase, c.since = g, forClient, now
	g.waiting.push(&c.byPhase)
	p.open.push(&c.byAge)
	return displaced, Served
}

// victim returns the connection that makes room for one of g, nil if there is none.
func (p *places) victim(g *group, now time.Time) *conn {
	if c := p.closing.first(); c != nil {
		return c
	}
	if g.n == p.most {
		c := g.waiting.first()
		if c == nil || now.Sub(c.since) < leastWait {
			return nil
		}
		return c
	}
	for l := p.sizes[p.most].head; l != nil; l = l.next {
		if c := l.of.waiting.first(); c != nil {
			return c
		}
		if c := l.of.hellos.first(); c != nil {
			return c
		}
	}
	return nil
}

// resize notes that g has n connections.
func (p *places) resize(g *group, n int) {
	p.n += n - g.n
	g.size.remove()
	if g.n = n; n > 0 {
		p.sizes[n].push(&g.size)
	}
	for p.most = max(p.most, n); p.most > 0 && p.sizes[p.most].first() == nil; {
		p.most--
	}
}

// move puts c into another phase.
func (p *places) move(c *conn, to phase, now time.Time) {
	c.byPhase.remove()
	p.tidy(c.group)
	c.phase, c.since = to, now
	switch to {
	case forClient:
		c.group.waiting.push(&c.byPhase)
	case forHello:
		if c.group.hellos.first() == nil {
			p.turns.push(&c.group.turn)
		}
		c.group.hellos.push(&c.byPhase)
	case forAnswer:
		p.answers.push(&c.byPhase)
	case forClose:
		c.byAge.remove()
		p.closing.push(&c.byPhase)
	}
}

// tidy removes a group without complete hellos from the turns.
func (p *places) tidy(g *group) {
	if g.hellos.first() == nil {
		g.turn.remove()
	}
}

// leave frees the place of c.
func (p *places) leave(c *conn) {
	c.byPhase.remove()
	c.byAge.remove()
	p.tidy(c.group)
	c.phase = gone
	if p.resize(c.group, c.group.n-1); c.group.n == 0 {
		delete(p.groups, c.group.prefix)
	}
}

// answered returns a connection whose client has answered, nil if there is none.
func (p *places) answered() *conn { return p.answers.first() }

// turn returns the connection whose handshake is to begin, nil if there is none, and
// passes the turn to the next prefix.
func (p *places) turn() *conn {
	g := p.turns.first()
	if g == nil {
		return nil
	}
	g.turn.remove()
	p.turns.push(&g.turn)
	return g.hellos.first()
}

// fifo is a list in order. The zero value is empty. What is in it is there by one of
// its links.
type fifo[T any] struct{ head, tail *link[T] }

type link[T any] struct {
	of         *T
	in         *fifo[T] // nil: none
	prev, next *link[T]
}

func (q *fifo[T]) first() *T {
	if q.head == nil {
		return nil
	}
	return q.head.of
}

func (q *fifo[T]) push(l *link[T]) {
	l.in, l.prev, l.next = q, q.tail, nil
	if q.tail == nil {
		q.head = l
	} else {
		q.tail.next = l
	}
	q.tail = l
}

func (l *link[T]) remove() {
	q := l.in
	if q == nil {
		return
	}
	if l.prev == nil {
		q.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		q.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.in, l.prev, l.next = nil, nil, nil
}
