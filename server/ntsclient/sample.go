package ntsclient

import (
	"context"
	"errors"
	"time"

	"noonmark/internal/retry"
)

// Sample is the result of several readings of one server.
type Sample struct {
	Best     Reading // the one with the least delay; with Err, what the server last sent
	Shown    bool    // Best is set
	Readings int     // number of valid readings
	Lost     int     // requests without a valid answer
	Jitter   time.Duration
	Ignored  Counters
	Err      error // why there is no valid reading
}

const (
	// priming is the number of exchanges in basic mode before the first interleaved
	// one, which do not count: one for the timestamp, and one more with chrony, which
	// stores timestamps only for clients that have asked for them.
	priming = 2
	// primingPause is the longest time between these exchanges.
	primingPause = 100 * time.Millisecond
	// tries is how often one reading is tried, because datagrams get lost.
	tries = 3
)

// TakeSample takes count readings of one server with interval between the requests.
// It ends early if a server does not answer, or refuses service. The error is about
// cfg; what went wrong with the server is Sample.Err.
func TakeSample(ctx context.Context, cfg Config, count int, interval time.Duration) (Sample, error) {
	c, err := New(cfg)
	if err != nil {
		return Sample{}, err
	}
	defer c.Close()
	var s Sample
	var readings []Reading
	prime := 0
	if cfg.Interleaved {
		prime = priming
	}
	// The number of requests is limited, so that a dead server does not cost count
	// timeouts.
	for i := 0; len(readings) < count && i < count+tries-1 && ctx.Err() == nil; i++ {
		r, err := c.Query(ctx)
		if err == nil && prime > 0 && !r.Interleaved {
			prime--
			i--
			retry.Sleep(ctx, min(interval, primingPause))
			continue
		}
		if prime = 0; err == nil {
			if readings = append(readings, r); len(readings) < count {
				retry.Sleep(ctx, interval)
			}
			continue
		}
		s.Err, s.Lost = err, s.Lost+1
		if r.Server.IsValid() {
			s.Best, s.Shown = r, true
		}
		if !transient(err) {
			break
		}
		retry.Sleep(ctx, interval)
	}
	s.Ignored = c.Counters()
	if i := Best(readings); i >= 0 {
		s.Best, s.Shown, s.Err = readings[i], true, nil
		s.Readings, s.Jitter = len(readings), Jitter(readings, i)
	} else if s.Err == nil {
		s.Err = ctx.Err()
	}
	return s, nil
}

// transient reports whether another request may succeed.
func transient(err error) bool {
	return errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrNAK) || errors.Is(err, ErrStepped) || noNetwork(err)
}
