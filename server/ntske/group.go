package ntske

import "net/netip"

// group has the connections of one prefix, and the groups of the longer prefixes in it. Only
// groups of the longest prefixes have connections themselves. The zero value is that of
// all addresses.
type group struct {
	prefix  netip.Prefix
	up      *group // of the shorter prefix that contains it; nil: none does
	n       int    // connections
	waiting fifo[conn]
	hellos  fifo[conn]

	turns fifo[group] // groups in it with connections in phase forHello, in the order of their turns
	turn  link[group]

	sizes fifo[sizeClass] // groups in it by number of connections, the fewest first
	class *sizeClass
	equal link[group] // in class
}

// sizeClass has groups with the same number of connections beside each other, in the order in
// which they came to it.
type sizeClass struct {
	n      int
	groups fifo[group]
	order  link[sizeClass]
}

func newGroup(p netip.Prefix, up *group) *group {
	g := &group{prefix: p, up: up}
	g.turn.of, g.equal.of = g, g
	return g
}

// most returns the number of connections of the fullest group in g.
func (g *group) most() int {
	if s := g.sizes.last(); s != nil {
		return s.n
	}
	return 0
}

// longestWait returns the connection that has waited longest for its client, or else for its
// turn, in the fullest group in g that has such a connection; nil if there is none. Groups in g
// with fewer than least connections give none. Inside the others all groups may, the fullest first:
// one whose connections all wait for the server must not protect those of its neighbours.
func (g *group) longestWait(least int) *conn {
	for s := g.sizes.tail; s != nil && s.of.n >= least; s = s.prev {
		for l := s.of.groups.head; l != nil; l = l.next {
			if c := l.of.longestWait(0); c != nil {
				return c
			}
		}
	}
	if c := g.waiting.first(); c != nil {
		return c
	}
	return g.hellos.first()
}

// count notes that g, and the groups that contain it, have d connections more: 1 or -1.
func (g *group) count(d int) {
	for ; g.up != nil; g = g.up {
		g.n += d
		g.sort()
	}
	g.n += d
}

// sort puts g among the groups with as many connections, next to where it was.
func (g *group) sort() {
	was, all := g.class, &g.up.sizes
	var before *link[sizeClass] // the last with fewer connections
	if was != nil {
		for before = &was.order; before != nil && before.of.n >= g.n; {
			before = before.prev
		}
	}
	g.equal.remove()
	g.class = nil
	if g.n > 0 {
		next := all.head
		if before != nil {
			next = before.next
		}
		if next == nil || next.of.n != g.n {
			s := &sizeClass{n: g.n}
			s.order.of = s
			next = &s.order
			all.insert(next, before)
		}
		g.class = next.of
		g.class.groups.push(&g.equal)
	}
	if was != nil && was.groups.first() == nil {
		was.order.remove()
	}
}

// queue lets g take turns, and the groups that contain it.
func (g *group) queue() {
	for ; g.up != nil && g.turn.in == nil; g = g.up {
		g.up.turns.push(&g.turn)
	}
}

// dequeue takes g, and the groups that contain it, from the turns if they have no complete
// hello.
func (g *group) dequeue() {
	for ; g.up != nil && g.hellos.first() == nil && g.turns.first() == nil; g = g.up {
		g.turn.remove()
	}
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

func (q *fifo[T]) last() *T {
	if q.tail == nil {
		return nil
	}
	return q.tail.of
}

func (q *fifo[T]) push(l *link[T]) { q.insert(l, q.tail) }

// insert puts l behind another one; behind none, it is the first.
func (q *fifo[T]) insert(l, before *link[T]) {
	l.in, l.prev, l.next = q, before, q.head
	if before == nil {
		q.head = l
	} else {
		l.next = before.next
		before.next = l
	}
	if l.next == nil {
		q.tail = l
	} else {
		l.next.prev = l
	}
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
