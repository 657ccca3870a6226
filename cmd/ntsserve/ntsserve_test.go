package main

import (
	"bytes"
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
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/ntp"
	"noonmark/server/ntske"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

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
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kd})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

// started runs the service on the configuration in dir and returns it with the
// address of NTS-KE; it is stopped at the end of the test.
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
	at, _ := d.listen.Addr().(*net.TCPAddr)
	return d, at
}

func TestServiceAnswersAndTakesOverAReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	pool := pemPair(t, cert, key, 1)
	conf := fmt.Sprintf("[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n",
		filepath.Join(dir, "status"), endpoint, cert, key, filepath.Join(dir, "keys"))
	path := write(t, filepath.Join(dir, "t.toml"), conf)
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
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), d.ntp.Addrs()[0].Port())))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		req := make([]byte, ntp.HeaderLen)
		req[0], req[47] = 0x23, 9
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
	// Nothing is published: leap indicator 3, stratum 16.
	if b := plain(); len(b) != ntp.HeaderLen || b[0] != 0xe4 || b[1] != 16 {
		t.Errorf("answer %x", b)
	}
	if fi, err := os.Stat(filepath.Join(dir, "keys")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", fi, err)
	}

	// A reload with a broken file, then with a new certificate and access list.
	write(t, path, conf+"[access]\ndeny = 1\n")
	if err := d.reload(context.Background()); err == nil || exitcode.Of(err) != 78 {
		t.Errorf("a broken configuration is reloaded: %v", err)
	}
	if err := exchange(pool); err != nil {
		t.Errorf("after a reload that was refused: %v", err)
	}
	again := pemPair(t, cert, key, 2)
	write(t, path, conf+"[access]\ndeny = [\"198.51.100.0/24\"]\n[log]\nlevel = \"error\"\n")
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if exchange(pool) == nil || exchange(again) != nil {
		t.Error("the new certificate is not in use")
	}
	write(t, path, conf+"[access]\ndeny = [\"127.0.0.0/8\"]\n[log]\nlevel = \"error\"\n")
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

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	pemPair(t, cert, key, 1)
	ke := func(cert, key, keys string) string {
		return fmt.Sprintf("%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n", endpoint, cert, key, filepath.Join(dir, keys))
	}
	write(t, filepath.Join(dir, "open-keys"), "{}")
	if err := os.Chmod(filepath.Join(dir, "open-keys"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       int
		say        string
	}{
		{"no folder for the keys", ke(cert, key, "none/keys"), 69, "keys.file: "},
		{"keys for all to read", ke(cert, key, "open-keys"), 78, "chmod 600"},
	} {
		var out bytes.Buffer
		path := write(t, filepath.Join(dir, "t.toml"), c.text)
		s, err := ntsserve.Load(path)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err = serve(t.Context(), path, s, nil, daemon.NewTo(&out, "ntsserve", s.Log, true))
		if exitcode.Of(err) != c.want || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: exit %d, %v; want %d, %q", c.name, exitcode.Of(err), err, c.want, c.say)
		}
	}
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"-nonsense"}, 64}, {[]string{"extra"}, 64}, {[]string{"-config", filepath.Join(dir, "none.toml")}, 78}, {[]string{"-h"}, 0}} {
		if got := run(c.args, io.Discard); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.args, got, c.want)
		}
	}
}

// Time is served whatever is wrong with a certificate, and NTS-KE comes up by itself
// once it is repaired. A reload takes over what it can.
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
		{"no certificate", func() { write(t, cert, "none") }, certs.BadCertificate},
	} {
		c.put()
		path := write(t, filepath.Join(dir, "t.toml"), conf)
		d, ke := started(t, path)
		<-d.ntp.Ready()
		if err := (keTask{d.ke, d.certs, d.settings}).Waiting(); certs.ReasonOf(err) != c.why {
			t.Errorf("%s: nts-ke waits for %v, want %v", c.name, err, c.why)
		}
		if len(d.ntp.Addrs()) != 1 || d.ntp.Waiting() != nil {
			t.Errorf("%s: ntp waits for %v", c.name, d.ntp.Waiting())
		}
		write(t, path, conf+"[access]\ndeny = [\"192.0.2.0/24\"]\n[log]\nlevel = \"error\"\n")
		if err := d.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "access lists and log level are in force") {
			t.Errorf("%s: reload: %v", c.name, err)
		}
		pool := pemPair(t, cert, key, 3)
		if err := d.reload(t.Context()); err != nil {
			t.Errorf("%s: reload of repaired files: %v", c.name, err)
		}
		if err := (keTask{d.ke, d.certs, d.settings}).Waiting(); err != nil {
			t.Errorf("%s: repaired, and nts-ke still waits: %v", c.name, err)
		}
		if _, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: ke.Port, RootCAs: pool}); err != nil {
			t.Errorf("%s: repaired: %v", c.name, err)
		}
	}
}
