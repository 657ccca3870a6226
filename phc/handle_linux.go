package phc

import (
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handle is an open PTP device file.
type handle struct {
	path     string
	f        *os.File
	rc       syscall.RawConn
	readOnly bool
	closed   atomic.Bool
}

// control calls f with the descriptor, which is not closed meanwhile.
func (h *handle) control(f func(fd uintptr) error) error {
	var err error
	if h.rc.Control(func(fd uintptr) { err = f(fd) }) != nil {
		return os.ErrClosed // Control has no other error
	}
	if err == unix.ENODEV {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

func (h *handle) adjtime(tx *timex64) error {
	if tx.modes != 0 && h.readOnly {
		return h.denied()
	}
	return h.control(func(fd uintptr) error { return clockAdjtime(unix.FdToClockID(int(fd)), tx) })
}

// denied returns the error of a change of a device that is opened for reading.
func (h *handle) denied() error {
	return fmt.Errorf("%s is opened for reading only%s: %w", h.path, openHint(h.path, fs.ErrPermission), unix.EACCES)
}

func (h *handle) extTSRequest(version, channel int, flags uint32) error {
	req := unix.PtpExttsRequest{Index: uint32(channel), Flags: flags}
	cmd := uint(unix.PTP_EXTTS_REQUEST2)
	if version == 1 {
		cmd = unix.PTP_EXTTS_REQUEST
	}
	return h.control(func(fd uintptr) error { return ioctl(fd, cmd, unsafe.Pointer(&req)) })
}

// selectChannel keeps events of other channels out of this descriptor's queue, if
// the kernel supports it (6.8). Events carry their channel anyway.
func (h *handle) selectChannel(channel int) {
	ch := uint32(channel)
	h.control(func(fd uintptr) error {
		if err := ioctl(fd, unix.PTP_MASK_CLEAR_ALL, nil); err != nil {
			return err
		}
		return ioctl(fd, unix.PTP_MASK_EN_SINGLE, unsafe.Pointer(&ch))
	})
}

// readEvents reads queued events, or waits in the runtime's poller. The kernel's
// read ignores O_NONBLOCK and blocks the thread if nothing is queued (ptp_read,
// drivers/ptp/ptp_chardev.c), so poll comes first.
func (h *handle) readEvents(b []byte) (n int, err error) {
	e := h.rc.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		k, perr := unix.Poll(p, 0)
		switch {
		case perr == unix.EINTR:
			return false
		case perr != nil:
			err = perr
		case p[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
			err = unix.ENODEV
		case k == 0:
			return false
		default:
			n, err = unix.Read(int(fd), b)
			return err != unix.EINTR && err != unix.EAGAIN
		}
		return true
	})
	switch {
	case e == nil:
		return n, err
	case h.closed.Load():
		return 0, os.ErrClosed
	}
	return 0, e
}
