package certs

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestInvalidACMEConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	good := ACME{Directory: "https://ca.test/dir", Names: []string{"a.test"}, AcceptTerms: true, HTTP: ":80", Dir: "d"}
	for _, c := range []struct {
		name string
		edit func(*ACME)
		want string
	}{
		{"plain http", func(a *ACME) { a.Directory = "http://ca.test/dir" }, "is not an https URL"},
		{"no URL", func(a *ACME) { a.Directory = "ca.test" }, "is not an https URL"},
		{"no names", func(a *ACME) { a.Names = nil }, "no names"},
		{"no name", func(a *ACME) { a.Names = []string{"a.test", "a b"} }, `"a b" is not a host name`},
		{"wildcard", func(a *ACME) { a.Names = []string{"*.a.test"} }, "wildcards need dns-01"},
		{"terms", func(a *ACME) { a.AcceptTerms = false }, "the terms of service of ca.test are not accepted"},
		{"no port", func(a *ACME) { a.HTTP = "" }, "no address to listen on"},
		{"no directory", func(a *ACME) { a.Dir = "" }, "no directory for the account"},
		{"mail", func(a *ACME) { a.Email = "Me <me@a.test>" }, "is not a mail address"},
		{"good", func(*ACME) {}, ""},
		{"default directory", func(a *ACME) { a.Directory, a.Email = "", "me@a.test" }, ""},
		{"address", func(a *ACME) { a.Names, a.HTTP, a.TLS = []string{"192.0.2.1", "2001:db8::1"}, "", ":443" }, ""},
	} {
		a := good
		c.edit(&a)
		if err := a.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestEachACMEServerHasItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := ACME{Names: []string{"a.test"}, AcceptTerms: true, HTTP: "127.0.0.1:0", Dir: filepath.Join(dir, "acme")}
	if _, err := New(Config{ACME: &a}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{a.Dir, filepath.Join(a.Dir, "acme-v02.api.letsencrypt.org_directory")} {
		if fi, err := os.Stat(d); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, fi, err)
		}
	}
	if err := os.Chmod(a.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{ACME: &a})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.acme.order(t.Context(), nil); ReasonOf(err) != StoreFailed {
		t.Errorf("a directory with access for all: %v", err)
	}
}

// What is stored in a folder that is open to others is not used. It is used without an
// order, and without a restart, once the folder is closed.
func TestStoredCertificateIsUsedOnceItsFolderCanBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := ACME{Names: []string{"a.test"}, AcceptTerms: true, HTTP: "127.0.0.1:0", Dir: filepath.Join(t.TempDir(), "acme")}
	first, err := New(Config{ACME: &a})
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.ca.Issue(a.Names, 89*24*time.Hour, nil, f.now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyPEM(l.key)
	if err != nil {
		t.Fatal(err)
	}
	b := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Cert.Raw}), key...)
	if err := os.WriteFile(first.acme.certPath(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var events []Event
	s, err := New(Config{ACME: &a, now: func() time.Time { return f.now }, Event: func(e Event) { events = append(events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	s.stepACME(t.Context())
	if n := len(events); n != 1 || events[0].Reason != StoreFailed || events[0].Next.Sub(f.now) != saveAgain || s.Missing() == nil {
		t.Errorf("with an open folder: %+v, missing %v", events, s.Missing())
	}
	if err := os.Chmod(a.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(saveAgain)
	s.stepACME(t.Context())
	if n := len(events); n != 2 || events[n-1].Kind != Loaded || s.Missing() != nil {
		t.Errorf("with a closed folder: %+v, missing %v", events, s.Missing())
	}
}

// Renewal is due when a third of the life is left, with some jitter, and at once if
// a name is missing.
func TestRenewalTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l, err := f.ca.Issue([]string{"a.test", "192.0.2.1"}, 89*24*time.Hour, nil, f.now) // 90 days with the backdate
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&issuer{now: time.Now}).verify([][]byte{l.Cert.Raw}, l.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		names []string
		roll  time.Duration
		want  time.Duration // before the end
	}{
		{[]string{"a.test", "b.test"}, 0, -1},
		{[]string{"a.test", "192.0.2.2"}, 0, -1},
		{[]string{"a.test", "192.0.2.1"}, 0, 30 * 24 * time.Hour},
		{[]string{"a.test"}, 1 << 15, 30*24*time.Hour - 36*time.Hour},
		{[]string{"a.test"}, 1<<16 - 1, 27 * 24 * time.Hour},
	} {
		at := (&issuer{cfg: ACME{Names: x.names}, roll: x.roll}).dueAt(c)
		if x.want < 0 {
			if !at.IsZero() {
				t.Errorf("%v: due at %v, want now", x.names, at)
			}
		} else if d := l.Cert.NotAfter.Sub(at) - x.want; d < -2*time.Minute || d > 2*time.Minute {
			t.Errorf("%v: due %v before the end, want %v", x.names, l.Cert.NotAfter.Sub(at), x.want)
		}
	}
	if !(&issuer{}).dueAt(nil).IsZero() {
		t.Error("no certificate is not due")
	}
	// Certificates that the server must not issue.
	for _, x := range []struct {
		is   issuer
		want Reason
	}{
		{issuer{now: time.Now, cfg: ACME{Names: []string{"b.test"}}}, BadCertificate},
		{issuer{now: func() time.Time { return f.now.AddDate(1, 0, 0) }}, Expired},
	} {
		if _, err := x.is.verify([][]byte{l.Cert.Raw}, l.key); ReasonOf(err) != x.want {
			t.Errorf("%v, want %v", err, x.want)
		}
	}
	other, err := f.ca.Issue([]string{"a.test"}, 0, nil, f.now)
	if err != nil {
		t.Fatal(err)
	}
	is := issuer{now: time.Now}
	if _, err := is.verify([][]byte{l.Cert.Raw}, other.key); ReasonOf(err) != KeyMismatch {
		t.Errorf("key of another certificate: %v", err)
	}
	if _, err := is.verify(nil, other.key); ReasonOf(err) != BadCertificate {
		t.Errorf("no chain: %v", err)
	}
}

func TestServerNameOfChallenge(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{ // RFC 8738, section 6 has the form of both addresses
		"a.test":      "a.test",
		"192.0.2.1":   "1.2.0.192.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := serverName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// refusingServer is an ACME server that refuses new accounts with a problem document.
func refusingServer(t *testing.T, code int, problem string, header http.Header) (dir, ca string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	mux := http.NewServeMux()
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	mux.HandleFunc("/dir", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"newNonce": srv.URL + "/nonce", "newAccount": srv.URL + "/account", "newOrder": srv.URL + "/order",
			"meta": map[string]string{"termsOfService": srv.URL + "/terms"}})
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Replay-Nonce", "bm9uY2U") })
	mux.HandleFunc("/account", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		for k, v := range header {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"type": "urn:ietf:params:acme:error:%s", "detail": "no"}`, problem)
	})
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, certPEM(srv.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL + "/dir", ca, asked
}

func TestEachACMERefusalHasItsReasonAndWait(t *testing.T) {
	t.Parallel()
	plain := httptest.NewTLSServer(http.NotFoundHandler())
	defer plain.Close()
	plainCA := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(plainCA, certPEM(plain.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	closed := l.Addr().String()
	l.Close()
	limited, limitedCA, asked := refusingServer(t, 429, "rateLimited", http.Header{"Retry-After": {"7200"}})
	terms, termsCA, _ := refusingServer(t, 403, "userActionRequired", nil)
	denied, deniedCA, _ := refusingServer(t, 401, "unauthorized", nil)
	for _, c := range []struct {
		name, dir, ca string
		want          Reason
		wait          time.Duration
	}{
		{"no server", "https://" + closed + "/dir", "", Unreachable, firstWait},
		{"not trusted", plain.URL, limitedCA + "none", Unreadable, firstWait},
		{"no roots in the file", plain.URL, os.DevNull, Unreadable, firstWait},
		{"no ACME", plain.URL, plainCA, Unreachable, firstWait},
		{"rate limit", limited, limitedCA, RateLimited, 2 * time.Hour},
		{"terms", terms, termsCA, TermsRefused, firstWait},
		{"denied", denied, deniedCA, OrderRefused, firstWait},
	} {
		var ev events
		now := time.Now()
		s, err := New(Config{Event: ev.add, now: func() time.Time { return now },
			ACME: &ACME{Directory: c.dir, CAFile: c.ca, Names: []string{"a.test"}, AcceptTerms: true, HTTP: "127.0.0.1:0", Dir: filepath.Join(t.TempDir(), "acme")}})
		if err != nil {
			t.Fatal(err)
		}
		s.stepACME(t.Context())
		w := ev.list
		if len(w) != 1 || w[0].Kind != OrderFailed || w[0].Reason != c.want || w[0].Next.Sub(now) != c.wait || s.Refusals()[c.want.String()] != 1 {
			t.Errorf("%s: %v, want %v and a wait of %v", c.name, w, c.want, c.wait)
		}
		if _, err := s.Get(&anyClient); !errors.Is(err, ErrNone) {
			t.Errorf("%s: there is a certificate (%v)", c.name, err)
		}
		s.stepACME(t.Context()) // not yet
		if w := ev.take(); len(w) != 1 {
			t.Errorf("%s: no wait: %q", c.name, w)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server with a rate limit got %d requests", n)
	}
}

// Waits grow to their limit, and end when the operator reloads.
func TestACMEWaitsGrowUntilReload(t *testing.T) {
	t.Parallel()
	is := &issuer{now: time.Now}
	var waits []time.Duration
	for range 7 {
		before := time.Now()
		is.backOff(&Error{Unreachable, "x", errors.New("x")})
		waits = append(waits, is.next.Sub(before).Round(time.Second))
	}
	if want := []time.Duration{2, 6, 18, 54, 162, 360, 360}; !slices.EqualFunc(waits, want, func(a, b time.Duration) bool { return a == b*time.Minute }) {
		t.Errorf("waits %v, want %v minutes", waits, want)
	}

	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := New(Config{ACME: &ACME{Directory: "https://ca.test/dir", CAFile: filepath.Join(dir, "none"), Names: []string{"a.test"}, AcceptTerms: true,
			HTTP: "127.0.0.1:0", Dir: filepath.Join(dir, "acme")}})
		if err != nil {
			t.Fatal(err)
		}
		tries := func() uint64 { synctest.Wait(); return s.Refusals()["unreadable"] }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx)
		if n := tries(); n != 1 {
			t.Errorf("%d tries at the start", n)
		}
		time.Sleep(time.Minute)
		if n := tries(); n != 1 {
			t.Errorf("%d tries after a minute", n)
		}
		if err := s.Reload(); err != nil {
			t.Errorf("reload: %v", err)
		}
		time.Sleep(DefaultPoll)
		if n := tries(); n != 2 {
			t.Errorf("%d tries after a reload", n)
		}
	})
}

// A wait that began while the clock was years ahead does not last for years. A
// recent one lasts.
func TestACMEWaitFromTheFutureIsIgnored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	s, err := New(Config{now: func() time.Time { return now }, ACME: &ACME{Directory: "https://ca.test/dir", CAFile: filepath.Join(dir, "none"),
		Names: []string{"a.test"}, AcceptTerms: true, HTTP: "127.0.0.1:0", Dir: filepath.Join(dir, "acme")}})
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range []struct {
		next  time.Duration
		tries uint64
	}{{maxWait, 0}, {20 * 365 * 24 * time.Hour, 1}, {-time.Second, 2}} {
		s.acme.next = now.Add(x.next)
		s.stepACME(t.Context())
		if n := s.Refusals()["unreadable"]; n != x.tries {
			t.Errorf("%d: %d tries, want %d", i, n, x.tries)
		}
	}
}
