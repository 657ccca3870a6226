package pps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"noonmark/phc"
)

// Stamper is a clock with external timestamps, such as *phc.Device.
type Stamper interface {
	EnableExtTS(phc.ExtTS) (phc.ExtTSGrant, error)
	DisableExtTS(channel int) error
	ReadExtTS(ctx context.Context, dst []phc.ExtTSEvent) (int, error)
	String() string
}

// ExtTSOptions are the options of NewExtTS.
type ExtTSOptions struct {
	Channel int
	Pin     int           // pin for the channel; negative leaves the pins as they are (fixed wiring)
	Edge    phc.Edges     // the wanted edge: phc.Rising (also for 0) or phc.Falling
	Width   time.Duration // the pulse's configured active time, 0 unknown; identifies the edge at any duty but a half
	Timeout time.Duration // Next returns ErrNoPulse after it; 0 waits without limit

	// Grid returns where in the clock's second the wanted edge is expected, if the
	// consumer knows it, and how far off that may be. It is called from Next, and used
	// if the width is unknown or half a second.
	Grid func() (phase, within time.Duration, ok bool) `json:"-"`
	Tap  Tap                                           `json:"-"` // may be nil
}

// Tap sees what a Filter takes, before the Filter does. Its methods do not wait.
type Tap interface {
	Enabled(phc.ExtTSGrant) // what the card granted
	Stamp(phc.ExtTSEvent)
}

// edge returns the wanted edge.
func (o *ExtTSOptions) edge() phc.Edges {
	if o.Edge == 0 {
		return phc.Rising
	}
	return o.Edge
}

// ExtTS is the pulse as a PTP hardware clock stamps it.
type ExtTS struct {
	*Filter
	clock   Stamper
	opt     ExtTSOptions
	grant   phc.ExtTSGrant
	buf     [16]phc.ExtTSEvent
	pending []phc.ExtTSEvent
}

// NewExtTS enables external timestamps on the clock and returns them as a source.
// The caller closes the clock after the source.
func NewExtTS(c Stamper, opt ExtTSOptions) (*ExtTS, error) {
	if opt.Edge == phc.Both {
		return nil, errors.New("a single edge disciplines the clock: choose rising or falling (a card that stamps both is recognised)")
	}
	if opt.Width < 0 || opt.Width >= time.Second {
		return nil, fmt.Errorf("pulse width %v: give the time for which the pulse is active, less than 1 s, or 0", opt.Width)
	}
	g, err := c.EnableExtTS(phc.ExtTS{Channel: opt.Channel, Pin: opt.Pin, Edges: opt.edge()})
	if err != nil {
		return nil, err
	}
	return &ExtTS{Filter: NewFilter(opt, g), clock: c, opt: opt, grant: g}, nil
}

// Grant returns what the driver granted.
func (s *ExtTS) Grant() phc.ExtTSGrant { return s.grant }

// String names the source for logs.
func (s *ExtTS) String() string {
	return fmt.Sprintf("external timestamps of %s, channel %d", s.clock, s.opt.Channel)
}

// Close disables the channel's external timestamps.
func (s *ExtTS) Close() error { return s.clock.DisableExtTS(s.opt.Channel) }

// Next waits for the next wanted edge. Late events are delivered; Edge.Mono is then
// long after the edge.
func (s *ExtTS) Next(ctx context.Context) (Edge, error) {
	parent := ctx
	if s.opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opt.Timeout)
		defer cancel()
	}
	for {
		for len(s.pending) > 0 {
			ev := s.pending[0]
			s.pending = s.pending[1:]
			e, ok, err := s.Push(ev)
			if ok {
				return e, nil
			}
			if err != nil {
				return Edge{}, fmt.Errorf("%s: %w: the card stamps both edges and the pulse is active for half of the second; configure the receiver to another width (100 ms is common)", s, err)
			}
		}
		n, err := s.clock.ReadExtTS(ctx, s.buf[:])
		switch {
		case err == nil:
			s.pending = s.buf[:n]
		case errors.Is(err, phc.ErrGone):
			return Edge{}, fmt.Errorf("%w: %w", ErrGone, err)
		case parent.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return Edge{}, fmt.Errorf("%s: %w for %v: check the receiver's fix, the cable, the pin and the card's power", s, ErrNoPulse, s.opt.Timeout)
		default:
			return Edge{}, err
		}
	}
}
