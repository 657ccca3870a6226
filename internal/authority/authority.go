// Package authority runs a private certificate authority: it makes one, issues and
// renews certificates of servers and of a fleet's nodes, and lists them, with what
// servers and clients need in their configurations. It is the logic of refclockctl ca.
package authority

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noonmark/server/certs"
)

// Networks reads the networks that an authority is constrained to.
func Networks(list []string) ([]netip.Prefix, error) {
	var nets []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no network; want one such as 192.168.0.0/16 or fd00::/8", text)
		}
		nets = append(nets, p)
	}
	return nets, nil
}

// Create makes an authority in dir, which must have none, and says on w what its files
// are for. Without a name it has that of this machine.
func Create(w io.Writer, dir string, cfg certs.AuthorityConfig, now time.Time) error {
	if cfg.Name == "" {
		host, _ := os.Hostname() // without it the name is shorter
		cfg.Name = certs.AuthorityName(host)
	}
	a, err := certs.NewAuthority(cfg, now)
	if err != nil {
		return err
	}
	if err := a.Save(dir); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; the authority that is there is kept: make certificates with refclockctl ca issue %s, or name another directory", err, dir)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %q until %s\n", filepath.Join(dir, certs.AuthorityCert), a.Cert.Subject.CommonName, day(a.Cert.NotAfter))
	fmt.Fprintf(w, "%s: its key; whoever has it can pose as any of your time servers\n", filepath.Join(dir, certs.AuthorityKey))
	return nil
}

// Request describes a certificate that is wanted.
type Request struct {
	Dir   string        // of the authority
	Out   string        // where the certificate and its key are written
	Names []string      // DNS names and IP addresses
	Node  string        // a node of a fleet, or "root"; empty: a server of time
	Life  time.Duration // 0: certs.ServerLife
}

// Issue makes a certificate, records it, and says on w how servers and clients use it.
// It overwrites nothing.
func (r *Request) Issue(w io.Writer, now time.Time) error {
	a, err := certs.OpenAuthority(r.Dir)
	if err != nil {
		return err
	}
	var l *certs.Leaf
	if r.Node != "" {
		l, err = a.NewNode(r.Node, r.Names, r.Life, now)
	} else {
		l, err = a.Issue(r.Names, r.Life, nil, now)
	}
	if err != nil {
		return err
	}
	made, err := certs.Deliver(r.Dir, l, r.Out)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; renew what is there with ca renew, or choose another -out", err)
	} else if err != nil {
		return err
	}
	cert, key := filepath.Join(made.Out, certs.ServerCert), filepath.Join(made.Out, certs.ServerKey)
	if r.Node != "" {
		fmt.Fprintf(w, "%s: of %s until %s\n%s: its key\n", cert, r.Node, day(made.NotAfter), key)
		return nil
	}
	fmt.Fprintf(w, "%s: for %s until %s\n", cert, strings.Join(made.Names, ", "), day(made.NotAfter))
	fmt.Fprintf(w, "%s: its key\n\n# ntsserve.toml; the key must belong to the user that ntsserve runs as: chown ntsserve %s\n[ke]\ncertificate = %q\nkey = %q\n", key, key, cert, key)
	writeClients(w, r.Dir, made.Names)
	return nil
}

// writeClients writes what each client needs to trust the authority in dir for the
// server of these names.
func writeClients(w io.Writer, dir string, names []string) {
	for _, x := range certs.Clients() {
		host, ok := x.Host(names)
		if !ok {
			fmt.Fprintf(w, "\n# %s: it cannot ask an IPv6 address for keys; issue the certificate for a name (-host)\n", x.Name)
			continue
		}
		fmt.Fprintf(w, "\n# %s: copy %s to %s, then in %s\n%s", x.Name, filepath.Join(dir, certs.AuthorityCert), x.CA, x.File, x.Lines(host, x.CA))
	}
}

// day writes the day of an instant, in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
