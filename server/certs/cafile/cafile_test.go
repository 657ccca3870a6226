package cafile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/durable"
)

func TestRead(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for _, c := range []struct {
		name, path string
		want       error
		say        string
	}{
		{"missing", filepath.Join(dir, "none"), fs.ErrNotExist, "none"},
		{"a folder", dir, durable.ErrNotRegular, dir},
		{"empty", put("empty", ""), ErrNone, "empty has no PEM certificate"},
		{"another text", put("text", "hello\n"), ErrNone, "text has no PEM certificate"},
		{"a damaged certificate", put("damaged", strings.Replace(good, "MII", "AAA", 1)), ErrNone, "damaged"},
		{"endless", put("endless", strings.Repeat("x", MaxSize+1)), nil, "is longer than 4194304 octets"},
	} {
		_, err := Read(c.path)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) || !strings.Contains(err.Error(), "want a file of PEM certificates") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if roots, err := Read(put("good", "a comment\n"+good)); err != nil || roots.Equal(x509.NewCertPool()) {
		t.Errorf("good: %v", err)
	}
	if roots, err := Read(""); err != nil || roots != nil {
		t.Errorf("no path: %v, %v", roots, err)
	}
}
