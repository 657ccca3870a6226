package phc

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// crossReader reads a clock together with the system's.
type crossReader struct {
	precise bool   // PTP_SYS_OFFSET_PRECISE may work
	method  method // of brackets
	samples int
	ext     unix.PtpSysOffsetExtended
	basic   unix.PtpSysOffset
	bs      [maxSamples]bracket
}

// method is a way to bracket a reading of the clock by readings of a system
// clock, from best to worst.
type method uint8

const (
	methodExtendedRaw  method = iota // PTP_SYS_OFFSET_EXTENDED against CLOCK_MONOTONIC_RAW, Linux 6.12
	methodExtendedReal               // the same against CLOCK_REALTIME, Linux 5.0
	methodBasic                      // PTP_SYS_OFFSET: bracketed outside the driver
)

// preciseWidth is the width of a hardware cross timestamp: granularity of the
// timer and asymmetry of the bus (PCIe PTM), tens of ns.
const preciseWidth = 50 * time.Nanosecond

// CrossMethod returns how Cross reads the clock, for people: "precise",
// "extended-raw", "extended-realtime" or "basic".
func (d *Device) CrossMethod() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cross.precise {
		return "precise"
	}
	return [...]string{"extended-raw", "extended-realtime", "basic"}[d.cross.method]
}

// Cross reads the clock together with CLOCK_REALTIME and CLOCK_MONOTONIC_RAW: in
// hardware if possible, otherwise by the narrowest of several brackets, fewer on a
// card that is slow to read.
func (d *Device) Cross() (Cross, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cross.precise {
		c, err := crossPrecise(&d.handle)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, ErrGone) || errors.Is(err, os.ErrClosed):
			return Cross{}, fmt.Errorf("read %s: %w", d, err)
		case notOffered(err):
			d.cross.precise = false
		}
		// The latch timed out or is in use: take a bracket this time.
	}
	for tries := 0; tries < 3; {
		c, ok, err := d.cross.bracket(&d.handle)
		if notOffered(err) && d.cross.method < methodBasic {
			d.cross.method++
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

// notOffered reports whether an error means that the kernel or driver does not
// support a request; EINVAL is for a field that the kernel does not know yet.
func notOffered(err error) bool {
	return err == unix.EOPNOTSUPP || err == unix.ENOTTY || err == unix.EINVAL
}

func crossPrecise(h *handle) (Cross, error) {
	var p *unix.PtpSysOffsetPrecise
	err := h.control(func(fd uintptr) (err error) {
		p, err = unix.IoctlPtpSysOffsetPrecise(int(fd))
		return err
	})
	if err != nil {
		return Cross{}, err
	}
	return Cross{Clock: ptpTime(p.Device), Real: ptpNS(p.Realtime), Mono: ptpNS(p.Monoraw), Width: preciseWidth}, nil
}

// bracket takes a Cross by the method in use; not ok if the system clock was
// stepped meanwhile.
func (r *crossReader) bracket(h *handle) (c Cross, ok bool, err error) {
	req, arg := uint(unix.PTP_SYS_OFFSET_EXTENDED), unsafe.Pointer(&r.ext)
	r.ext.Samples, r.ext.Clockid, r.ext.Rsv = uint32(r.samples), unix.CLOCK_REALTIME, [2]uint32{}
	switch r.method {
	case methodExtendedRaw:
		r.ext.Clockid = unix.CLOCK_MONOTONIC_RAW
	case methodBasic:
		req, arg = unix.PTP_SYS_OFFSET, unsafe.Pointer(&r.basic)
		r.basic.Samples, r.basic.Rsv = uint32(r.samples), [3]uint32{}
	}
	p := readPair()
	if err = h.control(func(fd uintptr) error { return ioctl(fd, req, arg) }); err != nil {
		return c, false, err
	}
	q := readPair()
	bs := r.bs[:r.samples]
	for i := range bs {
		t := r.ext.Ts[i][:]
		if r.method == methodBasic {
			t = r.basic.Ts[2*i:]
		}
		bs[i] = bracket{ptpNS(t[0]), ptpNS(t[2]), ptpTime(t[1])}
	}
	b, ok := best(bs)
	if !ok {
		return c, false, nil
	}
	r.samples = samplesFor(time.Duration(b.post - b.pre))
	if r.method == methodExtendedRaw {
		c, ok = onMono(b, p, q)
	} else {
		c, ok = onReal(b, p, q)
	}
	return c, ok, nil
}
