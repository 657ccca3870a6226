package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// ctl runs the tool and returns what it prints.
func ctl(args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// must is ctl for what has to work.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := ctl(args...)
	if code != 0 {
		t.Fatalf("refclockctl %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func TestCAUsage(t *testing.T) {
	dir := t.TempDir()
	ca, srv := filepath.Join(dir, "ca"), filepath.Join(dir, "srv")
	must(t, "ca", "init", ca, "-permit-name", "lan", "-permit-net", "10.0.0.0/8", "-permit-net", "fd00::/8")
	must(t, "ca", "issue", ca, "-out", srv, "-host", "time.lan")
	other := filepath.Join(dir, "other")
	must(t, "ca", "init", other)
	open := filepath.Join(dir, "open")
	must(t, "ca", "init", open)
	if err := os.Chmod(filepath.Join(open, certs.AuthorityKey), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want int
		say  string
	}{
		{"ca", 64, "usage: refclockctl ca init"},
		{"ca nonsense DIR", 64, "usage:"},
		{"ca init", 64, "usage:"},
		{"ca init CA extra", 64, "usage:"},
		{"ca init CA -nonsense", 64, "not defined"},
		{"ca init CA -days -1", 64, "usage:"},
		{"ca issue CA -out SRV", 64, "usage:"},
		{"ca issue CA -host a.lan", 64, "usage:"},
		{"ca issue CA -out X -out Y -host a.lan", 64, "usage:"},
		{"ca init CA", 73, "file already exists"},
		{"ca init NEW -permit-net 10.0.0.0", 65, `"10.0.0.0" is no network`},
		{"ca init NEW -permit-name a_b", 65, `"a_b" is no host name`},
		{"ca issue CA -out SRV -host time.lan", 73, "server.pem: file already exists; renew"},
		{"ca issue CA -out NEW -host time.example", 65, "not permitted by any constraint"},
		{"ca issue CA -out NEW -ip 192.0.2.1", 65, "not permitted by any constraint"},
		{"ca issue CA -out NEW -ip 2001:db8::1", 65, "not permitted by any constraint"},
		{"ca issue CA -out NEW -host a..lan", 65, `"a..lan" is no host name`},
		{"ca issue NONE -out NEW -host a.lan", 66, "no such file"},
		{"ca issue OPEN -out NEW -host a.lan", 65, "lets others in; run: chmod 600"},
		{"ca show NONE", 66, "no such file"},
		{"ca show OTHER -clients", 65, "nothing was issued yet"},
		{"ca renew OTHER", 65, "nothing was issued yet"},
		{"ca renew OTHER -out SRV -force", 65, "another authority has issued it"},
		{"ca renew CA -out NONE", 66, "no such file"},
		{"ca -h", 0, "usage:"},
		{"ca init -h", 0, "-permit-net"},
	} {
		args := strings.Fields(strings.NewReplacer("CA", ca, "SRV", srv, "OTHER", other, "OPEN", open, "NEW", filepath.Join(dir, "new"), "NONE", filepath.Join(dir, "none")).Replace(c.args))
		code, _, errs := ctl(args...)
		if code != c.want || !strings.Contains(errs, c.say) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", c.args, code, c.want, c.say, errs)
		}
		if _, err := os.Stat(filepath.Join(dir, "new", certs.ServerKey)); err == nil {
			t.Errorf("%s: left a key behind", c.args)
		}
	}
}

// TestCA goes the whole way: authority, certificate, a client that trusts it,
// renewal under a running source.
func TestCA(t *testing.T) {
	dir := t.TempDir()
	ca, srv := filepath.Join(dir, "ca"), filepath.Join(dir, "srv")
	must(t, "ca", "init", "-name", "Our time", ca)
	out := must(t, "ca", "issue", ca, "-ip", "127.0.0.1", "-host", "Time.LAN.", "-ip", "fd00::1", "-host", "time.lan", "-out", srv)
	for _, want := range []string{"for time.lan, 127.0.0.1, fd00::1 until ", "server time.lan nts certset 1 iburst\n", "address = \"time.lan\"\n", "server time.lan nts ca ", fmt.Sprintf("key = %q\n", filepath.Join(srv, certs.ServerKey))} {
		if !strings.Contains(out, want) {
			t.Errorf("issue does not print %q:\n%s", want, out)
		}
	}
	for path, mode := range map[string]os.FileMode{
		ca: 0o700, filepath.Join(ca, certs.AuthorityKey): 0o600, filepath.Join(ca, certs.AuthorityCert): 0o644,
		filepath.Join(srv, certs.ServerKey): 0o600, filepath.Join(srv, certs.ServerCert): 0o644,
	} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, fi, err, mode)
		}
	}
	src, err := certs.New(certs.Config{Pairs: []certs.Pair{{Cert: filepath.Join(srv, certs.ServerCert), Key: filepath.Join(srv, certs.ServerKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	at := serveKE(t, src, nil)
	exchange := func() error {
		_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: at.Port, RootCAs: trust(t, filepath.Join(ca, certs.AuthorityCert))})
		return err
	}
	if err := exchange(); err != nil {
		t.Error(err)
	}
	keyBefore, certBefore := read(t, srv, certs.ServerKey), read(t, srv, certs.ServerCert)
	if out := must(t, "ca", "renew", ca); !strings.Contains(out, "renewed from ") || read(t, srv, certs.ServerCert) != certBefore {
		t.Errorf("renewed too early:\n%s", out)
	}
	if out := must(t, "ca", "renew", ca, "-force"); !strings.Contains(out, "renewed, good until") || read(t, srv, certs.ServerCert) == certBefore || read(t, srv, certs.ServerKey) != keyBefore {
		t.Errorf("forced renewal: the certificate should change and the key not:\n%s", out)
	}
	certBefore = read(t, srv, certs.ServerCert)
	must(t, "ca", "renew", ca, "-out", srv, "-force", "-new-key")
	if read(t, srv, certs.ServerCert) == certBefore || read(t, srv, certs.ServerKey) == keyBefore {
		t.Error("-new-key: certificate and key should change")
	}
	if err := src.Reload(); err != nil {
		t.Error(err)
	}
	if err := exchange(); err != nil {
		t.Error(err)
	}

	// When a third is left it is renewed without force.
	short := filepath.Join(dir, "short")
	must(t, "ca", "issue", ca, "-host", "short.lan", "-days", "1", "-out", short) // and a day backdated: half is left
	certBefore = read(t, short, certs.ServerCert)
	c := caCommand{out: new(bytes.Buffer), now: time.Now().Add(9 * time.Hour), dir: ca, days: 398}
	if err := c.renew(); err != nil || read(t, short, certs.ServerCert) == certBefore {
		t.Errorf("not renewed when it was time: %v\n%s", err, c.out)
	}
	// A line that a crash has cut off spoils nothing.
	f, err := os.OpenFile(filepath.Join(ca, issuedFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"serial":"1","na`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var shown authority
	if err := json.Unmarshal([]byte(must(t, "ca", "show", ca, "-json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Name != "Our time" || len(shown.Fingerprint) != 64 || len(shown.Issued) != 2 || shown.Issued[0].Out != srv ||
		!slices.Equal(shown.Issued[0].Names, []string{"time.lan", "127.0.0.1", "fd00::1"}) || shown.Issued[1].NotAfter.Before(time.Now().AddDate(1, 0, 0)) {
		t.Errorf("show: %+v", shown)
	}
	if out := must(t, "ca", "show", ca, "-clients"); !strings.Contains(out, "Our time\n") || !strings.Contains(out, "short.lan nts certset") {
		t.Errorf("show:\n%s", out)
	}
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func trust(t *testing.T, path string) *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(t, path))) {
		t.Fatalf("%s holds no certificate", path)
	}
	return pool
}

// serveKE runs NTS-KE with certificates from src on a free port of loopback.
func serveKE(t *testing.T, src *certs.Source, done func(ntske.Reason, error)) *net.TCPAddr {
	t.Helper()
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ntske.NewServer(ntske.Config{TLS: &tls.Config{GetCertificate: src.Get}, Ring: ring, Done: func(_ net.Addr, r ntske.Reason, err error) {
		if done != nil {
			done(r, err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return l.Addr().(*net.TCPAddr)
}

// programs finds the versions of a program that are here: those that
// server/interop/peers has fetched, and the installed one.
func programs(t *testing.T, name string) (paths []string) {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("NOONMARK_PEERS")) {
		for _, sub := range []string{"usr/sbin", "usr/bin"} {
			if p := filepath.Join(dir, sub, name); exec.Command("test", "-x", p).Run() == nil {
				paths = append(paths, p)
			}
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		paths = append(paths, p)
	} else if p := "/usr/sbin/" + name; exec.Command("test", "-x", p).Run() == nil {
		paths = append(paths, p)
	}
	if len(paths) == 0 {
		t.Skipf("%s is missing: neither installed nor named by NOONMARK_PEERS (server/interop/peers fetches it)", name)
	}
	return paths
}

// TestSnippetsParse: the programs themselves accept the lines we print for them.
func TestSnippetsParse(t *testing.T) {
	hosts := []string{"time.lan", "192.0.2.1", "fd00::1"}
	ca := filepath.Join(t.TempDir(), "ca")
	must(t, "ca", "init", ca)
	lines := func(t *testing.T, name, host string) string {
		t.Helper()
		for _, x := range clientFiles {
			if x.name == name {
				return snippet(x.lines, host, filepath.Join(ca, certs.AuthorityCert))
			}
		}
		t.Fatalf("no lines for %s", name)
		return ""
	}
	check := func(t *testing.T, text string, prog string, args ...string) error {
		t.Helper()
		path := filepath.Join(t.TempDir(), "conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(prog, append(args, path)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s%s", err, text, out)
		}
		return nil
	}
	t.Run("chrony", func(t *testing.T) {
		for _, prog := range programs(t, "chronyd") {
			if check(t, "server time.lan nts certset\n", prog, "-p", "-f") == nil {
				t.Errorf("%s accepts anything", prog)
			}
			for _, h := range hosts {
				if err := check(t, lines(t, "chrony", h), prog, "-p", "-f"); err != nil {
					t.Errorf("%s: %v", prog, err)
				}
			}
		}
	})
	t.Run("ntpd-rs", func(t *testing.T) {
		const one = "[synchronization]\nminimum-agreeing-sources = 1\n"
		for _, prog := range programs(t, "ntp-ctl") {
			if check(t, "[[source]]\nmode = \"nts\"\naddress = \"time.lan\"\nauthority = \"x\"\n"+one, prog, "validate", "-c") == nil {
				t.Errorf("%s accepts anything", prog)
			}
			for _, h := range hosts[:2] { // it cannot ask an IPv6 address
				if err := check(t, lines(t, "ntpd-rs", h)+one, prog, "validate", "-c"); err != nil {
					t.Errorf("%s: %v", prog, err)
				}
			}
		}
	})
}

// TestChronyTrusts lets chronyd itself (GnuTLS) judge the certificate of an
// authority with name constraints: its key exchange succeeds, and fails where
// the authority is another one.
func TestChronyTrusts(t *testing.T) {
	progs := programs(t, "chronyd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca, srv, other := filepath.Join(dir, "ca"), filepath.Join(dir, "srv"), filepath.Join(dir, "other")
	must(t, "ca", "init", ca, "-permit-net", "127.0.0.0/8")
	must(t, "ca", "init", other)
	must(t, "ca", "issue", ca, "-ip", "127.0.0.1", "-out", srv)
	src, err := certs.New(certs.Config{Pairs: []certs.Pair{{Cert: filepath.Join(srv, certs.ServerCert), Key: filepath.Join(srv, certs.ServerKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	type end struct {
		r   ntske.Reason
		err error
	}
	for _, prog := range progs {
		for _, c := range []struct {
			ca   string
			want ntske.Reason
		}{{other, ntske.HandshakeFailed}, {ca, ntske.Served}} {
			ends := make(chan end, 8)
			at := serveKE(t, src, func(r ntske.Reason, err error) {
				select {
				case ends <- end{r, err}:
				default:
				}
			})
			conf := snippet(clientFiles[0].lines, "127.0.0.1", filepath.Join(c.ca, certs.AuthorityCert))
			conf = strings.Replace(conf, "certset 1", fmt.Sprintf("certset 1 ntsport %d", at.Port), 1) +
				fmt.Sprintf("port 0\ncmdport 0\nbindcmdaddress /\npidfile %s\n", filepath.Join(dir, "pid"))
			path := filepath.Join(dir, "chrony.conf")
			if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			// -Q only asks, it never touches the clock; -U runs without root.
			cmd := exec.CommandContext(ctx, prog, "-Q", "-U", "-u", me.Username, "-t", "15", "-f", path)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan struct{})
			go func() { cmd.Wait(); close(exited) }()
			select {
			case e := <-ends:
				cancel()
				<-exited
				if e.r != c.want {
					t.Errorf("%s: %v (%v), want %v\n%s", prog, e.r, e.err, c.want, &said)
				}
			case <-exited:
				t.Errorf("%s ends without asking:\n%s", prog, &said)
			}
			cancel()
		}
	}
}
