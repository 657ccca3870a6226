package authority

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"noonmark/server/certs"
)

// Overview is an authority and what it issued. Its JSON keys are a contract.
type Overview struct {
	Name        string         `json:"name"`
	Fingerprint string         `json:"fingerprint_sha256"`
	NotBefore   time.Time      `json:"not_before"`
	NotAfter    time.Time      `json:"not_after"`
	PermitNames []string       `json:"permitted_names"` // with permitted_nets empty: no constraints
	PermitNets  []string       `json:"permitted_nets"`
	Issued      []certs.Issued `json:"issued"` // the newest last

	dir string
}

// Describe reads the authority in dir and the list of what it issued.
func Describe(dir string) (*Overview, error) {
	a, err := certs.OpenAuthority(dir)
	if err != nil {
		return nil, err
	}
	issued, err := certs.ReadIssued(dir)
	if err != nil {
		return nil, err
	}
	x := &Overview{
		Name: a.Cert.Subject.CommonName, Fingerprint: fmt.Sprintf("%X", sha256.Sum256(a.Cert.Raw)), NotBefore: a.Cert.NotBefore.UTC(), NotAfter: a.Cert.NotAfter.UTC(),
		PermitNames: append([]string{}, a.Cert.PermittedDNSDomains...), PermitNets: []string{}, Issued: append([]certs.Issued{}, issued...), dir: dir,
	}
	for _, n := range a.Cert.PermittedIPRanges {
		x.PermitNets = append(x.PermitNets, n.String())
	}
	return x, nil
}

// WriteText writes the overview for people. A certificate that has expired at now is
// marked.
func (x *Overview) WriteText(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "%s\n  SHA-256  %s\n  until    %s\n", x.Name, x.Fingerprint, day(x.NotAfter))
	if len(x.PermitNames)+len(x.PermitNets) > 0 {
		fmt.Fprintf(w, "  only for %s\n", strings.Join(append(x.PermitNames, x.PermitNets...), " "))
	}
	for _, r := range x.Issued {
		state := "until "
		if now.After(r.NotAfter) {
			state = "EXPIRED "
		}
		fmt.Fprintf(w, "%s\n  %s for %s\n", filepath.Join(r.Out, certs.ServerCert), state+day(r.NotAfter), strings.Join(r.Names, ", "))
	}
}

// WriteClients writes what clients of the newest certificate's server need. It fails if
// nothing was issued.
func (x *Overview) WriteClients(w io.Writer) error {
	if len(x.Issued) == 0 {
		return fmt.Errorf("%s: nothing was issued yet, so there is no server to name; use ca issue", x.dir)
	}
	writeClients(w, x.dir, x.Issued[len(x.Issued)-1].Names)
	return nil
}
