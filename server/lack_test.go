package server

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"noonmark/server/network"
	"noonmark/server/transport/sockets"
)

func TestLackOfAnEndpoint(t *testing.T) {
	t.Parallel()
	up := network.Link{Index: 3, Name: "wan0", Up: true, Carrier: true}
	with := func(edit func(*network.Link)) network.Links {
		l := up
		edit(&l)
		return network.Links{{Index: 1, Name: "lo", Up: true, Carrier: true}, l}
	}
	none := errors.New("none")
	for _, c := range []struct {
		name  string
		o     outside
		links network.Links
		lack  Lack
		again bool
	}{
		{"removed", outside{bound: 3, name: "wan0", addressed: true}, network.Links{}, NoInterface, true},
		{"made anew", outside{bound: 3, name: "wan0", addressed: true}, with(func(l *network.Link) { l.Index = 4 }), NoInterface, true},
		{"renamed", outside{bound: 3, name: "wan0", addressed: true}, with(func(l *network.Link) { l.Name = "wan1" }), NoInterface, true},
		{"another in its place", outside{bound: 3, name: "wan9", addressed: true}, with(func(*network.Link) {}), NoInterface, true},
		{"zone by index, removed", outside{bound: 5, addressed: true}, with(func(*network.Link) {}), NoInterface, true},
		{"switched off, and no address", outside{bound: 3, name: "wan0"}, with(func(l *network.Link) { l.Up, l.Carrier = false, false }), LinkDown, false},
		{"no carrier", outside{bound: 3, name: "wan0", addressed: true, stamps: none}, with(func(l *network.Link) { l.Carrier = false }), NoCarrier, false},
		{"no address, of any interface", outside{addr: netip.MustParseAddr("192.0.2.1")}, network.Links{}, NoAddress, false},
		{"no stamps", outside{bound: 3, name: "wan0", addressed: true, stamps: none}, with(func(*network.Link) {}), NoStamps, false},
		{"zone by index", outside{bound: 3, addressed: true}, with(func(l *network.Link) { l.Name = "wan1" }), Nothing, false},
		{"all is there", outside{bound: 3, name: "wan0", addressed: true}, with(func(*network.Link) {}), Nothing, false},
		{"any interface", outside{addressed: true}, network.Links{}, Nothing, false},
	} {
		lack, why, again := c.o.judge(c.links)
		if lack != c.lack || again != c.again || (why == nil) != (lack == Nothing) {
			t.Errorf("%s: %v, %v, again %v; want %v, %v", c.name, lack, why, again, c.lack, c.again)
		}
	}
	for _, c := range []struct {
		err  error
		want Lack
	}{
		{errors.New("another"), Failed}, {syscall.ENOBUFS, Failed}, {syscall.ENODEV, NoInterface}, {sockets.ErrNoZone, NoInterface}, {errRemade, NoInterface},
		{sockets.ErrNoHardware, NoStamps}, {syscall.EADDRINUSE, AddressInUse}, {syscall.EADDRNOTAVAIL, NoAddress}, {syscall.EAFNOSUPPORT, NoFamily},
		{syscall.EACCES, NotPermitted}, {syscall.EPERM, NotPermitted}, {nil, Nothing},
	} {
		var err error
		if c.err != nil {
			err = fmt.Errorf("listen: %w", c.err)
		}
		if got := lackOf(err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	for l := range numLacks {
		if l.String() == "" || l.String() == "unknown" {
			t.Errorf("lack %d has no word", l)
		}
	}
}
