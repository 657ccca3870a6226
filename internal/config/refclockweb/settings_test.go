package refclockweb

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"noonmark/internal/config"
)

func TestLoadRefusesWhatWouldExposeThePage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const good = "3jA0Yp9vQm2Lr7Xw8Zk1Tn5B\n"
	token, public, short, spaced := put("token", good, 0o640), put("public", good, 0o644), put("short", "hunter2\n", 0o600), put("spaced", "two words that are long enough\n", 0o600)
	pair := "[[certificate]]\nfile = \"/c.pem\"\nkey = \"/k.pem\"\n"
	for _, c := range []struct{ name, text, wrong string }{
		{"unknown key", "lisen = \"127.0.0.1:1\"\n", "lisen: is not known"},
		{"exposed", "listen = \"0.0.0.0:9125\"\n", "there is no token"},
		{"exposed without certificate", "listen = \"0.0.0.0:9125\"\ntoken_file = \"" + token + "\"\n", "there is no certificate"},
		{"exposed without token", "listen = \"[::]:9125\"\n" + pair, "there is no token"},
		{"half a certificate", "[[certificate]]\nfile = \"/c.pem\"\n", "file or key is missing"},
		{"acme without terms", "[acme]\nnames = [\"time.lan\"]\n", "acme.accept_terms: is not true"},
		{"acme without port", "[acme]\nnames = [\"time.lan\"]\naccept_terms = true\n", "acme.http: there is no address"},
		{"acme with a bad directory", "[acme]\nnames = [\"time.lan\"]\naccept_terms = true\nhttp = \"0.0.0.0:80\"\ndirectory = \"http://a\"\n", "values as in configs/refclockweb.toml"},
		{"token of everybody", "token_file = \"" + public + "\"\n", "chmod 640"},
		{"short token", "token_file = \"" + short + "\"\n", "has no token of 20 or more"},
		{"two words", "token_file = \"" + spaced + "\"\n", "has no token of 20 or more"},
		{"no token file", "token_file = \"/nonexistent/token\"\n", "openssl rand"},
		{"wildcard", "names = [\"*.lan\"]\n", "is no host name"},
		{"port in a name", "names = [\"time.lan:9125\"]\n", "is no host name"},
		{"no listen", "listen = \"\"\n", "listen: is empty"},
		{"streams take all connections", "max_connections = 8\nmax_streams = 8\n", "max_streams"},
		{"relative path", "[refclockd]\nsnapshot = \"status\"\n", "is not an absolute path"},
		{"everything by default", "", ""},
		{"local with a token", "token_file = \"" + token + "\"\n", ""},
		{"exposed with acme", "listen = \"0.0.0.0:9125\"\ntoken_file = \"" + token + "\"\n[acme]\nnames = [\"time.lan\"]\naccept_terms = true\nhttp = \"0.0.0.0:80\"\n", ""},
		{"exposed with both", "listen = \"0.0.0.0:9125\"\nnames = [\"time.lan\", \"fd00::1\"]\ntoken_file = \"" + token + "\"\n" + pair, ""},
	} {
		path := put("conf.toml", c.text, 0o600)
		s, err := Load(path)
		if c.wrong == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else if (s.Token != nil) != (s.TokenFile != "") {
				t.Errorf("%s: token %v", c.name, s.Token)
			}
			continue
		}
		var ce *config.Error
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
}

// The reference configuration has every default.
func TestReferenceConfigurationIsTheDefault(t *testing.T) {
	t.Parallel()
	s, err := Load("../../../configs/refclockweb.toml")
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	d.Names, s.Names = nil, nil
	if !reflect.DeepEqual(s.File, d) {
		t.Errorf("configs/refclockweb.toml is\n%+v, want\n%+v", s.File, d)
	}
}
