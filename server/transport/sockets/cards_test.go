package sockets

import (
	"slices"
	"testing"
)

// The kernel names the card that timestamped a datagram, or only the interface that it
// arrived on: a VLAN or a bridge above the card. A tag lengthens the frame.
func TestDatagramIsMatchedWithItsCard(t *testing.T) {
	t.Parallel()
	card := Card{Index: 3, above: []upper{{index: 7, tag: tagLen}, {index: 8}}}
	for _, c := range []struct {
		name             string
		stamped, arrived uint32 // interface indices, 0: the kernel does not say
		tag              int64
		ok               bool
	}{
		{"nothing is known", 0, 0, 0, false},
		{"another card", 4, 4, 0, false},
		{"a VLAN of another card", 4, 9, 0, false},
		{"another card, by an interface above this one", 4, 7, tagLen, false},
		{"the card", 3, 3, 0, true},
		{"the card, arrival unknown", 3, 0, 0, true},
		{"the card, by a VLAN", 3, 7, tagLen, true},
		{"the card, by a bridge", 3, 8, 0, true},
		{"the card, by a bridge over several", 3, 12, 0, true},
		{"only a VLAN is named", 7, 7, tagLen, true},
		{"only a bridge is named", 8, 8, 0, true},
	} {
		tag, ok := card.match(&control{ifindex: c.stamped, localIf: c.arrived})
		if ok != c.ok || ok && tag != c.tag {
			t.Errorf("%s: %d octets, %v; want %d, %v", c.name, tag, ok, c.tag, c.ok)
		}
	}
}

// Attempts that a driver refuses become rare, but never end.
func TestRefusedAttemptsAreSpaced(t *testing.T) {
	t.Parallel()
	var r rest
	var at []int
	for look := range 300 {
		if r.over() {
			at = append(at, look)
		}
	}
	if want := []int{0, 2, 5, 10, 19, 36, 69, 134, 199, 264}; !slices.Equal(at, want) {
		t.Errorf("attempts at the looks %v, want %v", at, want)
	}
}
