package setup

import (
	"fmt"
	"slices"
	"strings"
)

// BootEdit is a change of a file that configures a Raspberry Pi's next boot.
type BootEdit struct {
	Path string   `json:"path"`
	Add  []string `json:"add"`    // lines, or words of the kernel's command line
	Drop []string `json:"remove"` // words of the kernel's command line
	Why  []string `json:"why"`

	text string // of the file afterwards
}

// DefaultGPIO is the pin of the pulse on most receivers for the Raspberry Pi (pin 12
// of the header).
const DefaultGPIO = 18

// BootEdits returns what a Raspberry Pi must be booted with before its pulse and its
// serial port can be used; none if they can. gpio is the pin of the pulse.
func BootEdits(m *Machine, gpio int) (edits []BootEdit) {
	if m.Boot.Config == "" || slices.ContainsFunc(m.Cards, func(c Card) bool { return c.pulse() >= 0 }) {
		return nil
	}
	e := BootEdit{Path: m.Boot.Config, Add: []string{}, Drop: []string{}}
	add := func(line, why string) {
		if !hasLine(m.Boot.config, line) {
			e.Add, e.Why = append(e.Add, line), append(e.Why, why)
		}
	}
	if !slices.ContainsFunc(m.Pulses, func(p Pulse) bool { return p.Unfit == "" }) && !hasLine(m.Boot.config, "dtoverlay=pps-gpio") {
		add(fmt.Sprintf("dtoverlay=pps-gpio,gpiopin=%d", gpio), "the kernel stamps the pulse on this pin")
	}
	usb := slices.ContainsFunc(m.Ports, func(p Port) bool { return p.USB && p.Heard.usable() })
	if usb || slices.ContainsFunc(m.Ports, func(p Port) bool { return !p.USB && p.Heard.usable() }) {
		return withText(m, e)
	}
	if strings.HasPrefix(m.Board, "Raspberry Pi 5") {
		add("dtparam=uart0=on", "the serial port on pins 8 and 10")
	} else {
		add("enable_uart=1", "the serial port on pins 8 and 10")
	}
	if strings.HasPrefix(m.Board, "Raspberry Pi 3") || strings.HasPrefix(m.Board, "Raspberry Pi 4") {
		add("dtoverlay=disable-bt", "Bluetooth uses the good serial port, /dev/ttyAMA0")
	}
	edits = withText(m, e)
	var drop []string
	for _, w := range strings.Fields(m.Boot.cmdLine) {
		if c, ok := strings.CutPrefix(w, "console="); ok && (strings.HasPrefix(c, "serial") || strings.HasPrefix(c, "ttyAMA") || strings.HasPrefix(c, "ttyS")) {
			drop = append(drop, w)
		}
	}
	if drop == nil {
		return edits
	}
	left := slices.DeleteFunc(strings.Fields(m.Boot.cmdLine), func(w string) bool { return slices.Contains(drop, w) })
	return append(edits, BootEdit{Path: m.Boot.CmdLine, Add: []string{}, Drop: drop, Why: []string{"the receiver needs the port that is the kernel's console"}, text: strings.Join(left, " ") + "\n"})
}

// withText completes an edit of config.txt; none if nothing is added. The lines go to
// the end, for all models.
func withText(m *Machine, e BootEdit) []BootEdit {
	if len(e.Add) == 0 {
		return nil
	}
	e.text = m.Boot.config
	if e.text != "" && !strings.HasSuffix(e.text, "\n") {
		e.text += "\n"
	}
	e.text += "\n# Added by refclockctl setup.\n[all]\n" + strings.Join(e.Add, "\n") + "\n"
	return []BootEdit{e}
}

// hasLine reports whether config.txt has a setting; an overlay's parameters do not
// matter.
func hasLine(config, want string) bool {
	for line := range strings.Lines(config) {
		l := strings.TrimSpace(line)
		if l == want || strings.HasPrefix(l, want+",") {
			return true
		}
	}
	return false
}
