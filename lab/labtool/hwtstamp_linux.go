package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hwtstamp requests each kind of receive filter from an interface, with transmit
// timestamps on, and prints what the driver granted. It restores the previous
// settings. With "off" it switches all timestamps off, as another program may.
func hwtstamp(_ context.Context, args []string, out io.Writer) error {
	off := len(args) == 2 && args[1] == "off"
	if len(args) != 1 && !off {
		return errUsage
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	if off {
		return os.NewSyscallError("ioctl SIOCSHWTSTAMP", unix.IoctlSetHwTstamp(fd, args[0], &unix.HwTstampConfig{}))
	}
	was, err := unix.IoctlGetHwTstamp(fd, args[0])
	if err != nil {
		return fmt.Errorf("read timestamp settings of %s: %w", args[0], err)
	}
	defer unix.IoctlSetHwTstamp(fd, args[0], was)
	for _, f := range [...]struct {
		name   string
		filter int32
	}{
		{"NONE", unix.HWTSTAMP_FILTER_NONE}, {"NTP_ALL", unix.HWTSTAMP_FILTER_NTP_ALL}, {"ALL", unix.HWTSTAMP_FILTER_ALL},
		{"PTP_V2_EVENT", unix.HWTSTAMP_FILTER_PTP_V2_EVENT},
	} {
		c := unix.HwTstampConfig{Tx_type: unix.HWTSTAMP_TX_ON, Rx_filter: f.filter}
		if err := unix.IoctlSetHwTstamp(fd, args[0], &c); err != nil {
			fmt.Fprintf(out, "%s refused: %v\n", f.name, err)
			continue
		}
		fmt.Fprintf(out, "%s granted: filter %d (asked %d), transmit %d\n", f.name, c.Rx_filter, f.filter, c.Tx_type)
	}
	return nil
}
