package sockets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"noonmark/server/network"
)

// rcvBuf is the least size of the receive buffer in octets. It holds about 1500
// plain requests with the kernel's overhead, 5 ms of a flood. In a larger buffer
// requests would become late instead of lost.
const rcvBuf = 1 << 20

// Listen opens the sockets of an address. It asks the drivers of the interfaces
// concerned for hardware timestamps, if the process has the permission; Cards
// shows the result. Errors wrap the system's error.
func Listen(cfg Config) ([]*Conn, error) {
	conns, err := listen(cfg)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	return conns, nil
}

func listen(cfg Config) (conns []*Conn, err error) {
	links, err := network.Read()
	if err != nil {
		return nil, err
	}
	if cfg.Interface != "" {
		if _, ok := links.Named(cfg.Interface); !ok {
			return nil, fmt.Errorf("interface %s: %w", cfg.Interface, unix.ENODEV)
		}
	}
	cards := newCards(cfg, links)
	if err := cards.Problem(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			conns = nil
		}
	}()
	n := max(1, cfg.Sockets)
	for i := range n {
		c, err := open(cfg, cards, i > 0)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		cfg.Addr = c.addr // a free port is chosen once
		if i == 0 && n > 1 {
			// Only after the first bind, which finds an address that another
			// program uses: two sockets share one only if both have the option.
			if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
				return conns, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
			}
		}
	}
	if n > 1 {
		err = distribute(conns[0].fd, cfg.Addr.Addr().Is4(), n)
	}
	return conns, err
}

// open opens one socket and binds it to cfg.Addr.
func open(cfg Config, cards *Cards, reuse bool) (_ *Conn, err error) {
	family := unix.AF_INET6
	if cfg.Addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	for _, o := range socketOptions(cfg, reuse) {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return nil, os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil && n < rcvBuf {
		// The system may limit it to less, which is no error.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvBuf)
	}
	bound := 0
	if cfg.Interface != "" { // Linux 5.7 and later need no capability for it
		if err := unix.BindToDevice(fd, cfg.Interface); err != nil {
			return nil, fmt.Errorf("bind to interface %s: %w", cfg.Interface, os.NewSyscallError("setsockopt SO_BINDTODEVICE", err))
		}
		if bound, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX); err != nil {
			return nil, os.NewSyscallError("getsockopt SO_BINDTOIFINDEX", err)
		}
	}
	flags, txFlags, err := enableStamps(fd, cfg.Stamps)
	if err != nil {
		return nil, err
	}
	if !cfg.Addr.Addr().IsUnspecified() { // an address that comes later is served when it comes
		if family == unix.AF_INET {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		} else {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		}
	}
	addr, err := bind(fd, cfg.Addr)
	if err != nil {
		return nil, err
	}
	if sa, err := unix.Getsockname(fd); err == nil && bound == 0 {
		if sa6, ok := sa.(*unix.SockaddrInet6); ok {
			bound = int(sa6.ZoneId)
		}
	}
	c := &Conn{fd: fd, addr: addr, bound: bound, shared: cards, rxLatency: int64(cfg.ReceiveLatency), txLatency: int64(cfg.TransmitLatency)}
	c.stamps.flags, c.stamps.txFlags = flags, txFlags
	c.init()
	return c, nil
}

// socketOption is an integer option of setsockopt(2).
type socketOption struct {
	level, option, value int
	name                 string
}

// socketOptions returns the options of a socket.
func socketOptions(cfg Config, reuse bool) (opts []socketOption) {
	if reuse {
		opts = append(opts, socketOption{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT"})
	}
	// Answers are short enough for every link of 1280 octets and need no fragments,
	// with which others could mix their own. A datagram that must not be fragmented
	// needs no identifier either, which the kernel would take from a table that all
	// processors write to. "Probe" ignores the path MTU of ICMP messages, which
	// anybody can forge: with "want" they would make the server send fragments.
	//
	// The destination address is needed to answer from it, and to answer only what
	// was sent to this host; the interface to know whose hardware timestamp it is.
	if cfg.Addr.Addr().Is4() {
		opts = append(opts,
			socketOption{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER"},
			socketOption{unix.IPPROTO_IP, unix.IP_TOS, int(cfg.DSCP) << 2, "IP_TOS"},
			socketOption{unix.IPPROTO_IP, unix.IP_PKTINFO, 1, "IP_PKTINFO"})
		return opts
	}
	opts = append(opts,
		socketOption{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, "IPV6_V6ONLY"},
		socketOption{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(cfg.DSCP) << 2, "IPV6_TCLASS"},
		socketOption{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER"},
		socketOption{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"})
	return opts
}

// Flags of SO_TIMESTAMPING. A control message requests the transmit timestamp of
// each datagram; these flags only say how it comes back: with an identifier and
// without the datagram.
const (
	flagsSoft = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE |
		unix.SOF_TIMESTAMPING_OPT_ID | unix.SOF_TIMESTAMPING_OPT_TSONLY
	flagsHard = unix.SOF_TIMESTAMPING_RX_HARDWARE | unix.SOF_TIMESTAMPING_RAW_HARDWARE |
		unix.SOF_TIMESTAMPING_OPT_PKTINFO | unix.SOF_TIMESTAMPING_OPT_TX_SWHW
)

// enableStamps turns timestamps on. It returns the flags of the socket and those
// of a transmit timestamp request; both are 0 if there are no timestamps. Hardware
// timestamps are asked for even where no card has them: one may come later.
func enableStamps(fd int, mode Mode) (flags int, txFlags uint32, err error) {
	if mode == Off {
		return 0, 0, nil
	}
	flags, txFlags = flagsSoft, unix.SOF_TIMESTAMPING_TX_SOFTWARE
	if mode != Software {
		flags |= flagsHard
		txFlags |= unix.SOF_TIMESTAMPING_TX_HARDWARE
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, flags)
	switch {
	case err == nil:
		return flags, txFlags, nil
	case mode == Auto: // Linux before 5.1 does not have the option
		return 0, 0, nil
	}
	return 0, 0, os.NewSyscallError("setsockopt SO_TIMESTAMPING", err)
}

// HasAddress reports whether the machine has the address of cfg now, and a socket can
// use it: an IPv6 address is tested for duplicates first. It does so for lack of
// contrary evidence, too.
func HasAddress(cfg Config) bool {
	a := cfg.Addr.Addr()
	if a.IsUnspecified() {
		return true
	}
	family := unix.AF_INET6
	if a.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if cfg.Interface != "" {
		_ = unix.BindToDevice(fd, cfg.Interface)
	}
	_, err = bind(fd, netip.AddrPortFrom(a, 0))
	return !errors.Is(err, unix.EADDRNOTAVAIL)
}

// bind binds the socket and returns its address, with the port that the system
// chose if addr has none.
func bind(fd int, addr netip.AddrPort) (netip.AddrPort, error) {
	var sa unix.Sockaddr
	if addr.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	} else {
		a6 := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
		if z := addr.Addr().Zone(); z != "" {
			ifi, err := net.InterfaceByName(z)
			if err != nil {
				return addr, fmt.Errorf("%w %s: %w", ErrNoZone, z, err)
			}
			a6.ZoneId = uint32(ifi.Index)
		}
		sa = a6
	}
	if err := unix.Bind(fd, sa); err != nil {
		return addr, os.NewSyscallError("bind", err)
	}
	if addr.Port() != 0 {
		return addr, nil
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return addr, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(addr.Addr(), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(addr.Addr(), uint16(sa.Port)), nil
	}
	return addr, nil
}

// skfNetOff makes a classic BPF load count from the IP header
// (SKF_NET_OFF, include/uapi/linux/filter.h).
const skfNetOff = 0xfff00000

// distribute makes the kernel choose one of n sockets by the source address
// alone. Each client always meets the same worker: its interleaved answers need no
// memory that workers share.
func distribute(fd int, v4 bool, n int) error {
	ld := uint16(unix.BPF_LD | unix.BPF_W | unix.BPF_ABS)
	alu := func(op int, k uint32) unix.SockFilter {
		return unix.SockFilter{Code: uint16(unix.BPF_ALU | op | unix.BPF_K), K: k}
	}
	prog := []unix.SockFilter{{Code: ld, K: skfNetOff + 12}} // saddr
	if !v4 {
		// The first 64 bits of the source address, which a client cannot choose.
		prog = []unix.SockFilter{
			{Code: ld, K: skfNetOff + 8},
			{Code: uint16(unix.BPF_MISC | unix.BPF_TAX)},
			{Code: ld, K: skfNetOff + 12},
			{Code: uint16(unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X)},
		}
	}
	prog = append(prog,
		alu(unix.BPF_MUL, 0x9e3779b1), // 2^32 divided by the golden ratio
		alu(unix.BPF_RSH, 16),
		alu(unix.BPF_MOD, uint32(n)),
		unix.SockFilter{Code: uint16(unix.BPF_RET | unix.BPF_A)},
	)
	fp := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fp); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", err)
	}
	return nil
}
