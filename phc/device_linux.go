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
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is an open PTP hardware clock. Its methods may be called from several
// goroutines; steering it is for one owner.
//
// It does not build on facebook/time/phc: that puts the descriptor into
// blocking mode, where a read of external timestamps cannot be cancelled,
// keeps a package-wide guess of what the kernel can do, and has no version-1
// fall-back and no pairing of the three clocks.
type Device struct {
	name     string // as the caller gave it
	path     string
	index    int
	f        *os.File
	rc       syscall.RawConn
	caps     Caps
	readOnly bool
	closed   atomic.Bool

	mu      sync.Mutex // guards what follows
	precise bool       // PTP_SYS_OFFSET_PRECISE may work
	method  method     // of brackets
	samples int
	ext     unix.PtpSysOffsetExtended
	basic   unix.PtpSysOffset
	bs      [maxSamples]bracket
}

// Open opens a clock by device path ("/dev/ptp0"), by its short name ("ptp0")
// or by the network interface it belongs to ("eth0"). errors.Is finds
// fs.ErrNotExist, fs.ErrPermission and ErrNoClock in its errors. Where the
// device may only be read, it is opened so: Cross works, the rest refuses.
func Open(name string) (*Device, error) {
	path, err := devicePath(name)
	if err != nil {
		return nil, fmt.Errorf("open PTP clock %q: %w", name, err)
	}
	d := &Device{name: name, path: path, samples: maxSamples}
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
		return "; run as root, or give the daemon's group the device by a udev rule (SUBSYSTEM==\"ptp\")"
	case errors.Is(err, fs.ErrNotExist):
		if all, _ := filepath.Glob("/dev/ptp[0-9]*"); len(all) > 0 {
			return "; there are " + strings.Join(all, ", ")
		}
		return "; no PTP clock is on this machine: the card's driver is not loaded or has none"
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
		return "", fmt.Errorf("%w: the interface's driver knows no time stamping (ethtool -T %s)", ErrNoClock, name)
	case err != nil:
		return "", fmt.Errorf("ask interface for its clock (ETHTOOL_GET_TS_INFO): %w", err)
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
		return fmt.Errorf("%s is no PTP clock: %w", d.path, err)
	}
	if err != nil {
		return fmt.Errorf("read capabilities of %s: %w", d.path, err)
	}
	d.caps = Caps{
		MaxFreqPPB: float64(c.Max_adj), ExtTS: int(c.N_ext_ts), PerOut: int(c.N_per_out), Pins: int(c.N_pins),
		PPS: c.Pps != 0, CrossPrecise: c.Cross_timestamping != 0, AdjPhase: c.Adjust_phase != 0,
	}
	d.precise = d.caps.CrossPrecise
	// The kernel's own name gives the index, whatever link the path is.
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

// control calls f with the descriptor, which stays open meanwhile.
func (d *Device) control(f func(fd uintptr) error) error {
	var err error
	if d.rc.Control(func(fd uintptr) { err = f(fd) }) != nil {
		return os.ErrClosed // Control has no other error
	}
	if err == unix.ENODEV {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// Name returns the name the clock was opened by.
func (d *Device) Name() string { return d.name }

// Path returns the device file.
func (d *Device) Path() string { return d.path }

// Index returns N of /dev/ptpN, or -1 if it cannot be told.
func (d *Device) Index() int { return d.index }

// Caps returns what the clock can do.
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

// Close closes the clock. It goes on at its last frequency. A ReadExtTS in
// flight returns os.ErrClosed.
func (d *Device) Close() error {
	d.closed.Store(true)
	return d.f.Close()
}

// Step adds delta to the clock, + = forward. Many drivers do this by reading
// and writing the clock, so that the step is off by some microseconds: measure
// again after it, and drop edges stamped around it.
func (d *Device) Step(delta time.Duration) error {
	sec, nsec := splitStep(delta)
	tx := timex64{modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, sec: sec, nsec: nsec}
	if err := d.adjtime(&tx); err != nil {
		return fmt.Errorf("step %s by %v: %w", d, delta, err)
	}
	return nil
}

// AdjFreq sets the frequency correction in force, in ppb, + = the clock runs
// faster; the last one is replaced, not added to. It is rounded to
// FreqResolutionPPB. Beyond MaxFreq the limit is set and ErrFreqRange returned.
func (d *Device) AdjFreq(ppb float64) error {
	v, rangeErr := clampFreq(ppb, d.caps.MaxFreqPPB)
	tx := timex64{modes: unix.ADJ_FREQUENCY, freq: scaledPPM(v)}
	// Rounding must not carry the value over the limit, which the kernel
	// checks in whole ppb.
	if err := d.adjtime(&tx); err != nil {
		return fmt.Errorf("set frequency of %s to %.3f ppb: %w", d, v, err)
	}
	if rangeErr != nil {
		return fmt.Errorf("set frequency of %s: %w", d, rangeErr)
	}
	return nil
}

// FreqPPB returns the frequency correction in force, ppb, + = faster, whoever
// set it.
func (d *Device) FreqPPB() (float64, error) {
	var tx timex64
	if err := d.adjtime(&tx); err != nil {
		return 0, fmt.Errorf("read frequency of %s: %w", d, err)
	}
	return fromScaledPPM(tx.freq), nil
}

func (d *Device) adjtime(tx *timex64) error {
	if tx.modes != 0 && d.readOnly {
		return d.denied()
	}
	return d.control(func(fd uintptr) error { return clockAdjtime(unix.FdToClockID(int(fd)), tx) })
}

// denied is the error of a change asked of a device opened for reading only.
func (d *Device) denied() error {
	return fmt.Errorf("%s may only be read%s: %w", d.path, openHint(d.path, fs.ErrPermission), unix.EACCES)
}

// Pins returns the programmable pins and their use; none is no error.
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

// SetPin gives a pin its use and reads it back. A pin that had the same
// function and channel before loses it.
func (d *Device) SetPin(pin int, f PinFunc, channel int) error {
	if pin < 0 || pin >= d.caps.Pins {
		return fmt.Errorf("set pin %d of %s: %w: the clock has %d; pin = -1 leaves fixed wiring alone", pin, d, ErrNoPins, d.caps.Pins)
	}
	if d.readOnly {
		return fmt.Errorf("set pin %d of %s: %w", pin, d, d.denied())
	}
	err := d.control(func(fd uintptr) error {
		return unix.IoctlPtpPinSetfunc(int(fd), &unix.PtpPinDesc{Index: uint32(pin), Func: uint32(f), Chan: uint32(channel)})
	})
	if err == unix.EOPNOTSUPP {
		return fmt.Errorf("set pin %d of %s to %v, channel %d: %w: the driver has no such use for this pin", pin, d, f, channel, err)
	}
	if err != nil {
		return fmt.Errorf("set pin %d of %s to %v, channel %d: %w", pin, d, f, channel, err)
	}
	pins, err := d.Pins()
	if err != nil {
		return err
	}
	if p := pins[pin]; p.Func != f || f != PinNone && p.Channel != channel {
		return fmt.Errorf("set pin %d of %s to %v, channel %d: the driver made it %v, channel %d", pin, d, f, channel, p.Func, p.Channel)
	}
	return nil
}

// method is a way to bracket a reading of the clock by readings of a system
// clock, best first.
type method uint8

const (
	methodExtendedRaw  method = iota // PTP_SYS_OFFSET_EXTENDED against CLOCK_MONOTONIC_RAW, Linux 6.12
	methodExtendedReal               // the same against CLOCK_REALTIME, Linux 5.0
	methodBasic                      // PTP_SYS_OFFSET: brackets taken outside the driver
)

// preciseWidth is what is allowed for a hardware cross timestamp: granularity
// of the timer and asymmetry of the bus (PCIe PTM), tens of ns.
const preciseWidth = 50 * time.Nanosecond

// CrossMethod returns how Cross reads the clock now, for people: "precise",
// "extended-raw", "extended-realtime" or "basic".
func (d *Device) CrossMethod() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.precise {
		return "precise"
	}
	return [...]string{"extended-raw", "extended-realtime", "basic"}[d.method]
}

// Cross reads the clock together with CLOCK_REALTIME and CLOCK_MONOTONIC_RAW:
// by hardware where it can, else by the narrowest of several brackets, fewer
// on a card that is slow to read.
func (d *Device) Cross() (Cross, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.precise {
		c, err := d.crossPrecise()
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, ErrGone) || errors.Is(err, os.ErrClosed):
			return Cross{}, fmt.Errorf("read %s: %w", d, err)
		case notOffered(err):
			d.precise = false
		}
		// A latch that timed out or is in use: this time by a bracket.
	}
	for tries := 0; tries < 3; {
		c, ok, err := d.crossBracket()
		if notOffered(err) && d.method < methodBasic {
			d.method++
			continue
		}
		if err != nil {
			return Cross{}, fmt.Errorf("read %s: %w", d, err)
		}
		if ok {
			return c, nil
		}
		tries++
	}
	return Cross{}, fmt.Errorf("read %s: the system clock is being stepped", d)
}

// notOffered tells the errors by which a kernel or driver says that it does
// not know a request; EINVAL is a field the kernel does not know yet.
func notOffered(err error) bool {
	return err == unix.EOPNOTSUPP || err == unix.ENOTTY || err == unix.EINVAL
}

func (d *Device) crossPrecise() (Cross, error) {
	var p *unix.PtpSysOffsetPrecise
	err := d.control(func(fd uintptr) (err error) {
		p, err = unix.IoctlPtpSysOffsetPrecise(int(fd))
		return err
	})
	if err != nil {
		return Cross{}, err
	}
	return Cross{Clock: ptpTime(p.Device), Real: ptpNS(p.Realtime), Mono: ptpNS(p.Monoraw), Width: preciseWidth}, nil
}

// crossBracket takes one Cross by the method in use; ok is false when the
// system clock was stepped meanwhile.
func (d *Device) crossBracket() (c Cross, ok bool, err error) {
	req, arg := uint(unix.PTP_SYS_OFFSET_EXTENDED), unsafe.Pointer(&d.ext)
	d.ext.Samples, d.ext.Clockid, d.ext.Rsv = uint32(d.samples), unix.CLOCK_REALTIME, [2]uint32{}
	switch d.method {
	case methodExtendedRaw:
		d.ext.Clockid = unix.CLOCK_MONOTONIC_RAW
	case methodBasic:
		req, arg = unix.PTP_SYS_OFFSET, unsafe.Pointer(&d.basic)
		d.basic.Samples, d.basic.Rsv = uint32(d.samples), [3]uint32{}
	}
	p := readPair()
	if err = d.control(func(fd uintptr) error { return ioctl(fd, req, arg) }); err != nil {
		return c, false, err
	}
	q := readPair()
	bs := d.bs[:d.samples]
	for i := range bs {
		t := d.ext.Ts[i][:]
		if d.method == methodBasic {
			t = d.basic.Ts[2*i:]
		}
		bs[i] = bracket{ptpNS(t[0]), ptpNS(t[2]), ptpTime(t[1])}
	}
	b, ok := best(bs)
	if !ok {
		return c, false, nil
	}
	d.samples = samplesFor(time.Duration(b.post - b.pre))
	if d.method == methodExtendedRaw {
		c, ok = onMono(b, p, q)
	} else {
		c, ok = onReal(b, p, q)
	}
	return c, ok, nil
}
