// Package receiver reads a satellite receiver through its port: it opens the
// device and opens it again when it vanishes, finds its baud rate, configures
// it, and hands its messages on.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"noonmark/internal/retry"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// Port reads one receiver for its Session, which handles what is read. It retries
// for as long as the device is missing, and it alone closes the device. All fields
// are set before Run.
type Port struct {
	*Session
	Open func() (io.ReadCloser, error) // opens the device at the first of the rates, as OpenSerial does
	Mono func() int64                  // CLOCK_MONOTONIC_RAW, ns
	// Users returns which other programs use the port. It is called when the port was
	// opened or could not be, and once a minute while what it delivers makes no sense.
	// May be nil.
	Users func() Users

	opened atomic.Uint64
}

// adjustable is a port that can be written to and whose rate can be changed while
// it is open, as that of OpenSerial.
type adjustable interface {
	io.Writer
	SetBaud(baud int) error
}

var errNotSettable = errors.New("this port cannot be written to or change its rate")

// usersEvery is how often Users is called while what the port delivers makes no
// sense.
const usersEvery = time.Minute

// Opened returns how often the port was opened. It is for any goroutine.
func (p *Port) Opened() uint64 { return p.opened.Load() }

// String names the task in logs.
func (p *Port) String() string { return "receiver " + p.cfg.Name }

// Run reads until ctx ends and returns its error.
func (p *Port) Run(ctx context.Context) error {
	var attempts retry.Backoff
	for ctx.Err() == nil {
		rc, err := p.Open()
		if err != nil {
			p.lost(reason.PortMissing, err)
			p.askUsers()
			retry.Sleep(ctx, attempts.Next())
			continue
		}
		p.cfg.Log.Info("receiver port opened", "port", p.cfg.Name)
		p.opened.Add(1)
		err = p.read(ctx, rc, &attempts)
		if cerr := rc.Close(); err == nil && ctx.Err() == nil {
			err = cerr
		}
		if ctx.Err() != nil {
			break
		}
		p.lost(reason.PortGone, err)
		retry.Sleep(ctx, attempts.Next())
	}
	return ctx.Err()
}

// errEnd reports the end of the stream. A serial port has no end, so the device
// is gone.
var errEnd = errors.New("end of input; the device is gone")

// read feeds the session until the port fails or ctx ends.
func (p *Port) read(ctx context.Context, rc io.ReadCloser, attempts *retry.Backoff) error {
	var buf [1024]byte
	_, settable := rc.(adjustable)
	p.Start(settable)
	asked := p.Mono()
	p.askUsers()
	for ctx.Err() == nil {
		n, err := rc.Read(buf[:])
		now := p.Mono()
		if n > 0 {
			attempts.Reset()
		}
		p.Read(buf[:n], now)
		switch {
		case errors.Is(err, io.EOF):
			return errEnd
		case err != nil:
			return fmt.Errorf("read receiver %s: %w", p.cfg.Name, err)
		case p.watch.troubled() && now-asked > int64(usersEvery):
			asked = now
			p.askUsers()
		}
		if err := p.obey(rc); err != nil {
			return err
		}
	}
	return nil
}

// askUsers finds out which other programs use the port.
func (p *Port) askUsers() {
	if p.Users != nil {
		countAll(p.cfg.Count, p.watch.users(p.Users())...)
		p.report()
	}
}

// lost says why the port is not open.
func (p *Port) lost(code reason.Code, err error) {
	p.cfg.Count(code)
	p.watch.lost(code, err)
	p.report()
}

// obey carries out the session's orders.
func (p *Port) obey(rc io.ReadCloser) error {
	for _, o := range p.Orders() {
		err := carryOut(rc, o)
		switch {
		case err == nil:
		case o.Optional:
			p.cfg.Log.Warn("baud rate cannot be changed", "reason", reason.PortBaud.String(), "port", p.cfg.Name, "error", err)
		default:
			return fmt.Errorf("receiver %s: %w", p.cfg.Name, err)
		}
	}
	return nil
}

// carryOut carries out one order.
func carryOut(rc io.ReadCloser, o Order) error {
	port, ok := rc.(adjustable)
	if !ok {
		return errNotSettable
	}
	if o.Baud != 0 {
		if err := port.SetBaud(o.Baud); err != nil {
			return fmt.Errorf("set to %d baud: %w", o.Baud, err)
		}
	}
	if len(o.Send) > 0 {
		if _, err := port.Write(o.Send); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// Queue returns a Config.Message that hands messages to another goroutine. If that
// is too slow a message is dropped, and dropped is called: a late message is worse
// than none.
func Queue(out chan<- *gnss.Message, dropped func()) func(*gnss.Message) {
	return func(m *gnss.Message) {
		select {
		case out <- m:
		default:
			dropped()
		}
	}
}
