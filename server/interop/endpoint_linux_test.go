package interop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/ntsclient"
)

// Ports of the endpoints under test.
const (
	portOnly   = 2001 // NTS only
	portOff    = 2002 // plain only
	portSmear  = 2003
	portLink   = 2004 // two endpoints: one for the link, one for the loopback interface
	portOneIP  = 2005 // on addrPlain alone
	dscpPlain  = 46
	dscpLink   = 8
	dscpLo     = 16
	dscpSecond = 34 // IPv6
)

// endpoints starts an ntsserve with one endpoint of each kind, six hours before
// an inserted leap second.
func endpoints(t *testing.T, dir string) *server {
	t.Helper()
	s := &server{dir: dir, pki: newPKI(t, dir)}
	path := filepath.Join(dir, "run", "status")
	leap := cross().Clock + 6*3600*tai.Second
	s.leap = leap
	s.stopClock = publish(t, path, func(s *status.Snapshot) { s.LeapAt, s.LeapSign = leap, 1 })
	text := fmt.Sprintf("[source]\npath = %q\n[ke]\nlisten = \"[::]:4460\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n", path, s.cert, s.key, s.keys())
	for _, e := range []string{
		"address = \"0.0.0.0:123\"",
		fmt.Sprintf("address = \"0.0.0.0:%d\"\nnts = \"only\"", portOnly),
		fmt.Sprintf("address = \"0.0.0.0:%d\"\nnts = \"off\"\ndscp = %d", portOff, dscpPlain),
		fmt.Sprintf("address = \"0.0.0.0:%d\"\nsmear = true", portSmear),
		fmt.Sprintf("address = \"0.0.0.0:%d\"\ninterface = \"ours\"\ndscp = %d", portLink, dscpLink),
		fmt.Sprintf("address = \"0.0.0.0:%d\"\ninterface = \"lo\"\ndscp = %d", portLink, dscpLo),
		fmt.Sprintf("address = \"%s:%d\"", addrPlain, portOneIP),
		fmt.Sprintf("address = \"[%s]:%d\"\ndscp = %d", ourAddr6, portOff, dscpSecond),
	} {
		text += "[[endpoint]]\nworkers = 1\n" + e + "\n"
	}
	s.conf = write(t, dir, "ntsserve.toml", text)
	s.start(t)
	return s
}

// inPeer calls f on a thread that is in the peer's network namespace. A socket
// stays in the namespace in which it was opened.
func inPeer(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err1 := os.Open("/proc/thread-self/ns/net")
	peer, err2 := os.Open(fmt.Sprintf("/proc/%d/ns/net", holder))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	defer peer.Close()
	if err := unix.Setns(int(peer.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(err) // the thread is in the wrong namespace
	}
}

// asked is the answer to a plain request.
type asked struct {
	ntp.Header
	answered bool
	dscp     int       // of the answer
	sent, at time.Time // before sending the request, after receiving the answer
}

const (
	// silence is how long a test waits for an answer that must not come, or may not.
	silence = 500 * time.Millisecond
	// longWait bounds the wait for an answer that must come. It is no limit of what is
	// tested: the machine may be slow.
	longWait = 20 * time.Second
)

// answered is plainly for a request that must be answered.
func answered(t *testing.T, remote bool, to string, port uint16) asked {
	t.Helper()
	return askWithin(t, remote, to, port, longWait)
}

// plainly sends a request, from the peer's end or from ours, and waits for the
// answer, up to half a second.
func plainly(t *testing.T, remote bool, to string, port uint16) asked {
	t.Helper()
	return askWithin(t, remote, to, port, silence)
}

func askWithin(t *testing.T, remote bool, to string, port uint16, limit time.Duration) (a asked) {
	t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr(to), port)
	var c *net.UDPConn
	var err error
	dial := func() { c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr)) }
	if remote {
		inPeer(t, dial)
	} else {
		dial()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	level, opt := unix.IPPROTO_IP, unix.IP_RECVTOS
	if addr.Addr().Is6() {
		level, opt = unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS
	}
	if cerr := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, 1) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	q := ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: 0x123456789abcdef0}
	b, oob := make([]byte, ntp.HeaderLen), make([]byte, 128)
	q.Put(b)
	a.sent = time.Now()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(limit))
	n, on, _, _, err := c.ReadMsgUDP(b, oob)
	a.at = time.Now()
	if err != nil {
		return a // no answer, or the port is closed
	}
	if n != ntp.HeaderLen || a.Parse(b) != nil || a.Origin != q.Transmit {
		t.Fatalf("%d octets: %x", n, b[:n])
	}
	a.answered, a.dscp = true, -1
	msgs, err := unix.ParseSocketControlMessage(oob[:on])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if (m.Header.Type == unix.IP_TOS || m.Header.Type == unix.IPV6_TCLASS) && len(m.Data) > 0 {
			a.dscp = int(m.Data[0]) >> 2
		}
	}
	return a
}

// Address, interface, port, plain or NTS only, smeared or not, DSCP, each on a real
// socket.
func TestEndpoints(t *testing.T) {
	s := endpoints(t, setup(t))
	for _, c := range []struct {
		name   string
		remote bool
		to     string
		port   uint16
		want   bool
		dscp   int
	}{
		{"plain where only NTS is served", true, ourAddr, portOnly, false, 0},
		{"not the address of the endpoint", true, ourAddr, portOneIP, false, 0},
		{"another port", true, ourAddr, portOneIP + 1, false, 0},
		{"IPv6 where only IPv4 is served", true, ourAddr6, portSmear, false, 0},
		{"usual", true, ourAddr, 123, true, 0},
		{"one address", true, addrPlain, portOneIP, true, 0},
		{"plain only", true, ourAddr, portOff, true, dscpPlain},
		{"IPv6", true, ourAddr6, portOff, true, dscpSecond},
		{"interface: over the link", true, ourAddr, portLink, true, dscpLink},
		{"interface: on this machine", false, "127.0.0.1", portLink, true, dscpLo},
		{"smeared", true, ourAddr, portSmear, true, 0},
	} {
		limit := silence
		if c.want {
			limit = longWait
		}
		if a := askWithin(t, c.remote, c.to, c.port, limit); a.answered != c.want || a.answered && (a.dscp != c.dscp || a.Stratum != 1) {
			t.Errorf("%s: answered %v with DSCP %d; want %v, %d\n%+v", c.name, a.answered, a.dscp, c.want, c.dscp, a.Header)
		}
	}

	// NTS on all endpoints where it is not off.
	for port, want := range map[int]bool{123: true, portOnly: true, portOff: false, portSmear: true} {
		limit := silence
		if want {
			limit = longWait
		}
		c, err := ntsclient.New(ntsclient.Config{Host: ourAddr, RootCAs: pool(t, s.ca), NTPPort: port, Timeout: limit})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Query(context.Background())
		if (err == nil) != want {
			t.Errorf("NTS at port %d: %v", port, err)
		}
		c.Close()
	}

	// Six hours before the leap second about a quarter of it is smeared; the other
	// endpoints announce it.
	l := measureLag(t)
	want := s.lagAt(l.at)
	if slack := l.plain.RootDisp.Duration() + l.smeared.RootDisp.Duration(); want < l.least-slack || want > l.most+slack {
		t.Errorf("the smeared endpoint is between %v and %v behind, give or take %v; want %v", l.least, l.most, slack, want)
	}
	t.Logf("the smeared endpoint is between %v and %v behind, want %v", l.least, l.most, want)
	p, m := l.plain, l.smeared
	if p.Leap != ntp.LeapInsert || m.Leap != ntp.LeapNone || m.RefID[0] != 254 || string(p.RefID[:3]) != "GPS" {
		t.Errorf("leap %d and %d, reference ID %v and %v", p.Leap, m.Leap, p.RefID, m.RefID)
	}
}

// lag is how far the smeared endpoint is behind the plain one, as measured by one
// request to each.
type lag struct {
	plain, smeared asked
	at             tai.Time      // of the plain answer
	least, most    time.Duration // the transmit timestamps lie somewhere between request and answer
}

// measureLag returns the narrowest of several measurements.
func measureLag(t *testing.T) (best lag) {
	t.Helper()
	for i := range 16 {
		p, m := answered(t, true, ourAddr, 123), answered(t, true, ourAddr, portSmear)
		if !p.answered || !m.answered {
			t.Fatalf("answered %v and %v", p.answered, m.answered)
		}
		d := p.Transmit.Sub(m.Transmit)
		l := lag{plain: p, smeared: m, least: d + m.sent.Sub(p.at), most: d + m.at.Sub(p.sent)}
		if i == 0 || l.most-l.least < best.most-best.least {
			best = l
			best.at = p.Transmit.TAI(cross().Clock, taiOffset)
		}
	}
	return best
}

// lagAt returns how far smeared time is behind at an instant before the leap second:
// the smear begins 12 hours and the leap second itself before it, and is linear over
// 86401 s.
func (s *server) lagAt(at tai.Time) time.Duration {
	return time.Duration((at - (s.leap - 43201*tai.Second)) / 86401)
}

// chronyd, which only measures, sees the smeared endpoint at the expected offset,
// plain and interleaved, and no announced leap second.
func TestChronydSeesTheSmear(t *testing.T) { each(t, "chronyd", getChrony, testChronydSmeared) }

func testChronydSmeared(t *testing.T, chronyd string) {
	dir := setup(t)
	s := endpoints(t, dir)
	p, ask, raw := chronyClient(t, chronyd, dir, fmt.Sprintf(`
ntstrustedcerts %s
server %s port %d noselect iburst minpoll 0 maxpoll 0
server %s port %d noselect xleave iburst minpoll 0 maxpoll 0
server %s port %d noselect iburst minpoll 0 maxpoll 0
`, s.ca, addrPlain, portSmear, addrPlainX, portSmear, ourAddr, portOff))
	until(t, "chronyd has eight answers of each", p, func() (bool, string) {
		good := 0
		for _, r := range ask("-n", "sources") {
			if len(r) >= 8 && r[5] == "377" {
				good++
			}
		}
		return good == 3, raw("-n", "sources")
	})
	for addr, want := range map[string]struct {
		leap, refid string
		offset      float64 // s, of the answers from the clock of both
		interleaved string
	}{
		addrPlain:  {"Normal", "FE", -0.25, "No"},
		addrPlainX: {"Normal", "FE", -0.25, "Yes"},
		ourAddr:    {"Insert second", "4750", 0, "No"},
	} {
		d := ntpData(t, p, raw, addr, want.interleaved)
		off, err := strconv.ParseFloat(strings.Fields(field(d, "Offset") + " x")[0], 64)
		delay, err2 := strconv.ParseFloat(strings.Fields(field(d, "Peer delay") + " x")[0], 64)
		if err != nil || err2 != nil || math.Abs(off-want.offset) > delay/2+1e-3 || field(d, "Leap status") != want.leap ||
			!strings.HasPrefix(field(d, "Reference ID"), want.refid) || field(d, "Interleaved") != want.interleaved {
			t.Errorf("%s: want %+v:\n%s", addr, want, d)
		}
		t.Logf("%s: offset %s, leap %s, refid %s", addr, field(d, "Offset"), field(d, "Leap status"), field(d, "Reference ID"))
	}
}
