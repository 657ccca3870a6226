package pps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"noonmark/phc"
)

// Stamper is what ExtTS needs of a clock; *phc.Device has it.
type Stamper interface {
	EnableExtTS(phc.ExtTS) (phc.ExtTSGrant, error)
	DisableExtTS(channel int) error
	ReadExtTS(ctx context.Context, dst []phc.ExtTSEvent) (int, error)
	String() string
}

// ExtTSOptions are the choices of NewExtTS.
type ExtTSOptions struct {
	Channel int
	Pin     int           // pin to be given to the channel; negative leaves the pins alone (fixed wiring)
	Edge    phc.Edges     // the wanted edge: phc.Rising (also for 0) or phc.Falling
	Width   time.Duration // the pulse's active time as the receiver is configured, 0 unknown; tells edges apart at any duty but a half
	Timeout time.Duration // Next returns ErrNoPulse after it; 0 waits for ever

	// Grid returns where in the clock's second the wanted edge is expected,
	// where the consumer knows: it decides at half duty only. It is called
	// from Next.
	Grid func() (phase time.Duration, ok bool)
}

// ExtTS is the pulse as a PTP hardware clock stamps it.
type ExtTS struct {
	extTS
	clock   Stamper
	opt     ExtTSOptions
	grant   phc.ExtTSGrant
	buf     [16]phc.ExtTSEvent
	pending []phc.ExtTSEvent
	unsure  int // ambiguous stamps since the last edge
}

// NewExtTS enables external timestamps on the clock and returns them as a
// source. The clock stays the caller's, who closes it after the source.
func NewExtTS(c Stamper, opt ExtTSOptions) (*ExtTS, error) {
	if opt.Edge == 0 {
		opt.Edge = phc.Rising
	}
	if opt.Edge == phc.Both {
		return nil, errors.New("one edge disciplines a clock: choose rising or falling (a card that stamps both is recognised)")
	}
	if opt.Width < 0 || opt.Width >= time.Second {
		return nil, fmt.Errorf("pulse width %v: give the time the pulse is active, under 1 s, or 0", opt.Width)
	}
	g, err := c.EnableExtTS(phc.ExtTS{Channel: opt.Channel, Pin: opt.Pin, Edges: opt.Edge})
	if err != nil {
		return nil, err
	}
	return &ExtTS{
		clock: c, opt: opt, grant: g,
		extTS: extTS{channel: opt.Channel, filter: edgeFilter{
			certain: g.Certain && g.Edges == opt.Edge,
			invert:  opt.Edge == phc.Falling,
			width:   int64(opt.Width),
			grid:    opt.Grid,
		}},
	}, nil
}

// Grant returns what the driver made of the request.
func (s *ExtTS) Grant() phc.ExtTSGrant { return s.grant }

// String names the source for logs.
func (s *ExtTS) String() string {
	return fmt.Sprintf("external timestamps of %s, channel %d", s.clock, s.opt.Channel)
}

// Close disables the channel's external timestamps.
func (s *ExtTS) Close() error { return s.clock.DisableExtTS(s.opt.Channel) }

// Stepped tells that the clock was stepped by delta (+ = forward): the pulses
// are expected where they then fall, and none is lost to finding them again. It
// may be called while Next waits. Stamps from before the step that come after
// it are held back as wrong edges. Steps by whole seconds need not be told.
func (s *ExtTS) Stepped(delta time.Duration) { s.step.Add(int64(delta)) }

// ambiguousLimit is how many ambiguous stamps make an error: 2 s.
const ambiguousLimit = 4

// Next waits for the next edge of the wanted kind. Late events are delivered;
// Edge.Mono then lies well after the edge.
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
			before := s.Count(Ambiguous)
			if e, ok := s.push(ev); ok {
				s.unsure = 0
				return e, nil
			}
			if s.unsure += int(s.Count(Ambiguous) - before); s.unsure >= ambiguousLimit {
				s.unsure = 0
				return Edge{}, fmt.Errorf("%s: %w: the card stamps both and the pulse is active for half of the second; configure the receiver to another width (100 ms is common)", s, ErrAmbiguous)
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
