package browser

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"noonmark/internal/appliance"
	"noonmark/internal/proctest"
)

const token = "3jA0Yp9vQm2Lr7Xw8Zk1Tn5B"

// guarded starts a page that asks for a token, with more of its configuration.
func guarded(t *testing.T, more func(dir string) string) *appliance.Site {
	t.Helper()
	site, err := appliance.Write(proctest.ShortDir(t), appliance.Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	file := proctest.Write(t, filepath.Join(site.Dir, "token"), token+"\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(site.Config("refclockweb"))
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, site.Config("refclockweb"), "token_file = \""+file+"\"\n"+string(text)+more(site.Dir))
	proctest.Start(t, proctest.Program(t, "refclockweb"), "-config", site.Config("refclockweb")).WaitFor(t, "msg=ready")
	return site
}

func TestTokenIsAskedFor(t *testing.T) {
	b := open(t)
	site := guarded(t, func(string) string { return "" })
	b.size(390, 844, "light")
	b.visit(site.URL())
	shown := func(what string) {
		b.until(what, `!document.getElementById("login").hidden && document.getElementById("now").hidden`)
	}
	give := func(text string) {
		b.t.Helper()
		eval[bool](b, `(document.getElementById("token").value = "`+text+`", document.querySelector("#login button").click(), true)`)
	}
	shown("the form")
	b.keep("token-phone")
	give("wrong-wrong-wrong-wrong")
	b.until("the wrong token is named", `/wrong/.test(document.getElementById("login-why").textContent)`)
	shown("the form again")
	give(token)
	b.until("the page", `document.getElementById("login").hidden && !document.getElementById("now").hidden && document.getElementById("link").dataset.on !== undefined`)
	if err := chromedp.Do(b.ctx, chromedp.Navigate(site.URL()+"#sky")); err != nil {
		t.Fatal(err)
	}
	b.until("the token is kept for the session", `document.getElementById("login").hidden && !document.getElementById("sky").hidden`)
}

// The real program over TLS: who has no token gets no data.
func TestTLSAndToken(t *testing.T) {
	t.Parallel()
	site := guarded(t, func(dir string) string {
		return "[[certificate]]\nfile = \"" + dir + "/server.pem\"\nkey = \"" + dir + "/server.key\"\n"
	})
	ca, err := os.ReadFile(filepath.Join(site.Dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	for _, c := range []struct {
		path, auth string
		code       int
	}{
		{"api/v1/status", "", 401}, {"api/v1/stream", "", 401}, {"api/v1/events", "Bearer x", 401}, {"metrics", "", 401},
		{"", "", 200}, {"api/v1/live", "Bearer " + token, 200}, {"metrics", "Bearer " + token, 200},
	} {
		r, err := http.NewRequest("GET", "https"+site.URL()[len("http"):]+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.auth != "" {
			r.Header.Set("Authorization", c.auth)
		}
		w, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		w.Body.Close()
		if w.StatusCode != c.code || w.TLS == nil || w.TLS.Version != tls.VersionTLS13 || w.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s %q: %d, want %d", c.path, c.auth, w.StatusCode, c.code)
		}
	}
}
