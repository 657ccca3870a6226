package ntske

import (
	"net/netip"
	"time"

	"noonmark/server/crowd"
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
//
// Both hold for short prefixes first, then for the longer ones in them: whoever has a
// whole network of many prefixes has one share of the places, and one turn.
type places struct {
	max          int // connections
	perPrefix    int // connections of one of the longest prefixes; 0 = max
	bits4, bits6 int // lengths of the longest prefixes

	all     group
	groups  map[netip.Prefix]*group
	open    fifo[conn] // unfinished, in the order of admission: of their deadlines
	answers fifo[conn] // in phase forAnswer
	closing fifo[conn] // in phase forClose
}

// leastWait is how long a connection has waited for its client before another one of
// the same prefix may take its place: less, and clients that all come at once would
// take them from each other.
const leastWait = 250 * time.Millisecond

func newPlaces(max, perPrefix, bits4, bits6 int) *places {
	return &places{max: max, perPrefix: perPrefix, bits4: bits4, bits6: bits6, groups: map[netip.Prefix]*group{}}
}

// group returns the group of the longest prefix that an address is counted by. It makes those
// that are missing; prune removes them again if they stay without connections.
func (p *places) group(a netip.Addr) *group {
	up := &p.all
	for _, x := range crowd.Prefixes(a, p.bits4, p.bits6) {
		g := p.groups[x]
		if g == nil {
			g = newGroup(x, up)
			p.groups[x] = g
		}
		up = g
	}
	return up
}

// admit gives c a place and returns Served, or why there is none. displaced is the
// connection that has to make room, if any; the caller closes it.
func (p *places) admit(c *conn, now time.Time) (displaced *conn, r Reason) {
	g := p.group(c.remote.Addr())
	defer p.prune(g)
	if p.perPrefix > 0 && g.n >= p.perPrefix {
		return nil, AddressCap
	}
	if p.all.n >= p.max {
		if displaced = p.victim(g, now); displaced == nil {
			return nil, ConnectionCap
		}
	}
	g.count(1)
	c.group, c.phase, c.since = g, forClient, now
	g.waiting.push(&c.byPhase)
	p.open.push(&c.byAge)
	if displaced != nil {
		// It may be the last one of g, which would be forgotten before c was counted.
		p.leave(displaced)
	}
	return displaced, Served
}

// victim returns the connection that makes room for one of g, nil if there is none.
func (p *places) victim(g *group, now time.Time) *conn {
	if c := p.closing.first(); c != nil {
		return c
	}
	// A prefix with one place less would only exchange ranks with the fullest, as often as
	// it connects. Without a place it has none of its own to give.
	own, at := true, g
	for x := g; x.up != nil; x = x.up {
		if x.n == 0 || x.n < x.up.most()-1 {
			own, at = false, x.up
		}
	}
	if !own {
		return at.longestWait(at.most()) // only the fullest: others have no more than their share
	}
	if c := g.waiting.first(); c != nil && now.Sub(c.since) >= leastWait {
		return c
	}
	return nil
}

// move puts c into another phase.
func (p *places) move(c *conn, to phase, now time.Time) {
	c.byPhase.remove()
	c.group.dequeue()
	c.phase, c.since = to, now
	switch to {
	case forClient:
		c.group.waiting.push(&c.byPhase)
	case forHello:
		c.group.hellos.push(&c.byPhase)
		c.group.queue()
	case forAnswer:
		p.answers.push(&c.byPhase)
	case forClose:
		c.byAge.remove()
		p.closing.push(&c.byPhase)
	}
}

// leave frees the place of c.
func (p *places) leave(c *conn) {
	c.byPhase.remove()
	c.byAge.remove()
	c.group.dequeue()
	c.phase = gone
	c.group.count(-1)
	p.prune(c.group)
}

// prune forgets g, and the prefixes that contain it, if they have no connections.
func (p *places) prune(g *group) {
	for ; g.up != nil && g.n == 0; g = g.up {
		delete(p.groups, g.prefix)
	}
}

// answered returns a connection whose client has answered, nil if there is none.
func (p *places) answered() *conn { return p.answers.first() }

// waits reports whether a connection waits for its turn.
func (p *places) waits() bool { return p.all.turns.first() != nil }

// turn returns the connection whose handshake is to begin, nil if there is none, and
// passes the turn to the next prefix.
func (p *places) turn() *conn {
	g := &p.all
	for next := g.turns.first(); next != nil; next = g.turns.first() {
		next.turn.remove()
		g.turns.push(&next.turn)
		g = next
	}
	return g.hellos.first()
}
