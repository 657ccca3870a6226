package setup

import (
	"fmt"
	"strings"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
)

const head = "Written by refclockctl setup. It has only the keys that differ from their defaults;"

// receiverFile returns refclockd's configuration for a source with a receiver.
func receiverFile(m *Machine, s *Source, a *Answers) []byte {
	def := refclockd.Default()
	d := newDocument(head, "docs/reference-configuration.md has all keys. A file that was changed by hand is kept.")
	d.table("receiver")
	if s.port.Device != def.Receiver.Device {
		why := "the port on which a receiver was heard"
		if !s.port.Heard.usable() {
			why = "the port that " + strings.Join(s.port.Users, ", ") + " read during setup"
		}
		if s.port.Device != s.port.Node {
			why += ", by a name that stays when ports are numbered anew"
		}
		d.set("device", s.port.Device, why)
	}
	switch h := s.port.Heard; {
	case !h.usable() || h.Baud == 0:
		d.set("baud", "auto", "another program used the port during setup, so the rate is unknown")
	case int64(h.Baud) != def.Receiver.Baud:
		d.set("baud", h.Baud, "the rate at which its messages were valid")
	}
	d.pulse(m, s, &def)
	d.table("clock")
	if s.Kind == SystemClock {
		d.set("source", "system", "no card stamps the pulse, so the kernel's pulse steers the system clock")
	} else if name := s.card.clockName(); name != def.Clock.Device {
		d.set("device", name, "the card that stamps the pulse")
	}
	if s.Kind == CardClock && !m.keepsSystemClock() {
		d.table("system_clock")
		d.set("mode", "discipline", "no other program kept the system clock during setup")
	}
	if a.observed() {
		d.table("metrics")
		d.set("listen", refclockdMetrics, "for Prometheus on this machine")
	}
	return d.bytes()
}

// Where metrics are read.
const (
	refclockdMetrics = "127.0.0.1:9123"
	ntsserveMetrics  = "127.0.0.1:9124"
)

// keepsSystemClock reports whether a program keeps the system clock, now or from the
// next boot on.
func (m *Machine) keepsSystemClock() bool {
	for _, r := range m.Rivals {
		if r.Clock {
			return true
		}
	}
	return false
}

// pulse writes [pulse], and what its path costs under [discipline].
func (d *document) pulse(m *Machine, s *Source, def *refclockd.File) {
	d.table("pulse")
	if s.Kind == CardClock {
		d.set("source", "extts", fmt.Sprintf("%s stamps the pulse", s.card.clockName()))
		if s.pin.Index != def.Pulse.Pin {
			why := "the pin with the pulse: " + s.pin.Name
			if s.pin.Index < 0 {
				why = "the card's inputs cannot be assigned"
			}
			d.set("pin", s.pin.Index, why)
		}
		if s.pin.Channel != 0 {
			d.set("channel", s.pin.Channel, "the channel with the pulse")
		}
		if s.pin.Both {
			d.set("width", ascii(s.pin.Width), "as measured; the card stamps both edges, and this tells them apart")
		}
		return
	}
	if s.pulse.Device != def.Pulse.Device {
		d.set("device", s.pulse.Device, "the kernel's pulse: "+s.pulse.Name)
	}
	systematic, limit, why := 10*time.Microsecond, time.Millisecond, "the part of the interrupt's latency that is unknown, as on similar boards (firmware-notes/boards.md)"
	switch {
	case strings.Contains(s.pulse.Name, "serial"):
		systematic, limit, why = 150*time.Microsecond, 2*time.Millisecond, "the interrupt of a serial port is late by 30 to 110 us (firmware-notes/boards.md); calibrate, then reduce it"
	case strings.HasPrefix(m.Board, "Raspberry Pi 5"):
		d.set("bias", "11.7us", "measured on a Raspberry Pi 5 (firmware-notes/boards.md); half of it is PCIe sleep")
	}
	d.table("discipline")
	d.set("systematic_error", ascii(systematic), why)
	d.set("holdover_limit", ascii(limit), "a limit that a system clock can keep for minutes")
}

// ascii writes a duration as configuration files have it: us, not the Greek letter.
func ascii(d time.Duration) string { return strings.ReplaceAll(d.String(), "µ", "u") }

// serverFile returns ntsserve's configuration.
func serverFile(m *Machine, s *Source, a *Answers) []byte {
	d := newDocument(head, "docs/reference-configuration.md has all keys. A file that was changed by hand is kept.")
	switch s.Kind {
	case ChronyClock:
		d.table("source")
		d.set("type", "chrony", "chronyd keeps the system clock; its error and stratum are served")
	case KernelClock:
		d.table("source")
		d.set("type", "kernel", "there is no receiver; the system clock is served while a program reports it as synchronised")
	}
	d.table("[endpoint]")
	d.set("address", "0.0.0.0:123", "NTP on all IPv4 addresses")
	if m.IPv6 {
		d.table("[endpoint]")
		d.set("address", "[::]:123", "NTP on all IPv6 addresses")
	}
	how, name, _ := ntsOf(a.NTS) // it was checked
	nets, _ := networks(a.Clients)
	if how != "none" {
		d.table("ke")
		if m.IPv6 {
			d.set("listen", "[::]:4460", "NTS key establishment on IPv4 and IPv6")
		}
		if how == "own" {
			d.set("certificate", certificateFile, "by the authority in "+authorityDir+"; "+renewTimer+" renews it")
			d.set("key", keyFile, "it belongs to the user ntsserve")
		}
		if nets == nil {
			d.set("rate", 200, "handshakes a second; strangers cannot take all processors")
			d.set("rate_per_address", 2, "and none of them all of these")
		}
	}
	if how == "acme" {
		d.table("acme")
		d.set("names", []string{name}, "the name that clients use")
		d.set("accept_terms", true, "accepted during setup")
		d.set("http", "0.0.0.0:80", "Let's Encrypt asks here whether the name is yours")
	}
	d.table("access")
	if nets == nil {
		d.set("rate_limit", 4, "requests a second and prefix: everybody may ask, nobody without limit")
		d.set("rate_burst", 32, "clients ask several times when they start")
	} else {
		d.set("allow", nets, "who gets answers: "+clientsWhy(a.Clients))
	}
	if a.observed() {
		d.table("metrics")
		d.set("listen", ntsserveMetrics, "for Prometheus on this machine")
	}
	return d.bytes()
}

func clientsWhy(answer string) string {
	if answer == "private" {
		return "private networks and this machine"
	}
	return "as answered, and this machine"
}

// Where setup writes.
const (
	configDir       = "/etc/noonmark"
	refclockdFile   = refclockd.DefaultPath
	ntsserveFile    = ntsserve.DefaultPath
	webConfig       = refclockweb.DefaultPath
	authorityDir    = configDir + "/ca"
	certificateDir  = configDir + "/tls"
	certificateFile = certificateDir + "/server.pem"
	keyFile         = certificateDir + "/server.key"
)
