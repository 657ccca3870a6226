package interop

import (
	"path/filepath"
	"testing"
	"time"

	"noonmark/server/certs"
)

// pki is the files of a private CA and of a server's certificate.
type pki struct{ ca, cert, key string }

// pkiNames are the names and addresses of both ends of the link.
var pkiNames = append([]string{"time.test", ourAddr6, peerAddr, "fd91::2"}, ourAddrs...)

// newPKI makes a CA and a certificate for both ends of the link.
func newPKI(t *testing.T, dir string) pki {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "Noonmark test CA"}, time.Now())
	must(err)
	leaf, err := ca.Issue(pkiNames, 24*time.Hour, nil, time.Now())
	must(err)
	must(ca.Save(dir))
	must(leaf.Save(dir))
	return pki{ca: filepath.Join(dir, certs.AuthorityCert), cert: filepath.Join(dir, certs.ServerCert), key: filepath.Join(dir, certs.ServerKey)}
}
