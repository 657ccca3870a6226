package pps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"noonmark/phc"
)

// Mode bits of linux/pps.h (RFC 2783, section 3.3).
const (
	captureAssert = 0x01
	captureClear  = 0x02
	canWait       = 0x100
	formatTspec   = 0x1000
)

// slice is the longest wait inside the kernel. A waiting PPS_FETCH cannot be
// interrupted, and before Linux 6.19 poll on the device is always true. So
// cancellation, closing and a vanished device are checked once a slice.
const slice = 200 * time.Millisecond

// Kernel is a PPS device of the kernel, /dev/ppsN. Its stamps are CLOCK_REALTIME,
// taken in the interrupt handler: always late, by 5 to 100 us on most machines.
type Kernel struct {
	Counters
	dev  string
	opt  KernelOptions
	rdev uint64
	seq  sequence

	mu     sync.RWMutex // held for reading while the descriptor is in use
	fd     int
	closed bool
}

// OpenKernel opens a PPS device ("/dev/pps0" or "pps0") and lets the kernel
// capture the wanted edge. errors.Is finds fs.ErrNotExist and fs.ErrPermission in
// its errors.
func OpenKernel(dev string, opt KernelOptions) (*Kernel, error) {
	if !strings.Contains(dev, "/") {
		dev = "/dev/" + dev
	}
	// Read access is enough to fetch; only PPS_SETPARAMS needs more.
	// A named pipe in its place would keep open waiting; the device itself is read as it is.
	fd, err := unix.Open(dev, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		if err = unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open pulse device: %w%s", &os.PathError{Op: "open", Path: dev, Err: err}, hint(err))
	}
	k := &Kernel{dev: dev, opt: opt, fd: fd}
	if err := k.setUp(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open pulse device %s: %w", dev, err)
	}
	return k, nil
}

// hint returns the remedy for an error of opening the device.
func hint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "; run as root, or give the device to the daemon's group with a udev rule (SUBSYSTEM==\"pps\")"
	case errors.Is(err, fs.ErrNotExist):
		if all, _ := filepath.Glob("/dev/pps[0-9]*"); len(all) > 0 {
			return "; present are " + strings.Join(all, ", ")
		}
		return "; no PPS source is registered: load the overlay or driver (dtoverlay=pps-gpio, or ldattach PPS on a serial port)"
	}
	return ""
}

// setUp checks the device and selects the edge.
func (k *Kernel) setUp() error {
	var st unix.Stat_t
	if err := unix.Fstat(k.fd, &st); err != nil {
		return err
	}
	k.rdev = uint64(st.Rdev)
	var can int32
	if err := k.ioctl(unix.PPS_GETCAP, unsafe.Pointer(&can)); err != nil {
		return fmt.Errorf("it is not a PPS device (PPS_GETCAP): %w", err)
	}
	want := int32(captureAssert)
	if k.opt.Edge == Clear {
		want = captureClear
	}
	if can&want == 0 {
		return fmt.Errorf("the driver cannot capture the %v edge: %w; configure the other edge", k.opt.Edge, unix.EOPNOTSUPP)
	}
	if can&canWait == 0 {
		return fmt.Errorf("the driver cannot wait for a pulse: %w", unix.EOPNOTSUPP)
	}
	var p unix.PPSKParams
	if err := k.ioctl(unix.PPS_GETPARAMS, unsafe.Pointer(&p)); err != nil {
		return fmt.Errorf("read parameters (PPS_GETPARAMS): %w", err)
	}
	if p.Mode&want == 0 {
		// Keep what other programs requested: the parameters belong to the device,
		// not to the descriptor.
		p.Mode |= want | formatTspec
		if err := k.ioctl(unix.PPS_SETPARAMS, unsafe.Pointer(&p)); err != nil {
			h := ""
			if errors.Is(err, fs.ErrPermission) {
				h = "; the edge is not captured yet, and changing that needs CAP_SYS_TIME"
			}
			return fmt.Errorf("capture the %v edge (PPS_SETPARAMS): %w%s", k.opt.Edge, err, h)
		}
	}
	var d unix.PPSFData
	if err := k.fetch(&d, 0); err != nil {
		return fmt.Errorf("read the last pulse (PPS_FETCH): %w", err)
	}
	n, _ := k.edge(&d)
	k.seq.next(n)
	return nil
}

func (k *Kernel) ioctl(req uint, p unsafe.Pointer) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(k.fd), uintptr(req), uintptr(p))
		switch e {
		case 0:
			return nil
		case unix.EINTR: // a signal of the Go runtime
		default:
			return e
		}
	}
}

// fetch is one PPS_FETCH. With timeout 0 it returns the last edges at once, else it
// waits for an edge of either kind that comes after the call.
func (k *Kernel) fetch(d *unix.PPSFData, timeout time.Duration) error {
	*d = unix.PPSFData{}
	d.Timeout.Nsec = int32(timeout)
	return k.ioctl(unix.PPS_FETCH, unsafe.Pointer(d))
}

// edge returns the number and the stamp of the wanted edge.
func (k *Kernel) edge(d *unix.PPSFData) (seq uint32, stamp int64) {
	t, n := d.Info.Assert_tu, d.Info.Assert_sequence
	if k.opt.Edge == Clear {
		t, n = d.Info.Clear_tu, d.Info.Clear_sequence
	}
	return n, t.Sec*1e9 + int64(t.Nsec)
}

// String names the source for logs.
func (k *Kernel) String() string { return k.dev + " (" + k.opt.Edge.String() + ")" }

// Close closes the device. A Next in progress returns os.ErrClosed within a fifth
// of a second, and Close waits for it.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return os.ErrClosed
	}
	k.closed = true
	return unix.Close(k.fd)
}

// Next waits for the next edge. Of the edges between two calls the newest is
// delivered; the others are counted as Missed.
func (k *Kernel) Next(ctx context.Context) (Edge, error) {
	began := phc.MonoRaw()
	var checked int64
	for wait := time.Duration(0); ; {
		if err := ctx.Err(); err != nil {
			return Edge{}, err
		}
		e, ok, err := k.try(wait)
		if err != nil {
			return Edge{}, fmt.Errorf("fetch pulse of %s: %w", k, err)
		}
		if ok {
			return e, nil
		}
		// Fetch once without waiting between two waits: an edge that came in between
		// is recorded by the kernel but ends no wait.
		if wait == 0 {
			wait = slice
		} else {
			wait = 0
		}
		waited := phc.MonoRaw() - began
		if waited-checked >= second {
			checked = waited
			if err := k.present(); err != nil {
				return Edge{}, fmt.Errorf("fetch pulse of %s: %w", k, err)
			}
		}
		if t := k.opt.Timeout; t > 0 && waited >= int64(t) {
			return Edge{}, fmt.Errorf("%s: %w for %v: check the receiver's fix, the cable and the pin", k, ErrNoPulse, t)
		}
	}
}

// try fetches once, waiting at most wait.
func (k *Kernel) try(wait time.Duration) (Edge, bool, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.closed {
		return Edge{}, false, os.ErrClosed
	}
	var d unix.PPSFData
	switch err := k.fetch(&d, wait); {
	case err == unix.ETIMEDOUT:
		return Edge{}, false, nil
	case err == unix.ENODEV || err == unix.ENXIO:
		return Edge{}, false, fmt.Errorf("%w: %w", ErrGone, err)
	case err != nil:
		return Edge{}, false, err
	}
	mono := phc.MonoRaw()
	n, stamp := k.edge(&d)
	fresh, missed := k.seq.next(n)
	k.add(Missed, missed)
	return Edge{Scale: System, Stamp: stamp, Mono: mono, Seq: n, Rising: true}, fresh, nil
}

// present checks that the device file is still the device that is open. On an
// unregistered source the kernel lets each fetch time out.
func (k *Kernel) present() error {
	var st unix.Stat_t
	err := unix.Stat(k.dev, &st)
	if err == nil && uint64(st.Rdev) != k.rdev {
		err = unix.ENODEV
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, &os.PathError{Op: "stat", Path: k.dev, Err: err})
	}
	return nil
}
