package keyexchange

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/proctest"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// misbehave names what the process does in place of its work.
const misbehave = "NOONMARK_TEST_MISBEHAVE"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Argument {
		switch os.Getenv(misbehave) {
		case "":
			os.Exit(Main("test"))
		case "silence":
			io.Copy(io.Discard, os.Stdin)
		case "no end":
			if r, w, err := os.Pipe(); err == nil {
				io.Copy(w, r) // for ever
			}
		case "nonsense":
			fmt.Println("{]")
			io.Copy(io.Discard, os.Stdin)
		case "flood":
			for {
				fmt.Print(strings.Repeat("a", 4096))
			}
		case "stuck":
			fmt.Println(`{"stuck":"for an hour"}`)
			io.Copy(io.Discard, os.Stdin)
		}
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// site is a process with what it needs.
type site struct {
	t    *testing.T
	p    *Process
	l    *net.TCPListener
	pool *x509.CertPool
	log  bytes.Buffer

	mu    sync.Mutex
	state State
}

// set changes the state and waits until the process has it.
func (s *site) set(edit func(*State)) error {
	s.mu.Lock()
	edit(&s.state)
	s.mu.Unlock()
	return s.p.Update(s.t.Context())
}

func (s *site) present() (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, nil
}

func newSite(t *testing.T) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, l: l.(*net.TCPListener), pool: x509.NewCertPool()}
	if s.state.Secrets, err = ring.Export(); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := certificate(t, key, &key.PublicKey)
	s.pool.AddCert(c.Leaf)
	if s.state.Certificates, err = Certificates([]*tls.Certificate{c}); err != nil {
		t.Fatal(err)
	}
	s.state.Log = config.Log{Level: "error", Format: "text"}
	s.p, err = New(Config{
		Settings: Settings{Timeout: 5 * time.Second, MaxConnections: 8},
		State:    s.present,
		Listen:   func(context.Context) (*net.TCPListener, error) { return s.l, nil },
		Log:      slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func certificate(t *testing.T, key any, public any) *tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, public, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// exchange does one exchange.
func (s *site) exchange() error {
	at := s.l.Addr().(*net.TCPAddr)
	got, err := ntske.Exchange(s.t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: at.Port, RootCAs: s.pool})
	if err == nil && len(got.Cookies) != 8 {
		err = fmt.Errorf("%d cookies", len(got.Cookies))
	}
	return err
}

// run starts the process and waits until it serves. end stops it and returns what Run
// has returned.
func (s *site) run() (end func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ready := s.p.Ready()
	done := make(chan error, 1)
	go func() { done <- s.p.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		s.t.Fatalf("it ends before it serves: %v", err)
	}
	return func() error { cancel(); return <-done }
}

// killed waits for the end of a process and ends what begun has started.
func (s *site) killed() error {
	s.t.Helper()
	ready := s.p.Ready()
	done := make(chan error, 1)
	go func() { done <- s.p.Run(s.t.Context()) }()
	<-ready
	pid := 0
	if _, rest, ok := strings.Cut(s.log.String(), "pid="); !ok {
		s.t.Fatal("the process is not in the log")
	} else {
		fmt.Sscan(rest, &pid)
	}
	if err := s.exchange(); err != nil {
		s.t.Fatal(err)
	}
	proctest.Until(s.t, "the exchange is counted", func() bool { // the client has its answer before
		if err := s.p.Update(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		return s.p.Exchanges()["served"] > 0
	})
	p, err := os.FindProcess(pid)
	if err != nil {
		s.t.Fatal(err)
	}
	p.Kill()
	return <-done
}

// Whatever ends the process, the next one serves from the same socket, and counts go
// on.
func TestNextProcessServesAfterOneHasDied(t *testing.T) {
	s := newSite(t)
	if err := s.killed(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("killed: %v", err)
	}
	if n := s.p.Exchanges()["served"]; n != 1 || s.p.Open() != 0 {
		t.Errorf("%d served, %d open", n, s.p.Open())
	}
	early := make(chan error, 1)
	go func() { early <- s.exchange() }() // it waits in the queue of the socket
	end := s.run()
	if err := <-early; err != nil {
		t.Errorf("a client that came before the process: %v", err)
	}
	if err := s.exchange(); err != nil {
		t.Error(err)
	}
	if err := end(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if n := s.p.Exchanges()["served"]; n != 3 {
		t.Errorf("%d served", n)
	}
}

func TestStateIsInForceAfterUpdate(t *testing.T) {
	s := newSite(t)
	if err := s.p.Update(t.Context()); err != nil {
		t.Errorf("without a process: %v", err)
	}
	end := s.run()
	good, _ := s.present()
	if err := s.set(func(x *State) { x.Deny = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }); err != nil {
		t.Error(err)
	}
	if s.exchange() == nil {
		t.Error("a denied client gets keys")
	}
	if err := s.set(func(x *State) { *x = good; x.Secrets = "{" }); err == nil || !strings.Contains(err.Error(), "key ring") {
		t.Errorf("damaged secrets: %v", err)
	}
	if err := s.exchange(); err != nil {
		t.Errorf("the access list of a state whose secrets are damaged is not in force: %v", err)
	}
	s.set(func(x *State) { x.Certificates = nil })
	if s.exchange() == nil {
		t.Error("the certificate that is gone is in use")
	}
	if err := s.set(func(x *State) { *x = good }); err != nil {
		t.Error(err)
	}
	if err := s.exchange(); err != nil {
		t.Error(err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if n := s.p.Exchanges()["access_denied"]; n != 1 {
		t.Errorf("%d denied", n)
	}
}

// What the process says is input.
func TestMisbehavingProcessIsEnded(t *testing.T) {
	for how, want := range map[string]string{
		"silence":  "does not answer",
		"no end":   "does not answer",
		"nonsense": "has ended",
		"flood":    "has ended",
		"stuck":    `hangs: "for an hour"`,
		"exit":     "exit status 3",
	} {
		t.Run(how, func(t *testing.T) {
			t.Setenv(misbehave, how)
			s := newSite(t)
			if want == "does not answer" {
				s.p.hangs = 200 * time.Millisecond
			}
			if err := s.p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
			if n := len(s.p.Exchanges()); n != len((&ntske.Counters{}).Snapshot()) {
				t.Errorf("%d reasons", n)
			}
		})
	}
}

// A process that is gone before it has read anything is reported by how it ended, not by
// the pipe to it.
func TestEndBeforeTheFirstOrderHasItsReason(t *testing.T) {
	t.Setenv(misbehave, "exit")
	s := newSite(t)
	r, err := s.p.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range r.reports { // until it has closed its output
		continue
	}
	proctest.Until(t, "nobody reads from the pipe to it", func() bool { return errors.Is(r.send(order{}), syscall.EPIPE) })
	if err := r.untilEnd(t.Context()); err == nil || !strings.Contains(err.Error(), "has ended: exit status 3") {
		t.Errorf("the end: %v", err)
	}
}

func TestProcessEndsWithItsStandardInput(t *testing.T) {
	s := newSite(t)
	r, err := s.p.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.send(order{Settings: &s.p.cfg.Settings}); err != nil {
		t.Fatal(err)
	}
	if err := r.update(); err != nil {
		t.Fatal(err)
	}
	if x := <-r.reports; x.Number != 1 {
		t.Errorf("first report: %+v", x)
	}
	r.in.Close()
	for range r.reports {
		continue
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestInvalidSettingsAreRefused(t *testing.T) {
	for name, c := range map[string]Settings{
		"negative timeout": {Timeout: -1},
		"port too high":    {NTPPort: 1 << 16},
		"prefix too long":  {Prefix6: 129},
		"no server name":   {NTPServer: "a b"},
	} {
		if _, err := New(Config{Settings: c}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCertificatesArePassedOnWhole(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ra, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	in := []*tls.Certificate{certificate(t, ec, &ec.PublicKey), certificate(t, ra, &ra.PublicKey), certificate(t, ed, pub)}
	passed, err := Certificates(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := certificates(passed)
	if err != nil || len(out) != len(in) {
		t.Fatalf("%d certificates, %v", len(out), err)
	}
	for i, c := range out {
		key, ok := in[i].PrivateKey.(interface{ Equal(crypto.PrivateKey) bool })
		if !ok || !key.Equal(c.PrivateKey) {
			t.Errorf("key %d differs", i)
		}
		if !bytes.Equal(c.Certificate[0], in[i].Certificate[0]) || !c.Leaf.Equal(in[i].Leaf) {
			t.Errorf("certificate %d differs", i)
		}
	}
	for name, c := range map[string]Certificate{
		"no chain":    {nil, passed[0].Key},
		"no key":      {passed[0].Chain, nil},
		"chain of no": {[][]byte{{1}}, passed[0].Key},
	} {
		if _, err := certificates([]Certificate{c}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Certificates([]*tls.Certificate{{PrivateKey: 1}}); err == nil {
		t.Error("a key that is none is passed on")
	}
}
