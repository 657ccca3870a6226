package sim

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// PTY is a real pseudo-terminal: what is written to it can be read from the
// device Name as from a serial port.
type PTY struct {
	m, s *os.File
	name string
}

// writeWait is how long a write waits for a reader before the bytes are lost,
// as they are on a wire; the terminal holds 4 kB in between.
const writeWait = 20 * time.Millisecond

// OpenPTY makes a pseudo-terminal in raw mode.
func OpenPTY() (*PTY, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	p := &PTY{m: os.NewFile(uintptr(fd), "ptmx")}
	if err := p.setup(fd); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *PTY) setup(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlock pseudo-terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("name pseudo-terminal: %w", err)
	}
	p.name = fmt.Sprintf("/dev/pts/%d", n)
	// Our own descriptor of the far end keeps the line up while no reader has
	// it open.
	if p.s, err = os.OpenFile(p.name, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return fmt.Errorf("open pseudo-terminal: %w", err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read terminal settings: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0 // no echo, no translation, no lines
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("set terminal to raw: %w", err)
	}
	return nil
}

// Name returns the path of the far end, /dev/pts/N.
func (p *PTY) Name() string { return p.name }

// Write sends bytes to the far end. What does not fit within a moment is
// dropped and reported as an error.
func (p *PTY) Write(b []byte) (int, error) {
	if err := p.m.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return 0, err
	}
	return p.m.Write(b)
}

// Read returns what was written to the far end, waiting for it until Close.
func (p *PTY) Read(b []byte) (int, error) { return p.m.Read(b) }

// rates are the speeds of a terminal (termios(3)) in baud.
var rates = map[uint32]int{
	unix.B4800: 4800, unix.B9600: 9600, unix.B19200: 19200, unix.B38400: 38400, unix.B57600: 57600,
	unix.B115200: 115200, unix.B230400: 230400, unix.B460800: 460800, unix.B921600: 921600,
}

// Baud returns the rate that the far end is set to, 0 if it is no usual one. A
// pseudo-terminal has no wire: bytes pass at any rate, and who plays a receiver
// must damage them where the rates differ.
func (p *PTY) Baud() int {
	c, err := p.m.SyscallConn()
	if err != nil {
		return 0
	}
	baud := 0
	err = c.Control(func(fd uintptr) {
		if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			baud = rates[t.Cflag&unix.CBAUD]
		}
	})
	if err != nil {
		return 0
	}
	return baud
}

// Close removes the pseudo-terminal; a reader of the far end sees the device
// vanish.
func (p *PTY) Close() error {
	var err error
	if p.s != nil {
		err = p.s.Close()
	}
	return errors.Join(err, p.m.Close())
}
