package authority

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"noonmark/server/certs"
)

// Renewal renews certificates of an authority.
type Renewal struct {
	Dir    string        // of the authority
	Life   time.Duration // of the new certificates; 0: certs.ServerLife
	NewKey bool          // make a new key too
	Force  bool          // renew although it is not time yet
}

// Renew renews the certificates in the directories outs of which a third of their life is left
// at now; without outs, in all directories that were issued to. It says on w what it does. One
// that fails does not keep the others from being renewed.
func (r *Renewal) Renew(w io.Writer, outs []string, now time.Time) error {
	a, err := certs.OpenAuthority(r.Dir)
	if err != nil {
		return err
	}
	if len(outs) == 0 {
		all, err := certs.ReadIssued(r.Dir)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return fmt.Errorf("%s: nothing was issued yet; use ca issue, or name a directory with -out", r.Dir)
		}
		for _, x := range all {
			outs = append(outs, x.Out)
		}
	}
	var errs []error
	for _, out := range outs {
		errs = append(errs, r.one(w, a, out, now))
	}
	if a.Cert.NotAfter.Sub(now) < certs.ServerLife {
		fmt.Fprintf(w, "the authority itself ends on %s: make another in a new directory, and give its ca.pem to the clients before that day\n", day(a.Cert.NotAfter))
	}
	return errors.Join(errs...)
}

// one renews the certificate in a directory.
func (r *Renewal) one(w io.Writer, a *certs.Authority, out string, now time.Time) error {
	old, err := certs.OpenLeaf(out)
	if err != nil {
		return err
	}
	path := filepath.Join(out, certs.ServerCert)
	if !r.Force && now.Before(old.RenewAt()) {
		fmt.Fprintf(w, "%s: good until %s, renewed from %s on\n", path, day(old.Cert.NotAfter), day(old.RenewAt()))
		return nil
	}
	l, err := a.Renew(out, r.Life, r.NewKey, now)
	if err != nil {
		return err
	}
	if _, err := certs.RecordIssued(r.Dir, l, out); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: renewed, good until %s; its running server loads it by itself\n", path, day(l.Cert.NotAfter))
	return nil
}
