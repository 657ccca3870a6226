// Package certstest runs a real ACME server and real NTS-KE for tests.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"noonmark/internal/proctest"
)

// Pebble is a real ACME server (Let's Encrypt's, for tests) on loopback. It resolves
// names by hosts.
type Pebble struct {
	Directory string // its URL
	CA        string // PEM file with the authority of its own certificate
	HTTPPort  int    // that it connects to for http-01
	TLSPort   int    // and for tls-alpn-01

	Proc *proctest.Process

	roots    string // URL of the issuing root
	client   *http.Client
	mu       sync.Mutex // guards the next
	hosts    map[string][4]byte
	texts    func(name string) []string // nil: no name has any
	lastHost byte
}

// Install is how to get pebble.
const Install = "GOBIN=$HOME/bin go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"

// Start starts the server. It ends with the test, which is skipped where pebble is
// missing.
func Start(t *testing.T) *Pebble {
	t.Helper()
	prog := os.Getenv("NOONMARK_PEBBLE")
	if prog == "" {
		var err error
		if prog, err = exec.LookPath("pebble"); err != nil {
			t.Skipf("pebble, an ACME server, is missing: it is neither in PATH nor named by NOONMARK_PEBBLE; to install: %s", Install)
		}
	}
	dir := t.TempDir()
	p := &Pebble{CA: filepath.Join(dir, "ca.pem"), hosts: map[string][4]byte{}}
	own := certificate(t, p.CA, filepath.Join(dir, "server.key"))
	ports := proctest.FreePorts(t, 4)
	p.HTTPPort, p.TLSPort = ports[2], ports[3]
	p.Directory, p.roots = fmt.Sprintf("https://127.0.0.1:%d/dir", ports[0]), fmt.Sprintf("https://127.0.0.1:%d/roots/0", ports[1])
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", ports[0]), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", ports[1]),
		"certificate": p.CA, "privateKey": filepath.Join(dir, "server.key"),
		"httpPort": p.HTTPPort, "tlsPort": p.TLSPort, "keyAlgorithm": "ecdsa",
		"domainBlocklist": []string{"blocked.test"}, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{
			"default": map[string]any{"description": "90 days", "validityPeriod": 90 * 86400},
			"brief":   map[string]any{"description": "6 days", "validityPeriod": 6 * 86400},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pebble.json"), conf, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(prog, "-strict", "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", p.serveDNS(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=5", "PEBBLE_CHAIN_LENGTH=2")
	p.Proc = proctest.StartCmd(t, cmd)
	roots := x509.NewCertPool()
	roots.AddCert(own)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
	proctest.Until(t, "pebble answers", func() bool {
		r, err := p.client.Get(p.Directory)
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	}, p.Proc)
	return p
}

// serveDNS answers A queries from p.hosts, TXT queries from p.texts, others without
// records; over TCP, which pebble uses.
func (p *Pebble) serveDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for p.answerDNS(c) == nil {
				}
			}()
		}
	}()
	return l.Addr().String()
}

func (p *Pebble) answerDNS(c net.Conn) error {
	var n [2]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(n[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil || len(m.Questions) != 1 {
		return fmt.Errorf("%d questions: %w", len(m.Questions), err)
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	name, head := strings.ToLower(strings.TrimSuffix(q.Name.String(), ".")), dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	p.mu.Lock()
	a, ok := p.hosts[name]
	texts := p.texts
	p.mu.Unlock()
	switch {
	case ok && q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: a}}}
	case texts != nil && q.Type == dnsmessage.TypeTXT:
		for _, text := range texts(name) {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.TXTResource{TXT: []string{text}}})
		}
	}
	out, err := m.AppendPack([]byte{0, 0})
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(out, uint16(len(out)-2))
	_, err = c.Write(out)
	return err
}

// Host gives names a loopback address that no other test has, because pebble uses the
// same ports for all.
func (p *Pebble) Host(names ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastHost++
	a := [4]byte{127, 0, 77, p.lastHost}
	for _, n := range names {
		p.hosts[n] = a
	}
	return net.IP(a[:]).String()
}

// Texts sets where the TXT records of a name, in small letters and without a dot at its
// end, come from: for dns-01.
func (p *Pebble) Texts(of func(name string) []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = of
}

// Issued counts the certificates that it has issued.
func (p *Pebble) Issued() int {
	return strings.Count(p.Proc.Output.String(), "Issued certificate serial")
}

// Roots returns the authorities whose certificates it issues.
func (p *Pebble) Roots(t *testing.T) *x509.CertPool {
	t.Helper()
	r, err := p.client.Get(p.roots)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatalf("pebble's root: %v, %q", err, b)
	}
	return pool
}

// Alias gives a name the address of another one.
func (p *Pebble) Alias(name, of string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts[name] = p.hosts[of]
}

// certificate writes a certificate for loopback that is its own authority, and its key.
func certificate(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble's own"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	proctest.Write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}
