package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Groups of changes (RTMGRP_*, include/uapi/linux/rtnetlink.h).
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR

// Attributes of a link that newer kernels have.
const iflaLinkNetNSID = 0x25 // IFLA_LINK_NETNSID: what it lies on is in another namespace

// Watch receives the kernel's messages about changes. Its methods are for one
// goroutine, Close for any.
type Watch struct{ conn *netlink.Conn }

// NewWatch begins to watch the network namespace of the calling thread.
func NewWatch() (*Watch, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, fmt.Errorf("watch network interfaces: %w", err)
	}
	return &Watch{c}, nil
}

// Close ends the watch, and a Wait that is under way.
func (w *Watch) Close() error { return w.conn.Close() }

// settle is the time in which changes that belong together arrive: a new interface,
// its name, its addresses.
const settle = 100 * time.Millisecond

// Wait returns when something has changed, and when within limit nothing has. Messages
// that the kernel had no room for count as a change.
func (w *Watch) Wait(ctx context.Context, limit time.Duration) error {
	stop := context.AfterFunc(ctx, func() { w.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	end := time.Now().Add(limit)
	for changes := 0; ctx.Err() == nil; changes++ {
		if changes == 1 {
			end = time.Now().Add(settle)
		}
		if err := w.conn.SetReadDeadline(end); err != nil {
			return fmt.Errorf("watch network interfaces: %w", err)
		}
		if ctx.Err() != nil { // its deadline may have been replaced by ours
			break
		}
		_, err := w.conn.Receive()
		switch {
		case err == nil, errors.Is(err, unix.ENOBUFS):
		case isTimeout(err):
			return ctx.Err()
		default:
			return fmt.Errorf("watch network interfaces: %w", err)
		}
	}
	return ctx.Err()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// Read returns the interfaces of the network namespace of the calling thread.
func Read() (Links, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	defer c.Close()
	msgs, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofIfInfomsg),
	})
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var list Links
	for _, m := range msgs {
		if l, ok := parseLink(m.Data); ok {
			list = append(list, l)
		}
	}
	return list, nil
}

// parseLink reads one message about an interface: a struct ifinfomsg and attributes
// (rtnetlink(7)). It skips what it does not know. ok is false for one that is
// malformed or has no name.
func parseLink(b []byte) (l Link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	flags := binary.NativeEndian.Uint32(b[8:])
	l.Up, l.Carrier = flags&unix.IFF_UP != 0, flags&unix.IFF_RUNNING != 0
	d, err := netlink.NewAttributeDecoder(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return l, false
	}
	on, elsewhere, kind := 0, false, ""
	for d.Next() {
		switch d.Type() {
		case unix.IFLA_IFNAME:
			l.Name = d.String()
		case unix.IFLA_MASTER:
			l.Master = int(d.Uint32())
		case unix.IFLA_LINK:
			on = int(d.Uint32())
		case iflaLinkNetNSID:
			elsewhere = true
		case unix.IFLA_LINKINFO:
			d.Nested(func(n *netlink.AttributeDecoder) error {
				for n.Next() {
					if n.Type() == unix.IFLA_INFO_KIND {
						kind = n.String()
					}
				}
				return nil
			})
		}
	}
	// Of other kinds IFLA_LINK is something else: of a veth, the other end.
	switch kind {
	case "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap":
		if !elsewhere {
			l.Lower = on
		}
	}
	l.Tagged = kind == "vlan"
	return l, d.Err() == nil && l.Index > 0 && l.Name != ""
}
