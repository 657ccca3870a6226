package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/certs"
	"noonmark/server/certs/certstest"
)

// The page orders its certificate from a real ACME server and serves it. A browser
// that asks before there is one gets no plain page.
func TestPageOrdersItsCertificate(t *testing.T) {
	t.Parallel()
	p := certstest.Start(t)
	const name = "page.test"
	ip := p.Host(name)
	dir := t.TempDir()
	listen := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	token := proctest.Write(t, filepath.Join(dir, "token"), "3jA0Yp9vQm2Lr7Xw8Zk1Tn5B\n")
	if err := os.Chmod(token, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := proctest.Write(t, filepath.Join(dir, "refclockweb.toml"), fmt.Sprintf(`listen = %q
names = [%q]
token_file = %q
[acme]
names = [%q]
accept_terms = true
http = "%s:%d"
directory = %q
ca_file = %q
state_dir = %q
[refclockd]
snapshot = "/nonexistent/status"
`, listen, name, token, name, ip, p.HTTPPort, p.Directory, p.CA, filepath.Join(dir, "acme")))
	l, err := Load(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx, slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	}()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: p.Roots(t)},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", listen)
		},
	}}
	proctest.UntilState(t, "the page is served with the ordered certificate", func() (bool, string) {
		r, err := client.Get("https://" + name + "/")
		if err != nil {
			return false, err.Error()
		}
		r.Body.Close()
		if r.StatusCode != 200 || r.TLS.PeerCertificates[0].VerifyHostname(name) != nil || r.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%d, certificate for %v", r.StatusCode, r.TLS.PeerCertificates[0].DNSNames)
		}
		return true, ""
	})
	if r, err := client.Get("https://" + name + "/api/v1/live"); err != nil || r.StatusCode != 401 {
		t.Errorf("without the token: %v, %v", r, err)
	}
	var stored []string
	_ = filepath.WalkDir(filepath.Join(dir, "acme"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			stored = append(stored, filepath.Base(path))
		}
		return nil
	})
	if len(stored) < 2 { // account and certificate, for the next start
		t.Errorf("stored is %q", stored)
	}
	kept, err := certs.New(certs.Config{ACME: &certs.ACME{Directory: p.Directory, CAFile: p.CA, Names: []string{name}, AcceptTerms: true, HTTP: "127.0.0.1:0", Dir: filepath.Join(dir, "acme")}})
	if err != nil || len(kept.InUse()) != 1 || !strings.Contains(kept.InUse()[0].Leaf.DNSNames[0], name) {
		t.Errorf("the next start has no certificate: %v", err)
	}
}
