package setup

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
)

// adopt completes a machine by what the installed configuration says of the devices of a refclockd that
// runs or will run: nobody else may open them, and some may be missing now. Where that does not lead to
// a clock, it refuses: what could be planned would replace the one that is served. rec is the record of
// the last setup.
func (s *System) adopt(m *Machine, rec *Record) error {
	// It may be between two starts, or start at the next boot. Without systemd there is no state.
	if st, err := s.unitState(refclockdUnit); err == nil && (st.Active || st.Enabled && !missing(s.path(refclockdFile))) {
		m.Refclockd = true
	}
	if !m.Refclockd {
		return nil
	}
	cfg, err := refclockd.Load(s.path(refclockdFile))
	if err == nil {
		gone := missing(s.path(cfg.Receiver.Device))
		if m.Clock = m.adopt(cfg, rec.Machine, gone); m.Clock != "" {
			return nil
		}
		err = fmt.Errorf("%s has clock.source = %q and pulse.source = %q, with devices that were not found", refclockdFile, cfg.Clock.Source, cfg.Pulse.Source)
	}
	if slices.ContainsFunc(Sources(m), func(s Source) bool { return s.ID == rec.Answers.Clock }) { // it is chosen again
		return nil
	}
	if slices.Contains(m.Unseen, refclockdName) {
		return fmt.Errorf("%w: refclockd runs, and only root sees which devices it uses: %w", os.ErrPermission, err)
	}
	return fmt.Errorf("%w: refclockd runs or is enabled, and setup does not know its clock: %w; run systemctl disable --now refclockd and setup again, or choose the clock with -clock", exitcode.ErrConfig, err)
}

// adopt adds port, pulse and pin of a configuration, and returns the Source.ID of its clock; empty: it
// has another kind of clock or pulse than setup knows, or a device that is not there. earlier and gone
// are as in adoptPort.
func (m *Machine) adopt(cfg *refclockd.Settings, earlier *Machine, gone bool) string {
	port := m.adoptPort(cfg, earlier, gone)
	in := cfg.Pulse.PulseInput
	var card *Card
	var pulse *Pulse
	switch {
	case cfg.Clock.Source == "phc" && in.Source == "extts":
		if card = m.adoptCard(cfg.Clock.Device); card == nil {
			return ""
		}
		if card.pulse() < 0 {
			card.Pins = append(card.Pins, Pin{
				Index: in.Pin, Channel: in.Channel, Name: fmt.Sprintf("pin %d", in.Pin), Use: "extts", Configured: true,
				Both: in.Width.Duration > 0, Width: in.Width.Duration,
			})
		}
	case cfg.Clock.Source == "system" && in.Source == "kernel":
		i := slices.IndexFunc(m.Pulses, func(p Pulse) bool { return p.Device == in.Device })
		if i < 0 {
			return ""
		}
		pulse = &m.Pulses[i]
	default:
		return ""
	}
	for _, s := range Sources(m) {
		if s.port == port && s.card == card && s.pulse == pulse {
			return s.ID
		}
	}
	return ""
}

// adoptPort returns the receiver's port of a configuration. A port that setup does not know is added:
// one of another driver, or one that is gone because its receiver is unplugged. That is as the last setup
// found it (earlier, which may be nil), unless another receiver is there now.
func (m *Machine) adoptPort(cfg *refclockd.Settings, earlier *Machine, gone bool) *Port {
	i := slices.IndexFunc(m.Ports, func(p Port) bool { return slices.ContainsFunc(p.Users, isRefclockd) })
	if i < 0 {
		i = slices.IndexFunc(m.Ports, func(p Port) bool { return cfg.Receiver.Device == p.Device || cfg.Receiver.Device == p.Node })
	}
	if i < 0 && gone {
		if p := m.receiver(); p != nil && p.Heard.usable() {
			return p
		}
	}
	if i < 0 {
		p := Port{Device: cfg.Receiver.Device, Node: cfg.Receiver.Device}
		if gone {
			p = earlier.port(cfg.Receiver.Device, p)
		}
		p.Users = []string{refclockdName}
		m.Ports = append(m.Ports, p)
		i = len(m.Ports) - 1
	}
	p := &m.Ports[i]
	if !p.Heard.usable() {
		baud, _ := cfg.Receiver.Baud.(int64) // "auto" is 0
		p.Heard = &Heard{Baud: int(baud), Messages: []string{}, Dated: true, Fix: true, Configured: true}
	}
	return p
}

// adoptCard returns the card of a configuration, whose name may be that of another interface of
// the same card; nil: it is not there.
func (m *Machine) adoptCard(name string) *Card {
	i := slices.IndexFunc(m.Cards, func(c Card) bool { return name == c.Interface || path.Clean(name) == c.Device })
	if i < 0 && !strings.HasPrefix(name, "/") {
		i = slices.IndexFunc(m.Cards, func(c Card) bool { return c.Held })
	}
	if i < 0 || m.Cards[i].Channels == 0 {
		return nil
	}
	return &m.Cards[i]
}
