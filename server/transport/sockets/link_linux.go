package sockets

import (
	"os"
	"strconv"
	"strings"
)

// usualSpeed is that of a card that does not tell, Mb/s; chronyd assumes it, too.
const usualSpeed = 1000

func newLink(name string) *link {
	l := new(link)
	l.speed.Store(usualSpeed)
	l.look(name)
	return l
}

// look asks the driver. Where it cannot tell, because there is no carrier or it
// never can, what was known before stays.
func (l *link) look(name string) {
	b, err := os.ReadFile("/sys/class/net/" + name + "/speed")
	if err != nil {
		return
	}
	if mbps, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && mbps > 0 && mbps < 1<<32-1 {
		l.speed.Store(mbps)
	}
}

// LookAtLinks asks for the speed of the links anew; it may have changed with the
// cable. It may wait for the driver, and is not for the goroutine of Recv.
func (c *Conn) LookAtLinks() {
	for i := range c.cards {
		if card := &c.cards[i]; card.link != nil {
			card.link.look(card.Interface)
		}
	}
}
