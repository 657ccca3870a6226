package receiver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.bug.st/serial"
)

// portWait is how long a read of a silent port blocks. Then its owner can see
// that it should end: only the owner may close the port.
const portWait = 500 * time.Millisecond

// errHungUp is what a read of a port returns whose device is gone.
var errHungUp = errors.New("the port has hung up: its device, or the other end of a pseudo-terminal, is gone")

// OpenSerial opens a serial port or pseudo-terminal: 8 data bits, no parity, one
// stop bit. The port is also an io.Writer and has SetBaud(int) error, for the
// goroutine that reads it. A read returns 0, nil if nothing comes for half a
// second. The errors name the remedy; errors.Is finds fs.ErrNotExist and
// fs.ErrPermission in them.
func OpenSerial(device string, baud int) (io.ReadCloser, error) {
	// The port is opened first for reads that wait in Go's poller: nobody else can open it
	// after the library has. The reads of the library wait in a system call, for which the
	// runtime wakes up a hundred times a second.
	f, ferr := os.OpenFile(device, os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	p, err := serial.Open(device, &serial.Mode{BaudRate: baud, DataBits: 8})
	if err != nil {
		f.Close() // an error if it is not open
		return nil, fmt.Errorf("open receiver %s: %w", device, explain(err))
	}
	if ferr != nil {
		return nil, errors.Join(fmt.Errorf("open receiver %s for reading: %w", device, ferr), p.Close())
	}
	if err := f.SetReadDeadline(time.Time{}); err == nil {
		return &serialPort{Port: p, reads: f}, nil
	}
	// The system's poller does not take it.
	if err := errors.Join(f.Close(), p.SetReadTimeout(portWait)); err != nil {
		return nil, errors.Join(fmt.Errorf("set read timeout of %s: %w", device, err), p.Close())
	}
	return &serialPort{Port: p}, nil
}

// serialPort is a serial.Port with SetBaud.
type serialPort struct {
	serial.Port
	reads *os.File // the same port for reads in the poller; nil: the library reads
}

// Read reads what has come, after waiting for it.
func (p *serialPort) Read(b []byte) (int, error) {
	if p.reads == nil {
		return p.Port.Read(b)
	}
	if err := p.reads.SetReadDeadline(time.Now().Add(portWait)); err != nil {
		return 0, err
	}
	n, err := p.reads.Read(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, errHungUp
	}
	return n, err
}

// Close closes the port.
func (p *serialPort) Close() error {
	err := p.Port.Close()
	if p.reads != nil {
		err = errors.Join(err, p.reads.Close())
	}
	return err
}

// SetBaud changes the rate. Octets in transit are damaged.
func (p *serialPort) SetBaud(baud int) error {
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
