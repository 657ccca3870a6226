// Package receiver reads a satellite receiver through its port: it opens the
// device and opens it again when it vanishes, finds its baud rate, configures
// it, and hands its messages on.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"noonmark/internal/retry"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/reason"
)

// Port reads one receiver. It retries for as long as the device is missing, and
// it alone closes the device. All fields are set before Run.
type Port struct {
	Name   string                        // for logs
	Open   func() (io.ReadCloser, error) // opens the device at the first of Rates, as OpenSerial does
	Mono   func() int64                  // CLOCK_MONOTONIC_RAW, ns
	Decode gnss.Config                   // how dates are read; NewLeaps is set by Run
	Out    chan<- *gnss.Message          // a full channel drops the message
	Count  func(reason.Code)             // called once for each failure
	Log    *slog.Logger
	// Accept, if set, returns false for messages that are not handed on.
	Accept func(*gnss.Message) bool

	// Rates are the baud rates at which the receiver may be. If there are two or
	// more, they are tried in turn until valid frames arrive.
	Rates []int
	// Configure, if set, returns what configures the receiver, which may be at one
	// of these rates. It is called each time the port is opened. The device must
	// then be an io.Writer and have SetBaud(int) error.
	Configure func(rates []int) Configurator

	table    atomic.Pointer[tai.Table]     // for the decoder, from the next read on
	counters atomic.Pointer[gnss.Counters] // as of the last read
	opened   atomic.Uint64
	baud     atomic.Int64
}

// Configurator configures a receiver, such as *ubx.Configurator. It does no
// input or output: the session does the steps and passes on the messages.
type Configurator interface {
	// Message takes each message of the receiver.
	Message(m *gnss.Message)
	// Next returns the next step at mono (ns), and false if there is nothing to do
	// before its Deadline or the next message.
	Next(mono int64) (step gnss.Step, ok bool)
	// Done reports whether the configuration is finished.
	Done() bool
	// Result returns the outcome once Done.
	Result() gnss.Configured
}

// silentAfter is the time without input after which a warning is logged.
const silentAfter = 10 * time.Second

// Counters returns the decoder's counters; nil before the first input.
func (p *Port) Counters() *gnss.Counters { return p.counters.Load() }

// Opened returns how often the port was opened.
func (p *Port) Opened() uint64 { return p.opened.Load() }

// Baud returns the rate that was found or set; 0 if it was not changed.
func (p *Port) Baud() int { return int(p.baud.Load()) }

// SetLeaps replaces the leap table with which dates are read.
func (p *Port) SetLeaps(t *tai.Table) { p.table.Store(t) }

// String names the task in logs.
func (p *Port) String() string { return "receiver " + p.Name }

// Ready returns nil: a missing receiver does not delay the start.
func (p *Port) Ready() <-chan struct{} { return nil }

// Run reads until ctx ends and returns its error.
func (p *Port) Run(ctx context.Context) error {
	cfg := p.Decode
	cfg.NewLeaps = true
	dec := registry.NewDecoder(cfg)
	var attempts retry.Backoff
	for ctx.Err() == nil {
		rc, err := p.Open()
		if err != nil {
			p.failed(&attempts, reason.PortMissing, "receiver port cannot be opened", err)
			retry.Sleep(ctx, attempts.Next())
			continue
		}
		p.Log.Info("receiver port opened", "port", p.Name)
		p.opened.Add(1)
		dec.Reset()
		err = p.read(ctx, rc, dec, &attempts)
		if cerr := rc.Close(); err == nil && ctx.Err() == nil {
			err = cerr
		}
		if ctx.Err() != nil {
			break
		}
		p.failed(&attempts, reason.PortGone, "receiver port lost", err)
		retry.Sleep(ctx, attempts.Next())
	}
	return ctx.Err()
}

// failed counts a failure and logs some of them.
func (p *Port) failed(attempts *retry.Backoff, code reason.Code, msg string, err error) {
	p.Count(code)
	if n, log := attempts.Failed(); log {
		p.Log.Warn(msg, "reason", code.String(), "error", err, "attempt", n)
	}
}

// errEnd reports the end of the stream. A serial port has no end, so the device
// is gone.
var errEnd = errors.New("end of input; the device is gone")

// read feeds the decoder until the port fails or ctx ends.
func (p *Port) read(ctx context.Context, rc io.ReadCloser, dec *gnss.Decoder, attempts *retry.Backoff) error {
	var buf [1024]byte
	last, warned := p.Mono(), false
	s := newSession(p, rc)
	for ctx.Err() == nil {
		n, err := rc.Read(buf[:])
		now := p.Mono()
		if n > 0 {
			if warned {
				p.Log.Info("receiver sends again", "port", p.Name)
			}
			last, warned = now, false
			attempts.Reset()
			if t := p.table.Swap(nil); t != nil {
				dec.SetLeaps(t)
			}
			dec.Feed(buf[:n], now, s.message)
			c := dec.Counters()
			p.counters.Store(&c)
		}
		switch {
		case errors.Is(err, io.EOF):
			return errEnd
		case err != nil:
			return fmt.Errorf("read receiver %s: %w", p.Name, err)
		case n == 0 && now-last > int64(silentAfter) && !warned:
			warned = true
			p.Count(reason.PortSilent)
			p.Log.Warn("receiver sends nothing; check its power, the wiring and the baud rate", "port", p.Name, "reason", reason.PortSilent.String(), "for", silentAfter)
		}
		if err := s.afterRead(dec, now); err != nil {
			return err
		}
	}
	return nil
}

// hand passes a message on. If the consumer is too slow the message is dropped
// and counted: a late message is worse than none.
func (p *Port) hand(m *gnss.Message) {
	if p.Accept != nil && !p.Accept(m) {
		return
	}
	select {
	case p.Out <- m:
	default:
		p.Count(reason.MessageQueue)
	}
}
