package sockets

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// setupCards finds the interfaces that concern cfg and makes them stamp.
func setupCards(cfg Config) ([]Stamping, error) {
	if cfg.Stamps == Off || cfg.Stamps == Software {
		return nil, nil
	}
	all, err := Interfaces(cfg.Interface)
	if err != nil {
		return nil, err
	}
	why := ErrNoHardware
	for _, s := range all {
		if s.Receive {
			return all, nil
		}
		if s.Err != nil {
			why = fmt.Errorf("%w (%s: %w)", ErrNoHardware, s.Interface, s.Err)
		}
	}
	if cfg.Stamps == Hardware {
		return nil, why
	}
	return all, nil
}

// Interfaces tells what the interfaces with a PTP hardware clock stamp, all of
// them or the one named, after telling each to stamp all it can. A process that
// may not tell them takes what is set.
func Interfaces(name string) ([]Stamping, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	var out []Stamping
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
		s := Stamping{Interface: ifi.Name, Index: ifi.Index, PHC: info.Phc_index, link: newLink(ifi.Name)}
		s.setup(fd, info)
		out = append(out, s)
	}
	if !found {
		return nil, fmt.Errorf("interface %s: %w", name, unix.ENODEV)
	}
	return out, nil
}

// errPTPOnly is why a card gives no receive stamps.
var errPTPOnly = errors.New("driver stamps PTP packets only")

// setup asks the driver for stamps on all received UDP datagrams and on those
// sent that ask for one. Where it has no filter for the first, or refuses it, the
// second is worth having alone; whatever is received stays as others set it.
func (s *Stamping) setup(fd int, info *unix.EthtoolTsInfo) {
	now, err := unix.IoctlGetHwTstamp(fd, s.Interface)
	if err != nil { // an old driver: it cannot tell
		now = &unix.HwTstampConfig{Tx_type: unix.HWTSTAMP_TX_OFF, Rx_filter: unix.HWTSTAMP_FILTER_NONE}
	}
	want, all := wanted(info.Rx_filters, info.Tx_types, *now)
	if !all {
		s.Err = errPTPOnly
	}
	got := *now
	for _, try := range []unix.HwTstampConfig{want, {Tx_type: want.Tx_type, Rx_filter: now.Rx_filter}} {
		if try.Tx_type == now.Tx_type && try.Rx_filter == now.Rx_filter {
			break
		}
		set := try
		err := unix.IoctlSetHwTstamp(fd, s.Interface, &set)
		if err == nil {
			got = set
			break
		}
		if s.Err == nil {
			s.Err = os.NewSyscallError("ioctl SIOCSHWTSTAMP", err)
		}
	}
	s.Receive = stampsAll(got.Rx_filter)
	s.Transmit = got.Tx_type == unix.HWTSTAMP_TX_ON
	if s.Receive {
		s.Err = nil
	}
}

// stampsAll reports whether a filter lets the card stamp every UDP datagram.
func stampsAll(filter int32) bool {
	return filter == unix.HWTSTAMP_FILTER_NTP_ALL || filter == unix.HWTSTAMP_FILTER_ALL
}

// wanted is what to ask of a driver that has these filters and types (bit masks,
// ethtool_ts_info in include/uapi/linux/ethtool.h) and stamps as now; all tells
// whether that includes every datagram received.
func wanted(filters, types uint32, now unix.HwTstampConfig) (want unix.HwTstampConfig, all bool) {
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
