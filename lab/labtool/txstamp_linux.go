package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"noonmark/phc"
)

// txstamp sends datagrams through an interface. For each it reads the transmit
// timestamp of the interface's clock from the socket's error queue. The timestamp
// must lie between two readings of that clock.
func txstamp(_ context.Context, args []string, out io.Writer) error {
	if len(args) != 3 {
		return errUsage
	}
	to, err := netip.ParseAddr(args[1])
	n, nerr := strconv.Atoi(args[2])
	if err != nil || nerr != nil || !to.Is4() {
		return errUsage
	}
	d, err := phc.Open(args[0])
	if err != nil {
		return err
	}
	defer d.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	was, err := unix.IoctlGetHwTstamp(fd, args[0])
	if err != nil {
		return fmt.Errorf("read timestamp settings of %s: %w", args[0], err)
	}
	if was.Tx_type != unix.HWTSTAMP_TX_ON {
		c := *was
		c.Tx_type = unix.HWTSTAMP_TX_ON
		if err := unix.IoctlSetHwTstamp(fd, args[0], &c); err != nil {
			return fmt.Errorf("switch on transmit timestamps of %s: %w", args[0], err)
		}
		defer unix.IoctlSetHwTstamp(fd, args[0], was)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING,
		unix.SOF_TIMESTAMPING_TX_HARDWARE|unix.SOF_TIMESTAMPING_RAW_HARDWARE|unix.SOF_TIMESTAMPING_OPT_TSONLY); err != nil {
		return fmt.Errorf("request transmit timestamps: %w", err)
	}
	got := 0
	var after stats // delay from the clock reading before sending
	for range n {
		a, err := d.Cross()
		if err != nil {
			return err
		}
		if err := unix.Sendto(fd, []byte("lab"), 0, &unix.SockaddrInet4{Port: 9, Addr: to.As4()}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		stamp, err := transmitStamp(fd)
		if err != nil {
			fmt.Fprintln(out, err)
			continue
		}
		b, err := d.Cross()
		if err != nil {
			return err
		}
		if stamp < int64(a.Clock) || stamp > int64(b.Clock) {
			return fmt.Errorf("timestamp %d is not between %d and %d", stamp, a.Clock, b.Clock)
		}
		got++
		after.add(float64(stamp - int64(a.Clock)))
	}
	if got > 0 {
		fmt.Fprintf(out, "delay from the clock reading to the timestamp: %s\n", after)
	}
	figure(out, "transmit-stamps-of-"+strconv.Itoa(n), float64(got), "stamps", math.Inf(1))
	if got < n {
		return fmt.Errorf("%d of %d datagrams have a transmit timestamp", got, n)
	}
	return nil
}

// transmitStamp waits for a hardware timestamp on the error queue and returns it, ns.
func transmitStamp(fd int) (int64, error) {
	p := []unix.PollFd{{Fd: int32(fd)}}
	if k, err := unix.Poll(p, 1000); err != nil || k == 0 {
		return 0, fmt.Errorf("no transmit timestamp within a second: %w", errors.Join(err, unix.ETIMEDOUT))
	}
	var data, ctl [512]byte
	_, k, _, _, err := unix.Recvmsg(fd, data[:], ctl[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return 0, fmt.Errorf("read error queue: %w", err)
	}
	msgs, err := unix.ParseSocketControlMessage(ctl[:k])
	if err != nil {
		return 0, fmt.Errorf("read error queue: %w", err)
	}
	for _, m := range msgs {
		// Three pairs of seconds and ns; the last pair is the card's (Documentation/networking/timestamping).
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPING && len(m.Data) >= 48 {
			if s, ns := binary.NativeEndian.Uint64(m.Data[32:]), binary.NativeEndian.Uint64(m.Data[40:]); s|ns != 0 {
				return int64(s)*1e9 + int64(ns), nil
			}
		}
	}
	return 0, errors.New("the timestamp does not come from the card")
}
