package server

import (
	"fmt"
	"net/netip"
)

// Verdict is what the access lists say of an address.
type Verdict uint8

// Verdicts.
const (
	Allow Verdict = iota
	NTSOnly
	Deny
)

// Access decides by the source address. It is a binary trie of prefixes,
// immutable once made, read by all workers; the longest prefix that holds the
// address decides. Its size follows from the configuration alone.
type Access struct {
	nodes []accessNode // 0 and 1 are the roots of IPv4 and IPv6
	rest  Verdict
}

type accessNode struct {
	child   [2]int32 // 0 = none: a root is nobody's child
	verdict Verdict
	set     bool
}

// NewAccess makes the lists. An address on none of them is allowed if allow is
// empty, and denied otherwise: whoever lists some means only these. The same
// prefix on two lists is an error.
func NewAccess(allow, deny, ntsOnly []netip.Prefix) (*Access, error) {
	a := &Access{nodes: make([]accessNode, 2)}
	if len(allow) > 0 {
		a.rest = Deny
	}
	for v, list := range map[Verdict][]netip.Prefix{Allow: allow, Deny: deny, NTSOnly: ntsOnly} {
		for _, p := range list {
			if err := a.add(p, v); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *Access) add(p netip.Prefix, v Verdict) error {
	if !p.IsValid() || p.Addr().Is4In6() {
		return fmt.Errorf("prefix %v is not usable", p)
	}
	b := p.Addr().AsSlice()
	n := root(p.Addr())
	for i := range p.Bits() {
		bit := b[i/8] >> (7 - i%8) & 1
		if a.nodes[n].child[bit] == 0 {
			a.nodes[n].child[bit] = int32(len(a.nodes))
			a.nodes = append(a.nodes, accessNode{})
		}
		n = a.nodes[n].child[bit]
	}
	if a.nodes[n].set && a.nodes[n].verdict != v {
		return fmt.Errorf("prefix %v is on two lists", p)
	}
	a.nodes[n].verdict, a.nodes[n].set = v, true
	return nil
}

func root(a netip.Addr) int32 {
	if a.Is4() {
		return 0
	}
	return 1
}

// Check returns the verdict on an address, which must not be 4-in-6.
func (a *Access) Check(ip netip.Addr) Verdict {
	v := a.rest
	b := ip.As16()
	n, i := root(ip), 0
	if ip.Is4() {
		i = 96 // As16 gives the IPv4 address in its last 32 bits
	}
	for {
		x := &a.nodes[n]
		if x.set {
			v = x.verdict
		}
		if i == 128 {
			return v
		}
		if n = x.child[b[i/8]>>(7-i%8)&1]; n == 0 {
			return v
		}
		i++
	}
}
