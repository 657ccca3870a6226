package health

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// Peer is another node as a witness: where it alone answers, whatever the shared name
// leads to.
type Peer struct {
	Name    string
	Address string // of its NTS-KE server, HOST:PORT
	TLS     string // the name in its certificate; empty: the host of Address
	NTP     string // of its NTP server, HOST:PORT; empty: what its NTS-KE server names
}

// MaxWitnesses is how many other nodes a node asks. Each asks and is asked as often, so
// the load does not grow with the fleet; five tolerate two that are wrong.
const MaxWitnesses = 5

// Order returns the other nodes in the order in which a node looks for witnesses; it asks
// the first MaxWitnesses that are fit. All nodes stand on a circle in the order of a hash
// of their names, and each begins with the one that follows it. So each is asked as often,
// a node that comes or goes changes few lists, and the same order comes from the same
// nodes.
func Order(self string, names []string) []string {
	ring := slices.Clone(names)
	slices.SortFunc(ring, func(a, b string) int {
		if c := cmp.Compare(place(a), place(b)); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	at := slices.Index(ring, self)
	if at < 0 {
		return nil // a node that is not in the registry has no witnesses
	}
	return slices.Concat(ring[at+1:], ring[:at])
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

// Reading is what one witness shows.
type Reading struct {
	Name   string
	Offset time.Duration // clock of this node - that of the witness, + = this node is fast
	Bound  time.Duration // of the error of Offset: both clocks and the path
}

// majority reports whether so many witnesses are more than half of all, this node
// included, and at least two.
func majority(n, asked int) bool { return n >= 2 && 2*n > asked+1 }

// contradicts reports whether the bounds do not allow that the node has the time of the
// witness.
func (r Reading) contradicts() bool { return r.Offset.Abs() > r.Bound }

// Agreement reports whether a majority of all answered, and their bounds allow that the
// time of this node is theirs. It is not the opposite of Deviation: between them nothing
// is known.
func Agreement(asked int, readings []Reading) bool {
	n := 0
	for _, r := range readings {
		if !r.contradicts() {
			n++
		}
	}
	return majority(n, asked)
}

// Deviation reports whether this node is the one that is wrong, and how. asked is how
// many witnesses it has. A node deviates if more than half of all, itself included,
// answered, each contradicts it, and they agree with each other. A witness with a wide
// bound, which would agree with anything, does not count. With fewer than two answers
// nobody can be blamed.
func Deviation(asked int, readings []Reading) (how string, deviates bool) {
	// The largest group of witnesses whose intervals of the true offset have a point in
	// common (Marzullo).
	readings = slices.DeleteFunc(slices.Clone(readings), func(r Reading) bool { return !r.contradicts() })
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
		if n > best {
			best, from, to = n, low, high
		}
	}
	if !majority(best, asked) {
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
