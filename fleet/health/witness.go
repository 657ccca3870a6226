package health

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Peer is another node as a witness.
type Peer struct {
	Name    string
	Address string // of its NTS-KE server, HOST:PORT
}

// MaxWitnesses is how many other nodes a node asks. Each asks and is asked as often, so
// the load does not grow with the fleet; five tolerate two that are wrong.
const MaxWitnesses = 5

// Peers chooses the witnesses of a node among the others. All nodes stand on a circle in
// the order of a hash of their names, and each asks those that follow it. So each is
// asked as often, a node that comes or goes changes few lists, and the same list comes
// from the same nodes.
func Peers(self string, nodes []Peer) []Peer {
	ring := slices.Clone(nodes)
	slices.SortFunc(ring, func(a, b Peer) int {
		if x, y := place(a.Name), place(b.Name); x != y {
			return compare(x, y)
		}
		return strings.Compare(a.Name, b.Name)
	})
	at := slices.IndexFunc(ring, func(p Peer) bool { return p.Name == self })
	if at < 0 {
		return nil // a node that is not in the registry has no witnesses
	}
	var list []Peer
	for i := 1; i < len(ring) && len(list) < MaxWitnesses; i++ {
		if p := ring[(at+i)%len(ring)]; p.Address != "" {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func place(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	x := h.Sum64() // FNV alone keeps names that differ in the last letter close together
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// WitnessFragment is the part of refclockd's file that names the witnesses; ca is the
// file of their authority, empty: those of the system. Empty without witnesses.
func WitnessFragment(list []Peer, ca string) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	type witness struct {
		Address string `toml:"address"`
		CA      string `toml:"ca,omitempty"`
	}
	var file struct {
		Witness []witness `toml:"witness"`
	}
	for _, p := range list {
		file.Witness = append(file.Witness, witness{p.Address, ca})
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(file); err != nil {
		return "", fmt.Errorf("write witnesses: %w", err)
	}
	return b.String(), nil
}

// Reading is what one witness shows.
type Reading struct {
	Name   string
	Offset time.Duration // clock of this node - that of the witness, + = this node is fast
	Bound  time.Duration // of the error of Offset: both clocks and the path
}

// Deviation reports whether this node is the one that is wrong, and how. asked is how
// many witnesses it has. A node deviates if more than half of all, itself included,
// answered and agree with each other that it is off by more than all bounds allow. With
// fewer than two answers nobody can be blamed.
func Deviation(asked int, readings []Reading) (how string, deviates bool) {
	// The largest group of witnesses whose intervals of the true offset have a point in
	// common (Marzullo).
	best, from, to := 0, time.Duration(0), time.Duration(0)
	for _, r := range readings {
		at := r.Offset - r.Bound // a largest group begins at some lower end
		n, low, high := 0, at, time.Duration(1<<62)
		for _, o := range readings {
			if o.Offset-o.Bound <= at && at <= o.Offset+o.Bound {
				n++
				high = min(high, o.Offset+o.Bound)
			}
		}
		if n > best || n == best && (low <= 0 && high >= 0) { // doubt is for the node
			best, from, to = n, low, high
		}
	}
	if best < 2 || 2*best <= asked+1 || from <= 0 && to >= 0 {
		return "", false
	}
	var names []string
	for _, r := range readings {
		if r.Offset-r.Bound <= from && from <= r.Offset+r.Bound {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	word, off := "fast", from
	if to < 0 {
		word, off = "slow", -to
	}
	return fmt.Sprintf("%d of %d witnesses agree that the clock is %v %s or more: %s", best, asked, off, word, strings.Join(names, ", ")), true
}
