package server

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
)

// Client is a network that was answered lately. Networks, not addresses, are kept:
// IPv4 by 24 bits, IPv6 by 48.
type Client struct {
	Prefix   netip.Prefix
	Requests uint64 // answered since First
	Secure   uint64 // of them authenticated
	First    int64  // CLOCK_MONOTONIC_RAW of the first answer that is counted, ns
	Last     int64  // and of the last one
}

// Sizes of a table. One that is full forgets the network of a set that was heard
// last the longest ago, so a stranger can displace others and grow nothing.
const (
	clientSets = 128
	clientWays = 8
	clientBits = 24 // of an IPv4 prefix
	clientBit6 = 48 // of an IPv6 prefix
)

// clientTable are the networks that one worker answered. Only the worker writes it.
type clientTable struct {
	seed uint64 // so that nobody can choose the set
	sets [clientSets][clientWays]clientSlot
}

// clientSlot is one network. seq is odd while it is being replaced.
type clientSlot struct {
	seq          atomic.Uint32
	hi, lo       atomic.Uint64 // the prefix as an IPv6 address; IPv4 is mapped
	count        atomic.Uint64 // 0: empty
	secure       atomic.Uint64
	first, since atomic.Int64
}

func newClientTable() *clientTable { return &clientTable{seed: rand.Uint64() | 1} }

// note counts an answer. A nil table counts nothing.
func (t *clientTable) note(a netip.Addr, secure bool, mono int64) {
	if t == nil {
		return
	}
	b := a.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if a.Is4() {
		lo &^= 1<<(32-clientBits) - 1
	} else {
		hi, lo = hi&^(1<<(64-clientBit6)-1), 0
	}
	x := (hi ^ lo<<17 ^ lo) * t.seed
	set := &t.sets[(x^x>>32)*t.seed>>57]
	slot := &set[0]
	for i := range set {
		s := &set[i]
		if s.hi.Load() == hi && s.lo.Load() == lo && s.count.Load() > 0 {
			slot = s
			break
		}
		if s.since.Load() < slot.since.Load() {
			slot = s
		}
	}
	if slot.hi.Load() != hi || slot.lo.Load() != lo || slot.count.Load() == 0 {
		slot.seq.Add(1)
		slot.hi.Store(hi)
		slot.lo.Store(lo)
		slot.count.Store(0)
		slot.secure.Store(0)
		slot.first.Store(mono)
		slot.since.Store(mono)
		slot.count.Store(1)
		if secure {
			slot.secure.Store(1)
		}
		slot.seq.Add(1)
		return
	}
	bump(&slot.count, 1)
	if secure {
		bump(&slot.secure, 1)
	}
	slot.since.Store(mono)
}

// load reads a slot; ok is false if it is empty or being replaced.
func (s *clientSlot) load() (c Client, ok bool) {
	seq := s.seq.Load()
	hi, lo := s.hi.Load(), s.lo.Load()
	c = Client{Requests: s.count.Load(), Secure: s.secure.Load(), First: s.first.Load(), Last: s.since.Load()}
	if c.Requests == 0 || seq%2 != 0 || s.seq.Load() != seq {
		return c, false
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	if a := netip.AddrFrom16(b); a.Is4In6() {
		c.Prefix = netip.PrefixFrom(a.Unmap(), clientBits)
	} else {
		c.Prefix = netip.PrefixFrom(a, clientBit6)
	}
	return c, true
}

// clients returns the networks that the workers of endpoints answered, the one with the most
// requests first, at most limit of them, and how many there are.
func clients(endpoints []*endpoint, limit int) (most []Client, total int) {
	all, list := map[netip.Prefix]Client{}, []Client{}
	for _, e := range endpoints {
		for _, m := range e.metrics {
			if m.clients == nil {
				continue
			}
			for i := range m.clients.sets {
				for k := range m.clients.sets[i] {
					c, ok := m.clients.sets[i][k].load()
					if !ok {
						continue
					}
					if x, ok := all[c.Prefix]; ok {
						c.Requests, c.Secure, c.First, c.Last = c.Requests+x.Requests, c.Secure+x.Secure, min(c.First, x.First), max(c.Last, x.Last)
					}
					all[c.Prefix] = c
				}
			}
		}
	}
	for _, c := range all {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	return list[:min(len(list), limit)], len(list)
}
