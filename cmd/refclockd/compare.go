package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"noonmark/internal/config"
	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

// compareConfig is a [[pulse.compare]]: a pulse that is only compared.
type compareConfig struct {
	Name    string          `toml:"name"`
	Source  string          `toml:"source"`
	Device  string          `toml:"device"`
	Edge    string          `toml:"edge"`
	Pin     int             `toml:"pin"`
	Channel int             `toml:"channel"`
	Width   config.Duration `toml:"width"`
	Bias    config.Duration `toml:"bias"`
	Cable   config.Duration `toml:"cable"`
	Length  float64         `toml:"cable_length"`
	// Velocity 0 is pps.SolidVelocity.
	Velocity float64 `toml:"velocity_factor"`

	Limit config.Duration `toml:"limit"`
}

// edges are the words of an edge, for kernel and card.
func (c *compareConfig) edges() (e phc.Edges, k pps.KernelEdge, err error) {
	if c.Edge != "" {
		err = k.UnmarshalText([]byte(c.Edge))
	}
	if e = phc.Rising; k == pps.Clear {
		e = phc.Falling
	}
	return e, k, err
}

// maxCompare is how many pulses can be compared.
const maxCompare = 8

// checkCompare checks the pulses that are compared, and names those without a
// name.
func (s *settings) checkCompare(f *config.File) error {
	var errs []error
	need := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, f.Errorf(key, format, args...))
		}
	}
	need(len(s.Pulse.Compare) <= maxCompare, "pulse.compare", "%d of them; %d can be compared at most", len(s.Pulse.Compare), maxCompare)
	names := map[string]bool{}
	for i := range s.Pulse.Compare {
		c := &s.Pulse.Compare[i]
		key := fmt.Sprintf("pulse.compare[%d].", i)
		if err := f.OneOf(key+"source", c.Source, "kernel", "extts"); err != nil {
			errs = append(errs, err)
			continue
		}
		_, _, err := c.edges()
		need(err == nil, key+"edge", "%v", err)
		need(c.Pin >= -1 && c.Pin < 64, key+"pin", "%d is no pin; want 0 or more, or -1 to leave the card's pins as they are", c.Pin)
		need(c.Channel >= 0 && c.Channel < 64, key+"channel", "%d is no channel; want 0 or more", c.Channel)
		for _, d := range [...]struct {
			name   string
			d      time.Duration
			lo, hi time.Duration
		}{
			{"width", c.Width.Duration, 0, 999 * time.Millisecond}, {"bias", c.Bias.Duration, -10 * time.Millisecond, 10 * time.Millisecond},
			{"limit", c.Limit.Duration, 0, 400 * time.Millisecond},
		} {
			need(d.d >= d.lo && d.d <= d.hi, key+d.name, "%v is out of range; want %v to %v", d.d, d.lo, d.hi)
		}
		if c.Velocity == 0 {
			c.Velocity = pps.SolidVelocity
		}
		if err := checkCable(f, key, c.Cable, c.Length, c.Velocity); err != nil {
			errs = append(errs, err)
		}
		switch c.Source {
		case "kernel":
			need(c.Device != "", key+"device", "is empty; name a PPS device, such as \"/dev/pps1\"")
			need(s.Pulse.Source != "kernel" || c.Device != s.Pulse.Device, key+"device", "%q is the pulse that steers the clock; name another", c.Device)
		case "extts":
			need(s.Clock.Source == "phc", key+"source", "\"extts\" needs clock.source = \"phc\": it is that clock that stamps the pulse")
			need(c.Device == "", key+"device", "%q; external timestamps are those of clock.device: leave it out, and name the channel", c.Device)
			need(s.Pulse.Source != "extts" || c.Channel != s.Pulse.Channel, key+"channel", "%d is the channel that steers the clock; name another", c.Channel)
		}
		if c.Name == "" {
			if c.Name = c.Device; c.Source == "extts" {
				c.Name = fmt.Sprintf("extts %s channel %d", s.Clock.Device, c.Channel)
			}
		}
		need(!names[c.Name], key+"name", "%q is there already; give another", c.Name)
		names[c.Name] = true
	}
	return errors.Join(errs...)
}

// compared is the engine's view of them.
func (s *settings) compared() (out []refclock.CompareConfig) {
	for _, c := range s.Pulse.Compare {
		out = append(out, refclock.CompareConfig{Name: c.Name, Bias: c.Bias.Duration, Cable: cable(c.Cable, c.Length, c.Velocity), Limit: c.Limit.Duration})
	}
	return out
}

// comparePulses makes the tasks that read them.
func (s *settings) comparePulses(out chan<- refclock.ComparedEdge, count func(reason.Code), log *slog.Logger) (tasks []*pps.Reader) {
	for i, c := range s.Pulse.Compare {
		tasks = append(tasks, &pps.Reader{
			Name: c.Name, Log: log,
			Open: func() (pps.Source, error) { return s.openCompare(c) },
			Hand: func(x pps.Edge) bool {
				select {
				case out <- refclock.ComparedEdge{Index: i, Edge: x}:
				default:
					count(reason.CompareSkipped)
				}
				return true
			},
			Count: func(r reason.Code) {
				if r == reason.PulseAmbiguous { // that name is for the pulse that steers
					r = reason.PulseSilent
				}
				count(r)
			},
		})
	}
	return tasks
}

func (s *settings) openCompare(c compareConfig) (pps.Source, error) {
	edge, kedge, err := c.edges()
	if err != nil {
		return nil, err
	}
	if c.Source == "kernel" {
		return source(pps.OpenKernel(c.Device, pps.KernelOptions{Edge: kedge, Timeout: quiet}))
	}
	return openExtTS(s.Clock.Device, pps.ExtTSOptions{Channel: c.Channel, Pin: c.Pin, Edge: edge, Width: c.Width.Duration, Timeout: quiet})
}

// openExtTS opens the external timestamps of a clock, with a descriptor of
// their own.
func openExtTS(device string, opt pps.ExtTSOptions) (pps.Source, error) {
	d, err := phc.Open(device)
	if err != nil {
		return nil, err
	}
	x, err := pps.NewExtTS(d, opt)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &extts{x, d}, nil
}
