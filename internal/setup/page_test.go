package setup

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config/refclockweb"
	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// carryOut plans and makes the changes for answers.
func (s *site) carryOut(t *testing.T, m *Machine, a Answers) *Plan {
	t.Helper()
	sys := s.system()
	sys.Now = time.Now
	p, err := sys.Plan(m, a, false)
	if err == nil {
		err = sys.Apply(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// paths replaces the names of a file of the machine by those below its root.
func (s *site) paths(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.root, path))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), configDir, filepath.Join(s.root, configDir))
}

// A page for a network has a token that is shown nowhere, and a certificate that suits how the
// machine has certificates. A second setup changes nothing, the answer "local" takes the token
// away, and undo restores everything.
func TestPageForANetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nts, url, ca string
		has, lacks   []string // in what is written
		certificates int
	}{
		{"own", "https://time.lan.example:9125/", authorityDir + "/ca.pem", []string{"[[certificate]]", pageDir + "/server.key", `names = ["time.lan.example"]`, `listen = "[::]:9125"`}, []string{"acme"}, 2},
		{"none", "https://192.0.2.20:9125/", authorityDir + "/ca.pem", []string{"[[certificate]]"}, []string{"acme", certificateFile}, 1},
		{"acme time.example.org", "https://time.example.org:9125/", "", []string{"[acme]", `names = ["time.example.org", "time.lan.example"]`, "StateDirectory=refclockweb"}, []string{"[[certificate]]", pageDir}, 0},
	} {
		t.Run(c.nts, func(t *testing.T) {
			t.Parallel()
			s := load(t, "lan")
			m := s.look(nil)
			s.setUnits(m)
			before, units := tree(t, s.root), s.unitStates()
			a := Defaults(m)
			a.Web, a.NTS = pageNetwork, c.nts
			p := s.carryOut(t, m, a)

			var shown bytes.Buffer
			p.Print(&shown)
			shown.WriteString(p.page().text())
			for _, want := range append(c.has, c.url, c.ca, "sudo cat "+pageToken, pageToken+"\n@@", "only root and refclockweb can read") {
				if !strings.Contains(shown.String(), want) {
					t.Errorf("%q is not in what is shown:\n%s", want, shown.String())
				}
			}
			for _, no := range c.lacks {
				if strings.Contains(shown.String(), no) {
					t.Errorf("%q is in what is shown:\n%s", no, shown.String())
				}
			}
			if n := strings.Count(shown.String(), "* issue "); n != c.certificates {
				t.Errorf("%d certificates, want %d:\n%s", n, c.certificates, shown.String())
			}
			token, err := os.ReadFile(filepath.Join(s.root, pageToken))
			if err != nil {
				t.Fatal(err)
			}
			report, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			record, err := os.ReadFile(filepath.Join(s.root, RecordFile))
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"the plan": shown.String(), "the report": string(report), "the record": string(record)} {
				if secret := strings.TrimSpace(string(token)); strings.Contains(text, secret) {
					t.Errorf("%s has the token", name)
				}
			}
			for path, mode := range map[string]os.FileMode{pageToken: 0o640, pageDir + "/server.key": 0o600} {
				if fi, err := os.Stat(filepath.Join(s.root, path)); err != nil && (c.certificates > 0 || path == pageToken) {
					t.Error(err)
				} else if err == nil && fi.Mode().Perm() != mode {
					t.Errorf("%s has mode %v, want %v", path, fi.Mode().Perm(), mode)
				}
			}
			if u := s.units[webUnit]; !u.Active || !u.Enabled {
				t.Errorf("the page does not run: %v", s.log)
			}
			if u := s.units[renewTimer]; (u != nil && u.Active) != (c.certificates > 0) {
				t.Errorf("the timer: %+v", u)
			}

			if again, err := s.system().Plan(m, a, false); err != nil || !again.Empty() || len(again.Files) != len(p.Files) {
				t.Errorf("a second setup: %v, %+v", err, again)
			}
			a.Web = pageLocal
			s.carryOut(t, m, a)
			if !missing(filepath.Join(s.root, pageToken)) || !missing(filepath.Join(s.root, webDropIn)) {
				t.Error("a page for this machine has a token or settings of a network's")
			}
			a.Web = pageNetwork
			s.carryOut(t, m, a)
			if b, err := os.ReadFile(filepath.Join(s.root, pageToken)); err != nil || bytes.Equal(b, token) {
				t.Errorf("the next token is the old one: %v", err)
			}
			var out bytes.Buffer
			if err := s.system().Undo(&out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			sameTree(t, "undo", before, tree(t, s.root))
			if now := s.unitStates(); !maps.Equal(units, now) {
				t.Errorf("units after undo: %v, were %v", now, units)
			}
		})
	}
}

// What setup has written for a network is what the program serves: by HTTPS with a certificate of
// our own authority, to those who have the token.
func TestPageForANetworkIsServed(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	m := s.look(nil)
	a := Defaults(m)
	a.Web = pageNetwork
	p := s.carryOut(t, m, a)
	listen := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	text := strings.Replace(s.paths(t, webConfig), "[::]:9125", listen, 1) // this test serves loopback
	conf := proctest.Write(t, filepath.Join(t.TempDir(), "refclockweb.toml"), text)
	prog := proctest.Start(t, proctest.Program(t, "refclockweb"), "-config", conf)
	prog.WaitFor(t, "msg=ready")

	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(s.root, p.page().CA)); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no authority: %v", err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", listen)
		},
	}}
	token, err := os.ReadFile(filepath.Join(s.root, pageToken))
	if err != nil {
		t.Fatal(err)
	}
	urls := p.page().URLs
	if len(urls) != 2 {
		t.Fatalf("URLs: %q", urls)
	}
	u := urls[0] // while it listens on loopback, it refuses the address, which is not one of loopback
	for header, want := range map[string]int{"": http.StatusUnauthorized, "Bearer 0000000000000000000000": http.StatusUnauthorized, "Bearer " + strings.TrimSpace(string(token)): http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u+"api/v1/summary", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		answer, err := client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s with %d octets of a header: %d, want %d", u, len(header), answer.StatusCode, want)
		}
		for _, n := range m.Names {
			if err := answer.TLS.PeerCertificates[0].VerifyHostname(n); err != nil {
				t.Error(err)
			}
		}
	}
	if err := prog.Stop(); err != nil {
		t.Error(err)
	}
}

// A token that is there is kept, whoever made it; one that the page could not use is refused,
// with the remedy. Undo leaves one that setup did not make.
func TestTokenThatIsThereIsKept(t *testing.T) {
	t.Parallel()
	const mine = "3jA0Yp9vQm2Lr7Xw8Zk1Tn5B\n"
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		stranger   bool // the page's user is another
		wrong      string
	}{
		{"of everybody", mine, 0o644, false, "chmod 640"},
		{"short", "hunter2\n", 0o640, false, "has no token of 20 or more"},
		{"of another user", mine, 0o640, true, "want chgrp refclockweb"},
		{"good", mine, 0o640, false, ""},
	} {
		s := load(t, "lan")
		m := s.look(nil)
		path := filepath.Join(s.root, pageToken)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(c.text), c.mode), os.Chmod(path, c.mode)); err != nil {
			t.Fatal(err)
		}
		sys := s.system()
		if c.stranger {
			sys.User = func(string) (int, int, error) { return os.Getuid() + 1, os.Getgid() + 1, nil }
		}
		a := Defaults(m)
		a.Web = pageNetwork
		p, err := sys.Plan(m, a, true)
		if c.wrong != "" {
			if exitcode.Of(err) != exitcode.Config || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), pageToken) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
			}
			continue
		}
		if err == nil {
			err = errors.Join(sys.Apply(p), sys.Undo(io.Discard))
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != mine {
			t.Errorf("%s: %q, %v", c.name, b, err)
		}
	}
}

// A machine without a name gets no page for a network, unless a certificate has a public name. One
// without the program gets none of its files.
func TestPageNeedsANameAndTheProgram(t *testing.T) {
	t.Parallel()
	a := Answers{Clock: "kernel", Clients: "private", NTS: "none", Web: pageNetwork}
	if err := a.Check(&Machine{}); err == nil || !strings.Contains(err.Error(), "no name and no address") {
		t.Errorf("without a name: %v", err)
	}
	a.NTS = "acme time.example.org"
	if err := a.Check(&Machine{}); err != nil {
		t.Errorf("with a public name: %v", err)
	}
	s := load(t, "lan")
	m := s.look(nil)
	m.Units.Web = ""
	a = Answers{Clock: "kernel", Clients: "private", NTS: "none", Web: pageNetwork}
	p, err := s.system().Plan(m, a, false)
	if err != nil {
		t.Fatal(err)
	}
	if p.Authority != "" || p.page() != nil || !strings.Contains(strings.Join(p.Notes, "\n"), "refclockweb.service is not installed") {
		t.Errorf("without the program: authority %q, page %+v, notes %q", p.Authority, p.page(), p.Notes)
	}
	if slices.ContainsFunc(p.Files, func(f FileChange) bool { return f.Path == webConfig || f.Path == pageToken }) {
		t.Errorf("without the program: %+v", p.Files)
	}
}

// A page that was configured by hand is kept, and checked as it is: its token is not the planned
// one. Setup does not say where it is.
func TestPageOfAHandIsKept(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	m := s.look(nil)
	path := filepath.Join(s.root, webConfig)
	put := func(text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	a := Defaults(m)
	a.Web = pageNetwork
	put("token_file = \"/nonexistent/token\"\n")
	if _, err := s.system().Plan(m, a, false); exitcode.Of(err) != exitcode.Config || !strings.Contains(err.Error(), "refclockweb.toml:1: token_file") {
		t.Errorf("a token that is missing: %v", err)
	}
	put("max_streams = 8\n")
	p, err := s.system().Plan(m, a, false)
	if err != nil || p.page() != nil {
		t.Errorf("a page of a hand: %v, %+v", err, p.page())
	}
	if _, err := refclockweb.Load(path); err != nil {
		t.Error(err)
	}
}

// A setup of a page for a network that fails midway can be undone: the program does not start, or its
// user, who must be able to read key and token, does not exist.
func TestInterruptedSetupOfAPageIsUndone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, nts, fail, noUser string }{
		{"it does not start", "own", "restart refclockweb.service", ""},
		{"no user for the key", "own", "", pageUser},
		{"no user for the token", "acme time.example.org", "", pageUser},
	} {
		s := load(t, "lan")
		m := s.look(nil)
		s.setUnits(m)
		files, units := tree(t, s.root), s.unitStates()
		a := Defaults(m)
		a.Web, a.NTS = pageNetwork, c.nts
		sys := s.system()
		sys.User = func(name string) (int, int, error) {
			if name == c.noUser {
				return 0, 0, user.UnknownUserError(name)
			}
			return os.Getuid(), os.Getgid(), nil
		}
		p, err := sys.Plan(m, a, false)
		if err != nil {
			t.Fatal(err)
		}
		s.fail = c.fail
		if err := sys.Apply(p); exitcode.Of(err) != exitcode.Unavailable || !strings.Contains(err.Error(), "refclockweb") {
			t.Errorf("%s: Apply returned %v", c.name, err)
		}
		s.fail = ""
		if err := sys.Undo(io.Discard); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		sameTree(t, c.name, files, tree(t, s.root))
		if now := s.unitStates(); !maps.Equal(units, now) {
			t.Errorf("%s: units after undo: %v, were %v", c.name, now, units)
		}
	}
}
