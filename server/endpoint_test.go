package server

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/server/transport/sockets"
)

// An endpoint that cannot be had takes no other with it, says what it lacks, and is
// served once that is there.
func TestEndpointsFailApart(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Skip("no socket: ", err)
	}
	at := taken.LocalAddr().(*net.UDPAddr).AddrPort()
	s := serve(t, Config{Endpoints: []Endpoint{
		{Socket: sockets.Config{Addr: at, Sockets: 1}},
		{Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1}},
		{Name: "later", Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Interface: "nonexistent0", Sockets: 1}},
	}})
	s.snap.Write(lockedNow(0))
	if len(s.Addrs()) != 1 {
		t.Fatalf("open: %v", s.Addrs())
	}
	ask(t, dial(t, s.Addrs()[0]), header(v4client))
	why := s.Waiting()
	for _, want := range []string{"endpoint " + at.String() + ": ", "another time server uses the port", "endpoint later: ", "nonexistent0"} {
		if why == nil || !strings.Contains(why.Error(), want) {
			t.Errorf("waits for %v, want %q", why, want)
		}
	}
	taken.Close()
	proctest.Until(t, "the port is served", func() bool { return len(s.Addrs()) == 2 })
	ask(t, dial(t, at), header(v4client))
	if why := s.Waiting(); why == nil || strings.Contains(why.Error(), at.String()) {
		t.Errorf("still waits for %v", why)
	}
}
