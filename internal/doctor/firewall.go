package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A firewall's ruleset, as far as it decides about packets from strangers to a
// port. It is an estimate: marks, sets and maps are not followed.

// passage is what becomes of a stranger's packet.
type passage struct {
	open bool
	some bool // some are let in by rules that ask for more than the port
}

type chain struct {
	input bool // a base chain at the input hook
	drop  bool // its policy
	rules [][]string
}

type ruleTable struct {
	family string
	chains map[string]*chain
}

// parseNFT reads what `nft list ruleset` prints.
func parseNFT(text string) (tables []*ruleTable) {
	var t *ruleTable
	var c *chain
	depth, inChain := 0, 0
	for _, l := range strings.Split(text, "\n") {
		f := strings.Fields(strings.ReplaceAll(l, ";", " ; "))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		opens := f[len(f)-1] == "{"
		switch {
		case opens && f[0] == "table" && len(f) >= 3:
			t = &ruleTable{family: f[1], chains: map[string]*chain{}}
			if len(f) == 3 { // table NAME: the ip family
				t.family = "ip"
			}
			tables = append(tables, t)
		case opens && f[0] == "chain" && t != nil && len(f) == 3:
			c = &chain{}
			t.chains[f[1]] = c
			inChain = depth + 1
		case c != nil && depth == inChain && f[0] == "type":
			c.input = contains2(f, "hook", "input")
			c.drop = contains2(f, "policy", "drop")
		case c != nil && depth == inChain && f[0] != "}":
			c.rules = append(c.rules, f)
		}
		if opens {
			depth++
		}
		if f[0] == "}" {
			depth--
			if depth < inChain {
				c = nil
			}
		}
	}
	return tables
}

// contains2 reports whether b follows a.
func contains2(f []string, a, b string) bool {
	i := slices.Index(f, a)
	return i >= 0 && i+1 < len(f) && f[i+1] == b
}

// parseIPTables reads what iptables-save (ip) and ip6tables-save (ip6) print,
// as nft's words.
func parseIPTables(family, text string) []*ruleTable {
	t := &ruleTable{family: family, chains: map[string]*chain{}}
	in := false
	for _, l := range strings.Split(text, "\n") {
		f := strings.Fields(l)
		switch {
		case len(f) == 0:
		case strings.HasPrefix(f[0], "*"):
			in = f[0] == "*filter"
		case in && strings.HasPrefix(f[0], ":") && len(f) > 1:
			t.chains[f[0][1:]] = &chain{input: f[0] == ":INPUT", drop: f[1] == "DROP"}
		case in && f[0] == "-A" && len(f) > 2 && t.chains[f[1]] != nil:
			t.chains[f[1]].rules = append(t.chains[f[1]].rules, translate(f[2:]))
		}
	}
	return []*ruleTable{t}
}

// translate turns the options of a rule of iptables into nft's words; what it
// does not know becomes a condition that is not known.
func translate(f []string) (r []string) {
	proto := "?"
	for i := 0; i < len(f); i++ {
		arg := ""
		if i+1 < len(f) {
			arg = f[i+1]
		}
		switch f[i] {
		case "-p":
			proto = arg
			r = append(r, "meta", "l4proto", arg)
		case "-m", "--comment":
		case "--dport":
			r = append(r, proto, "dport", strings.Replace(arg, ":", "-", 1))
		case "--dports":
			r = append(append(append(r, proto, "dport", "{"), strings.Split(strings.ReplaceAll(arg, ":", "-"), ",")...), "}")
		case "--ctstate", "--state":
			r = append(r, "ct", "state", strings.ToLower(arg))
		case "-i":
			r = append(r, "iifname", arg)
		case "-j", "-g":
			switch arg {
			case "ACCEPT", "DROP", "REJECT", "RETURN":
				r = append(r, strings.ToLower(arg))
			case "LOG", "NFLOG":
				return append(r, "continue")
			default:
				r = append(r, "jump", arg)
			}
			return r
		default:
			r = append(r, "?")
			continue
		}
		i++
	}
	return r
}

// passes tells what becomes of packets of a family ("ip", "ip6") to a port.
func passes(tables []*ruleTable, family, proto string, port int) passage {
	p := passage{open: true}
	for _, t := range tables {
		if t.family != family && t.family != "inet" {
			continue
		}
		for _, c := range t.chains {
			if !c.input {
				continue
			}
			v, some := t.walk(c, proto, port, 0)
			if v == "drop" || v == "" && c.drop {
				p.open = false
				p.some = p.some || some
			}
		}
	}
	return p
}

// walk returns a chain's verdict, "" if it has none, and whether some packets
// were accepted on the way.
func (t *ruleTable) walk(c *chain, proto string, port, depth int) (ExitCode string, some bool) {
	for _, r := range c.rules {
		match, sure, v, to := judge(r, proto, port)
		if !match {
			continue
		}
		if next := t.chains[to]; next != nil && depth < 8 {
			var s bool
			v, s = t.walk(next, proto, port, depth+1)
			some = some || s
		}
		switch {
		case sure && (v == "accept" || v == "drop"):
			return v, some
		case sure && v == "return":
			return "", some
		case v == "accept":
			some = true
		}
	}
	return "", some
}

// judge tells whether a rule can match a stranger's first packet to the port,
// whether it does so for certain, its verdict, and the chain it jumps to.
func judge(f []string, proto string, port int) (match, sure bool, ExitCode, to string) {
	sure = true
	for i := 0; i < len(f); i++ {
		arg := func(n int) string {
			if i+n < len(f) {
				return f[i+n]
			}
			return ""
		}
		switch w := f[i]; w {
		case "udp", "tcp":
			if w != proto {
				return false, false, "", ""
			}
			if arg(1) != "dport" {
				sure = false
				continue
			}
			set, n := operand(f[i+2:])
			i += 1 + n
			if hit, known := inSet(set, port); known && !hit {
				return false, false, "", ""
			} else if !known {
				sure = false
			}
		case "icmp", "icmpv6", "igmp", "esp", "ah", "sctp", "dccp", "udplite":
			return false, false, "", ""
		case "meta", "ip", "ip6", "th":
			set, n := operand(f[min(i+2, len(f)):])
			switch arg(1) {
			case "l4proto", "protocol", "nexthdr":
				if !slices.Contains(set, proto) {
					return false, false, "", ""
				}
			case "dport":
				if hit, known := inSet(set, port); known && !hit {
					return false, false, "", ""
				}
			default:
				sure = false
			}
			i += 1 + n
		case "ct":
			set, n := operand(f[min(i+2, len(f)):])
			if arg(1) == "state" && !slices.Contains(set, "new") {
				return false, false, "", ""
			}
			sure = sure && arg(1) == "state" && arg(2) != "vmap"
			i += 1 + n
		case "iif", "iifname":
			if strings.Trim(arg(1), `"`) == "lo" {
				return false, false, "", ""
			}
			sure = false
			i++
		case "counter":
			if arg(1) == "packets" {
				i += 4
			}
		case "comment", "continue":
			i++
		case "accept", "return":
			return true, sure, w, ""
		case "drop", "reject":
			return true, sure, "drop", ""
		case "jump", "goto":
			return true, sure, "", arg(1)
		default:
			sure = false
		}
	}
	return false, false, "", ""
}

// operand reads a value or a set of them, and says how many fields it took.
func operand(f []string) (set []string, n int) {
	if len(f) == 0 {
		return nil, 0
	}
	if f[0] != "{" {
		return strings.Split(f[0], ","), 1
	}
	for n = 1; n < len(f) && f[n] != "}"; n++ {
		set = append(set, strings.Trim(f[n], ","))
	}
	return set, n + 1
}

// inSet reports whether a port is in a set of ports and ranges; known is false
// where the set is not spelled out.
func inSet(set []string, port int) (hit, known bool) {
	services := map[string]int{"ntp": 123}
	for _, s := range set {
		lo, hi, ranged := strings.Cut(s, "-")
		if !ranged {
			hi = lo
		}
		num := func(s string) int {
			if n, ok := services[s]; ok {
				return n
			}
			n, err := strconv.Atoi(s)
			if err != nil {
				return -1
			}
			return n
		}
		a, b := num(lo), num(hi)
		if a < 0 || b < 0 {
			return false, false
		}
		hit = hit || a <= port && port <= b
	}
	return hit, len(set) > 0
}

// firewall looks whether the ports are open to others.
func (h host) firewall(nts bool) []Finding {
	const mend = "run doctor as root with nft or iptables-save at hand; or ask from another machine: ntsquery -plain HOST"
	var tables []*ruleTable
	source := "nft"
	text, err := h.run("nft", "list", "ruleset")
	if err == nil {
		tables = parseNFT(text)
	}
	if err != nil || len(tables) == 0 {
		for _, x := range [][2]string{{"ip", "iptables-save"}, {"ip6", "ip6tables-save"}} {
			if text, e := h.run(x[1]); e == nil {
				tables, source, err = append(tables, parseIPTables(x[0], text)...), "iptables", nil
			}
		}
	}
	if err != nil {
		return []Finding{warn("firewall", mend, "whether a firewall is in the way is not known: no ruleset can be read")}
	}
	ports := []struct {
		proto string
		port  int
		what  string
	}{{"udp", 123, "NTP"}}
	if nts {
		ports = append(ports, struct {
			proto string
			port  int
			what  string
		}{"tcp", 4460, "NTS key establishment"})
	}
	var out []Finding
	for _, p := range ports {
		for _, fam := range [...][2]string{{"ip", "IPv4"}, {"ip6", "IPv6"}} {
			add := fmt.Sprintf("nft add rule inet filter input %s dport %d accept (or your firewall's way to say so)", p.proto, p.port)
			switch v := passes(tables, fam[0], p.proto, p.port); {
			case v.open:
				out = append(out, good("firewall", "%d/%s (%s) is open over %s, as far as %s tells", p.port, p.proto, p.what, fam[1], source))
			case v.some:
				out = append(out, warn("firewall", add, "%d/%s (%s) over %s is open to some only", p.port, p.proto, p.what, fam[1]))
			default:
				out = append(out, bad("firewall", add, "the firewall drops %d/%s (%s) over %s", p.port, p.proto, p.what, fam[1]))
			}
		}
	}
	return out
}
