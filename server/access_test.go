package server

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefixes(s ...string) (p []netip.Prefix) {
	for _, x := range s {
		p = append(p, netip.MustParsePrefix(x))
	}
	return p
}

func TestContradictoryAccessListsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ allow, deny, nts []netip.Prefix }{
		{prefixes("10.0.0.0/8"), prefixes("10.0.0.0/8"), nil},
		{nil, prefixes("::/0"), prefixes("::/0")},
		{[]netip.Prefix{{}}, nil, nil},
		{prefixes("::ffff:10.0.0.0/104"), nil, nil},
	} {
		if _, err := NewAccess(c.allow, c.deny, c.nts); err == nil {
			t.Errorf("%v is taken", c)
		}
	}
}

func TestLongestPrefixDecides(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allow, deny, nts []netip.Prefix
		ip               string
		want             Permission
	}{
		{nil, prefixes("0.0.0.0/0"), nil, "1.2.3.4", Deny},
		{nil, prefixes("0.0.0.0/0"), nil, "::1", Allow}, // another family
		{prefixes("10.0.0.0/8"), nil, nil, "11.0.0.0", Deny},
		{prefixes("10.0.0.0/8"), nil, nil, "::1", Deny},
		{prefixes("10.0.0.0/8"), prefixes("10.1.0.0/16"), prefixes("10.1.2.0/24"), "10.1.3.1", Deny},
		{prefixes("10.0.0.0/8"), prefixes("10.1.0.0/16"), prefixes("10.1.2.0/24"), "10.1.2.1", NTSOnly},
		{prefixes("10.0.0.0/8"), prefixes("10.1.0.0/16"), prefixes("10.1.2.0/24"), "10.2.2.1", Allow},
		{prefixes("192.0.2.1/32"), nil, nil, "192.0.2.1", Allow},
		{prefixes("192.0.2.1/32"), nil, nil, "192.0.2.0", Deny},
		{nil, nil, prefixes("2001:db8::/32"), "2001:db8:1::1", NTSOnly},
		{nil, nil, prefixes("2001:db8::/32"), "2001:db9::1", Allow},
		{nil, prefixes("2001:db8::1/128"), prefixes("::/0"), "2001:db8::1", Deny},
		{nil, nil, nil, "8.8.8.8", Allow},
	} {
		a, err := NewAccess(c.allow, c.deny, c.nts)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Check(netip.MustParseAddr(c.ip)); got != c.want {
			t.Errorf("%v %v %v: %s gives %d, want %d", c.allow, c.deny, c.nts, c.ip, got, c.want)
		}
	}
}

func TestAccessEqualsASearchOfTheLists(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		lists := [3][]netip.Prefix{}
		has := map[netip.Prefix]bool{}
		for range r.IntN(20) {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(3)), 0, byte(r.IntN(4))}), r.IntN(33)).Masked()
			if !has[p] {
				has[p] = true
				v := r.IntN(3)
				lists[v] = append(lists[v], p)
			}
		}
		a, err := NewAccess(lists[Allow], lists[Deny], lists[NTSOnly])
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			ip := netip.AddrFrom4([4]byte{byte(r.IntN(4)), byte(r.IntN(4)), 0, byte(r.IntN(5))})
			want, best := Allow, -1
			if len(lists[Allow]) > 0 {
				want = Deny
			}
			for v, l := range lists {
				for _, p := range l {
					if p.Contains(ip) && p.Bits() > best {
						want, best = Permission(v), p.Bits()
					}
				}
			}
			if got := a.Check(ip); got != want {
				t.Fatalf("%v: %s gives %d, want %d", lists, ip, got, want)
			}
		}
	}
}
