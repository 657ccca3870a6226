package server

import (
	"fmt"
	"net/netip"
)

// Permission is what an address may do.
type Permission uint8

// Permissions.
const (
	Allow Permission = iota
	NTSOnly
	Deny
)

// Access decides by the source address: the longest prefix that contains it. It
// is a binary trie, immutable, and read by all workers. Only the configuration
// determines its size.
type Access struct {
	nodes []accessNode // 0 and 1 are the roots of IPv4 and IPv6
	rest  Permission   // of addresses in no prefix
}

type accessNode struct {
	child      [2]int32 // 0 = none: no node has a root as its child
	permission Permission
	set        bool // permission is set
}

// NewAccess makes an Access from lists of prefixes. An address on none of them is
// allowed if allow is empty, and denied otherwise. The same prefix on two lists
// is an error.
func NewAccess(allow, deny, ntsOnly []netip.Prefix) (*Access, error) {
	a := &Access{nodes: make([]accessNode, 2)}
	if len(allow) > 0 {
		a.rest = Deny
	}
	for v, list := range map[Permission][]netip.Prefix{Allow: allow, Deny: deny, NTSOnly: ntsOnly} {
		for _, p := range list {
			if err := a.add(p, v); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *Access) add(p netip.Prefix, v Permission) error {
	if !p.IsValid() || p.Addr().Is4In6() {
		return fmt.Errorf("prefix %v is invalid or IPv4-mapped IPv6", p)
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
	if a.nodes[n].set && a.nodes[n].permission != v {
		return fmt.Errorf("prefix %v is on two lists", p)
	}
	a.nodes[n].permission, a.nodes[n].set = v, true
	return nil
}

func root(a netip.Addr) int32 {
	if a.Is4() {
		return 0
	}
	return 1
}

// Check returns the permission of an address, which must not be IPv4-mapped IPv6.
func (a *Access) Check(ip netip.Addr) Permission {
	v := a.rest
	b := ip.As16()
	n, i := root(ip), 0
	if ip.Is4() {
		i = 96 // As16 gives the IPv4 address in its last 32 bits
	}
	for {
		x := &a.nodes[n]
		if x.set {
			v = x.permission
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
