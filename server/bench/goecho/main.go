// Command goecho is a UDP server in Go on one core that answers every request with
// a packet of the same length, with a choice of system calls. It measures the
// lowest CPU time per answer that a Go server can reach on this kernel.
//
//	goecho [-b BATCH] netudp|mmsg|mmsg-ts|mmsg-raw
package main

import (
	"flag"
	"log"
	"net"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func fix(p []byte) {
	p[0], p[1] = 0x24, 1
	copy(p[24:32], p[40:48])
}

func netudp() {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 123})
	if err != nil {
		log.Fatal(err)
	}
	b := make([]byte, 2048)
	for {
		var a netip.AddrPort
		n, a, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			log.Fatal(err)
		}
		if n < 48 {
			continue
		}
		fix(b)
		c.WriteToUDPAddrPort(b[:n], a)
	}
}

type mmsg struct {
	h unix.Msghdr
	n uint32
	_ uint32
}

// mmsgLoop calls the kernel directly on a blocking socket, without the runtime's
// network poller and, with raw, without notifying its scheduler.
func mmsgLoop(batch int, raw, ts bool) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := unix.Bind(s, &unix.SockaddrInet4{Port: 123}); err != nil {
		log.Fatal(err)
	}
	if ts {
		unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	m := make([]mmsg, batch)
	iv := make([]unix.Iovec, batch)
	sa := make([]unix.RawSockaddrInet4, batch)
	bufs := make([][2048]byte, batch)
	oob := make([][64]byte, batch)
	call := unix.Syscall6
	if raw {
		call = unix.RawSyscall6
	}
	for {
		for i := range m {
			iv[i].Base, iv[i].Len = &bufs[i][0], 2048
			h := &m[i].h
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&sa[i])), 16
			h.Iov, h.Iovlen = &iv[i], 1
			h.Flags = 0
			if ts {
				h.Control, h.Controllen = &oob[i][0], 64
			}
		}
		n, _, e := call(unix.SYS_RECVMMSG, uintptr(s), uintptr(unsafe.Pointer(&m[0])), uintptr(batch), unix.MSG_WAITFORONE, 0, 0)
		if e != 0 {
			if e == unix.EINTR {
				continue
			}
			log.Fatal(e)
		}
		for i := 0; i < int(n); i++ {
			iv[i].Len = uint64(m[i].n)
			m[i].h.Control, m[i].h.Controllen = nil, 0
			fix(bufs[i][:])
		}
		for k := uintptr(0); k < n; {
			r, _, e := call(unix.SYS_SENDMMSG, uintptr(s), uintptr(unsafe.Pointer(&m[k])), n-k, 0, 0, 0)
			if e != 0 || r == 0 {
				break
			}
			k += r
		}
	}
}

func main() {
	batch := flag.Int("b", 64, "batch")
	flag.Parse()
	runtime.LockOSThread()
	switch flag.Arg(0) {
	case "netudp":
		netudp()
	case "mmsg":
		mmsgLoop(*batch, false, false)
	case "mmsg-ts":
		mmsgLoop(*batch, false, true)
	case "mmsg-raw":
		mmsgLoop(*batch, true, false)
	default:
		flag.Usage()
		os.Exit(2)
	}
}
