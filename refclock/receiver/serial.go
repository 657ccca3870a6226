package receiver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"go.bug.st/serial"
)

// portWait is how long a read of a silent port blocks. Then its owner can see
// that it should end: only the owner may close the port.
const portWait = 500 * time.Millisecond

// OpenSerial opens a serial port or pseudo-terminal: 8 data bits, no parity, one
// stop bit. The port is also an io.Writer and has SetBaud(int) error, for the
// goroutine that reads it. A read returns 0, nil if nothing comes for half a
// second. The errors name the remedy; errors.Is finds fs.ErrNotExist and
// fs.ErrPermission in them.
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

// serialPort is a serial.Port with SetBaud.
type serialPort struct{ serial.Port }

// SetBaud changes the rate. Octets in transit are damaged.
func (p serialPort) SetBaud(baud int) error {
	return p.SetMode(&serial.Mode{BaudRate: baud, DataBits: 8})
}

// explain adds the remedy, and the sentinel that serial.PortError hides: it has
// no Unwrap.
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
		return fmt.Errorf("%w; another program has it open: stop gpsd, the console login or the modem manager", err)
	case serial.InvalidSerialPort:
		return fmt.Errorf("%w; this is not a serial port", err)
	case serial.InvalidSpeed:
		return fmt.Errorf("%w; the port does not support this baud rate", err)
	}
	return err
}
