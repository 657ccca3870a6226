package gnss

import (
	"slices"
	"strings"
)

// Identity is what a receiver says of its own kind, in UBX-MON-VER or in the TXT
// sentences that it sends when it starts. A part is empty until it has said it. Its
// JSON keys only grow.
type Identity struct {
	Maker    string `json:"maker,omitempty"`
	Model    string `json:"model,omitempty"` // "ZED-F9T"
	Hardware string `json:"hardware,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Version  string `json:"protocol_version,omitempty"` // of the maker's own protocol: "27.31"
	// Protocols are the protocols that it has sent, by Framing.Name, in the order in
	// which they came.
	Protocols []string `json:"protocols,omitempty"`
}

// maxIdentity is the longest part that is kept, octets. The fields of MON-VER have 30.
const maxIdentity = 64

// ublox is the maker whose receivers name themselves by MON-VER.
const ublox = "u-blox"

// Message takes what a message says of the receiver's kind.
func (id *Identity) Message(m *Message) {
	if m.Protocol != "" && !slices.Contains(id.Protocols, m.Protocol) {
		id.Protocols = append(slices.Clone(id.Protocols), m.Protocol)
	}
	switch m.Source {
	case "MON-VER":
		*id = Identity{Maker: ublox, Hardware: part(m.HW), Firmware: part(m.Text), Protocols: id.Protocols}
		for _, x := range m.Modules {
			id.item(x)
		}
	case "TXT", "INF-NOTICE":
		id.item(m.Text)
	}
}

// items are the words that begin a text which says a part. u-blox puts "=" or a blank
// behind the word, by generation; CASIC (ATGM33x) puts "=".
var items = [...]struct {
	word  string
	blank bool // a blank may follow
	of    func(*Identity) *string
}{
	{"MOD", true, func(id *Identity) *string { return &id.Model }},
	{"HW", true, func(id *Identity) *string { return &id.Hardware }},
	{"FWVER", true, func(id *Identity) *string { return &id.Firmware }},
	{"PROTVER", true, func(id *Identity) *string { return &id.Version }},
	{"MA", false, func(id *Identity) *string { return &id.Maker }},
	{"IC", false, func(id *Identity) *string { return &id.Hardware }},
	{"SW", false, func(id *Identity) *string { return &id.Firmware }},
}

// item takes one text.
func (id *Identity) item(text string) {
	// The texts of a u-blox receiver's start begin with its maker. It may be another one.
	if len(text) >= len(ublox) && strings.EqualFold(text[:len(ublox)], ublox) {
		*id = Identity{Maker: ublox, Protocols: id.Protocols}
		return
	}
	for _, core := range [...]string{"ROM CORE ", "EXT CORE "} { // a FWVER says it better
		if strings.HasPrefix(text, core) && (id.Firmware == "" || strings.HasPrefix(id.Firmware, "ROM CORE ")) {
			id.Firmware = part(text)
			return
		}
	}
	for i := range items {
		rest, ok := strings.CutPrefix(text, items[i].word)
		if !ok || rest == "" || rest[0] != '=' && (rest[0] != ' ' || !items[i].blank) {
			continue
		}
		if p := part(strings.TrimLeft(rest, "= ")); p != "" {
			*items[i].of(id) = p
		}
		return
	}
}

// part returns a text without what a terminal or a page must not get, and of limited
// length.
func part(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text[:min(len(text), maxIdentity)])
	return strings.Join(strings.Fields(text), " ")
}

// String names the receiver in one line; empty: it has not said what it is.
func (id *Identity) String() string {
	parts := []string{strings.TrimSpace(id.Maker + " " + id.Model)}
	for _, x := range [...]struct{ word, of string }{{"hardware", id.Hardware}, {"firmware", id.Firmware}, {"protocol", id.Version}} {
		if x.of != "" {
			parts = append(parts, x.word+" "+x.of)
		}
	}
	if parts[0] == "" {
		parts = parts[1:]
	}
	return strings.Join(parts, ", ")
}
