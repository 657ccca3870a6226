package network

import (
	"slices"
	"testing"
)

// A machine with a bond of two cards, VLANs on it, and a bridge over one VLAN.
var machine = Links{
	{Index: 1, Name: "lo"}, {Index: 2, Name: "card0", Master: 4}, {Index: 3, Name: "card1", Master: 4}, {Index: 4, Name: "bond0"},
	{Index: 5, Name: "bond0.10", Lower: 4, Tagged: true, Master: 6}, {Index: 6, Name: "bridge0"},
	{Index: 7, Name: "card2"}, {Index: 8, Name: "card2.20", Lower: 7, Tagged: true}, {Index: 9, Name: "double", Lower: 8, Tagged: true},
	{Index: 10, Name: "card3", Master: 11}, {Index: 11, Name: "bridge1"}, {Index: 12, Name: "tap", Master: 11},
	{Index: 20, Name: "round", Lower: 21}, {Index: 21, Name: "about", Lower: 20}, {Index: 22, Name: "self", Lower: 22}, {Index: 23, Name: "loose", Lower: 99},
}

func TestBeneathAndAbove(t *testing.T) {
	t.Parallel()
	names := func(l []Link) (n []string) {
		for _, x := range l {
			n = append(n, x.Name)
		}
		return n
	}
	for _, c := range []struct {
		name           string
		beneath, above []string
	}{
		{"round", nil, nil}, // a circle, as two readings of a changing table may show one
		{"self", nil, nil},
		{"loose", []string{"loose"}, nil}, // on an interface that is not there any more
		{"nonexistent", nil, nil},
		{"lo", []string{"lo"}, nil},
		{"bridge0", []string{"card0", "card1"}, nil},
		{"bond0.10", []string{"card0", "card1"}, []string{}},
		{"card0", []string{"card0"}, nil}, // packets of the bond may come by the other card
		{"double", []string{"card2"}, nil},
		{"card2", []string{"card2"}, []string{"card2.20", "double"}},
		{"bridge1", []string{"card3", "tap"}, nil},
		{"card3", []string{"card3"}, nil},
	} {
		at, _ := machine.Named(c.name)
		if got := names(machine.Beneath(at.Index)); !slices.Equal(got, c.beneath) {
			t.Errorf("%s: beneath %v, want %v", c.name, got, c.beneath)
		}
		if len(c.beneath) == 1 && c.beneath[0] == c.name {
			if got := names(machine.Above(at.Index)); !slices.Equal(got, c.above) {
				t.Errorf("%s: above %v, want %v", c.name, got, c.above)
			}
		}
	}
}
