package sockets

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// setupCards enables hardware timestamps on the interfaces that cfg receives
// from, and returns those with a clock.
func setupCards(cfg Config) ([]Card, error) {
	if cfg.Stamps == Off || cfg.Stamps == Software {
		return nil, nil
	}
	cards, err := openCards(cfg.Interface)
	if err != nil {
		return nil, err
	}
	why := ErrNoHardware
	for _, c := range cards {
		if c.Receive {
			return cards, nil
		}
		if c.Err != nil {
			why = fmt.Errorf("%w (%s: %w)", ErrNoHardware, c.Interface, c.Err)
		}
	}
	if cfg.Stamps == Hardware {
		return nil, why
	}
	return cards, nil
}

// openCards enables timestamps on all interfaces with a PTP hardware clock, or
// on the one with this name. Without the permission to change an interface it
// returns what is enabled already.
func openCards(name string) ([]Card, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	var cards []Card
	found := name == ""
	for _, ifi := range list {
		if name != "" && ifi.Name != name {
			continue
		}
		found = true
		info, err := unix.IoctlGetEthtoolTsInfo(fd, ifi.Name)
		if err != nil || info.Phc_index < 0 {
			continue
		}
		c := Card{Interface: ifi.Name, Index: ifi.Index, PHC: info.Phc_index, link: newLink(ifi.Name)}
		c.enable(fd, info)
		cards = append(cards, c)
	}
	if !found {
		return nil, fmt.Errorf("interface %s: %w", name, unix.ENODEV)
	}
	return cards, nil
}

// errPTPOnly explains why a card has no receive timestamps for NTP.
var errPTPOnly = errors.New("driver timestamps PTP packets only")

// enable asks the driver to timestamp all received UDP datagrams, and sent ones
// on request. If it refuses or lacks a filter for the first, enable asks for the
// second alone and leaves the receive filter as others set it.
func (c *Card) enable(fd int, info *unix.EthtoolTsInfo) {
	now, err := unix.IoctlGetHwTstamp(fd, c.Interface)
	if err != nil { // old drivers cannot report it
		now = &unix.HwTstampConfig{Tx_type: unix.HWTSTAMP_TX_OFF, Rx_filter: unix.HWTSTAMP_FILTER_NONE}
	}
	want, all := wantedStamps(info.Rx_filters, info.Tx_types, *now)
	if !all {
		c.Err = errPTPOnly
	}
	got := *now
	for _, try := range []unix.HwTstampConfig{want, {Tx_type: want.Tx_type, Rx_filter: now.Rx_filter}} {
		if try.Tx_type == now.Tx_type && try.Rx_filter == now.Rx_filter {
			break
		}
		set := try
		err := unix.IoctlSetHwTstamp(fd, c.Interface, &set)
		if err == nil {
			got = set
			break
		}
		if c.Err == nil {
			c.Err = os.NewSyscallError("ioctl SIOCSHWTSTAMP", err)
		}
	}
	c.Receive = stampsAll(got.Rx_filter)
	c.Transmit = got.Tx_type == unix.HWTSTAMP_TX_ON
	if c.Receive {
		c.Err = nil
	}
}

// stampsAll reports whether a receive filter includes every UDP datagram.
func stampsAll(filter int32) bool {
	return filter == unix.HWTSTAMP_FILTER_NTP_ALL || filter == unix.HWTSTAMP_FILTER_ALL
}

// wantedStamps returns what to ask of a driver that has these receive filters
// and transmit types (bit masks of ethtool_ts_info, include/uapi/linux/ethtool.h)
// and now the given setting. all: that includes every received datagram.
func wantedStamps(filters, types uint32, now unix.HwTstampConfig) (want unix.HwTstampConfig, all bool) {
	want = unix.HwTstampConfig{Tx_type: now.Tx_type, Rx_filter: now.Rx_filter}
	if types&(1<<unix.HWTSTAMP_TX_ON) != 0 {
		want.Tx_type = unix.HWTSTAMP_TX_ON
	}
	if stampsAll(now.Rx_filter) {
		return want, true
	}
	for _, f := range [...]int32{unix.HWTSTAMP_FILTER_NTP_ALL, unix.HWTSTAMP_FILTER_ALL} {
		if filters&(1<<uint(f)) != 0 {
			want.Rx_filter = f
			return want, true
		}
	}
	return want, false
}
