// Package network knows the network interfaces of this machine, what lies beneath
// them, and when they or the addresses of the machine change.
package network

import (
	"cmp"
	"slices"
)

// Link is one network interface.
type Link struct {
	Index   int
	Name    string
	Up      bool // an operator has switched it on
	Carrier bool // it can send and receive
	Master  int  // index of the bridge, bond or VRF that it is a part of; 0: none
	Lower   int  // index of the interface that it lies on (VLAN, macvlan); 0: none
	Tagged  bool // it is a VLAN: its frames are 4 octets longer on the wire
}

// Links are all interfaces of a network namespace.
type Links []Link

// Named returns the interface with a name.
func (l Links) Named(name string) (Link, bool) {
	return l.find(func(x Link) bool { return x.Name == name })
}

// Indexed returns the interface with an index.
func (l Links) Indexed(index int) (Link, bool) {
	return l.find(func(x Link) bool { return x.Index == index })
}

func (l Links) find(is func(Link) bool) (Link, bool) {
	if i := slices.IndexFunc(l, is); i >= 0 {
		return l[i], true
	}
	return Link{}, false
}

// Beneath returns the interfaces at the bottom of the one with an index, in the order
// of their indices: the ports of a bridge, the members of a bond, what a VLAN lies
// on, through any number of layers. Of an interface on nothing it is that interface.
func (l Links) Beneath(index int) []Link {
	var found []Link
	l.descend(index, map[int]bool{}, &found)
	slices.SortFunc(found, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	return found
}

// descend collects the interfaces beneath one. seen ends what is a circle, which the
// kernel forbids, but two readings of a changing table may show one.
func (l Links) descend(index int, seen map[int]bool, found *[]Link) {
	if seen[index] {
		return
	}
	seen[index] = true
	at, ok := l.Indexed(index)
	if !ok {
		return
	}
	bottom := true
	for _, x := range l {
		if x.Master == index || x.Index == at.Lower {
			bottom = false
			l.descend(x.Index, seen, found)
		}
	}
	if bottom {
		*found = append(*found, at)
	}
}

// Above returns the interfaces whose packets all pass through the one with an index:
// VLANs on it, and a bridge or bond that it is the only part of.
func (l Links) Above(index int) []Link {
	var found []Link
	seen := map[int]bool{index: true}
	for todo := []int{index}; len(todo) > 0; todo = todo[1:] {
		at, _ := l.Indexed(todo[0])
		for _, x := range l {
			if seen[x.Index] || x.Lower != at.Index && x.Index != at.Master {
				continue
			}
			seen[x.Index] = true
			todo = append(todo, x.Index)
			if len(l.Beneath(x.Index)) == 1 {
				found = append(found, x)
			}
		}
	}
	return found
}
