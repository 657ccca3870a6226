package witnesses

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/proctest"
	"noonmark/refclock/integrity"
	"noonmark/refclock/witness"
)

// resolver is a DNS server on the loopback whose only name has the addresses of the test.
type resolver struct {
	mu   sync.Mutex
	list []netip.Addr
}

func (r *resolver) set(addresses ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = nil
	for _, a := range addresses {
		r.list = append(r.list, netip.MustParseAddr(a))
	}
}

// answer answers one query; nil: it cannot be read.
func (r *resolver) answer(query []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}
	m.Additionals = nil
	if q.Name.String() != witnessName+"." {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range r.list {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		switch {
		case m.RCode != dnsmessage.RCodeSuccess:
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// newResolver starts the DNS server and makes it that of this process.
func newResolver(t *testing.T) *resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, was := &resolver{}, net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = was; c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if a := r.answer(b[:n]); a != nil {
				c.WriteTo(a, from)
			}
		}
	}()
	return r
}

const envAlone = "NOONMARK_TEST_ALONE"

// alone runs the test in a network namespace of its own, with the loopback and no other
// network. It returns true there.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envAlone) != "" {
		if out, err := exec.Command(proctest.Require(t, "ip"), "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return true
	}
	proctest.RequireRoot(t, "a network namespace")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), envAlone+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if _, why, ok := strings.Cut(string(out), "--- SKIP: "+t.Name()); ok {
		t.Skip(why)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// witnessAt returns the witness of the name, as refclockd asks it.
func witnessAt(t *testing.T, port int, ca string) witness.Server {
	t.Helper()
	list, err := New([]refclockd.WitnessServer{{Name: witnessName, Host: witnessName, Port: port, NTS: ca != "", CA: ca}})
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

// A name that resolves to addresses where nobody answers, nobody listens or no network
// leads: over real sockets the witness gets its answer from the one that is left, and
// follows the name when that changes.
func TestWitnessWithSeveralAddresses(t *testing.T) {
	if !alone(t) {
		return
	}
	dns := newResolver(t)
	first := newOwnServer(t, false, 0)
	const ahead = time.Hour
	second := newOwnServerAt(t, fmt.Sprintf("127.0.0.2:%d", first.port), false, ahead)
	silent, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.3:%d", first.port))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const (
		nobody   = "127.0.0.4"
		noRoute  = "192.0.2.1"
		noRoute6 = "2001:db8::1"
	)
	for _, c := range []struct {
		name      string
		addresses []string
		lost      int // asks without an answer before the first answer
		why       error
	}{
		{"a silent address", []string{"127.0.0.3", "127.0.0.1"}, 1, os.ErrDeadlineExceeded},
		{"nobody listens", []string{nobody, "127.0.0.1"}, 0, nil},
		{"no network", []string{noRoute, noRoute6, "127.0.0.1"}, 0, nil},
		{"all of them", []string{noRoute6, noRoute, nobody, "127.0.0.3", "127.0.0.1"}, 1, os.ErrDeadlineExceeded},
	} {
		dns.set(c.addresses...)
		w := witnessAt(t, first.port, "")
		for range c.lost {
			if _, err := w.Ask(t.Context()); !errors.Is(err, c.why) {
				t.Errorf("%s: %v, want %v", c.name, err, c.why)
			}
		}
		for range 3 {
			if a, err := w.Ask(t.Context()); err != nil || offset(t, first, a).Abs() > time.Minute {
				t.Errorf("%s: %+v, %v", c.name, a, err)
			}
		}
	}

	// No address can be reached, the name does not exist, and then it has one that can.
	dns.set(noRoute, noRoute6)
	w := witnessAt(t, first.port, "")
	if _, err := w.Ask(t.Context()); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("no address can be reached: %v", err)
	}
	dns.set()
	if _, err := w.Ask(t.Context()); !errors.As(err, new(*net.DNSError)) {
		t.Errorf("no address: %v", err)
	}
	dns.set("127.0.0.1", "127.0.0.2")
	if a, err := w.Ask(t.Context()); err != nil || offset(t, first, a).Abs() > time.Minute {
		t.Errorf("one that can be reached: %+v, %v", a, err)
	}

	// The server that answered is gone: the next address has another.
	first.close()
	if a, err := w.Ask(t.Context()); err == nil && offset(t, second, a) < ahead-time.Minute {
		t.Errorf("an answer of nobody: %+v", a)
	}
	if a, err := w.Ask(t.Context()); err != nil || offset(t, second, a) < ahead-time.Minute {
		t.Errorf("the next address: %+v, %v", a, err)
	}
}

// offset is by how much the server of an answer is ahead of the system clock.
func offset(t *testing.T, s *ownServer, a integrity.Answer) time.Duration {
	t.Helper()
	x, err := s.sys.Cross()
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(a.UTC - (x.Real - (x.Mono - a.Mono)))
}

// Without IPv6, as with ipv6.disable=1 in effect, a name with both kinds of addresses is
// asked by IPv4.
func TestWitnessWithoutIPv6(t *testing.T) {
	if !alone(t) {
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil {
		t.Skipf("IPv6 cannot be switched off: %v", err)
	}
	dns := newResolver(t)
	own := newOwnServer(t, false, 0)
	dns.set("::1")
	w := witnessAt(t, own.port, "")
	if _, err := w.Ask(t.Context()); !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("IPv6 alone: %v", err)
	}
	dns.set("::1", "2001:db8::1", "127.0.0.1")
	for range 2 {
		if a, err := w.Ask(t.Context()); err != nil || offset(t, own, a).Abs() > time.Minute {
			t.Errorf("both: %+v, %v", a, err)
		}
	}
}

// With NTS, the key exchange and NTP each find the address where somebody is. The file of
// the authorities is missing at first: the witness waits for it.
func TestWitnessWithNTSAndSeveralAddresses(t *testing.T) {
	if !alone(t) {
		return
	}
	dns := newResolver(t)
	own := newOwnServer(t, true, 0)
	dns.set("127.0.0.4", "192.0.2.1", "127.0.0.1")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	w := witnessAt(t, own.ke, ca)
	if _, err := w.Ask(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("without authorities: %v", err)
	}
	if err := os.WriteFile(ca, own.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a, err := w.Ask(t.Context()); err != nil || offset(t, own, a).Abs() > time.Minute {
			t.Errorf("with authorities: %+v, %v", a, err)
		}
	}
}
