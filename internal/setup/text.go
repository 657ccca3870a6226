package setup

import (
	"fmt"
	"io"
	"strings"
)

// print shows a machine to people.
func (m *Machine) print(w io.Writer) {
	board := ""
	if m.Board != "" {
		board = m.Board + ", "
	}
	fmt.Fprintf(w, "\nmachine   %s, %sLinux %s\n", m.Name, board, m.Kernel)
	for i := range m.Ports {
		fmt.Fprintf(w, "port      %s: %s\n", m.Ports[i].Device, m.Ports[i].text())
	}
	for i := range m.Pulses {
		fmt.Fprintf(w, "pulse     %s (%s): %s\n", m.Pulses[i].Device, m.Pulses[i].Name, m.Pulses[i].text())
	}
	for i := range m.Cards {
		m.Cards[i].print(w)
	}
	for _, r := range m.Rivals {
		var is []string
		if r.Running {
			is = append(is, "runs")
		}
		if r.Enabled {
			is = append(is, "is enabled")
		}
		fmt.Fprintf(w, "program   %s %s\n", r.Unit, strings.Join(is, ", "))
	}
	if len(m.Ports)+len(m.Pulses)+len(m.Cards) == 0 {
		fmt.Fprintln(w, "nothing   neither a serial port nor a pulse nor a card with a PTP clock")
	}
}

func (p *Port) text() string {
	h := p.Heard
	switch {
	case p.Console:
		return "a console; not opened"
	case h == nil && len(p.Users) == 0:
		return "not listened to"
	case h == nil:
		return "in use by " + strings.Join(p.Users, ", ")
	case h.Configured:
		return "in use by refclockd, as " + refclockdFile + " says"
	case h.Error != "":
		return h.Error
	case h.Baud > 0:
		text := fmt.Sprintf("receiver at %d baud: %s", h.Baud, strings.Join(h.Messages, ", "))
		if h.Receiver != "" {
			text += "; " + h.Receiver
		}
		switch {
		case !h.Dated:
			text += "; without a date"
		case !h.Fix:
			text += "; without a fix"
		}
		return text
	case h.Octets > 0:
		return "no receiver: " + h.Looks
	}
	return "silent"
}

func (p *Pulse) text() string {
	switch {
	case p.Unfit != "":
		return p.Unfit
	case p.Error != "":
		return p.Error
	case p.Count == nil:
		return "not listened to"
	}
	return fmt.Sprintf("%d pulses in %v", *p.Count, pulseTime)
}

func (c *Card) print(w io.Writer) {
	name := c.Device
	if c.Interface != "" {
		name += ", " + c.Interface
	}
	switch {
	case c.Unfit != "":
		fmt.Fprintf(w, "card      %s (%s): %s\n", name, c.Name, c.Unfit)
		return
	case len(c.Users) > 0:
		fmt.Fprintf(w, "card      %s (%s): in use by %s\n", name, c.Name, strings.Join(c.Users, ", "))
		return
	case c.Quirk != "":
		name += "; " + c.Quirk
	}
	fmt.Fprintf(w, "card      %s (%s): %d inputs for pulses\n", name, c.Name, c.Channels)
	for _, p := range c.Pins {
		text := fmt.Sprintf("%d stamps in %v", p.Stamps, pulseTime)
		if p.Both {
			text += fmt.Sprintf(", both edges, active for %v", p.Width)
		}
		if p.Configured {
			text = "in use by refclockd, as " + refclockdFile + " says"
		} else if !p.Heard {
			text = "used as " + p.Use + "; not listened to"
		}
		if p.Error != "" {
			text = p.Error
		}
		fmt.Fprintf(w, "  pin     %s: %s\n", p.Name, text)
	}
}
