package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/ntp"
	"noonmark/server/ntske"
)

const endpoint = "[[endpoint]]\naddress = \"127.0.0.1:0\"\n"

// pemPair writes a fresh certificate for 127.0.0.1 and returns a pool that
// trusts it.
func pemPair(t *testing.T, cert, key string, serial int64) *x509.CertPool {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kd, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	proctest.Write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kd})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

// started runs the service on the configuration in dir and returns it with the
// address of NTS-KE, nil if nobody listens; it is stopped at the end of the test.
func started(t *testing.T, path string) (*service, *net.TCPAddr) {
	t.Helper()
	s, err := ntsserve.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := assemble(t.Context(), path, s, nil, daemon.NewTo(io.Discard, "ntsserve", s.Log, true))
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPERM) {
		t.Skipf("no socket: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var at *net.TCPAddr
	if d.listen != nil {
		at, _ = d.listen.Addr().(*net.TCPAddr)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ends with %v", err)
		}
		d.close()
	})
	return d, at
}

func TestServiceAnswersAndTakesOverAReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	pool := pemPair(t, cert, key, 1)
	conf := fmt.Sprintf("[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n",
		filepath.Join(dir, "status"), endpoint, cert, key, filepath.Join(dir, "keys"))
	path := proctest.Write(t, filepath.Join(dir, "t.toml"), conf)
	d, ke := started(t, path)

	exchange := func(pool *x509.CertPool) error {
		sess, err := ntske.Exchange(context.Background(), ntske.ClientConfig{Host: "127.0.0.1", Port: ke.Port, RootCAs: pool})
		if err == nil && len(sess.Cookies) != 8 {
			err = fmt.Errorf("%d cookies", len(sess.Cookies))
		}
		return err
	}
	if err := exchange(pool); err != nil {
		t.Fatal(err)
	}
	counted := func(r ntske.Reason) uint64 {
		if err := d.ke.Update(t.Context()); err != nil { // a report comes with the answer
			t.Fatal(err)
		}
		return d.ke.Exchanges()[r.String()]
	}
	plain := func() []byte {
		t.Helper()
		req := make([]byte, ntp.HeaderLen)
		req[0], req[47] = 0x23, 9
		return ask(t, d, req)
	}
	// Nothing is published: leap indicator 3, stratum 16.
	if b := plain(); len(b) != ntp.HeaderLen || b[0] != 0xe4 || b[1] != 16 {
		t.Errorf("answer %x", b)
	}
	if fi, err := os.Stat(filepath.Join(dir, "keys")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", fi, err)
	}

	// A reload with a broken file, then with a new certificate and access list.
	proctest.Write(t, path, conf+"[access]\ndeny = 1\n")
	if err := d.reload(context.Background()); err == nil || exitcode.Of(err) != 78 {
		t.Errorf("a broken configuration is reloaded: %v", err)
	}
	if err := exchange(pool); err != nil {
		t.Errorf("after a reload that was refused: %v", err)
	}
	again := pemPair(t, cert, key, 2)
	proctest.Write(t, path, conf+"[access]\ndeny = [\"198.51.100.0/24\"]\n[log]\nlevel = \"error\"\n")
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if exchange(pool) == nil || exchange(again) != nil {
		t.Error("the new certificate is not in use")
	}
	proctest.Write(t, path, conf+"[access]\ndeny = [\"127.0.0.0/8\"]\n[log]\nlevel = \"error\"\n")
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if exchange(again) == nil || counted(ntske.AccessDenied) != 1 {
		t.Error("a denied client gets keys")
	}
	if a, err := server.NewAccess(nil, nil, nil); err != nil {
		t.Fatal(err)
	} else {
		d.ntp.SetAccess(a)
	}
	if b := plain(); len(b) != ntp.HeaderLen {
		t.Errorf("answer %x", b)
	}
}

// Only a command line or a configuration that is wrong in itself has an exit code of its
// own. The files that it names have none (TestTimeIsServedWithoutCookieKeys).
func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wrong := proctest.Write(t, filepath.Join(dir, "wrong.toml"), endpoint+"[keys]\nfile = \"keys\"\nkeep = 0\n")
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"-nonsense"}, 64}, {[]string{"extra"}, 64}, {[]string{"-config", filepath.Join(dir, "none.toml")}, 78}, {[]string{"-config", wrong}, 78}, {[]string{"-h"}, 0}} {
		if got := run(c.args, io.Discard); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.args, got, c.want)
		}
	}
}

// Time is served whatever is wrong with a certificate, and NTS-KE comes up by itself
// once it is repaired. A reload takes over what it can.
// The watchdog notices only tasks that show whether they hang.
func TestEachTaskShowsWhetherItHangs(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	pemPair(t, cert, key, 1)
	path := proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf("%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n", endpoint, cert, key, filepath.Join(dir, "keys")))
	s, err := ntsserve.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := assemble(t.Context(), path, s, nil, daemon.NewTo(io.Discard, "ntsserve", s.Log, true))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	var silent []string
	for _, task := range d.tasks {
		if task.String() == d.ntp.String() {
			task = d.ntp // vital
		}
		switch x := task.(type) {
		case interface{ Stuck() error }:
			err = x.Stuck()
		case interface{ Hanging() error }:
			err = x.Hanging()
		default:
			silent = append(silent, task.String())
		}
		if err != nil {
			t.Errorf("%s: %v", task, err)
		}
	}
	if want := []string{"metrics"}; len(d.tasks) < 7 || !slices.Equal(silent, want) { // no client depends on it
		t.Errorf("%q of %d tasks do not show whether they hang, want %q", silent, len(d.tasks), want)
	}
}

func TestTimeIsServedWithoutACertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	conf := fmt.Sprintf("[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n",
		filepath.Join(dir, "status"), endpoint, cert, key, filepath.Join(dir, "keys"))
	for _, c := range []struct {
		name string
		put  func()
		why  certs.Reason
	}{
		{"missing files", func() {}, certs.Unreadable},
		{"key of another certificate", func() {
			pemPair(t, cert, filepath.Join(dir, "other.pem"), 1)
			pemPair(t, filepath.Join(dir, "other-c.pem"), key, 2)
		}, certs.KeyMismatch},
		{"no certificate", func() { proctest.Write(t, cert, "none") }, certs.BadCertificate},
	} {
		c.put()
		path := proctest.Write(t, filepath.Join(dir, "t.toml"), conf)
		d, ke := started(t, path)
		<-d.ntp.Ready()
		if err := (keTask{d.ke, d.keys, d.certs, d.settings}).Waiting(); certs.ReasonOf(err) != c.why {
			t.Errorf("%s: nts-ke waits for %v, want %v", c.name, err, c.why)
		}
		if len(d.ntp.Addrs()) != 1 || d.ntp.Waiting() != nil {
			t.Errorf("%s: ntp waits for %v", c.name, d.ntp.Waiting())
		}
		q := asker(t, "127.0.0.2", d.ntp.Addrs()[0].Port())
		q.send(1)
		q.answers(1)
		proctest.Write(t, path, conf+"[access]\ndeny = [\"127.0.0.2/32\"]\n[log]\nlevel = \"error\"\n")
		if err := d.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "access lists and log level are in force") {
			t.Errorf("%s: reload: %v", c.name, err)
		}
		q.send(2)
		proctest.Until(t, "the request is denied", func() bool { return d.ntp.Stats().Endpoints[0].Dropped[server.Denied.String()] == 1 })
		pool := pemPair(t, cert, key, 3)
		if err := d.reload(t.Context()); err != nil {
			t.Errorf("%s: reload of repaired files: %v", c.name, err)
		}
		proctest.Write(t, path, conf)
		if err := d.reload(t.Context()); err != nil {
			t.Errorf("%s: reload that allows again: %v", c.name, err)
		}
		q.send(3)
		q.answers(3) // and none to the second request before
		if err := (keTask{d.ke, d.keys, d.certs, d.settings}).Waiting(); err != nil {
			t.Errorf("%s: repaired, and nts-ke still waits: %v", c.name, err)
		}
		if _, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: ke.Port, RootCAs: pool}); err != nil {
			t.Errorf("%s: repaired: %v", c.name, err)
		}
	}
}

// question is a client of plain NTP at an address of its own.
type question struct {
	t *testing.T
	c *net.UDPConn
}

// asker returns a client at from, which is an address of loopback.
func asker(t *testing.T, from string, port uint16) question {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		t.Skipf("no socket at %s, which Linux has on loopback: %v", from, err)
	}
	t.Cleanup(func() { c.Close() })
	return question{t, c}
}

// send sends a request that mark identifies.
func (q question) send(mark byte) {
	q.t.Helper()
	req := make([]byte, ntp.HeaderLen)
	req[0], req[47] = 0x23, mark // version 4, client; the end of the transmit timestamp
	if _, err := q.c.Write(req); err != nil {
		q.t.Fatal(err)
	}
}

// answers requires that the next answer is that to the request with mark.
func (q question) answers(mark byte) {
	q.t.Helper()
	q.c.SetReadDeadline(time.Now().Add(time.Minute)) // without an answer the test ends
	b := make([]byte, 100)
	n, err := q.c.Read(b)
	if err != nil {
		q.t.Fatal(err)
	}
	if n != ntp.HeaderLen || b[31] != mark { // the end of the origin timestamp
		q.t.Errorf("answer %x, want one to request %d", b[:n], mark)
	}
}

// connected returns a socket to the endpoint of a service.
func connected(t *testing.T, d *service) *net.UDPConn {
	t.Helper()
	<-d.ntp.Ready()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), d.ntp.Addrs()[0].Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask returns the answer to a request.
func ask(t *testing.T, d *service, req []byte) []byte {
	t.Helper()
	c := connected(t, d)
	if _, err := c.Write(req); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}
