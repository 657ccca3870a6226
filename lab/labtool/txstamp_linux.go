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

// txstamp sends datagrams through an interface and wants a transmit stamp of its
// clock for each, from the socket's error queue, between two readings of that
// clock.
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
		return fmt.Errorf("read stamping of %s: %w", args[0], err)
	}
	if was.Tx_type != unix.HWTSTAMP_TX_ON {
		c := *was
		c.Tx_type = unix.HWTSTAMP_TX_ON
		if err := unix.IoctlSetHwTstamp(fd, args[0], &c); err != nil {
			return fmt.Errorf("switch transmit stamps of %s on: %w", args[0], err)
		}
		defer unix.IoctlSetHwTstamp(fd, args[0], was)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING,
		unix.SOF_TIMESTAMPING_TX_HARDWARE|unix.SOF_TIMESTAMPING_RAW_HARDWARE|unix.SOF_TIMESTAMPING_OPT_TSONLY); err != nil {
		return fmt.Errorf("ask for transmit stamps: %w", err)
	}
	got := 0
	var after stats // from the reading of the clock before sending
	for range n {
		a, err := d.Cross()
		if err != nil {
			return err
		}
		if err := unix.Sendto(fd, []byte("lab"), 0, &unix.SockaddrInet4{Port: 9, Addr: to.As4()}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		stamp, err := departure(fd)
		if err != nil {
			fmt.Fprintln(out, err)
			continue
		}
		b, err := d.Cross()
		if err != nil {
			return err
		}
		if stamp < int64(a.Clock) || stamp > int64(b.Clock) {
			return fmt.Errorf("stamp %d is not between %d and %d", stamp, a.Clock, b.Clock)
		}
		got++
		after.add(float64(stamp - int64(a.Clock)))
	}
	if got > 0 {
		fmt.Fprintf(out, "from the clock's reading to the stamp: %s\n", after)
	}
	figure(out, "transmit-stamps-of-"+strconv.Itoa(n), float64(got), "stamps", math.Inf(1))
	if got < n {
		return fmt.Errorf("%d of %d datagrams were stamped", got, n)
	}
	return nil
}

// departure waits for a hardware stamp on the error queue, ns.
func departure(fd int) (int64, error) {
	p := []unix.PollFd{{Fd: int32(fd)}}
	if k, err := unix.Poll(p, 1000); err != nil || k == 0 {
		return 0, fmt.Errorf("no transmit stamp within a second: %w", errors.Join(err, unix.ETIMEDOUT))
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
		// Three times two words; the last is the card's (Documentation/networking/timestamping).
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPING && len(m.Data) >= 48 {
			if s, ns := binary.NativeEndian.Uint64(m.Data[32:]), binary.NativeEndian.Uint64(m.Data[40:]); s|ns != 0 {
				return int64(s)*1e9 + int64(ns), nil
			}
		}
	}
	return 0, errors.New("the stamp is not the card's")
}
