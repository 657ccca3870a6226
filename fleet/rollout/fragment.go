// Package rollout distributes configuration to the nodes of a fleet: fragments that
// every node gets, overlays of single nodes, and the order in which nodes take a new
// version: first a few, then the others, and back if one is not healthy. What the local
// file of a node names wins. Set, Merge, Rollout and Node are pure; Keeper connects them
// with etcd and the files of one node.
package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"noonmark/fleet/store"
	"noonmark/internal/config"
	"noonmark/internal/config/alert"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
)

// Program is a program that reads a configuration file.
type Program string

// The programs.
const (
	NTSServe  Program = "ntsserve"
	Refclockd Program = "refclockd"
	Alert     Program = "alert" // refclockctl alert
)

// Programs returns all programs.
func Programs() []Program { return []Program{NTSServe, Refclockd, Alert} }

// allowed are the keys that a fleet may set; one that ends with a dot includes all below
// it. It may not name
// users, files, commands or addresses to listen on: who can write to etcd must not
// become who can run programs or read files on every node. So the targets of alerts,
// which name commands and files with passwords, are of the local file, and a witness
// has no ca. It is never required either: that could take the clock out of service.
var allowed = map[Program][]string{
	NTSServe: {
		"access.allow", "access.deny", "access.nts_only",
		"access.rate_limit", "access.rate_burst", "access.rate_prefix4", "access.rate_prefix6", "access.kiss_rate",
		"ke.max_connections", "ke.max_per_address", "ke.rate", "ke.rate_per_address", "ke.timeout",
	},
	Refclockd: {"witness", "witness.address", "witness.nts", "witness.max_offset", "witness.interval"},
	Alert:     {"conditions."},
}

// Limits of what is applied.
const (
	// MaxFragment limits the fragment of one program, octets.
	MaxFragment = config.MaxFragment
	// maxManifest limits what is read of the list of fragments, octets: 10,000 overlays
	// have 1 MB, and etcd takes 1.5 MB.
	maxManifest = 1 << 20
)

// Errors that callers distinguish.
var (
	ErrKey     = errors.New("a fleet may not set this key; set it in the local file of the node")
	ErrSet     = errors.New("configuration of the fleet is damaged")
	ErrTooLong = errors.New("fragment is too long")
)

// ID names a Set by its content: half of a SHA-256 of its manifest, hexadecimal.
// Empty: the configuration without fragments.
type ID string

// Word is how people are shown the configuration.
func (id ID) Word() string {
	if id == "" {
		return "the empty configuration"
	}
	return "configuration " + string(id)
}

// Fragments are the texts of one node or of all nodes, TOML as the program reads it.
type Fragments map[Program]string

// Set is the configuration of a fleet: what is the same on all nodes, and overlays.
// What an overlay names replaces the same key of All.
type Set struct {
	All   Fragments
	Nodes map[string]Fragments
}

// fileOf is the file that an operator applies: a table for each program with the keys
// of its own file, and the same below [node.NAME] for a single node.
type fileOf struct {
	NTSServe  ntsserve.File    `toml:"ntsserve"`
	Refclockd refclockd.File   `toml:"refclockd"`
	Alert     alert.File       `toml:"alert"`
	Node      map[string]nodes `toml:"node"`
}

type nodes struct {
	NTSServe  ntsserve.File  `toml:"ntsserve"`
	Refclockd refclockd.File `toml:"refclockd"`
	Alert     alert.File     `toml:"alert"`
}

// ParseSet reads the file that an operator applies. Each error has file, line and key.
// Values are checked by the programs themselves, with the local file of each node.
func ParseSet(name string, text []byte) (Set, error) {
	s := Set{All: Fragments{}, Nodes: map[string]Fragments{}}
	f, err := config.Parse(name, text, &fileOf{})
	if err != nil {
		return s, err
	}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	c := config.NewChecker(f)
	perNode, _ := tree["node"].(map[string]any)
	delete(tree, "node")
	s.All = fragments(c, "", tree)
	for _, n := range slices.Sorted(maps.Keys(perNode)) {
		if err := store.CheckName(n); err != nil {
			c.Refuse("node."+n, "%w", err)
			continue
		}
		of, _ := perNode[n].(map[string]any)
		s.Nodes[n] = fragments(c, "node."+n+".", of)
	}
	return s, c.Err()
}

// fragments checks the keys of a table of programs, and returns their texts.
func fragments(c *config.Checker, prefix string, tree map[string]any) Fragments {
	list := Fragments{}
	for name, v := range tree {
		of, _ := v.(map[string]any)
		if err := checkKeys(Program(name), of, func(key string) { c.Refuse(prefix+name+"."+key, "%w", ErrKey) }); err != nil {
			c.Refuse(prefix+name, "%w", err)
			continue
		}
		if len(of) > 0 {
			list[Program(name)] = render(of)
		}
	}
	return list
}

// checkKeys calls refuse for each key that a fleet may not set. The error wraps
// ErrTooLong, or is about an unknown program.
func checkKeys(p Program, tree map[string]any, refuse func(key string)) error {
	keys, ok := allowed[p]
	if !ok {
		return fmt.Errorf("%.80q is no program; want one of %v", p, Programs())
	}
	leaves("", tree, func(key string) {
		if !slices.ContainsFunc(keys, func(k string) bool { return key == k || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k) }) {
			refuse(key)
		}
	})
	if n := len(render(tree)); n > MaxFragment {
		return fmt.Errorf("%w: %d octets, at most %d", ErrTooLong, n, MaxFragment)
	}
	return nil
}

// leaves calls report for the key of each value; those of a list of tables are named
// without the index.
func leaves(prefix string, v any, report func(key string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			leaves(joinKey(prefix, k), v[k], report)
		}
	case []any:
		report(prefix)
		for _, x := range v {
			if t, ok := x.(map[string]any); ok {
				leaves(prefix, t, report)
			}
		}
	default:
		report(prefix)
	}
}

func joinKey(prefix, k string) string {
	if prefix == "" {
		return k
	}
	return prefix + "." + k
}

// render writes a tree as TOML, always the same text for the same tree.
func render(tree map[string]any) string {
	b, err := toml.Marshal(tree)
	if err != nil {
		panic(err) // impossible: the tree comes from TOML
	}
	return string(b)
}

// parse reads a fragment, and refuses keys that a fleet may not set: etcd is input. One
// that this node made itself may name the file of an authority.
func parse(p Program, text string, own bool) (map[string]any, error) {
	if len(text) > MaxFragment {
		return nil, fmt.Errorf("%w: %w: %d octets", ErrSet, ErrTooLong, len(text))
	}
	tree := map[string]any{}
	if err := toml.Unmarshal([]byte(text), &tree); err != nil {
		return nil, fmt.Errorf("%w: fragment of %s: %w", ErrSet, p, err)
	}
	var errs []error
	err := checkKeys(p, tree, func(key string) {
		if !own || key != "witness.ca" {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrSet, key, ErrKey))
		}
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrSet, err))
	}
	return tree, errors.Join(errs...)
}

// manifest lists the texts of a set by the fingerprints of their contents.
type manifest struct {
	All   map[Program]string            `json:"all"`
	Nodes map[string]map[Program]string `json:"nodes"`
}

func fingerprint(text string) string { return config.FragmentContent(text) }

// encode returns the manifest of the set and its texts by fingerprint.
func (s Set) encode() (list []byte, texts map[string]string) {
	m := manifest{map[Program]string{}, map[string]map[Program]string{}}
	texts = map[string]string{}
	put := func(to map[Program]string, from Fragments) {
		for p, text := range from {
			to[p] = fingerprint(text)
			texts[to[p]] = text
		}
	}
	put(m.All, s.All)
	for n, f := range s.Nodes {
		m.Nodes[n] = map[Program]string{}
		put(m.Nodes[n], f)
	}
	list, err := json.Marshal(m)
	if err != nil {
		panic(err) // impossible: only texts
	}
	return list, texts
}

// ID names the set by its content.
func (s Set) ID() ID {
	list, _ := s.encode()
	return ID(fingerprint(string(list)))
}

// decodeManifest reads a manifest and compares it with its name.
func decodeManifest(id ID, b []byte) (m manifest, err error) {
	if len(b) > maxManifest || fingerprint(string(b)) != string(id) {
		return m, fmt.Errorf("%w: list %s has another content than its name says", ErrSet, id)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: list %s: %w", ErrSet, id, err)
	}
	return m, nil
}

// changed returns the programs whose configuration differs between two sets, on any node.
func changed(from, to Set) (list []Program) {
	for _, p := range Programs() {
		differs := from.All[p] != to.All[p]
		for n := range from.Nodes {
			differs = differs || from.Nodes[n][p] != to.Nodes[n][p]
		}
		for n := range to.Nodes {
			differs = differs || from.Nodes[n][p] != to.Nodes[n][p]
		}
		if differs {
			list = append(list, p)
		}
	}
	return list
}

// Diff returns the keys that differ between two sets, one a line: "- " before what is
// removed and "+ " before what is added, in the order of nodes, programs and keys.
func Diff(from, to Set) string {
	var b strings.Builder
	diffFragments(&b, "", from.All, to.All)
	names := map[string]bool{}
	for n := range from.Nodes {
		names[n] = true
	}
	for n := range to.Nodes {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		diffFragments(&b, "node."+n+".", from.Nodes[n], to.Nodes[n])
	}
	return b.String()
}

func diffFragments(b *strings.Builder, prefix string, from, to Fragments) {
	for _, p := range Programs() {
		was, is := values(from[p]), values(to[p])
		keys := maps.Clone(was)
		maps.Copy(keys, is)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if was[k] == is[k] {
				continue
			}
			if was[k] != "" {
				fmt.Fprintf(b, "- %s%s.%s = %s\n", prefix, p, k, was[k])
			}
			if is[k] != "" {
				fmt.Fprintf(b, "+ %s%s.%s = %s\n", prefix, p, k, is[k])
			}
		}
	}
}

// values returns the values of a fragment as TOML, by key. A text that cannot be read
// is one value.
func values(text string) map[string]string {
	tree := map[string]any{}
	if toml.Unmarshal([]byte(text), &tree) != nil {
		return map[string]string{"": strconv.Quote(text)}
	}
	list := map[string]string{}
	flatten("", tree, func(key string, v any) {
		var b bytes.Buffer
		e := toml.NewEncoder(&b)
		e.SetTablesInline(true)
		if e.Encode(map[string]any{"v": v}) != nil {
			fmt.Fprint(&b, "v = ", v)
		}
		list[key] = strings.TrimSpace(strings.TrimPrefix(b.String(), "v = "))
	})
	return list
}

// flatten calls report for each value that is no table. A list, also one of tables, is
// one value.
func flatten(prefix string, tree map[string]any, report func(key string, v any)) {
	for _, k := range slices.Sorted(maps.Keys(tree)) {
		if t, ok := tree[k].(map[string]any); ok {
			flatten(joinKey(prefix, k), t, report)
			continue
		}
		report(joinKey(prefix, k), tree[k])
	}
}
