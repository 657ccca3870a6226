package doctor

import (
	"slices"
	"strconv"
	"strings"
)

// Ruleset is a firewall's rules, as far as they decide about packets from
// strangers to a port. The answer is an estimate: packet marks, named sets and
// maps are not followed.
type Ruleset struct {
	Err    error  // nothing could be read
	Source string // nft or iptables
	tables []*ruleTable
}

// passage says what becomes of a stranger's packet.
type passage struct {
	open bool
	some bool // some packets are accepted by rules that ask for more than the port
}

// ruleTable is a table of nftables, or the filter table of iptables.
type ruleTable struct {
	family string // ip, ip6 or inet
	chains map[string]*ruleChain
}

type ruleChain struct {
	input bool // a base chain at the input hook
	drop  bool // its policy
	rules [][]string
}

// readRuleset reads the firewall's rules. command runs a program.
func readRuleset(command func(name string, args ...string) (string, error)) Ruleset {
	text, err := command("nft", "list", "ruleset")
	if err == nil {
		if t := parseNFT(text); len(t) > 0 {
			return Ruleset{Source: "nft", tables: t}
		}
	}
	r := Ruleset{Source: "nft", Err: err} // an empty ruleset of nft is one
	for _, x := range [...]struct{ family, program string }{{"ip", "iptables-save"}, {"ip6", "ip6tables-save"}} {
		if text, err := command(x.program); err == nil {
			r.Source, r.Err = "iptables", nil
			r.tables = append(r.tables, parseIPTables(x.family, text)...)
		}
	}
	return r
}

// parseNFT reads what `nft list ruleset` prints.
func parseNFT(text string) (tables []*ruleTable) {
	var t *ruleTable
	var c *ruleChain
	depth, inChain := 0, 0
	for line := range strings.Lines(text) {
		f := strings.Fields(strings.ReplaceAll(line, ";", " ; "))
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		opens := f[len(f)-1] == "{"
		switch {
		case opens && f[0] == "table" && len(f) >= 3:
			t = &ruleTable{family: f[1], chains: map[string]*ruleChain{}}
			if len(f) == 3 { // table NAME: the ip family
				t.family = "ip"
			}
			tables = append(tables, t)
		case opens && f[0] == "chain" && t != nil && len(f) == 3:
			c = &ruleChain{}
			t.chains[f[1]] = c
			inChain = depth + 1
		case c != nil && depth == inChain && f[0] == "type":
			c.input, c.drop = follows(f, "hook", "input"), follows(f, "policy", "drop")
		case c != nil && depth == inChain && f[0] != "}":
			c.rules = append(c.rules, f)
		}
		if opens {
			depth++
		}
		if f[0] == "}" {
			if depth--; depth < inChain {
				c = nil
			}
		}
	}
	return tables
}

// follows reports whether b stands behind a.
func follows(f []string, a, b string) bool {
	i := slices.Index(f, a)
	return i >= 0 && i+1 < len(f) && f[i+1] == b
}

// parseIPTables reads what iptables-save (ip) and ip6tables-save (ip6) print, as
// rules of nft.
func parseIPTables(family, text string) []*ruleTable {
	t := &ruleTable{family: family, chains: map[string]*ruleChain{}}
	filter := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case strings.HasPrefix(f[0], "*"):
			filter = f[0] == "*filter"
		case filter && strings.HasPrefix(f[0], ":") && len(f) > 1:
			t.chains[f[0][1:]] = &ruleChain{input: f[0] == ":INPUT", drop: f[1] == "DROP"}
		case filter && f[0] == "-A" && len(f) > 2 && t.chains[f[1]] != nil:
			t.chains[f[1]].rules = append(t.chains[f[1]].rules, translate(f[2:]))
		}
	}
	return []*ruleTable{t}
}

// unknown is a condition that is not understood, in a translated rule.
const unknown = "?"

// translate turns the options of a rule of iptables into a rule of nft.
func translate(f []string) (rule []string) {
	proto := unknown
	for i := 0; i < len(f); i++ {
		arg := ""
		if i+1 < len(f) {
			arg = f[i+1]
		}
		switch f[i] {
		case "-p":
			proto = arg
			rule = append(rule, "meta", "l4proto", arg)
		case "-m", "--comment":
		case "--dport":
			rule = append(rule, proto, "dport", strings.Replace(arg, ":", "-", 1))
		case "--dports":
			rule = append(append(append(rule, proto, "dport", "{"), strings.Split(strings.ReplaceAll(arg, ":", "-"), ",")...), "}")
		case "--ctstate", "--state":
			rule = append(rule, "ct", "state", strings.ToLower(arg))
		case "-i":
			rule = append(rule, "iifname", arg)
		case "-j", "-g":
			switch arg {
			case "ACCEPT", "DROP", "REJECT", "RETURN":
				return append(rule, strings.ToLower(arg))
			case "LOG", "NFLOG":
				return append(rule, "continue")
			}
			return append(rule, "jump", arg)
		default:
			rule = append(rule, unknown)
			continue
		}
		i++
	}
	return rule
}

// passage says what becomes of packets of a family (ip, ip6) to a port.
func (r *Ruleset) passage(family, proto string, port int) passage {
	p := passage{open: true}
	for _, t := range r.tables {
		if t.family != family && t.family != "inet" {
			continue
		}
		for _, c := range t.chains {
			if !c.input {
				continue
			}
			action, some := t.walk(c, packet{proto, port}, 0)
			if action == "drop" || action == "" && c.drop {
				p.open = false
				p.some = p.some || some
			}
		}
	}
	return p
}

// packet is a stranger's first packet to a port.
type packet struct {
	proto string
	port  int
}

// maxJumps is how deep chains are followed: the kernel refuses loops, a file that
// nobody loaded may have one.
const maxJumps = 8

// walk returns what a chain does with a packet: accept, drop or nothing; some:
// it accepts some on the way.
func (t *ruleTable) walk(c *ruleChain, p packet, depth int) (action string, some bool) {
	for _, rule := range c.rules {
		m := match(rule, p)
		if !m.possible {
			continue
		}
		if next := t.chains[m.jump]; next != nil && depth < maxJumps {
			var s bool
			m.action, s = t.walk(next, p, depth+1)
			some = some || s
		}
		switch {
		case m.certain && (m.action == "accept" || m.action == "drop"):
			return m.action, some
		case m.certain && m.action == "return":
			return "", some
		case m.action == "accept":
			some = true
		}
	}
	return "", some
}

// ruleMatch is how a rule meets a packet.
type ruleMatch struct {
	possible bool // it has an action, and no condition excludes the packet
	certain  bool // every condition is understood and holds
	action   string
	jump     string // chain to go to
}

// match compares a rule with a packet.
func match(rule []string, p packet) ruleMatch {
	certain := true
	for i := 0; i < len(rule); {
		word := rule[i]
		switch word {
		case "accept", "return":
			return ruleMatch{possible: true, certain: certain, action: word}
		case "drop", "reject":
			return ruleMatch{possible: true, certain: certain, action: "drop"}
		case "jump", "goto":
			return ruleMatch{possible: true, certain: certain, jump: field(rule, i+1)}
		}
		used, holds := condition(rule[i:], p)
		if holds == no {
			return ruleMatch{}
		}
		certain = certain && holds == yes
		i += used
	}
	return ruleMatch{} // a rule that only counts
}

// answer is whether a condition holds.
type answer int

const (
	maybe answer = iota
	yes
	no
)

// answerOf turns a known truth into an answer.
func answerOf(holds bool) answer {
	if holds {
		return yes
	}
	return no
}

// field returns the field n, "" behind the end.
func field(f []string, n int) string {
	if n < len(f) {
		return f[n]
	}
	return ""
}

// condition compares the condition at the start of f with a packet, and returns
// how many fields it has.
func condition(f []string, p packet) (used int, holds answer) {
	switch f[0] {
	case "udp", "tcp":
		if f[0] != p.proto {
			return 1, no
		}
		if field(f, 1) != "dport" {
			return 1, maybe
		}
		set, n := operand(f[2:])
		return 2 + n, inSet(set, p.port)
	case "icmp", "icmpv6", "igmp", "esp", "ah", "sctp", "dccp", "udplite":
		return 1, no
	case "meta", "ip", "ip6", "th":
		set, n := operand(f[min(2, len(f)):])
		switch field(f, 1) {
		case "l4proto", "protocol", "nexthdr":
			return 2 + n, answerOf(slices.Contains(set, p.proto))
		case "dport":
			return 2 + n, inSet(set, p.port)
		}
		return 2 + n, maybe
	case "ct":
		set, n := operand(f[min(2, len(f)):])
		if field(f, 1) != "state" {
			return 2 + n, maybe
		}
		return 2 + n, answerOf(slices.Contains(set, "new"))
	case "iif", "iifname":
		if strings.Trim(field(f, 1), `"`) == "lo" {
			return 2, no
		}
		return 2, maybe
	case "counter":
		if field(f, 1) == "packets" {
			return 5, yes // counter packets N bytes N
		}
		return 1, yes
	case "comment", "continue":
		return 2, yes
	}
	return 1, maybe
}

// operand reads a value or a set of values, and returns how many fields it has.
func operand(f []string) (set []string, used int) {
	if len(f) == 0 {
		return nil, 0
	}
	if f[0] != "{" {
		return strings.Split(f[0], ","), 1
	}
	for used = 1; used < len(f) && f[used] != "}"; used++ {
		set = append(set, strings.Trim(f[used], ","))
	}
	return set, used + 1
}

// inSet says whether a port is in a set of ports and ranges; maybe where the set
// is not spelled out.
func inSet(set []string, port int) answer {
	number := func(s string) int {
		if s == "ntp" {
			return 123
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			return -1
		}
		return n
	}
	hit := false
	for _, s := range set {
		low, high, ranged := strings.Cut(s, "-")
		if !ranged {
			high = low
		}
		a, b := number(low), number(high)
		if a < 0 || b < 0 {
			return maybe
		}
		hit = hit || a <= port && port <= b
	}
	if len(set) == 0 {
		return maybe
	}
	return answerOf(hit)
}
