package server

import (
	"net/netip"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"noonmark/internal/proctest"
	"noonmark/server/transport/sockets"
)

// A socket that fails a hundred times in a row is opened again. Neither the server nor
// its other endpoints notice.
func TestBrokenSocketIsOpenedAgain(t *testing.T) {
	local := netip.MustParseAddrPort("127.0.0.1:0")
	s := serve(t, Config{Endpoints: []Endpoint{{Socket: sockets.Config{Addr: local, Sockets: 1}}, {Socket: sockets.Config{Addr: local, Sockets: 1}}}})
	s.snap.Write(lockedNow(0))
	broken, other := s.endpoints[0], s.endpoints[1]
	at, _ := broken.address()
	c := dial(t, at)
	ask(t, c, header(v4client))
	breakSocket(t, at.Port())
	// The worker still waits on the socket that was; a datagram wakes it.
	if _, err := c.Write(header(v4client)); err != nil {
		t.Fatal(err)
	}
	m := broken.metrics[0]
	proctest.Until(t, "the socket has failed often", func() bool { return m.failed.Load() >= maxErrors })
	to, _ := other.address()
	ask(t, dial(t, to), header(v4client))
	// It had no port of its own choice, so it has another one now.
	proctest.Until(t, "the endpoint is open again", func() bool {
		now, ok := broken.address()
		return ok && now != at && s.Waiting() == nil
	})
	now, _ := broken.address()
	ask(t, dial(t, now), header(v4client))
	if n := m.failed.Load(); n != maxErrors {
		t.Errorf("%d receive errors, want %d", n, maxErrors)
	}
}

// breakSocket puts something that is no socket in the place of the one with a port.
func breakSocket(t *testing.T, port uint16) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, f := range list {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		if sa, err := unix.Getsockname(fd); err == nil {
			if in, ok := sa.(*unix.SockaddrInet4); ok && in.Port == int(port) {
				if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	t.Fatalf("no socket has port %d", port)
}
