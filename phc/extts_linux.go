package phc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// EnableExtTS enables external timestamps. It sets and verifies the pin, then tries
// the version-2 ioctl with the requested edges, the same with both edges (i225,
// i226 and igb cannot stamp a single one and refuse it), and the version-1 ioctl
// (macb on CM4 and CM5 refuses version 2 from Linux 6.15). The grant is what the
// driver accepted: unless it is certain of a single edge, the caller has to
// distinguish the edges.
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
		err = fmt.Errorf("%w: no pin is assigned to the channel; configure one", err)
	}
	return fail(err)
}

// DisableExtTS disables the external timestamps of a channel, for all programs.
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

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

// ReadExtTS waits for external timestamps, reads up to len(dst) of them and sets
// Mono to the time of the reading. It returns ctx's error if ctx ends first, and
// ErrGone if the clock vanishes. There must be one reader only: before Linux 6.8,
// readers share the events between them, even in different processes.
func (d *Device) ReadExtTS(ctx context.Context, dst []ExtTSEvent) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	var buf [16 * extTSSize]byte
	b := buf[:min(len(dst), 16)*extTSSize]
	stop := context.AfterFunc(ctx, func() { d.f.SetReadDeadline(longAgo) })
	defer stop()
	for {
		// An earlier call that was cancelled may have left its deadline.
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
