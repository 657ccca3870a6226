package receiver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"go.bug.st/serial"
)

// portWait is the longest a read of a silent port blocks, so that its owner
// can look whether it is to end: only the owner may close it.
const portWait = 500 * time.Millisecond

// OpenSerial opens a receiver's port: 8 data bits, no parity, one stop bit. A
// pseudo-terminal is one, too. It is an io.Writer and has SetBaud(int) error,
// both for its owner. A read returns 0, nil when nothing came for a
// while. Its errors say what to do and answer errors.Is with fs.ErrNotExist
// and fs.ErrPermission.
func OpenSerial(device string, baud int) (io.ReadCloser, error) {
	p, err := serial.Open(device, &serial.Mode{BaudRate: baud, DataBits: 8})
	if err != nil {
		return nil, fmt.Errorf("open receiver %s: %w", device, explain(err))
	}
	if err := p.SetReadTimeout(portWait); err != nil {
		return nil, errors.Join(fmt.Errorf("set read timeout of %s: %w", device, err), p.Close())
	}
	return serialPort{p}, nil
}

// serialPort is a port whose rate can be changed. It can also be written to.
type serialPort struct{ serial.Port }

// SetBaud changes the rate; what was on its way is damaged.
func (p serialPort) SetBaud(baud int) error {
	return p.SetMode(&serial.Mode{BaudRate: baud, DataBits: 8})
}

// explain adds what to do, and the sentinel that serial's PortError hides (it
// has no Unwrap).
func explain(err error) error {
	const missing = "is the receiver connected, and its overlay or driver loaded?"
	var pe *serial.PortError
	if !errors.As(err, &pe) {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; %s", err, missing)
		}
		return err
	}
	switch pe.Code() {
	case serial.PortNotFound:
		return fmt.Errorf("%w; %s", fs.ErrNotExist, missing)
	case serial.PermissionDenied:
		return fmt.Errorf("%w; add this user to the group that owns the device (dialout)", fs.ErrPermission)
	case serial.PortBusy:
		return fmt.Errorf("%w; another program has it open: stop gpsd, a login on the console, or a modem manager", err)
	case serial.InvalidSerialPort:
		return fmt.Errorf("%w; this is no serial port", err)
	case serial.InvalidSpeed:
		return fmt.Errorf("%w; the port cannot do this baud rate", err)
	}
	return err
}
