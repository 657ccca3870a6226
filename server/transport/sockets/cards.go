package sockets

import (
	"slices"
	"sync/atomic"

	"noonmark/server/network"
)

// Card is a network interface with a PTP hardware clock and what it timestamps.
type Card struct {
	Interface string
	Index     int   // of the interface
	PHC       int32 // index of its PTP hardware clock
	Receive   bool  // it timestamps every received UDP datagram
	Transmit  bool  // it timestamps sent datagrams on request
	Err       error // why Receive is false

	above []upper // interfaces whose packets all pass through the card
	link  *link   // its speed; nil: unknown
	now   Setting // as its driver reports it
	set   bool    // this look at it has changed the setting
	rest  rest    // between attempts to change it
}

// upper is an interface above a card.
type upper struct {
	index uint32
	tag   int64 // octets that its frames have more on the wire
}

// tagLen is the length of a VLAN tag in octets (IEEE 802.1Q).
const tagLen = 4

// Setting is what a driver timestamps: HWTSTAMP_FILTER_* of received packets,
// HWTSTAMP_TX_* of sent ones (include/uapi/linux/net_tstamp.h).
type Setting struct{ Receive, Transmit int32 }

// rest spaces attempts that the driver refuses: some stop the link for a moment.
type rest struct{ left, next int }

// maxRest is the largest number of looks between two attempts.
const maxRest = 64

// over counts a look, and reports whether it is one for an attempt.
func (r *rest) over() bool {
	if r.left > 0 {
		r.left--
		return false
	}
	r.next = min(max(1, 2*r.next), maxRest)
	r.left = r.next
	return true
}

// match returns the number of octets that a frame has more on the wire than the kernel
// says, and whether the card received a datagram: the kernel names the card that
// timestamped it, or only the interface that it arrived on.
func (c *Card) match(ctl *control) (tag int64, ok bool) {
	ok = uint32(c.Index) == ctl.ifindex
	if ok && ctl.localIf == ctl.ifindex {
		return 0, true
	}
	for _, u := range c.above {
		if u.index == ctl.localIf {
			return u.tag, ok || ctl.ifindex == u.index
		}
	}
	return 0, ok
}

// CardEvent is what has happened to a card since the look before.
type CardEvent struct {
	Kind CardEventKind
	Card Card
}

// CardEventKind is the kind of a CardEvent.
type CardEventKind uint8

// Kinds of events.
const (
	CardFound CardEventKind = iota // a card that was not there
	CardLost                       // it is not there any more
	CardReset                      // another program had changed its timestamps, they are set up again
	CardFails                      // its timestamps are no longer set up, and cannot be (Card.Err)
)

// String returns the word for the kind of event.
func (k CardEventKind) String() string {
	if words := [...]string{"found", "lost", "reset", "failed"}; int(k) < len(words) {
		return words[k]
	}
	return "unknown"
}

// Cards are the cards beneath the sockets of an address, which share them.
type Cards struct {
	cfg  Config
	list atomic.Pointer[[]Card]
}

// newCards looks for the cards beneath an address.
func newCards(cfg Config, links network.Links) *Cards {
	c := &Cards{cfg: cfg}
	list := c.find(links)
	c.list.Store(&list)
	return c
}

// List returns the cards as the last look has found them.
func (c *Cards) List() []Card { return *c.list.Load() }

// Stamping returns the number of cards that timestamp every received datagram.
func (c *Cards) Stamping() (n int) {
	for _, card := range c.List() {
		if card.Receive {
			n++
		}
	}
	return n
}

// Look sets up timestamps again where that is necessary, reads the speed of the
// links, and returns what has happened. links nil: only known cards are looked at.
// It may wait for a driver; do not call it from the goroutine that receives.
func (c *Cards) Look(links network.Links) (events []CardEvent) {
	old := c.List()
	var now []Card
	if links != nil {
		now = c.find(links)
	} else {
		now = c.again()
	}
	for _, o := range old {
		if !slices.ContainsFunc(now, o.same) {
			events = append(events, CardEvent{CardLost, o})
		}
	}
	for _, n := range now {
		i := slices.IndexFunc(old, n.same)
		switch {
		case i < 0:
			events = append(events, CardEvent{CardFound, n})
		case old[i].Receive && !n.Receive || old[i].Transmit && !n.Transmit:
			events = append(events, CardEvent{CardFails, n})
		case n.set, n.Receive && !old[i].Receive, n.Transmit && !old[i].Transmit:
			events = append(events, CardEvent{CardReset, n})
		}
	}
	c.list.Store(&now)
	return events
}

// same reports whether two looks have seen the same card.
func (c Card) same(x Card) bool {
	return c.Index == x.Index && c.PHC == x.PHC && c.Interface == x.Interface
}

// Problem returns why no card timestamps what is received, where that was demanded.
func (c *Cards) Problem() error {
	if c.cfg.Stamps != Hardware || c.Stamping() > 0 {
		return nil
	}
	return noHardware(c.cfg.Interface, c.List())
}
