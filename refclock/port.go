package refclock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// Port reads a receiver and hands its messages to the engine. It opens the
// device again for as long as it takes, and is the only one to close it.
type Port struct {
	Name   string                        // for logs
	Open   func() (io.ReadCloser, error) // OpenSerial of the configured device
	Mono   func() int64                  // CLOCK_MONOTONIC_RAW, ns
	Wait   func(context.Context, int64)  // sleeps ns; default time
	Decode gnss.Config                   // how dates are read
	Out    chan<- *gnss.Message          // to the engine
	Count  func(reason.Code)             // of the engine
	Log    *slog.Logger
	// Accept, if set, tells which messages are handed on.
	Accept func(*gnss.Message) bool

	// Rates are the baud rates at which the receiver may be: more than one are
	// tried in turn until it is understood. Open opens at the first.
	Rates []int
	// Setup, if set, is what a u-blox receiver is configured to each time the
	// port was opened. It takes a port that can be written to.
	Setup *gnss.Setup

	table  atomic.Pointer[tai.Table]     // to be taken at the next read
	seen   atomic.Pointer[gnss.Counters] // after each read
	opened atomic.Uint64
	baud   atomic.Int64
}

// silent is how long a port may say nothing before it is complained about.
const silent = 10 * time.Second

// Counters returns what the decoder has seen; nil before the first bytes.
func (p *Port) Counters() *gnss.Counters { return p.seen.Load() }

// Opened returns how often the port was opened.
func (p *Port) Opened() uint64 { return p.opened.Load() }

// Baud returns the rate that was found or set; 0 if it was not touched.
func (p *Port) Baud() int { return int(p.baud.Load()) }

// SetLeaps replaces the leap table with which dates are read.
func (p *Port) SetLeaps(t *tai.Table) { p.table.Store(t) }

// String names the task in logs.
func (p *Port) String() string { return "receiver " + p.Name }

// Ready says that a port is ready at once: a missing receiver is no reason not
// to start.
func (p *Port) Ready() <-chan struct{} { return nil }

// Run reads until ctx ends.
func (p *Port) Run(ctx context.Context) error {
	if p.Wait == nil {
		p.Wait = sleep
	}
	cfg := p.Decode
	cfg.NewLeaps = true
	dec := gnss.NewDecoder(cfg)
	var b backoff
	for ctx.Err() == nil {
		rc, err := p.Open()
		if err != nil {
			p.Count(reason.PortMissing)
			b.complain(p.Log, "receiver port cannot be opened", reason.PortMissing, err)
			p.Wait(ctx, b.next())
			continue
		}
		p.Log.Info("receiver port opened", "port", p.Name)
		p.opened.Add(1)
		dec.Reset()
		err = p.read(ctx, rc, dec, &b)
		if cerr := rc.Close(); err == nil && ctx.Err() == nil {
			err = cerr
		}
		if ctx.Err() != nil {
			break
		}
		p.Count(reason.PortGone)
		b.complain(p.Log, "receiver port lost", reason.PortGone, err)
		p.Wait(ctx, b.next())
	}
	return ctx.Err()
}

// errEnd is the end of a device's stream: a serial port has none, so it is gone.
var errEnd = errors.New("end of input; the device is gone")

// read feeds the decoder until the port fails or ctx ends.
func (p *Port) read(ctx context.Context, r io.ReadCloser, dec *gnss.Decoder, b *backoff) error {
	var buf [1024]byte
	last, complained := p.Mono(), false
	tune := p.tune(r)
	for ctx.Err() == nil {
		n, err := r.Read(buf[:])
		now := p.Mono()
		if n > 0 {
			if complained {
				p.Log.Info("receiver speaks again", "port", p.Name)
			}
			last, complained = now, false
			b.reset()
			if t := p.table.Swap(nil); t != nil {
				dec.SetLeaps(t)
			}
			dec.Feed(buf[:n], now, tune.message)
			c := dec.Counters()
			p.seen.Store(&c)
		}
		switch {
		case errors.Is(err, io.EOF):
			return errEnd
		case err != nil:
			return fmt.Errorf("read receiver %s: %w", p.Name, err)
		case n == 0 && now-last > int64(silent) && !complained:
			complained = true
			p.Count(reason.PortSilent)
			p.Log.Warn("receiver says nothing; check its power, the wiring and the baud rate", "port", p.Name, "reason", reason.PortSilent.String(), "for", silent)
		}
		if err := tune.next(dec, now); err != nil {
			return err
		}
	}
	return nil
}

// hand gives a message to the engine, or counts that the engine is too busy:
// an old message is worse than none.
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

// backoff spaces attempts: 0.5 s, doubling to 15 s; and complaints: one at the
// first failure, then one in a while.
type backoff struct {
	d     time.Duration
	tries int
}

func (b *backoff) next() int64 {
	b.d = min(max(2*b.d, 500*time.Millisecond), 15*time.Second)
	return int64(b.d)
}

func (b *backoff) reset() { *b = backoff{} }

// complain logs attempts 1, 2, 4, 8, 16 and then every 16th (four minutes).
func (b *backoff) complain(log *slog.Logger, msg string, r reason.Code, err error) {
	b.tries++
	if b.tries&(b.tries-1) == 0 && b.tries <= 16 || b.tries%16 == 0 {
		log.Warn(msg, "reason", r.String(), "error", err, "attempt", b.tries)
	}
}

// sleep waits for ns or until ctx ends.
func sleep(ctx context.Context, ns int64) {
	t := time.NewTimer(time.Duration(ns))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
