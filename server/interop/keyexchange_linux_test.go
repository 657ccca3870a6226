package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/server/ntske"
)

// fromAny returns a dialer from an address that need not be one of this host.
func fromAny(ip net.IP) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Timeout: 5 * time.Second, Control: func(network, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if network == "tcp6" {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
			} else {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
			}
		})
	}}
}

// flood keeps opening connections, and does something with each, until stop is
// called. Each second it opens some, at most many at once.
func flood(t *testing.T, to string, from func(i int) net.IP, first, perSecond int, do func(ctx context.Context, c net.Conn)) (stop func()) {
	t.Helper()
	const many = 2048
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	places := make(chan struct{}, many)
	open := func(i int) {
		select {
		case places <- struct{}{}:
		default:
			return
		}
		wg.Go(func() {
			defer func() { <-places }()
			c, err := fromAny(from(i)).DialContext(ctx, "tcp", to)
			if err != nil {
				return
			}
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			do(ctx, c)
		})
	}
	for i := range first {
		open(i)
	}
	wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for i := first; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				open(i)
			}
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// untilClosed reads until the server closes.
func untilClosed(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// silent keeps a connection with one octet, so that the kernel hands it over at once.
func silent(_ context.Context, c net.Conn) {
	c.Write([]byte{22})
	untilClosed(c)
}

// few returns one of 32 addresses.
func few(i int) net.IP { return net.IPv4(127, 1, 0, byte(1+i%32)) }

// strangers6 routes fd92::/48 to this namespace for the time of a test.
func strangers6(t *testing.T) {
	t.Helper()
	ip := func(do string) {
		if out, err := exec.Command("ip", "-6", "route", do, "local", "fd92::/48", "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("ip route %s: %v %s", do, err, out)
		}
	}
	ip("add")
	t.Cleanup(func() { ip("del") })
}

// Whoever holds all connections, from many addresses or one network, does not keep
// honest clients from their keys.
func TestHonestClientsGetThroughALockout(t *testing.T) {
	dir := setup(t)
	s := prepare(t, dir, newPKI(t, dir), "max_connections = 64")
	s.measured(t)
	s.start(t)
	strangers6(t)
	for _, c := range []struct {
		name, to string
		from     func(i int) net.IP
	}{
		{"32 IPv4 addresses", "127.0.0.1:4460", few},
		{"one IPv6 /56", "[::1]:4460", func(i int) net.IP { return net.ParseIP(fmt.Sprintf("fd92:0:0:1%02x::%x", i%256, i+1)) }},
	} {
		stop := flood(t, c.to, c.from, 64, 130, silent)
		before := exchanges(t, "displaced")
		until(t, "the places are taken", s.proc, func() (bool, string) {
			n := exchanges(t, "displaced") - before
			return n > 0, fmt.Sprintf("%d made room", n)
		})
		const asked, enough = 40, 38
		got := 0
		for i := range asked {
			_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca)})
			if err == nil {
				got++
			} else {
				t.Logf("%s: exchange %d: %v", c.name, i, err)
			}
		}
		stop()
		if got < enough {
			t.Errorf("%s: %d of %d honest exchanges succeed", c.name, got, asked)
		}
	}
}

// paused is a connection that stops after its first octet until it may go on.
type paused struct {
	net.Conn
	wait func()
}

func (c *paused) Write(b []byte) (int, error) {
	wait := c.wait
	if c.wait = nil; wait == nil {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(b[:1]); err != nil {
		return 0, err
	}
	wait()
	n, err := c.Conn.Write(b[1:])
	return n + 1, err
}

// Whoever connects from all prefixes of a network, more than there are places, displaces
// himself: a slow client elsewhere keeps its place meanwhile.
func TestSlowClientKeepsItsPlaceAgainstAWholeNetwork(t *testing.T) {
	const places = 64
	dir := setup(t)
	s := prepare(t, dir, newPKI(t, dir), fmt.Sprintf("max_connections = %d\ntimeout = \"30s\"", places))
	s.measured(t)
	s.start(t)
	strangers6(t)
	for _, c := range []struct {
		name, to string
		from     func(i int) net.IP
	}{
		{"each /56 of an IPv6 /48", "[::1]:4460", func(i int) net.IP { return net.ParseIP(fmt.Sprintf("fd92:0:0:%x::1", i%256<<8)) }},
		{"each address of an IPv4 /24", "127.0.0.1:4460", func(i int) net.IP { return net.IPv4(127, 1, 0, byte(i)) }},
	} {
		stop := flood(t, c.to, c.from, places, 130, silent)
		displaced := func(n int) {
			before := exchanges(t, "displaced")
			until(t, "connections make room", s.proc, func() (bool, string) {
				d := exchanges(t, "displaced") - before
				return d >= n, fmt.Sprintf("%d made room", d)
			})
		}
		displaced(1)
		_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: time.Minute, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			n, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return &paused{n, func() { displaced(2 * places) }}, err
		}})
		stop()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A whole network gets its keys at once, as after a power cut, behind one address or
// in one IPv6 network.
func TestNetworkGetsItsKeysAtOnce(t *testing.T) {
	dir := setup(t)
	s := serve(t, dir, "")
	strangers6(t)
	for _, c := range []struct {
		name, to string
		n        int
		from     func(i int) net.IP
	}{
		{"one IPv6 /64", "[::1]:4460", 100, func(i int) net.IP { return net.ParseIP(fmt.Sprintf("fd92::%x", i+1)) }},
		{"one IPv4 address", "127.0.0.1:4460", 60, func(int) net.IP { return net.IPv4(127, 1, 0, 1) }},
	} {
		var wg sync.WaitGroup
		errs := make([]error, c.n)
		for i := range c.n {
			wg.Go(func() {
				_, errs[i] = ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: 20 * time.Second,
					Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
						return fromAny(c.from(i)).DialContext(ctx, "tcp", c.to)
					}})
			})
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil {
				t.Errorf("%s: client %d: %v", c.name, i, err)
			}
		}
	}
}

// The memory of NTS-KE follows from max_connections, whatever is sent.
func TestMemoryOfKeyExchangeIsBounded(t *testing.T) {
	const limit = 64 << 10 // kB above the quiet server
	dir := setup(t)
	s := serve(t, dir, "")
	quiet := s.usage(t).anon
	records := make([]byte, 0, 16<<10)
	for len(records) < cap(records) {
		records = append(records, 0x40, 0, 0, 0) // empty, of an unknown type, not critical
	}
	hello := func(octets int) []byte {
		b := []byte{22, 3, 1, 0x40, 0, 1, byte(octets >> 16), byte(octets >> 8), byte(octets)} // a record of 16 kB, a ClientHello
		return append(b, make([]byte, 16<<10-4)...)
	}
	for _, c := range []struct {
		name string
		do   func(ctx context.Context, c net.Conn)
	}{
		{"records without an end", func(ctx context.Context, c net.Conn) {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ntske.ALPN}})
			if tc.HandshakeContext(ctx) == nil {
				tc.Write(records)
				untilClosed(c)
			}
		}},
		{"a ClientHello of 64 kB", func(_ context.Context, c net.Conn) {
			for range 4 {
				c.Write(hello(64<<10 - 4))
			}
			untilClosed(c)
		}},
		{"a ClientHello of 16 kB without its end", func(_ context.Context, c net.Conn) {
			c.Write(hello(16<<10 - 4)[:16<<10-100])
			untilClosed(c)
		}},
	} {
		stop := flood(t, "127.0.0.1:4460", few, 512, 160, c.do)
		peak := 0
		tick := time.NewTicker(50 * time.Millisecond)
		for range 60 {
			<-tick.C
			peak = max(peak, s.usage(t).anon)
		}
		tick.Stop()
		stop()
		t.Logf("%s: %d kB above the quiet server's %d", c.name, peak-quiet, quiet)
		if peak-quiet > limit {
			t.Errorf("%s: %d kB above the quiet server", c.name, peak-quiet)
		}
		if _, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: longWait}); err != nil {
			t.Errorf("%s: afterwards: %v", c.name, err)
		}
	}
}

// The end of the NTS-KE process is not that of the server: NTP is answered, and the
// next one gives keys.
func TestServerOutlivesItsKeyExchange(t *testing.T) {
	dir := setup(t)
	s := serve(t, dir, "")
	before := s.Children(t, "nts-ke-process")
	if len(before) != 1 {
		t.Fatalf("children: %v", before)
	}
	p, err := os.FindProcess(before[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := tool(t, ours(t, "ntsquery"), "-json", "-plain", "-timeout", longWait.String(), ourAddr); code != 0 {
		t.Errorf("NTP: %s%s", out, errs)
	}
	// A connection that the process had accepted before it ended is lost with it.
	until(t, "keys are given again", s.proc, func() (bool, string) {
		_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: longWait})
		return err == nil, fmt.Sprint(err)
	})
	if after := s.Children(t, "nts-ke-process"); len(after) != 1 || after[0] == before[0] {
		t.Errorf("children: %v, then %v", before, after)
	}
	s.WaitFor(t, "nts-ke process has ended: signal: killed")
}
