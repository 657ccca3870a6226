package phc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Device is an open PTP hardware clock. Its methods may be called from several
// goroutines; steering it is for one owner.
//
// It does not use facebook/time/phc, which puts the descriptor into blocking mode,
// where a read of external timestamps cannot be cancelled, keeps package state of
// what the kernel supports, and has neither a version-1 fallback nor readings of
// the three clocks at once.
type Device struct {
	handle
	name  string // as the caller gave it
	index int
	caps  Caps

	mu    sync.Mutex // guards cross
	cross crossReader
}

// Open opens a clock by device path ("/dev/ptp0"), by its short name ("ptp0") or
// by its network interface ("eth0"). Its errors wrap fs.ErrNotExist,
// fs.ErrPermission and ErrNoClock. A device without write permission is opened
// for reading: Cross works, everything else returns an error.
func Open(name string) (*Device, error) {
	path, err := devicePath(name)
	if err != nil {
		return nil, fmt.Errorf("open PTP clock %q: %w", name, err)
	}
	d := &Device{handle: handle{path: path}, name: name, cross: crossReader{samples: maxSamples}}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) || err == unix.EROFS {
		d.readOnly = true
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open PTP clock %q: %w%s", name, &os.PathError{Op: "open", Path: path, Err: err}, openHint(path, err))
	}
	d.f = os.NewFile(uintptr(fd), path)
	if d.rc, err = d.f.SyscallConn(); err == nil {
		err = d.init()
	}
	if err != nil {
		d.f.Close()
		return nil, fmt.Errorf("open PTP clock %q: %w", name, err)
	}
	return d, nil
}

func openHint(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "; run as root, or give the daemon's group access by a udev rule (SUBSYSTEM==\"ptp\")"
	case errors.Is(err, fs.ErrNotExist):
		if all, _ := filepath.Glob("/dev/ptp[0-9]*"); len(all) > 0 {
			return "; there are " + strings.Join(all, ", ")
		}
		return "; this machine has no PTP clock: the card's driver is not loaded, or has none"
	}
	return ""
}

// devicePath finds the device file of a clock's name.
func devicePath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if n, ok := strings.CutPrefix(name, "ptp"); ok {
		if _, err := strconv.ParseUint(n, 10, 16); err == nil {
			return "/dev/" + name, nil
		}
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(s)
	info, err := unix.IoctlGetEthtoolTsInfo(s, name)
	switch {
	case err == unix.ENODEV || err == unix.EINVAL:
		return "", fmt.Errorf("%w: no network interface of that name (ip link shows them); a clock is named /dev/ptpN, ptpN or by its interface", unix.ENODEV)
	case err == unix.EOPNOTSUPP:
		return "", fmt.Errorf("%w: the interface's driver has no time stamping (ethtool -T %s)", ErrNoClock, name)
	case err != nil:
		return "", fmt.Errorf("read the interface's clock (ETHTOOL_GET_TS_INFO): %w", err)
	case info.Phc_index < 0:
		return "", fmt.Errorf("%w behind the interface (ethtool -T %s)", ErrNoClock, name)
	}
	return fmt.Sprintf("/dev/ptp%d", info.Phc_index), nil
}

func (d *Device) init() error {
	var st unix.Stat_t
	var c *unix.PtpClockCaps
	err := d.control(func(fd uintptr) (err error) {
		if err = unix.Fstat(int(fd), &st); err == nil {
			c, err = unix.IoctlPtpClockGetcaps(int(fd))
		}
		return err
	})
	if err == unix.ENOTTY || err == unix.EINVAL {
		return fmt.Errorf("%s is not a PTP clock: %w", d.path, err)
	}
	if err != nil {
		return fmt.Errorf("read capabilities of %s: %w", d.path, err)
	}
	d.caps = Caps{
		MaxFreqPPB: float64(c.Max_adj), ExtTS: int(c.N_ext_ts), PerOut: int(c.N_per_out), Pins: int(c.N_pins),
		PPS: c.Pps != 0, CrossPrecise: c.Cross_timestamping != 0, AdjPhase: c.Adjust_phase != 0,
	}
	d.cross.precise = d.caps.CrossPrecise
	// The index is that of the kernel's name; the path may be a link.
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/char/%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))))
	if err != nil {
		link = d.path
	}
	d.index = -1
	if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(link), "ptp")); err == nil {
		d.index = n
	}
	return nil
}

// Name returns the name that was passed to Open.
func (d *Device) Name() string { return d.name }

// Path returns the device file.
func (d *Device) Path() string { return d.path }

// Index returns N of /dev/ptpN, or -1 if it is not known.
func (d *Device) Index() int { return d.index }

// Caps returns the clock's capabilities.
func (d *Device) Caps() Caps { return d.caps }

// MaxFreq returns the largest frequency correction either way, ppb.
func (d *Device) MaxFreq() float64 { return d.caps.MaxFreqPPB }

// String returns the name and device file, for logs.
func (d *Device) String() string {
	if d.name == d.path {
		return d.path
	}
	return d.name + " (" + d.path + ")"
}

// Close closes the clock, which continues at its last frequency. A ReadExtTS that
// waits returns os.ErrClosed.
func (d *Device) Close() error {
	d.closed.Store(true)
	return d.f.Close()
}

// Step adds delta to the clock, + = forward. Many drivers read and write the clock
// for it, so the step is off by some microseconds: measure again afterwards, and
// drop edges stamped around it.
func (d *Device) Step(delta time.Duration) error {
	sec, nsec := splitStep(delta)
	tx := timex64{modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, sec: sec, nsec: nsec}
	if err := d.adjtime(&tx); err != nil {
		return fmt.Errorf("step %s by %v: %w", d, delta, err)
	}
	return nil
}

// AdjFreq sets the frequency correction, in ppb, absolute, + = the clock runs
// faster. It is rounded to FreqResolutionPPB. Beyond MaxFreq it sets the limit and
// returns ErrFreqRange.
func (d *Device) AdjFreq(ppb float64) error {
	v, rangeErr := clampFreq(ppb, d.caps.MaxFreqPPB)
	tx := timex64{modes: unix.ADJ_FREQUENCY, freq: scaledPPM(v)}
	if err := d.adjtime(&tx); err != nil {
		return fmt.Errorf("set frequency of %s to %.3f ppb: %w", d, v, err)
	}
	if rangeErr != nil {
		return fmt.Errorf("set frequency of %s: %w", d, rangeErr)
	}
	return nil
}

// FreqPPB returns the frequency correction in force, ppb, + = faster. Another
// program may have set it.
func (d *Device) FreqPPB() (float64, error) {
	var tx timex64
	if err := d.adjtime(&tx); err != nil {
		return 0, fmt.Errorf("read frequency of %s: %w", d, err)
	}
	return fromScaledPPM(tx.freq), nil
}

// Pins returns the programmable pins and their use, possibly none.
func (d *Device) Pins() ([]Pin, error) {
	pins := make([]Pin, d.caps.Pins)
	for i := range pins {
		err := d.control(func(fd uintptr) error {
			p, err := unix.IoctlPtpPinGetfunc(int(fd), uint(i))
			if err == nil {
				pins[i] = Pin{Index: i, Name: unix.ByteSliceToString(p.Name[:]), Func: PinFunc(p.Func), Channel: int(p.Chan)}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read pin %d of %s: %w", i, d, err)
		}
	}
	return pins, nil
}

// SetPin sets the use of a pin and reads it back. Another pin with the same
// function and channel loses it.
func (d *Device) SetPin(pin int, f PinFunc, channel int) error {
	if pin < 0 || pin >= d.caps.Pins {
		return fmt.Errorf("set pin %d of %s: %w: the clock has %d; pin = -1 is for fixed wiring", pin, d, ErrNoPins, d.caps.Pins)
	}
	if d.readOnly {
		return fmt.Errorf("set pin %d of %s: %w", pin, d, d.denied())
	}
	err := d.control(func(fd uintptr) error {
		return unix.IoctlPtpPinSetfunc(int(fd), &unix.PtpPinDesc{Index: uint32(pin), Func: uint32(f), Chan: uint32(channel)})
	})
	if err == unix.EOPNOTSUPP {
		return fmt.Errorf("set pin %d of %s to %v, channel %d: %w: the driver does not support this use of the pin", pin, d, f, channel, err)
	}
	if err != nil {
		return fmt.Errorf("set pin %d of %s to %v, channel %d: %w", pin, d, f, channel, err)
	}
	pins, err := d.Pins()
	if err != nil {
		return err
	}
	if p := pins[pin]; p.Func != f || f != PinNone && p.Channel != channel {
		return fmt.Errorf("set pin %d of %s to %v, channel %d: the driver set it to %v, channel %d", pin, d, f, channel, p.Func, p.Channel)
	}
	return nil
}
