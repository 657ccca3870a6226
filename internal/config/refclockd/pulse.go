package refclockd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/phc"
	"noonmark/refclock/pps"
)

// maxCompare is how many pulses can be compared.
const maxCompare = 8

// timestampEdge is the edge to ask a card to stamp.
func (in *PulseInput) timestampEdge() phc.Edges {
	if in.Edge == pps.Clear {
		return phc.Falling
	}
	return phc.Rising
}

// CableDelay is the delay of the antenna cable, given as a time or by length
// and velocity factor.
func (in *PulseInput) CableDelay() time.Duration {
	return in.Cable.Duration + pps.CableDelay(in.CableLength, in.Velocity)
}

// check checks what is common to all pulses; prefix is that of the keys.
func (in *PulseInput) check(c *config.Checker, prefix string) {
	c.Require(in.Pin >= -1 && in.Pin < 64, prefix+"pin", "%d is not a pin; want 0 to 63, or -1 to leave the card's pins as they are", in.Pin)
	c.Require(in.Channel >= 0 && in.Channel < 64, prefix+"channel", "%d is not a channel; want 0 to 63", in.Channel)
	c.Within(prefix+"width", in.Width, 0, 999*time.Millisecond)
	c.Within(prefix+"bias", in.Bias, -10*time.Millisecond, 10*time.Millisecond)
	c.Within(prefix+"cable", in.Cable, 0, 100*time.Microsecond)
	c.Require(in.CableLength >= 0 && in.CableLength <= 10_000, prefix+"cable_length", "%v is out of range; want metres, 0 to 10000", in.CableLength)
	c.Require(in.Velocity >= 0.3 && in.Velocity <= 1, prefix+"velocity_factor",
		"%v is not a velocity factor; want 0.3 to 1, such as 0.66 (RG-58) or 0.85 (LMR-400)", in.Velocity)
	c.Require(in.Cable.Duration == 0 || in.CableLength == 0, prefix+"cable_length",
		"%v and %scable = %q are both set; want the delay or the length", in.CableLength, prefix, in.Cable)
}

func (c *check) pulse() {
	p := &c.Pulse
	c.OneOf("pulse.source", p.Source, "kernel", "extts", "sim", "none")
	c.Require((p.Source == "sim") == (c.Clock.Source == "sim") || p.Source == "none", "pulse.source",
		"%q with clock.source %q; the simulated pulse belongs to the simulated clock: set both to \"sim\" or neither", p.Source, c.Clock.Source)
	c.Require(p.Source != "extts" || c.Clock.Source == "phc", "pulse.source",
		`"extts" needs clock.source = "phc"; want a pulse that this clock can stamp`)
	c.Require(p.Source != "kernel" || strings.TrimSpace(p.Device) != "", "pulse.device", `is empty; name a PPS device, such as "/dev/pps0"`)
	p.check(c.Checker, "pulse.")
}

// compared checks the pulses that are compared, and names those without a
// name.
func (c *check) compared() {
	list := c.Pulse.Compare
	c.Require(len(list) <= maxCompare, "pulse.compare", "%d pulses; want at most %d", len(list), maxCompare)
	names := map[string]bool{}
	for i := range list {
		p, prefix := &list[i], fmt.Sprintf("pulse.compare[%d].", i)
		if !c.OneOf(prefix+"source", p.Source, "kernel", "extts") {
			continue
		}
		if !c.Checker.File.Has(prefix + "velocity_factor") {
			p.Velocity = pps.SolidVelocity
		}
		p.check(c.Checker, prefix)
		c.Within(prefix+"limit", p.Limit, 0, 400*time.Millisecond)
		c.Require(!p.Independent || p.Limit.Duration > 0, prefix+"independent", "needs a limit: it is the error of the other receiver; want such as limit = \"1us\"")
		c.distinct(prefix, p)
		if p.Name == "" {
			p.Name = c.inputName(&p.PulseInput)
		}
		c.Require(!names[p.Name], prefix+"name", "%q is there already; want another name", p.Name)
		names[p.Name] = true
	}
}

// distinct checks that a compared pulse has an input of its own.
func (c *check) distinct(prefix string, p *ComparedPulse) {
	switch p.Source {
	case "kernel":
		c.Require(p.Device != "", prefix+"device", `is empty; name a PPS device, such as "/dev/pps1"`)
		c.Require(c.Pulse.Source != "kernel" || p.Device != c.Pulse.Device, prefix+"device", "%q is the pulse that steers the clock; name another", p.Device)
	case "extts":
		c.Require(c.Clock.Source == "phc", prefix+"source", `"extts" needs clock.source = "phc"; want a pulse that this clock can stamp`)
		c.Require(p.Device == "", prefix+"device", "%q is not used: clock.device stamps the pulse; leave it out, and name the channel", p.Device)
		c.Require(c.Pulse.Source != "extts" || p.Channel != c.Pulse.Channel, prefix+"channel", "%d is the channel that steers the clock; name another", p.Channel)
	}
}

// PulseName names the pulse that steers the clock, in logs and snapshots.
func (s *Settings) PulseName() string { return s.inputName(&s.Pulse.PulseInput) }

func (s *Settings) inputName(in *PulseInput) string {
	switch in.Source {
	case "kernel":
		return in.Device
	case "extts":
		return fmt.Sprintf("extts %s channel %d", s.Clock.Device, in.Channel)
	}
	return in.Source
}

// CompareConfigs are the compared pulses as the engine judges them.
func (s *Settings) CompareConfigs() (out []pps.CompareConfig) {
	for i := range s.Pulse.Compare {
		p := &s.Pulse.Compare[i]
		out = append(out, pps.CompareConfig{Name: p.Name, Bias: p.Bias.Duration, Cable: p.CableDelay(), Limit: p.Limit.Duration, Independent: p.Independent})
	}
	return out
}

// capturesClear reports whether a kernel pulse is to be captured at the edge that a
// driver may leave out: requesting it needs CAP_SYS_TIME (PPS_SETPARAMS).
func (f *File) capturesClear() bool {
	clear := func(in *PulseInput) bool { return in.Source == "kernel" && in.Edge == pps.Clear }
	return clear(&f.Pulse.PulseInput) || slices.ContainsFunc(f.Pulse.Compare, func(p ComparedPulse) bool { return clear(&p.PulseInput) })
}
