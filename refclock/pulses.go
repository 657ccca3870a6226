package refclock

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

// Pulses takes edges from a source and hands them to the engine. It opens the
// source again for as long as it takes, and is the only one to close it.
type Pulses struct {
	Name   string
	Open   func() (pps.Source, error)
	Wait   func(context.Context, int64) // sleeps ns; default time
	Out    chan<- pps.Edge
	Hand   func(pps.Edge) bool // instead of Out, if set; false: there was no room
	Count  func(reason.Code)
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
	q := quiet{limit: silentLimit}
	for ctx.Err() == nil {
		src, err := p.Open()
		if err != nil {
			p.Count(reason.PulseMissing)
			b.complain(p.Log, "pulse source cannot be opened", reason.PulseMissing, err)
			p.Wait(ctx, b.next())
			continue
		}
		if !q.is {
			p.Log.Info("pulse source opened", "pulse", src.String())
		}
		p.opened.Add(1)
		err = p.read(ctx, src, &b, &q)
		if cerr := src.Close(); err == nil {
			err = cerr
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errSilent) {
			continue
		}
		p.Count(reason.PulseGone)
		b.complain(p.Log, "pulse source lost", reason.PulseGone, err)
		p.Wait(ctx, b.next())
	}
	return ctx.Err()
}

// errSilent ends the reading of a source that has been silent for long.
var errSilent = errors.New("silent for long")

// silentLimit is how many waits in vain it takes at first until the source is
// opened anew, each time twice as many: another program may have taken the
// card's pin, and a kernel that gave it away tells nobody when it is free again.
const (
	silentLimit    = 10
	silentLimitMax = 160
)

// quiet is the silence of a source, also over its opening anew.
type quiet struct {
	is    bool // it was said that there are no pulses
	waits int  // in vain since it was opened
	limit int
}

func (p *Pulses) read(ctx context.Context, src pps.Source, b *backoff, q *quiet) error {
	q.waits = 0
	for ctx.Err() == nil {
		x, err := src.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, pps.ErrNoPulse) && q.waits+1 >= q.limit:
			p.Count(reason.PulseSilent)
			q.limit = min(2*q.limit, silentLimitMax)
			return errSilent
		case errors.Is(err, pps.ErrNoPulse), errors.Is(err, pps.ErrAmbiguous):
			if errors.Is(err, pps.ErrAmbiguous) {
				p.Count(reason.PulseAmbiguous)
			} else {
				p.Count(reason.PulseSilent)
				q.waits++
			}
			if !q.is {
				p.Log.Warn("no pulses", "reason", reason.PulseSilent.String(), "error", err)
			}
			q.is = true
			continue
		case err != nil:
			return err
		}
		if q.is {
			p.Log.Info("pulses are back", "pulse", p.Name)
		}
		*q = quiet{limit: silentLimit}
		b.reset()
		if !p.hand(x) {
			p.Count(reason.EdgeQueueFull)
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
