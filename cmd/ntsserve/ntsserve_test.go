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

	"noonmark/internal/daemon"
	"noonmark/server"
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

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "t.toml:1: endpoint: there is none; want"},
		{"source", endpoint + "[source]\ntype = \"gps\"\n", `t.toml:4: source.type: "gps" is not known; want "snapshot", "chrony" or "kernel"`},
		{"no path", endpoint + "[source]\npath = \"\"\n", "t.toml:4: source.path: is empty; want"},
		{"no address", "[[endpoint]]\nnts = \"off\"\n", "t.toml:1: endpoint[0].address: is missing; want an address and a port"},
		{"nts", endpoint + "nts = \"offf\"\n", `t.toml:3: endpoint[0].nts: "offf" is not known; did you mean "off"?`},
		{"only without keys", endpoint + "nts = \"only\"\n", "t.toml:3: endpoint[0].nts: there are no cookie keys"},
		{"priority", "priority = \"urgent\"\n" + endpoint, `t.toml:1: priority: "urgent" is not known; want "normal", "high" or "realtime"`},
		{"timestamps", endpoint + "timestamps = \"hard\"\n", `t.toml:3: endpoint[0].timestamps: "hard" is not known; want "auto", "hardware", "software" or "off"`},
		{"workers", endpoint + "workers = -1\n", "t.toml:3: endpoint[0].workers: -1 is no number of workers; want 1 to 256"},
		{"latency", endpoint + "transmit_latency = \"1s\"\n", "t.toml:3: endpoint[0].transmit_latency: 1s lies between no card's stamps and its wire; want 0s to 100µs"},
		{"dscp", endpoint + "dscp = 64\n", "t.toml:3: endpoint[0].dscp: 64 is no code point; want 0 to 63"},
		{"smear of a foreign clock", endpoint + "smear = true\n[source]\ntype = \"kernel\"\n", `t.toml:3: endpoint[0].smear: a clock of source.type = "kernel" executes its leap seconds itself`},
		{"smear", endpoint + "smear = \"yes\"\n", "t.toml:3: endpoint[0].smear"},
		{"twice", "[[endpoint]]\naddress = \"0.0.0.0:123\"\n[[endpoint]]\naddress = \"0.0.0.0:123\"\n", "t.toml:4: endpoint[1].address: endpoint[0] has it already"},
		{"listen without certificate", endpoint + "[ke]\nlisten = \"0.0.0.0:4460\"\n", "t.toml:3: ke.certificate: is missing; want a PEM file"},
		{"certificate without key", endpoint + "[ke]\ncertificate = \"c.pem\"\n", "t.toml:3: ke.key: is missing; want a PEM file"},
		{"further pair without key", endpoint + "[[certificate]]\nfile = \"c\"\n", "t.toml:3: certificate[0].key: is missing; want a PEM file"},
		{"further pair beside half a pair", endpoint + "[ke]\nkey = \"k\"\n[[certificate]]\nfile = \"c\"\nkey = \"k\"\n", "t.toml:3: ke.certificate: is missing; want a PEM file"},
		{"acme without names", endpoint + "[acme]\naccept_terms = true\n", "t.toml:3: acme.names: is empty; want"},
		{"acme without terms", endpoint + "[acme]\nnames = [\"a.test\"]\n", "t.toml:3: acme.accept_terms: is not true; read"},
		{"acme without port", endpoint + "[acme]\nnames = [\"a.test\"]\naccept_terms = true\n", "t.toml:3: acme.http: there is no address"},
		{"acme name", endpoint + "[acme]\nnames = [\"*.a.test\"]\naccept_terms = true\nhttp = \"0.0.0.0:80\"\n", "t.toml:3: acme: *.a.test: wildcards need dns-01"},
		{"acme directory", endpoint + "[acme]\nnames = [\"a.test\"]\naccept_terms = true\ntls = \"[::]:443\"\ndirectory = \"http://a\"\n", "t.toml:3: acme: directory \"http://a\" is no https URL; want"},
		{"port", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\nport = 65536\n", "t.toml:6: ke.port: 65536 is no port"},
		{"timeout", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\ntimeout = \"1h\"\n", "t.toml:6: ke.timeout: 1h0m0s keeps connections"},
		{"no timeout", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\ntimeout = \"0s\"\n", "t.toml:6: ke.timeout: is not positive"},
		{"rates", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\nrate = -1\n", "t.toml:6: ke.rate: is negative"},
		{"rotate", endpoint + "[keys]\nfile = \"k\"\nrotate = \"1s\"\n", "t.toml:5: keys.rotate: makes no key ring"},
		{"keep", endpoint + "[keys]\nfile = \"k\"\nkeep = 0\n", "t.toml:3: keys.rotate: rotation every 24h0m0s and 0 keys kept make no key ring"},
		{"no key file", endpoint + "[keys]\nfile = \"\"\n", "t.toml:4: keys.file: is empty; want"},
		{"two lists", endpoint + "[access]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/8\"]\n", "t.toml:3: access: prefix 10.0.0.0/8 is on two lists; want"},
		{"rate", endpoint + "[access]\nrate_limit = -1\n", "t.toml:4: access.rate_limit: -1 is no rate; want"},
		{"burst", endpoint + "[access]\nrate_burst = 0\n", "t.toml:4: access.rate_burst: 0 is no burst; want"},
		{"prefix4", endpoint + "[access]\nrate_prefix4 = 33\n", "t.toml:4: access.rate_prefix4: 33 is no prefix length; want"},
		{"prefix6", endpoint + "[access]\nrate_prefix6 = 0\n", "t.toml:4: access.rate_prefix6: 0 is no prefix length; want"},
		{"kiss", endpoint + "[access]\nkiss_rate = 1e5\n", "t.toml:4: access.kiss_rate: 100000 is no rate; want"},
		{"log", endpoint + "[log]\nlevel = \"loud\"\n", `t.toml:4: log.level: "loud" is not known`},
		{"unknown key", endpoint + "adress = 1\n", "t.toml:3: endpoint[0].adress: is not known; did you mean address?"},
		{"least", endpoint, ""},
		{"smeared and plain", endpoint + "smear = true\ndscp = 46\n" + endpoint, ""},
		{"acme alone", endpoint + "[acme]\nnames = [\"a.test\"]\naccept_terms = true\nhttp = \"0.0.0.0:80\"\n", ""},
		{"several certificates", endpoint + "[[certificate]]\nfile = \"c\"\nkey = \"k\"\n[[certificate]]\nfile = \"d\"\nkey = \"l\"\n", ""},
		{"all", endpoint + "nts = \"only\"\ntimestamps = \"software\"\nworkers = 3\n[ke]\ncertificate = \"c\"\nkey = \"k\"\n[access]\nallow = [\"10.0.0.0/8\"]\nnts_only = [\"::/0\"]\n", ""},
	} {
		path := write(t, filepath.Join(dir, "t.toml"), c.text)
		s, err := load(path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "" && len(s.endpoints) == 0:
			t.Errorf("%s: no endpoint", c.name)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		case c.want != "" && exit(err) != 78:
			t.Errorf("%s: exit %d", c.name, exit(err))
		}
	}
}

// TestExamples reads every example of configs/.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../configs/ntsserve*.toml")
	if err != nil || len(paths) == 0 {
		t.Skipf("configs/ntsserve*.toml missing: %v", err)
	}
	for _, p := range paths {
		var out bytes.Buffer
		if code := run([]string{"-check", "-config", p}, &out); code != 0 {
			t.Errorf("%s: exit %d\n%s", p, code, &out)
		}
	}
}

func TestPortForClients(t *testing.T) {
	const ke = "[ke]\ncertificate = \"c\"\nkey = \"k\"\n"
	for _, c := range []struct {
		text string
		want int
	}{
		{"[[endpoint]]\naddress = \"127.0.0.1:1123\"\nnts = \"off\"\n[[endpoint]]\naddress = \"127.0.0.1:2123\"\n" + ke, 2123},
		{"[[endpoint]]\naddress = \"127.0.0.1:1123\"\n" + ke + "server = \"ntp.example\"\n", 0},
		{"[[endpoint]]\naddress = \"127.0.0.1:1123\"\n" + ke + "port = 99\n", 99},
	} {
		s, err := load(write(t, filepath.Join(t.TempDir(), "t.toml"), c.text))
		if err != nil || s.ntpPort != c.want {
			t.Errorf("%s: port %d, want %d (%v)", c.text, s.ntpPort, c.want, err)
		}
	}
}

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
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	type open struct {
		d  *service
		at net.Addr
	}
	up := make(chan open, 1)
	d := &service{path: path, s: s, log: daemon.NewTo(io.Discard, "ntsserve", s.Log, true),
		started: func(d *service, at net.Addr) { up <- open{d, at} }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ends with %v", err)
		}
	})
	select {
	case o := <-up:
		at, _ := o.at.(*net.TCPAddr)
		return o.d, at
	case err := <-done:
		done <- nil
		if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPERM) {
			t.Skipf("no socket: %v", err)
		}
		t.Fatal(err)
	}
	return nil, nil
}

func TestService(t *testing.T) {
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
	if err := d.reload(context.Background()); err == nil || exit(err) != 78 {
		t.Errorf("a broken configuration is reloaded: %v", err)
	}
	if err := exchange(pool); err != nil {
		t.Errorf("after a reload that was refused: %v", err)
	}
	fp := newFingerprint(cert, key)
	again := pemPair(t, cert, key, 2)
	if !fp.changed() || fp.changed() {
		t.Error("a new certificate is not seen once")
	}
	write(t, path, conf+"[access]\ndeny = [\"127.0.0.0/8\"]\n[log]\nlevel = \"error\"\n")
	if err := d.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if exchange(pool) == nil || exchange(again) != nil {
		t.Error("the new certificate is not in use")
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
	busy, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	defer busy.Close()
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
		{"address in use", fmt.Sprintf("[[endpoint]]\naddress = %q\n", busy.LocalAddr()), 69, "another time server has it"},
		{"address not ours", "[[endpoint]]\naddress = \"192.0.2.1:12345\"\n", 69, "listen on 192.0.2.1:12345"},
		{"no certificate", ke(filepath.Join(dir, "none"), key, "keys"), 78, "ke.certificate: certificate of "},
		{"certificate is no certificate", ke(key, key, "keys"), 78, "ke.certificate: certificate of "},
		{"keys for all to read", ke(cert, key, "open-keys"), 78, "chmod 600"},
	} {
		var out bytes.Buffer
		path := write(t, filepath.Join(dir, "t.toml"), c.text)
		s, err := load(path)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		d := &service{path: path, s: s, log: daemon.NewTo(&out, "ntsserve", s.Log, true)}
		err = explain(d.serve(context.Background()))
		if exit(err) != c.want || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: exit %d, %v; want %d, %q", c.name, exit(err), err, c.want, c.say)
		}
	}
	if os.Getuid() != 0 {
		path := write(t, filepath.Join(dir, "t.toml"), "[[endpoint]]\naddress = \"127.0.0.1:1\"\n")
		s, err := load(path)
		if err != nil {
			t.Fatal(err)
		}
		d := &service{path: path, s: s, log: daemon.NewTo(io.Discard, "ntsserve", s.Log, true)}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // where low ports are for everybody, it starts, and ends
		if err := explain(d.serve(ctx)); err != nil && (exit(err) != 77 || !strings.Contains(err.Error(), "cap_net_bind_service")) {
			t.Errorf("low port: exit %d, %v", exit(err), err)
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
