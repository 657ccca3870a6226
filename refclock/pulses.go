package refclock

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"noonmark/refclock/pps"
)

// Pulses takes edges from a source and hands them to the engine. It opens the
// source again for as long as it takes, and is the only one to close it.
type Pulses struct {
	Name   string
	Open   func() (pps.Source, error)
	Wait   func(context.Context, int64) // sleeps ns; default time
	Out    chan<- pps.Edge
	Hand   func(pps.Edge) bool // instead of Out, if set; false: there was no room
	Count  func(Reason)
	Log    *slog.Logger
	opened atomic.Uint64
}

// Opened returns how often the source was opened.
func (p *Pulses) Opened() uint64 { return p.opened.Load() }

// String names the task in logs.
func (p *Pulses) String() string { return "pulse " + p.Name }

// Ready says that pulses are ready at once: a missing source is no reason not
// to start.
func (p *Pulses) Ready() <-chan struct{} { return nil }

// Run takes edges until ctx ends.
func (p *Pulses) Run(ctx context.Context) error {
	if p.Wait == nil {
		p.Wait = sleep
	}
	var b backoff
	for ctx.Err() == nil {
		src, err := p.Open()
		if err != nil {
			p.Count(PulseMissing)
			b.complain(p.Log, "pulse source cannot be opened", PulseMissing, err)
			p.Wait(ctx, b.next())
			continue
		}
		p.Log.Info("pulse source opened", "pulse", src.String())
		p.opened.Add(1)
		err = p.read(ctx, src, &b)
		if cerr := src.Close(); err == nil {
			err = cerr
		}
		if ctx.Err() != nil {
			break
		}
		p.Count(PulseGone)
		b.complain(p.Log, "pulse source lost", PulseGone, err)
		p.Wait(ctx, b.next())
	}
	return ctx.Err()
}

func (p *Pulses) read(ctx context.Context, src pps.Source, b *backoff) error {
	quiet := false
	for ctx.Err() == nil {
		x, err := src.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, pps.ErrNoPulse), errors.Is(err, pps.ErrAmbiguous):
			if errors.Is(err, pps.ErrAmbiguous) {
				p.Count(PulseAmbiguous)
			} else {
				p.Count(PulseSilent)
			}
			if !quiet {
				p.Log.Warn("no pulses", "reason", PulseSilent.String(), "error", err)
			}
			quiet = true
			continue
		case err != nil:
			return err
		}
		if quiet {
			p.Log.Info("pulses are back", "pulse", p.Name)
		}
		quiet = false
		b.reset()
		if !p.hand(x) {
			p.Count(EdgeQueueFull)
		}
	}
	return nil
}

// hand passes an edge on unless the receiving end is too busy.
func (p *Pulses) hand(x pps.Edge) bool {
	if p.Hand != nil {
		return p.Hand(x)
	}
	select {
	case p.Out <- x:
		return true
	default:
		return false
	}
}
