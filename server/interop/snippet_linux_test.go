package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lanName is the name of our end in these tests.
const lanName = "time.lan.test"

// issued is an authority that refclockctl has made, and what it printed.
type issued struct {
	pki
	text string
}

// refclockctl runs the operator's tool.
func refclockctl(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := tool(t, append([]string{ours(t, "refclockctl")}, args...)...)
	if code != 0 {
		t.Fatalf("refclockctl %v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// issue makes an authority and a certificate for the names, as an operator does.
func issue(t *testing.T, dir string, constraints []string, names ...string) issued {
	t.Helper()
	ca, out := filepath.Join(dir, "ca"), filepath.Join(dir, "tls")
	refclockctl(t, append([]string{"ca", "init", ca}, constraints...)...)
	args := []string{"ca", "issue", ca, "-out", out}
	for _, n := range names {
		if net.ParseIP(n) != nil {
			args = append(args, "-ip", n)
		} else {
			args = append(args, "-host", n)
		}
	}
	text := refclockctl(t, args...)
	return issued{pki{ca: filepath.Join(ca, "ca.pem"), cert: filepath.Join(out, "server.pem"), key: filepath.Join(out, "server.key")}, text}
}

// printed matches the output for one client: what to copy where, the configuration
// file, and its lines.
var printed = regexp.MustCompile(`(?m)^# (\S+): copy (\S+) to (\S+), then in (\S+)\n((?:[^#\n].*\n)+)`)

// follow does what was printed for a client, in a copy of /etc in dir. It returns the
// file with the lines, and a prefix for commands that run with that /etc on the
// peer's end. before is written before the lines, which are not changed.
func (i issued) follow(t *testing.T, dir, client, before string) (file string, in func(args ...string) []string) {
	t.Helper()
	etc := filepath.Join(dir, "etc")
	put := func(path string, b []byte) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime"} {
		if b, err := os.ReadFile("/etc/" + f); err == nil {
			put("etc/"+f, b)
		}
	}
	if b, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt"); err == nil {
		put("etc/ssl/certs/ca-certificates.crt", b) // ntpd-rs needs those of the system too
	}
	put("etc/hosts", fmt.Appendf(nil, "127.0.0.1 localhost\n%s %s\n", ourAddr, lanName))
	for _, m := range printed.FindAllStringSubmatch(i.text, -1) {
		if m[1] != client {
			continue
		}
		ca, err := os.ReadFile(m[2])
		if err != nil {
			t.Fatal(err)
		}
		put(m[3], ca)
		put(m[4], []byte(before+m[5]))
		file = m[4]
		t.Logf("in %s:\n%s", m[4], m[5])
	}
	if file == "" {
		t.Fatalf("refclockctl printed nothing for %s:\n%s", client, i.text)
	}
	return file, func(args ...string) []string {
		return enter(append([]string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc && exec "$@"`, etc}, args...)...)
	}
}

// clientRun is a client that was started as printed.
type clientRun struct {
	p    *proc
	good func() (bool, string) // it has authenticated time from ntsserve
	said func() string
}

// clients start each program with the lines that refclockctl printed for it.
var clients = []struct {
	name, prog, how string
	only4           bool   // it cannot be configured for an IPv6 address
	refusal         string // how NTS-KE ends when it refuses the certificate
	start           func(t *testing.T, prog, dir string, i issued) clientRun
}{
	{"chrony", "chronyd", getChrony, false, "handshake_failed", func(t *testing.T, prog, dir string, i issued) clientRun {
		run := dir + "/chrony" // chronyd checks its permissions, which protect the socket
		if err := os.Mkdir(run, 0o700); err != nil {
			t.Fatal(err)
		}
		_, in := i.follow(t, dir, "chrony", "")
		write(t, dir, "etc/chrony.conf", "confdir /etc/chrony/conf.d\nport 0\ncmdport 0\nbindcmdaddress "+run+"/sock\npidfile "+run+"/pid\n")
		p := daemon(t, in(prog, "-x", "-U", "-u", "root", "-d", "-f", "/etc/chrony.conf")...)
		chronyc := filepath.Join(filepath.Dir(filepath.Dir(prog)), "bin", "chronyc")
		ask := func(args ...string) string {
			out, errs, _ := tool(t, enter(append([]string{chronyc, "-h", run + "/sock"}, args...)...)...)
			return out + errs
		}
		return clientRun{p, func() (bool, string) {
			src, auth := ask("-c", "-N", "sources"), ask("-c", "-N", "authdata")
			return strings.HasPrefix(src, "^,*,") && strings.Contains(auth, ",NTS,1,"), src + auth
		}, func() string { return ask("-N", "authdata") + ask("-N", "sources") }}
	}},
	{"ntpd-rs", "ntp-daemon", getNtpdRs, true, "handshake_failed", func(t *testing.T, prog, dir string, i issued) clientRun {
		strace, err := exec.LookPath("strace")
		if err != nil {
			t.Skip("strace is missing: apt-get install strace")
		}
		file, in := i.follow(t, dir, "ntpd-rs", "[observability]\nobservation-path = \""+dir+"/observe\"\n[synchronization]\nminimum-agreeing-sources = 1\n")
		const calls = "clock_adjtime,clock_settime,adjtimex,settimeofday" // see ntpdRs
		p := daemon(t, in(strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls, "-e", "inject="+calls+":retval=0", prog, "-c", file)...)
		ctl := filepath.Join(filepath.Dir(prog), "ntp-ctl")
		status := func() string {
			out, errs, _ := tool(t, in(ctl, "-c", file, "status")...)
			return out + errs
		}
		return clientRun{p, func() (bool, string) {
			st := status()
			return strings.Contains(st, "\nStratum: 2\n") && strings.Contains(st, "[NTS]") && strings.Contains(st, "NTS cookies: 8/8 available"), st
		}, status}
	}},
	// NTPsec checks the certificate after the handshake, and closes the connection.
	{"NTPsec", "ntpd", getNTPsec, true, "connection_lost", func(t *testing.T, prog, dir string, i issued) clientRun {
		file, in := i.follow(t, dir, "NTPsec", "restrict "+controlAddr+"\ndriftfile "+dir+"/drift\nstatsdir "+dir+"\n")
		p := daemon(t, in(prog, "-n", "-g", "-p", dir+"/ntpd.pid", "-c", file)...)
		state := func() (bool, string) {
			as, err := associations(peerAddr)
			if err != nil || len(as) != 1 {
				return false, fmt.Sprint(as, err)
			}
			st := as[0].status
			return st&statusReachable != 0 && st&statusAuthEnabled != 0 && st&statusAuthentic != 0 && st&statusSelection == selectedSystem, fmt.Sprint(as)
		}
		return clientRun{p, state, func() string { _, s := state(); return s }}
	}},
}

// What refclockctl ca issue prints for each client gives authenticated time; with
// name constraints on the authority, and a server known by name, IPv4 address and
// IPv6 address.
func TestClientSnippetsWork(t *testing.T) {
	lan := []string{"-permit-name", "lan.test", "-permit-net", "10.91.0.0/16", "-permit-net", "fd91::/64"}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			each(t, c.prog, c.how, func(t *testing.T, prog string) {
				for _, host := range []string{lanName, ourAddr, ourAddr6} {
					t.Run(host, func(t *testing.T) {
						dir := setup(t)
						i := issue(t, dir, lan, host)
						if c.only4 && host == ourAddr6 {
							if !strings.Contains(i.text, "# "+c.name+": it cannot ask an IPv6 address for keys; issue the certificate for a name (-host)") {
								t.Errorf("there is no message that the address is not usable:\n%s", i.text)
							}
							return
						}
						s := prepare(t, dir, i.pki, "")
						s.proc = daemon(t, ours(t, "ntsserve"), "-config", s.conf)
						r := c.start(t, prog, dir, i)
						until(t, c.name+" has authenticated time from "+host, r.p, r.good)
						t.Logf("%s", r.said())
					})
				}
			})
		})
	}
}

// No client accepts a certificate for a name or an address outside its authority's
// name constraints.
func TestNameConstraintsHold(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			each(t, c.prog, c.how, func(t *testing.T, prog string) {
				for host, constraint := range map[string][]string{
					lanName: {"-permit-name", "other.test"},
					ourAddr: {"-permit-net", "192.0.2.0/24"},
				} {
					t.Run(host, func(t *testing.T) {
						dir := setup(t)
						i := issue(t, dir, constraint, map[string]string{lanName: "a.other.test", ourAddr: "192.0.2.1"}[host])
						i.text = strings.NewReplacer("a.other.test", host, "192.0.2.1", host).Replace(i.text)
						rogue(t, i, host)
						s := prepare(t, dir, i.pki, "")
						s.measured(t)
						s.proc = daemon(t, ours(t, "ntsserve"), "-config", s.conf)
						until(t, "ntsserve has metrics", s.proc, func() (bool, string) { return exchanges(t, "served") == 0, s.Output.String() })
						r := c.start(t, prog, dir, i)
						until(t, c.name+" has refused the certificate", r.p, func() (bool, string) {
							return exchanges(t, c.refusal) > 0, r.p.Output.String()
						})
						if n := exchanges(t, "served"); n != 0 {
							t.Errorf("%s accepted the certificate %d times", c.name, n)
						}
					})
				}
			})
		})
	}
}

// rogue replaces the certificate by one for host, signed with the authority's key but
// outside its constraints.
func rogue(t *testing.T, i issued, host string) {
	t.Helper()
	block := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := pem.Decode(b)
		return p.Bytes
	}
	ca, err := x509.ParseCertificate(block(i.ca))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(block(filepath.Join(filepath.Dir(i.ca), "ca.key")))
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: ca.NotBefore, NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, mine.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(mine)
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string]*pem.Block{i.cert: {Type: "CERTIFICATE", Bytes: der}, i.key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// exchanges returns how many NTS-KE connections have ended with a reason, -1 if there
// are no metrics.
func exchanges(t *testing.T, reason string) int {
	t.Helper()
	return int(metric(t, `noonmark_ntske_exchanges_total{reason="`+reason+`"}`))
}
