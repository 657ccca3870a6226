package server

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func clientServer(workers int) *Server {
	e := &endpoint{name: "x"}
	for range workers {
		e.metrics = append(e.metrics, &workerMetrics{clients: newClientTable()})
	}
	return &Server{endpoints: []*endpoint{e}}
}

func TestClientsAreNetworks(t *testing.T) {
	t.Parallel()
	s := clientServer(2)
	for i, x := range []struct {
		addr   string
		secure bool
	}{{"192.0.2.1", false}, {"192.0.2.255", true}, {"198.51.100.7", false}, {"2001:db8:1:2::3", true}, {"2001:db8:1:ffff::4", true}, {"2001:db8:2::1", false}, {"192.0.2.9", false}} {
		s.endpoints[0].metrics[i%2].clients.note(netip.MustParseAddr(x.addr), x.secure, int64(100+i))
	}
	got, total := clients(s.endpoints, 10)
	want := []Client{
		{netip.MustParsePrefix("192.0.2.0/24"), 3, 1, 100, 106},
		{netip.MustParsePrefix("2001:db8:1::/48"), 2, 2, 103, 104},
		{netip.MustParsePrefix("198.51.100.0/24"), 1, 0, 102, 102},
		{netip.MustParsePrefix("2001:db8:2::/48"), 1, 0, 105, 105},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || total != 4 {
		t.Errorf("%d: %v\nwant %v", total, got, want)
	}
	if got, total := clients(s.endpoints, 1); len(got) != 1 || total != 4 {
		t.Errorf("%d of %d", len(got), total)
	}
	var off *clientTable
	off.note(netip.MustParseAddr("192.0.2.1"), false, 1) // counts nothing
}

// A million forged sources grow nothing, and a client that keeps asking stays.
func TestClientsAreBounded(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	s := clientServer(1)
	table, mine := s.endpoints[0].metrics[0].clients, netip.MustParseAddr("192.0.2.1")
	for i := range 1_000_000 {
		var b [16]byte
		b[0] = 0x20
		for k := 1; k < 6; k++ {
			b[k] = byte(rng.Uint32())
		}
		table.note(netip.AddrFrom16(b), false, int64(2*i))
		if i%100 == 0 {
			table.note(mine, true, int64(2*i+1))
		}
	}
	list, total := clients(s.endpoints, 1<<20)
	if total > clientSets*clientWays || total < clientSets*clientWays/2 {
		t.Errorf("seed %d: %d networks", seed, total)
	}
	if list[0].Prefix.Addr() != netip.MustParseAddr("192.0.2.0") || list[0].Requests < 9000 {
		t.Errorf("seed %d: a client that keeps asking was displaced: %v", seed, list[0])
	}
}

func TestCountingClientsAllocatesNothing(t *testing.T) {
	table := newClientTable()
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	i := 0
	if n := testing.AllocsPerRun(1000, func() { i++; table.note(addrs[i%2], true, int64(i)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkClients(b *testing.B) {
	table := newClientTable()
	addrs := make([]netip.Addr, 256)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{192, byte(i), 2, 1})
	}
	for i := 0; b.Loop(); i++ {
		table.note(addrs[i%256], false, int64(i))
	}
}
