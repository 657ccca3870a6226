package server

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"noonmark/internal/proctest"
	"noonmark/server/transport/sockets"
)

// What was not sent to an address of this host gets silence, with any number of
// workers: each of them receives a copy.
func TestBroadcastAndMulticastGetNoAnswer(t *testing.T) {
	proctest.RequireRoot(t, "a network namespace of the test's own")
	ip := proctest.Require(t, "ip")
	runtime.LockOSThread() // and never unlocked: the thread is in a namespace of its own
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("a network namespace is missing: ", err)
	}
	for _, args := range []string{
		"link set lo up", "link add v0 type veth peer name v1", "addr add 10.77.0.1/24 brd + dev v0", "addr add fd77::1/64 dev v0 nodad",
		"link set v0 up", "link set v1 up",
	} {
		if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
	const workers = 64
	s := serve(t, Config{Endpoints: []Endpoint{
		{Socket: sockets.Config{Addr: netip.MustParseAddrPort("0.0.0.0:2123"), Sockets: workers}},
		{Socket: sockets.Config{Addr: netip.MustParseAddrPort("[::]:2123"), Sockets: workers}},
		{Socket: sockets.Config{Addr: netip.MustParseAddrPort("10.77.0.255:2124"), Sockets: 1}},
	}})
	s.snap.Write(lockedNow(0))
	refused := func() (n uint64) {
		for _, e := range s.endpoints {
			for _, w := range e.workers {
				n += w.metrics.reasons[NotToUs].Load()
			}
		}
		return n
	}
	for _, to := range []string{"10.77.0.255:2123", "10.77.0.255:2124", "255.255.255.255:2123", "[ff02::1%v0]:2123"} {
		a := netip.MustParseAddrPort(to)
		network, from := "udp4", "10.77.0.1:0"
		if a.Addr().Is6() {
			network, from = "udp6", "[fd77::1]:0"
		}
		c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		rc, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		rc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
			_ = unix.BindToDevice(int(fd), "v0")
		})
		before := refused()
		if _, err := c.WriteToUDPAddrPort(header(v4client), a); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		proctest.Until(t, "a worker has refused "+to, func() bool { return refused() > before })
		// The answer to a later request comes after every answer to this one.
		if !a.Addr().Is6() {
			c = dial(t, netip.MustParseAddrPort("10.77.0.1:2123"))
		} else {
			c = dial(t, netip.MustParseAddrPort("[fd77::1]:2123"))
		}
		if h := ask(t, c, header(v4client)); len(h) != 48 {
			t.Errorf("%s: a request to the host itself is answered with %d octets", to, len(h))
		}
	}
	for _, e := range s.endpoints {
		for _, w := range e.workers {
			if n := w.metrics.reasons[NTP].Load(); n > 4 {
				t.Errorf("%s: %d answers of one worker", e.name, n)
			}
		}
	}
	proctest.UntilState(t, "4 answers to 4 requests to the host itself are counted", func() (bool, string) {
		var answers uint64
		for _, e := range s.endpoints {
			for _, w := range e.workers {
				answers += w.metrics.reasons[NTP].Load()
			}
		}
		return answers == 4, fmt.Sprint(answers)
	})
}
