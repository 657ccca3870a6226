package sockets

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"noonmark/server/network"
)

// find looks for the interfaces with a PTP hardware clock beneath the address, and
// sets up their timestamps. Without the permission to change one it takes what is set
// up already.
func (c *Cards) find(links network.Links) []Card {
	if c.cfg.Stamps == Off || c.cfg.Stamps == Software {
		return nil
	}
	candidates := []network.Link(links)
	if c.cfg.Interface != "" {
		at, _ := links.Named(c.cfg.Interface)
		candidates = links.Beneath(at.Index)
	}
	var found []Card
	for _, l := range candidates {
		if c.cfg.Interface == "" && !bottom(links, l) {
			continue
		}
		card := Card{Interface: l.Name, Index: l.Index}
		for _, u := range links.Above(l.Index) {
			above := upper{index: uint32(u.Index)}
			if u.Tagged {
				above.tag = tagLen
			}
			card.above = append(card.above, above)
		}
		found = append(found, card)
	}
	return c.examine(found)
}

// bottom reports whether an interface lies on no other.
func bottom(links network.Links, l network.Link) bool {
	return slices.Equal(links.Beneath(l.Index), []network.Link{l})
}

// again looks at the known cards.
func (c *Cards) again() []Card { return c.examine(slices.Clone(c.List())) }

// examine asks the drivers of cards, sets up what is missing, and returns those that
// have a clock.
func (c *Cards) examine(cards []Card) []Card {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var old []Card
	if p := c.list.Load(); p != nil {
		old = *p
	}
	with := cards[:0]
	for _, card := range cards {
		info, err := unix.IoctlGetEthtoolTsInfo(fd, card.Interface)
		if err != nil || info.Phc_index < 0 {
			continue
		}
		card.PHC = info.Phc_index
		if i := slices.IndexFunc(old, card.same); i >= 0 {
			card.link, card.rest, card.now = old[i].link, old[i].rest, old[i].now
			card.link.refresh(card.Interface)
		} else {
			card.link = newLink(card.Interface)
		}
		card.enable(fd, info, c.widen)
		with = append(with, card)
	}
	return with
}

// widen changes the setting of a card, itself or by the process that may.
func (c *Cards) widen(name string) (Setting, error) {
	got, err := Widen(name)
	if errors.Is(err, unix.EPERM) && c.cfg.Widen != nil {
		return c.cfg.Widen(name)
	}
	return got, err
}

// errPTPOnly explains why a card has no receive timestamps for NTP.
var errPTPOnly = errors.New("driver timestamps PTP packets only")

// enable asks the driver to timestamp all received UDP datagrams, and sent ones
// on request.
func (c *Card) enable(fd int, info *unix.EthtoolTsInfo, widen func(string) (Setting, error)) {
	now, ok := currentStamps(fd, c.Interface)
	if !ok { // what was set stays, as far as anybody can know
		now = c.now
	}
	want, all := wantedStamps(info.Rx_filters, info.Tx_types, now)
	c.Err, c.set = nil, false
	if !all {
		c.Err = errPTPOnly
	}
	if want != now && c.rest.over() {
		got, err := widen(c.Interface)
		if err != nil && c.Err == nil {
			c.Err = err
		}
		if got != (Setting{}) {
			c.set, now = got != now, got
		}
	} else if want == now {
		c.rest = rest{}
	}
	c.now = now
	c.Receive, c.Transmit = stampsAll(now.Receive), now.Transmit == unix.HWTSTAMP_TX_ON
	switch {
	case c.Receive:
		c.Err = nil
	case c.Err == nil:
		c.Err = errNotSet
	}
}

// errNotSet explains why a card has no receive timestamps between two attempts.
var errNotSet = errors.New("another program has switched them off")

// currentStamps returns the setting of a card. ok is false for a driver that cannot
// report it.
func currentStamps(fd int, name string) (s Setting, ok bool) {
	now, err := unix.IoctlGetHwTstamp(fd, name)
	if err != nil {
		return s, false
	}
	return Setting{now.Rx_filter, now.Tx_type}, true
}

// Widen asks the driver of an interface to timestamp all received UDP datagrams, and
// sent ones on request, and returns what it does now. It makes nothing narrower than
// others have set it. If the driver refuses the first or lacks a filter for it, Widen
// asks for the second alone. It needs CAP_NET_ADMIN.
func Widen(name string) (Setting, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Setting{}, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolTsInfo(fd, name)
	if err != nil {
		return Setting{}, os.NewSyscallError("ioctl ETHTOOL_GET_TS_INFO", err)
	}
	now, _ := currentStamps(fd, name)
	want, _ := wantedStamps(info.Rx_filters, info.Tx_types, now)
	var first error
	for _, try := range []Setting{want, {now.Receive, want.Transmit}} {
		if try == now {
			break
		}
		set := unix.HwTstampConfig{Tx_type: try.Transmit, Rx_filter: try.Receive}
		err := unix.IoctlSetHwTstamp(fd, name, &set)
		if err == nil {
			return Setting{set.Rx_filter, set.Tx_type}, first
		}
		if first == nil {
			first = os.NewSyscallError("ioctl SIOCSHWTSTAMP", err)
		}
	}
	return now, first
}

// stampsAll reports whether a receive filter includes every UDP datagram.
func stampsAll(filter int32) bool {
	return filter == unix.HWTSTAMP_FILTER_NTP_ALL || filter == unix.HWTSTAMP_FILTER_ALL
}

// wantedStamps returns what to ask of a driver that has these receive filters
// and transmit types (bit masks of ethtool_ts_info, include/uapi/linux/ethtool.h)
// and now the given setting. all: that includes every received datagram.
func wantedStamps(filters, types uint32, now Setting) (want Setting, all bool) {
	want = now
	if types&(1<<unix.HWTSTAMP_TX_ON) != 0 {
		want.Transmit = unix.HWTSTAMP_TX_ON
	}
	if stampsAll(now.Receive) {
		return want, true
	}
	for _, f := range [...]int32{unix.HWTSTAMP_FILTER_NTP_ALL, unix.HWTSTAMP_FILTER_ALL} {
		if filters&(1<<uint(f)) != 0 {
			want.Receive = f
			return want, true
		}
	}
	return want, false
}

// noHardware says why there are no hardware timestamps on an interface, or on any.
func noHardware(name string, cards []Card) error {
	where := "any interface"
	if name != "" {
		where = name
	}
	for _, c := range cards {
		if c.Err != nil {
			return fmt.Errorf("%w on %s (%s: %w)", ErrNoHardware, where, c.Interface, c.Err)
		}
	}
	return fmt.Errorf("%w on %s: no card beneath it has a clock; want timestamps = \"auto\" or another interface", ErrNoHardware, where)
}
