package setup

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Kind is what keeps the clock that is served.
type Kind string

// The kinds.
const (
	CardClock   Kind = "phc"    // refclockd steers a card's clock
	SystemClock Kind = "system" // refclockd steers the system clock
	ChronyClock Kind = "chrony" // chronyd keeps the system clock
	KernelClock Kind = "kernel" // another program keeps the system clock, or none
)

// receiver reports whether refclockd reads a receiver for the clock.
func (k Kind) receiver() bool { return k == CardClock || k == SystemClock }

// Source is a clock that can be served, with its inputs.
type Source struct {
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	Text string `json:"text"` // for people

	port  *Port
	pulse *Pulse
	card  *Card
	pin   *Pin
}

// Sources returns the clocks that a machine can serve, the best one first. There is
// at least one.
func Sources(m *Machine) (all []Source) {
	port := m.receiver()
	var silent []Source
	for i := range m.Cards {
		c := &m.Cards[i]
		if port == nil || c.Unfit != "" || c.Channels == 0 || len(c.Users) > 0 || len(c.Pins) == 0 {
			continue
		}
		s := Source{ID: c.clockName(), Kind: CardClock, port: port, card: c}
		if n := c.pulse(); n >= 0 {
			s.pin = &c.Pins[n]
			s.Text = fmt.Sprintf("the card's clock %s: the pulse is on %s, the receiver on %s", c.clockName(), s.pin.Name, port.Device)
			all = append(all, s)
			continue
		}
		if n := slices.IndexFunc(c.Pins, func(p Pin) bool { return p.Heard && p.Error == "" }); n >= 0 {
			s.pin = &c.Pins[n]
			s.Text = fmt.Sprintf("the card's clock %s: NO PULSE CAME, %s is a guess; the receiver is on %s", c.clockName(), s.pin.Name, port.Device)
			silent = append(silent, s)
		}
	}
	for i := range m.Pulses {
		p := &m.Pulses[i]
		if port == nil || p.Unfit != "" || p.Error != "" {
			continue
		}
		s := Source{ID: "system", Kind: SystemClock, port: port, pulse: p}
		if i > 0 {
			s.ID = "system:" + p.Device
		}
		s.Text = fmt.Sprintf("the system clock: the pulse is %s, the receiver is on %s", p.Device, port.Device)
		if p.Count == nil || *p.Count == 0 {
			s.Text += " (no pulse came: is there a fix?)"
		}
		all = append(all, s)
	}
	if m.runs("chrony.service", "chronyd.service") {
		all = append(all, Source{ID: "chrony", Kind: ChronyClock, Text: "the system clock as chronyd keeps it, from other time servers"})
	}
	text := "the system clock as another program keeps it; none does now"
	if i := slices.IndexFunc(m.Rivals, func(r Rival) bool { return r.Clock && r.Running }); i >= 0 {
		text = "the system clock as " + m.Rivals[i].Unit + " keeps it, from other time servers"
	}
	return append(append(all, Source{ID: "kernel", Kind: KernelClock, Text: text}), silent...)
}

// receiver returns the port of the best receiver that was heard, or that refclockd uses, else one that only
// gpsd uses, which can be taken over; nil if there is none.
func (m *Machine) receiver() (best *Port) {
	for i := range m.Ports {
		p := &m.Ports[i]
		if p.Heard.usable() && (best == nil || p.Heard.Fix && !best.Heard.Fix || p.Heard.Configured && !best.Heard.Configured) {
			best = p
		}
	}
	for i := 0; best == nil && i < len(m.Ports); i++ {
		if p := &m.Ports[i]; !p.Console && len(p.Users) > 0 && !slices.ContainsFunc(p.Users, func(u string) bool { return !strings.HasPrefix(u, "gpsd ") }) {
			best = p
		}
	}
	return best
}

// runs reports whether one of these units runs.
func (m *Machine) runs(units ...string) bool {
	return slices.ContainsFunc(m.Rivals, func(r Rival) bool { return r.Running && slices.Contains(units, r.Unit) })
}

// Answers are what setup cannot find out. Their JSON keys are a contract.
type Answers struct {
	Clock   string `json:"clock"`   // Source.ID
	Clients string `json:"clients"` // "private", "all", or networks with commas between them
	NTS     string `json:"nts"`     // "own", "none", or "acme NAME"
	Web     string `json:"web"`     // where the web page is: "local", "network" or "off"; the metrics are local or off
}

// Defaults are the answers for a machine.
func Defaults(m *Machine) Answers {
	a := Answers{Clock: cmp.Or(m.Clock, Sources(m)[0].ID), Clients: "private", NTS: "own", Web: pageLocal}
	if len(m.Names) == 0 {
		a.NTS = "none" // there is nothing that a certificate could be for
	}
	return a
}

// Question is what is asked about one of the answers.
type Question struct {
	Title   string
	Options []string // for people, the default first
	Value   *string
	check   func(string) error
}

// Questions are what is asked: at most four, without those that have one answer only.
func Questions(m *Machine, a *Answers) (qs []Question) {
	if sources := Sources(m); len(sources) > 1 {
		q := Question{Title: "Which clock is to be served?", Value: &a.Clock, check: func(s string) error { _, err := sourceOf(m, s); return err }}
		for _, s := range sources {
			q.Options = append(q.Options, s.ID+"  "+s.Text)
		}
		qs = append(qs, q)
	}
	return append(qs,
		Question{Title: "Who may ask?", Value: &a.Clients, check: func(s string) error { _, err := networks(s); return err }, Options: []string{
			"private  private networks (RFC 1918, RFC 4193) and this machine", "all  everybody, with limits on what strangers can use", "NETWORK,NETWORK...  such as 192.0.2.0/24,2001:db8::/32",
		}},
		Question{Title: "Authenticated time (NTS)?", Value: &a.NTS, check: func(s string) error { _, _, err := ntsOf(s); return err }, Options: []string{
			"own  with a certificate authority that is made here; clients need its ca.pem",
			"acme NAME  with a certificate of Let's Encrypt for this public name, whose terms you accept; port 80 must be reachable", "none  plain NTP only",
		}},
		Question{Title: "Where does the web page listen?", Value: &a.Web, check: func(s string) error { return checkWeb(m, a, s) }, Options: []string{
			"local  on this machine, http://127.0.0.1:9125/ (from another one: ssh -L 9125:127.0.0.1:9125); metrics at 127.0.0.1:9123 and 127.0.0.1:9124",
			"network  for other machines too, https://NAME:9125/ with a token; metrics as above", "off  nowhere: no page and no metrics",
		}})
}

// Check refuses answers that no configuration can be made from.
func (a *Answers) Check(m *Machine) error {
	all := Questions(m, a)
	for _, q := range all {
		if err := q.check(*q.Value); err != nil {
			return err
		}
	}
	_, err := sourceOf(m, a.Clock)
	return err
}

// checkGiven refuses answers of the command line that are wrong on every machine; empty ones
// are not given.
func (a *Answers) checkGiven() error {
	if a.Clients != "" {
		if _, err := networks(a.Clients); err != nil {
			return err
		}
	}
	if a.NTS != "" {
		if _, _, err := ntsOf(a.NTS); err != nil {
			return err
		}
	}
	if a.Web != "" {
		return checkPlace(a.Web)
	}
	return nil
}

func sourceOf(m *Machine, id string) (*Source, error) {
	var ids []string
	for _, s := range Sources(m) {
		if s.ID == id {
			return &s, nil
		}
		ids = append(ids, s.ID)
	}
	return nil, fmt.Errorf("%q is no clock of this machine; want one of %s", id, strings.Join(ids, ", "))
}

// privateNetworks are those of RFC 1918, RFC 4193, RFC 4291 (link-local) and
// RFC 3927, and the loopback addresses.
var privateNetworks = []string{"192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "169.254.0.0/16", "fd00::/8", "fe80::/10", "127.0.0.0/8", "::1/128"}

// networks returns the networks whose clients get answers, nil for all.
func networks(answer string) (nets []string, err error) {
	switch answer {
	case "all":
		return nil, nil
	case "private":
		return privateNetworks, nil
	}
	for _, n := range strings.Split(answer, ",") {
		n = strings.TrimSpace(n)
		p, err := netip.ParsePrefix(n)
		if a, aerr := netip.ParseAddr(n); err != nil && aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no network; want private, all, or networks such as 192.0.2.0/24,2001:db8::/32", n)
		}
		if text := p.Masked().String(); !slices.Contains(nets, text) {
			nets = append(nets, text)
		}
	}
	for _, own := range [...]string{"127.0.0.0/8", "::1/128"} { // this machine asks itself whether it answers
		if !slices.Contains(nets, own) {
			nets = append(nets, own)
		}
	}
	return nets, nil
}

// ntsOf returns how the certificate is made: "own", "acme" or "none"; name is that of
// an ACME certificate.
func ntsOf(answer string) (how, name string, err error) {
	f := strings.Fields(answer)
	switch {
	case answer == "own" || answer == "none":
		return answer, "", nil
	case len(f) == 2 && f[0] == "acme" && strings.Contains(f[1], ".") && hostName.MatchString(f[1]):
		return "acme", strings.ToLower(f[1]), nil
	}
	return "", "", fmt.Errorf("%q is no way to authenticate; want own, none, or acme with a public name, such as acme time.example.org", answer)
}
