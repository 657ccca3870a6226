package setup

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"noonmark/server/certs"
)

// leaf is a certificate of our own authority, for one of the daemons.
type leaf struct {
	dir    string
	user   string // whose key it is
	action *Action
	issued *bool // by setup, in the record
}

// leaves are the certificates that our own authority may issue.
func (p *Plan) leaves() []leaf {
	return []leaf{{certificateDir, serverUser, &p.Certificate, &p.record.Issued}, {pageDir, pageUser, &p.PageCertificate, &p.record.PageIssued}}
}

// file is the name of the certificate.
func (l leaf) file() string { return l.dir + "/" + certs.ServerCert }

// changes reports whether the certificate is issued.
func (l leaf) changes() bool { return *l.action == Create || *l.action == Replace }

// usesAuthority reports whether a certificate of our own authority is used.
func (p *Plan) usesAuthority() bool { return p.Answers.NTS == "own" || p.pagePrivate() }

// planCertificates compares our own authority, and the certificates that are needed of it, with
// what is there.
func (p planner) planCertificates() error {
	if !p.usesAuthority() {
		return nil
	}
	p.Names, p.Authority = p.machine.Names, Same
	a, err := certs.OpenAuthority(p.path(authorityDir))
	if errors.Is(err, fs.ErrNotExist) {
		p.Authority = Create
	} else if err != nil {
		return err
	}
	for i, needed := range [...]bool{p.Answers.NTS == "own", p.pagePrivate()} {
		if !needed {
			continue
		}
		if err := p.planLeaf(p.leaves()[i], a); err != nil {
			return err
		}
	}
	return nil
}

// planLeaf compares a certificate with what is needed. a is nil if there is no authority yet.
func (p planner) planLeaf(l leaf, a *certs.Authority) error {
	*l.action = Same
	have, err := certs.OpenLeaf(p.path(l.dir))
	switch {
	case missing(p.path(l.file())) && missing(p.path(l.dir+"/"+certs.ServerKey)):
		*l.action = Create
		return nil
	case err != nil:
		return fmt.Errorf("%w; move %s away to have a new certificate made", err, l.dir)
	case a == nil || have.Cert.CheckSignatureFrom(a.Cert) != nil:
		*l.action = Keep
		return nil
	}
	if lacks := lacking(have.Cert, p.Names); len(lacks) > 0 {
		*l.action = Keep
		if *l.issued {
			*l.action = Replace
		}
		p.Notes = append(p.Notes, fmt.Sprintf("%s is not valid for %s", l.file(), strings.Join(lacks, ", ")))
	}
	return nil
}

// lacking returns the names that a certificate is not valid for.
func lacking(c *x509.Certificate, names []string) (lacks []string) {
	for _, n := range names {
		if c.VerifyHostname(n) != nil {
			lacks = append(lacks, n)
		}
	}
	return lacks
}

// certificates makes our own authority and what it issues.
func (s *System) certificates(p *Plan) error {
	leaves := slices.DeleteFunc(p.leaves(), func(l leaf) bool { return !l.changes() })
	if p.Authority != Create && len(leaves) == 0 {
		return nil
	}
	for _, l := range leaves { // before anything is written
		if _, _, err := s.numbers(l.user); err != nil {
			return err
		}
	}
	if err := s.makeDir(p.record, filepath.Dir(authorityDir), 0o755); err != nil {
		return err
	}
	if err := s.makeDir(p.record, authorityDir, 0o700); err != nil {
		return err
	}
	if p.Authority == Create {
		a, err := certs.NewAuthority(certs.AuthorityConfig{Name: certs.AuthorityName(p.machine.Name)}, s.Now())
		if err == nil {
			err = a.Save(s.path(authorityDir))
		}
		if err != nil {
			return err
		}
	}
	a, err := certs.OpenAuthority(s.path(authorityDir))
	if err != nil {
		return err
	}
	for _, l := range leaves {
		if err := s.issue(p, a, l); err != nil {
			return err
		}
	}
	return nil
}

// issue makes a certificate, and gives its key to the user of the daemon.
func (s *System) issue(p *Plan, a *certs.Authority, l leaf) error {
	uid, gid, err := s.numbers(l.user)
	if err != nil {
		return err
	}
	if err := s.makeDir(p.record, l.dir, 0o755); err != nil {
		return err
	}
	made, err := a.Issue(p.Names, certs.ServerLife, nil, s.Now())
	if err != nil {
		return err
	}
	dir := s.path(l.dir)
	if *l.action == Replace {
		for _, f := range [...]string{certs.ServerCert, certs.ServerKey} {
			if err := os.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if _, err := certs.Deliver(s.path(authorityDir), made, dir); err != nil {
		return err
	}
	return os.Chown(filepath.Join(dir, certs.ServerKey), uid, gid)
}
