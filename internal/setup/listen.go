package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/doctor"
	"noonmark/phc"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/receiver"
)

// pulseTime is how long each pulse and each pin is listened to: it shows three
// pulses of a receiver, and both edges of each.
const pulseTime = 3 * time.Second

// Ears listens to what a machine has. Each method closes what it has opened.
type Ears interface {
	// Receiver listens to a port, and asks a u-blox receiver for its model.
	Receiver(ctx context.Context, device string) Heard
	// Pulses counts the pulses of a PPS device.
	Pulses(ctx context.Context, device string) (int, error)
	// Pins lists the inputs of a card that no other function uses, and listens to
	// each. It leaves the functions of the pins as they were.
	Pins(ctx context.Context, card string) ([]Pin, error)
}

// Listen listens to everything that no other program uses: ports at the same time,
// pulses and pins one after the other. Ports and cards are left alone where this user cannot
// see who uses them. earlier is the machine as it was found at the last setup, for what refclockd
// uses now; it may be nil.
func Listen(ctx context.Context, m, earlier *Machine, e Ears) {
	var wg sync.WaitGroup
	for i := range m.Ports {
		p := &m.Ports[i]
		switch {
		case slices.ContainsFunc(p.Users, isRefclockd):
			p.Heard = earlier.port(p.Device, *p).Heard
		case len(p.Users) == 0 && !p.Console && len(m.Unseen) == 0:
			wg.Go(func() {
				h := e.Receiver(ctx, p.Device)
				p.Heard = &h
			})
		}
	}
	for i := range m.Pulses {
		p := &m.Pulses[i]
		if p.Unfit != "" {
			continue
		}
		n, err := e.Pulses(ctx, p.Device)
		if p.Count = &n; err != nil {
			p.Error = err.Error()
		}
	}
	for i := range m.Cards {
		c := &m.Cards[i]
		if c.Unfit != "" || c.Channels == 0 || len(c.Users) > 0 || len(m.Unseen) > 0 {
			continue
		}
		was := earlier.card(c.Device)
		if was != nil && was.pulse() < 0 {
			was = nil
		}
		if c.Held || was != nil && m.Refclockd { // another reader would take refclockd's timestamps away
			if was != nil {
				c.Pins = was.Pins
			}
			continue
		}
		pins, err := e.Pins(ctx, c.Device)
		if c.Pins = append(c.Pins, pins...); err != nil {
			c.Quirk = strings.TrimPrefix(c.Quirk+"; its pins could not be listened to: "+err.Error(), "; ")
		}
	}
	wg.Wait()
}

func isRefclockd(user string) bool { return strings.HasPrefix(user, "refclockd ") }

// port returns the port of a device that was heard; otherwise if there is none.
func (m *Machine) port(device string, otherwise Port) Port {
	if m == nil {
		return otherwise
	}
	for _, p := range m.Ports {
		if p.Device == device && p.Heard != nil {
			h := *p.Heard
			h.Earlier, p.Heard = true, &h
			return p
		}
	}
	return otherwise
}

func (m *Machine) card(device string) *Card {
	if m == nil {
		return nil
	}
	for i := range m.Cards {
		if m.Cards[i].Device == device {
			return &m.Cards[i]
		}
	}
	return nil
}

// pulse returns the index of the first pin with a pulse, -1 if there is none.
func (c *Card) pulse() int {
	return slices.IndexFunc(c.Pins, func(p Pin) bool { return p.Stamps > 0 || p.Configured })
}

// ThisMachine returns the ears of a machine.
func ThisMachine(h *doctor.Host) Ears { return hardware{h} }

// hardware listens to the devices of this machine.
type hardware struct{ host *doctor.Host }

// Receiver implements Ears.
func (x hardware) Receiver(ctx context.Context, device string) Heard {
	f := doctor.NewSurvey(x.host).Receiver(ctx, device, receiver.Rates(), pulseTime)
	h := newHeard(f, pulseTime)
	if h.Baud > 0 {
		h.Receiver = x.identity(ctx, device, h.Baud)
	}
	return h
}

// newHeard is what came from a port within d.
func newHeard(f *doctor.MessageFacts, d time.Duration) Heard {
	h := Heard{Octets: f.Bytes, Dated: f.Dated, Fix: f.Valid > 0, Messages: []string{}}
	if f.Err != nil {
		h.Error = f.Err.Error()
		return h
	}
	for name := range f.Sources {
		h.Messages = append(h.Messages, name)
	}
	slices.Sort(h.Messages)
	switch {
	case f.Framed():
		h.Baud = f.Baud
	case f.Bytes > 0:
		h.Looks = f.Look.Describe(d)
	}
	return h
}

const (
	pollVersion  = 0x0A04 // UBX-MON-VER; a poll is a message without content
	identityTime = 1500 * time.Millisecond
)

// identity asks a receiver that sends valid frames for its model. Others than u-blox
// ignore the question.
func (x hardware) identity(ctx context.Context, device string, baud int) (name string) {
	p, err := x.host.Devices.Serial(device, baud)
	if err != nil {
		return ""
	}
	defer p.Close()
	w, ok := p.(io.Writer)
	if !ok {
		return ""
	}
	if _, err := w.Write(ubx.Append(nil, pollVersion, nil)); err != nil {
		return ""
	}
	dec := registry.NewDecoder(gnss.Config{NotBefore: gnss.BuildDate()})
	var buf [1024]byte
	for end := x.host.Mono() + int64(identityTime); name == "" && ctx.Err() == nil && x.host.Mono() < end; {
		n, err := p.Read(buf[:])
		if err != nil {
			return name
		}
		dec.Feed(buf[:n], x.host.Mono(), func(m *gnss.Message) {
			if m.Source == "MON-VER" {
				var id gnss.Identity
				id.Message(m)
				name = id.String()
			}
		})
	}
	return name
}

// Pulses implements Ears.
func (x hardware) Pulses(ctx context.Context, device string) (int, error) {
	s := &refclockd.Settings{File: refclockd.Default()}
	s.Pulse.Device = device
	p := x.host.Devices.Pulses(ctx, s, pulseTime)
	return len(p.Edges), p.Err
}

// Pins implements Ears.
func (x hardware) Pins(ctx context.Context, card string) ([]Pin, error) {
	d, err := phc.Open(card)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	have, err := d.Pins()
	if err != nil {
		return nil, err
	}
	var pins []Pin
	for _, p := range have {
		q := Pin{Index: p.Index, Name: p.Name, Use: p.Func.String()}
		if p.Func == phc.PinNone || p.Func == phc.PinExtTS {
			q.listen(ctx, d)
			if err := d.SetPin(p.Index, p.Func, p.Channel); err != nil && q.Error == "" {
				q.Error = err.Error()
			}
		}
		pins = append(pins, q)
	}
	for ch := 0; len(have) == 0 && ch < d.Caps().ExtTS; ch++ {
		q := Pin{Index: -1, Name: fmt.Sprintf("channel %d", ch), Channel: ch, Use: "extts"}
		q.listen(ctx, d)
		pins = append(pins, q)
	}
	return pins, nil
}

// stamper is a card, as *phc.Device.
type stamper interface {
	EnableExtTS(phc.ExtTS) (phc.ExtTSGrant, error)
	DisableExtTS(channel int) error
	ReadExtTS(ctx context.Context, dst []phc.ExtTSEvent) (int, error)
}

// listen counts the timestamps of a pin.
func (p *Pin) listen(ctx context.Context, d stamper) {
	p.Heard = true
	grant, err := d.EnableExtTS(phc.ExtTS{Channel: p.Channel, Pin: p.Index, Edges: phc.Rising})
	if err != nil {
		p.Error = err.Error()
		return
	}
	defer func() {
		if err := d.DisableExtTS(p.Channel); err != nil && p.Error == "" {
			p.Error = err.Error()
		}
	}()
	limited, cancel := context.WithTimeout(ctx, pulseTime)
	defer cancel()
	var stamps []int64
	var buf [16]phc.ExtTSEvent
	for {
		n, err := d.ReadExtTS(limited, buf[:])
		for _, e := range buf[:n] {
			if s := int64(e.Clock); e.Channel == p.Channel && !e.Offset && !slices.Contains(stamps, s) { // some cards repeat stamps
				stamps = append(stamps, s)
			}
		}
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				p.Error = err.Error()
			}
			break
		}
		if len(stamps) > maxStamps {
			p.Error = "more timestamps than a pulse a second makes: it is no receiver's pulse"
			return
		}
	}
	p.judge(stamps, grant)
}

// maxStamps is more than both edges of a pulse a second make in pulseTime.
const maxStamps = 64

// tolerance is how far from whole seconds two edges of one kind may be: a clock
// that is 500 ppm off, and jitter.
const tolerance = 2 * time.Millisecond

// judge says what the timestamps of a pin are: those of one edge are whole seconds
// apart, those of both divide the second into two parts, of which the pulse is the
// shorter.
func (p *Pin) judge(stamps []int64, grant phc.ExtTSGrant) {
	slices.Sort(stamps)
	p.Stamps = len(stamps)
	p.Both = grant.Edges == phc.Both || !grant.Certain
	phases := 0
	for i := 1; i < len(stamps); i++ {
		gap := time.Duration(stamps[i]-stamps[i-1]) % time.Second
		if gap > tolerance && gap < time.Second-tolerance {
			phases++
			if part := min(gap, time.Second-gap); p.Width == 0 || part < p.Width {
				p.Width = part.Round(time.Millisecond)
			}
		}
	}
	p.Both = p.Both && phases > 0
	if !p.Both {
		p.Width = 0
	}
	if phases > 0 && !p.Both || len(stamps) > 8 {
		p.Error = "its edges are not a second apart: it is no receiver's pulse"
		p.Stamps, p.Width, p.Both = 0, 0, false
	}
}
