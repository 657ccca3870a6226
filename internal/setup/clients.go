package setup

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"noonmark/server/certs"
)

// Snippet is what a client needs to get time from this machine.
type Snippet struct {
	Client string `json:"client"`
	Where  string `json:"where"` // a file, or where the lines are entered
	Lines  string `json:"lines"`
}

// Snippets returns what clients need: those of certs.Clients with NTS, the others
// plain NTP. With a network restricted to NTS they would get no answer; setup makes no
// such restriction.
func Snippets(m *Machine, a *Answers) (all []Snippet) {
	names := m.Names
	how, public, _ := ntsOf(a.NTS) // it was checked
	if how == "acme" {
		names = []string{public}
	}
	if len(names) == 0 {
		return nil
	}
	var host, four string
	for _, n := range names {
		ip, err := netip.ParseAddr(n)
		switch {
		case err != nil:
			host = cmp.Or(host, n)
		case ip.Is4():
			four = cmp.Or(four, n)
		}
	}
	plain := cmp.Or(four, host, names[0])
	for _, c := range certs.Clients() {
		switch h, ok := c.Host(names); {
		case how == "own" && ok:
			all = append(all, Snippet{c.Name, c.File, fmt.Sprintf("# copy %s/%s to %s\n%s", authorityDir, certs.AuthorityCert, c.CA, c.Lines(h, c.CA))})
		case how == "acme":
			all = append(all, Snippet{c.Name, c.File, publicLines(c.Name, public)})
		default:
			all = append(all, Snippet{c.Name, c.File, plainLines(c.Name, plain)})
		}
	}
	all = append(all,
		Snippet{"systemd-timesyncd", "/etc/systemd/timesyncd.conf.d/noonmark.conf", "[Time]\nNTP=" + plain + "\n"},
		Snippet{"Windows", "a command prompt of an administrator", fmt.Sprintf("w32tm /config /manualpeerlist:\"%s,0x8\" /syncfromflags:manual /update\nw32tm /resync\n", plain)})
	if four != "" {
		all = append(all, Snippet{"DHCP, option 42", "dnsmasq.conf; for ISC dhcpd: option ntp-servers " + four + ";", "dhcp-option=option:ntp-server," + four + "\n"})
	}
	return all
}

// publicLines are a client's lines for a server whose certificate its system trusts.
func publicLines(client, host string) string {
	switch client {
	case "ntpd-rs":
		return fmt.Sprintf("[[source]]\nmode = \"nts\"\naddress = %q\n", host)
	default:
		return "server " + host + " nts iburst\n"
	}
}

// plainLines are a client's lines without NTS.
func plainLines(client, host string) string {
	switch client {
	case "ntpd-rs":
		return fmt.Sprintf("[[source]]\nmode = \"server\"\naddress = %q\n", host)
	default:
		return "server " + host + " iburst\n"
	}
}

// snippetText writes snippets for people.
func snippetText(all []Snippet) string {
	var b strings.Builder
	for _, x := range all {
		fmt.Fprintf(&b, "\n# %s: %s\n%s", x.Client, x.Where, x.Lines)
	}
	return b.String()
}
