package sockets

import (
	"os"
	"strconv"
	"strings"
)

// usualSpeed is assumed for an interface whose driver reports none, Mb/s.
// chronyd assumes the same.
const usualSpeed = 1000

func newLink(name string) *link {
	l := new(link)
	l.speed.Store(usualSpeed)
	l.refresh(name)
	return l
}

// refresh asks the driver for the speed. If it has none to report (no carrier,
// or never), the last known speed stays.
func (l *link) refresh(name string) {
	b, err := os.ReadFile("/sys/class/net/" + name + "/speed")
	if err != nil {
		return
	}
	if mbps, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && mbps > 0 && mbps < 1<<32-1 {
		l.speed.Store(mbps)
	}
}
