package ntske

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Pair names the PEM files of one certificate chain and its key.
type Pair struct{ Cert, Key string }

// Certificates holds certificates that can be replaced while a server runs. Its
// methods may be called from any goroutine.
type Certificates struct {
	pairs []Pair
	cur   atomic.Pointer[[]tls.Certificate]
}

// LoadCertificates reads the files. The first pair serves clients whose name
// none matches, or who send none.
func LoadCertificates(pairs ...Pair) (*Certificates, error) {
	if len(pairs) == 0 {
		return nil, errors.New("load certificates: none given")
	}
	c := &Certificates{pairs: pairs}
	certs, err := c.read()
	if err != nil {
		return nil, err
	}
	c.cur.Store(&certs)
	return c, nil
}

// Reload reads the files again. When one is missing, broken, does not match its
// key, or has expired at now while the one in use has not, everything stays as
// it was and the error says why.
func (c *Certificates) Reload(now time.Time) error {
	certs, err := c.read()
	if err != nil {
		return err
	}
	for i, old := range *c.cur.Load() {
		if end := certs[i].Leaf.NotAfter; end.Before(now) && !old.Leaf.NotAfter.Before(now) {
			return fmt.Errorf("load certificate %s: it expired at %v", c.pairs[i].Cert, end)
		}
	}
	c.cur.Store(&certs)
	return nil
}

func (c *Certificates) read() ([]tls.Certificate, error) {
	certs := make([]tls.Certificate, len(c.pairs))
	for i, p := range c.pairs {
		var err error
		if certs[i], err = tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
			return nil, fmt.Errorf("load certificate %s with key %s: %w", p.Cert, p.Key, err)
		}
	}
	return certs, nil
}

// Get is for tls.Config.GetCertificate: the first certificate that suits the
// client's name and abilities, else the first.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certs := *c.cur.Load()
	for i := range certs {
		if hello.SupportsCertificate(&certs[i]) == nil {
			return &certs[i], nil
		}
	}
	return &certs[0], nil
}

// NotAfter returns when the first of the certificates expires.
func (c *Certificates) NotAfter() time.Time {
	var end time.Time
	for _, x := range *c.cur.Load() {
		if end.IsZero() || x.Leaf.NotAfter.Before(end) {
			end = x.Leaf.NotAfter
		}
	}
	return end
}
