package pps

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"noonmark/internal/retry"
	"noonmark/refclock/reason"
)

// Reader takes edges from one source and hands them on. It retries for as long
// as the source is missing, and it alone closes the source. All fields are set
// before Run.
type Reader struct {
	Name   string // for logs
	Open   func() (Source, error)
	Out    chan<- Edge       // a full channel drops the edge
	Hand   func(Edge) bool   // instead of Out, if set; false: no room
	Count  func(reason.Code) // called once for each failure
	Log    *slog.Logger
	opened atomic.Uint64
}

// Opened returns how often the source was opened.
func (r *Reader) Opened() uint64 { return r.opened.Load() }

// String names the task in logs.
func (r *Reader) String() string { return "pulse " + r.Name }

// Run takes edges until ctx ends and returns its error.
func (r *Reader) Run(ctx context.Context) error {
	var attempts retry.Backoff
	quiet := silence{limit: silentLimit}
	for ctx.Err() == nil {
		src, err := r.Open()
		if err != nil {
			r.failed(&attempts, reason.PulseMissing, "pulse source cannot be opened", err)
			retry.Sleep(ctx, attempts.Next())
			continue
		}
		if !quiet.logged {
			r.Log.Info("pulse source opened", "pulse", src.String())
		}
		r.opened.Add(1)
		err = r.read(ctx, src, &attempts, &quiet)
		if cerr := src.Close(); err == nil {
			err = cerr
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errSilent) {
			continue
		}
		r.failed(&attempts, reason.PulseGone, "pulse source lost", err)
		retry.Sleep(ctx, attempts.Next())
	}
	return ctx.Err()
}

// failed counts a failure and logs some of them.
func (r *Reader) failed(attempts *retry.Backoff, code reason.Code, msg string, err error) {
	r.Count(code)
	if n, log := attempts.Failed(); log {
		r.Log.Warn(msg, "reason", code.String(), "error", err, "attempt", n)
	}
}

// errSilent ends the reading of a source that has been silent for long.
var errSilent = errors.New("silent for long")

// silentLimit is the number of waits without an edge after which the source is
// opened again; it doubles each time up to silentLimitMax. Another program may
// have taken the card's pin, and the kernel does not report when the pin is
// free again.
const (
	silentLimit    = 10
	silentLimitMax = 160
)

// silence is the time without edges. It outlives an opening of the source.
type silence struct {
	logged bool
	waits  int // without an edge, since the source was opened
	limit  int // of waits
}

func (r *Reader) read(ctx context.Context, src Source, attempts *retry.Backoff, quiet *silence) error {
	quiet.waits = 0
	for ctx.Err() == nil {
		x, err := src.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrNoPulse) && quiet.waits+1 >= quiet.limit:
			r.Count(reason.PulseSilent)
			quiet.limit = min(2*quiet.limit, silentLimitMax)
			return errSilent
		case errors.Is(err, ErrNoPulse), errors.Is(err, ErrAmbiguous):
			if errors.Is(err, ErrAmbiguous) {
				r.Count(reason.PulseAmbiguous)
			} else {
				r.Count(reason.PulseSilent)
				quiet.waits++
			}
			if !quiet.logged {
				r.Log.Warn("no pulses", "reason", reason.PulseSilent.String(), "error", err)
			}
			quiet.logged = true
			continue
		case err != nil:
			return err
		}
		if quiet.logged {
			r.Log.Info("pulses are back", "pulse", r.Name)
		}
		*quiet = silence{limit: silentLimit}
		attempts.Reset()
		if !r.hand(x) {
			r.Count(reason.EdgeQueueFull)
		}
	}
	return nil
}

// hand passes an edge on unless the consumer is too slow.
func (r *Reader) hand(x Edge) bool {
	if r.Hand != nil {
		return r.Hand(x)
	}
	select {
	case r.Out <- x:
		return true
	default:
		return false
	}
}
