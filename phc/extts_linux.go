package phc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// EnableExtTS asks for external timestamps: it sets and verifies the pin, then
// tries the version-2 ioctl with the edges asked, the same with both edges
// (i225, i226 and igb stamp no single one and refuse to pretend), and the
// version-1 ioctl (macb on CM4 and CM5 refuses version 2 from Linux 6.15). What
// it got is in the grant: the caller must tell edges apart unless the grant is
// certain of one.
func (d *Device) EnableExtTS(x ExtTS) (ExtTSGrant, error) {
	fail := func(err error) (ExtTSGrant, error) {
		return ExtTSGrant{}, fmt.Errorf("enable external timestamps of %s, channel %d: %w", d, x.Channel, err)
	}
	if x.Channel < 0 || x.Channel >= d.caps.ExtTS {
		return fail(fmt.Errorf("%w: the clock has %d", ErrNoExtTS, d.caps.ExtTS))
	}
	if x.Edges == 0 || x.Edges&^Both != 0 {
		return fail(fmt.Errorf("%v: use rising, falling or both", x.Edges))
	}
	if d.readOnly {
		return fail(d.denied())
	}
	if x.Pin >= 0 {
		if err := d.SetPin(x.Pin, PinExtTS, x.Channel); err != nil {
			return fail(err)
		}
	}
	tries := []ExtTSGrant{{2, x.Edges, true}, {2, Both, true}, {1, x.Edges, false}}
	if x.Edges == Both {
		tries = []ExtTSGrant{{2, Both, true}, {1, Both, false}}
	}
	var err error
	for _, g := range tries {
		if err = d.extTSRequest(g.Version, x.Channel, unix.PTP_ENABLE_FEATURE|edgeFlags(g.Edges)); err == nil {
			d.selectChannel(x.Channel)
			return g, nil
		}
		if err != unix.EOPNOTSUPP && err != unix.EINVAL && err != unix.ENOTTY {
			break
		}
	}
	if err == unix.EBUSY {
		err = fmt.Errorf("%w: no pin carries the channel; name one", err)
	}
	return fail(err)
}

// DisableExtTS ends the external timestamps of a channel, for everybody.
func (d *Device) DisableExtTS(channel int) error {
	err := d.extTSRequest(2, channel, 0)
	if err != nil {
		err = d.extTSRequest(1, channel, 0)
	}
	if err != nil {
		return fmt.Errorf("disable external timestamps of %s, channel %d: %w", d, channel, err)
	}
	return nil
}

func edgeFlags(e Edges) uint32 {
	var f uint32
	if e&Rising != 0 {
		f |= unix.PTP_RISING_EDGE
	}
	if e&Falling != 0 {
		f |= unix.PTP_FALLING_EDGE
	}
	return f
}

func (d *Device) extTSRequest(version, channel int, flags uint32) error {
	req := unix.PtpExttsRequest{Index: uint32(channel), Flags: flags}
	cmd := uint(unix.PTP_EXTTS_REQUEST2)
	if version == 1 {
		cmd = unix.PTP_EXTTS_REQUEST
	}
	return d.control(func(fd uintptr) error { return ioctl(fd, cmd, unsafe.Pointer(&req)) })
}

// selectChannel keeps other channels' events out of this descriptor's queue,
// where the kernel can (6.8); elsewhere events carry their channel.
func (d *Device) selectChannel(channel int) {
	ch := uint32(channel)
	d.control(func(fd uintptr) error {
		if err := ioctl(fd, unix.PTP_MASK_CLEAR_ALL, nil); err != nil {
			return err
		}
		return ioctl(fd, unix.PTP_MASK_EN_SINGLE, unsafe.Pointer(&ch))
	})
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// ReadExtTS waits for external timestamps, reads up to len(dst) of them and
// stamps them with the time of the reading. It returns ctx's error when that
// ends first, ErrGone when the clock vanishes. One reader at a time: before
// Linux 6.8 two readers, even of two processes, share the events between them.
func (d *Device) ReadExtTS(ctx context.Context, dst []ExtTSEvent) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	var buf [16 * extTSSize]byte
	b := buf[:min(len(dst), 16)*extTSSize]
	stop := context.AfterFunc(ctx, func() { d.f.SetReadDeadline(longAgo) })
	defer stop()
	for {
		// A cancellation of an earlier call may have left its deadline.
		if err := d.f.SetReadDeadline(time.Time{}); err != nil { // os.ErrClosed among others
			return 0, fmt.Errorf("read external timestamps of %s: %w", d, err)
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := d.readEvents(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err == unix.ENODEV:
			return 0, fmt.Errorf("read external timestamps of %s: %w: %w", d, ErrGone, err)
		case err != nil:
			return 0, fmt.Errorf("read external timestamps of %s: %w", d, err)
		}
		mono := MonoRaw()
		k := 0
		for ; n >= extTSSize; n -= extTSSize {
			if dst[k], err = parseExtTS(b[k*extTSSize:]); err != nil {
				return k, fmt.Errorf("read external timestamps of %s: %w", d, err)
			}
			dst[k].Mono = mono
			k++
		}
		return k, nil
	}
}

// readEvents reads what is queued, or waits in the runtime's poller. The
// kernel's read ignores O_NONBLOCK and would hold the thread where nothing is
// queued (ptp_read, drivers/ptp/ptp_chardev.c), so poll comes first.
func (d *Device) readEvents(b []byte) (n int, err error) {
	e := d.rc.Read(func(fd uintptr) bool {
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
	case d.closed.Load():
		return 0, os.ErrClosed
	}
	return 0, e
}
