package main

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// probed is what a probe measured: round trips in us, answers missing; and beside which
// load, 1/s.
type probed struct {
	Sent, Lost int
	RTT        []float64
	Load       float64
}

// probe sends plain NTP requests at a rate for a while, each at its time whatever
// came of the one before, and prints the round trips. It runs as a process of its
// own, on a real-time thread where that is permitted. The other threads of the process
// are not: those of the Go runtime would take the processor from the server.
func probe(to netip.AddrPort, rate float64, d time.Duration) error {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return err
	}
	n := int(rate * d.Seconds())
	sent := make([]int64, n)
	w := probed{Sent: n}
	answered := make([]bool, n)
	buf, oob := make([]byte, 256), make([]byte, 64)
	receive := func() {
		for {
			k, on, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if k < 48 || on < 32 {
				continue
			}
			i := int(binary.BigEndian.Uint64(buf[24:])) - 1 // origin timestamp
			if i < 0 || i >= n || answered[i] {
				continue
			}
			answered[i] = true
			at := int64(binary.NativeEndian.Uint64(oob[16:]))*1e9 + int64(binary.NativeEndian.Uint64(oob[24:]))
			w.RTT = append(w.RTT, float64(at-sent[i])/1e3)
		}
	}
	req := make([]byte, 48)
	req[0] = 4<<3 | 3
	start := time.Now()
	poll := func(until time.Time) {
		for {
			left := time.Until(until)
			if left <= 0 {
				return
			}
			ts := unix.NsecToTimespec(int64(left))
			unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &ts, nil)
			receive()
		}
	}
	for i := range n {
		poll(start.Add(time.Duration(float64(i) / rate * 1e9)))
		binary.BigEndian.PutUint64(req[40:], uint64(i+1))
		sent[i] = time.Now().UnixNano()
		unix.Write(fd, req)
	}
	poll(time.Now().Add(time.Second))
	w.Lost = n - len(w.RTT)
	slices.Sort(w.RTT)
	return json.NewEncoder(os.Stdout).Encode(&w)
}

// at is a quantile of the round trips, us.
func (w *probed) at(p float64) float64 {
	if len(w.RTT) == 0 {
		return 0
	}
	return w.RTT[int(p*float64(len(w.RTT)-1)+0.5)]
}
