package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/internal/keyexchange"
	"noonmark/server/certs"
)

// servingFindings judges what ntsserve needs. steered is the index of the PTP
// clock that refclockd steers; -1: none.
func servingFindings(s *ServingFacts, steered int, now time.Time) (found []Finding) {
	for i := range s.Stamping {
		found = append(found, stampFindings(&s.Stamping[i], steered)...)
	}
	for i := range s.Certificates {
		found = append(found, certificateFindings(&s.Certificates[i], s.Machine, now)...)
	}
	if s.Keys != nil {
		file := keysFinding(s.Keys)
		found = append(found, file)
		if file.Level == OK {
			found = append(found, secretFindings(&s.Secret, s.Keys.Path, now)...)
		}
	}
	for i := range s.Ports {
		found = append(found, portFinding(&s.Ports[i]))
	}
	return append(found, firewallFindings(&s.Firewall, s.Ports)...)
}

// pageFindings judges what refclockweb needs. That it does not run is no fault: a machine needs
// no page.
func pageFindings(p *PageFacts, now time.Time) (found []Finding) {
	for i := range p.Certificates {
		c := &p.Certificates[i]
		found = append(found, certificateFindings(c, p.Names, now)...)
		if d := c.Denied; d != nil {
			found = append(found, certUnreadable.with("daemon", c.Daemon, "path", d.Path, "mode", modeText(d.Mode), "uid", d.UID, "gid", d.GID, "user", d.User))
		}
	}
	if p.Port.Taken || len(p.Port.Listeners) > 0 {
		found = append(found, portFinding(&p.Port))
	}
	return found
}

// stampFindings judges an interface.
func stampFindings(s *Stamping, steered int) (found []Finding) {
	values := []any{"interface", s.Interface, "error", s.Err, "stamps", s.PHC, "steered", steered}
	switch {
	case s.Err != nil:
		return []Finding{stampsUnknown.with(values...)}
	case s.PHC < 0 || !s.Some && !s.Transmit:
		return []Finding{stampsNone.with(values...)}
	case steered >= 0 && s.PHC != steered:
		return []Finding{stampsOtherClock.with(values...)}
	case !s.All:
		found = append(found, stampsPTPOnly.with(values...))
	case s.AllNow:
		found = append(found, stampsAllNow.with(values...))
	default:
		found = append(found, stampsAll.with(values...))
	}
	if s.PTPNow && s.All {
		found = append(found, stampsSetPTP.with(values...))
	}
	if !s.Transmit {
		found = append(found, stampsNoTransmit.with(values...))
	}
	return found
}

// renewBefore is how long before its end a certificate should have been
// renewed; a quarter of its life if that is shorter.
const renewBefore = 14 * 24 * time.Hour

// certDate is how the end of a certificate is written, in UTC.
const certDate = "2006-01-02T15:04Z"

// certificateFindings judges a certificate and its key. machine are the names
// that clients may know this machine by.
func certificateFindings(c *CertificateFacts, machine []string, now time.Time) []Finding {
	switch {
	case errors.Is(c.Err, fs.ErrPermission):
		return []Finding{certDenied.with("error", c.Err)}
	case errors.Is(c.Err, fs.ErrNotExist):
		return []Finding{certMissing.with("error", c.Err, "daemon", c.Daemon)}
	case c.Err != nil:
		return []Finding{certUnusable.with("path", c.Path, "error", c.Err)}
	}
	leaf := c.Leaf
	k, date := certOK, leaf.NotAfter
	switch left := leaf.NotAfter.Sub(now); {
	case left < 0:
		k = certExpired
	case now.Before(leaf.NotBefore):
		k, date = certEarly, leaf.NotBefore
	case left < min(renewBefore, leaf.NotAfter.Sub(leaf.NotBefore)/4):
		k = certExpiring
	}
	found := []Finding{k.with("path", c.Path, "date", date.UTC().Format(certDate), "daemon", c.Daemon), namesFinding(c.Path, leaf, machine)}
	kinds := map[certs.Concern]kind{certs.NoIssuer: certNoIssuer, certs.OtherIssuer: certOtherIssuer, certs.WeakKey: certWeakKey, certs.StapleDemand: certStaple}
	for _, concern := range c.Concerns {
		found = append(found, kinds[concern].with("path", c.Path, "what", concern.What(leaf)))
	}
	if c.Key.Err == nil {
		found = append(found, modeFinding("certificate", &c.Key))
	}
	return found
}

// namesFinding compares a certificate's names with the machine's.
func namesFinding(path string, leaf *x509.Certificate, machine []string) Finding {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return certNoName.with("path", path)
	}
	k := certOtherName
	for _, n := range machine {
		// A machine often knows only the first label of its name.
		full := func(name string) bool { return strings.HasPrefix(name, n+".") }
		if leaf.VerifyHostname(n) == nil || slices.ContainsFunc(names, full) {
			k = certNames
		}
	}
	return k.with("names", strings.Join(names, ", "), "machine", strings.Join(machine, ", "))
}

// modeFinding judges the mode of a secret file that exists.
func modeFinding(part string, s *SecretFile) Finding {
	k := secretOK
	if s.Mode.Perm()&0o037 != 0 { // its group may read it, no more
		k = secretOpen
	}
	return k.with("part", part, "path", s.Path, "mode", fmt.Sprintf("%04o", s.Mode.Perm()))
}

// ownState is the folder that systemd makes when ntsserve is started (StateDirectory=).
const ownState = "/var/lib/ntsserve"

// keysFinding judges the file of the cookie keys.
func keysFinding(s *SecretFile) Finding {
	switch {
	case s.Err == nil:
		return modeFinding("keys", s)
	case errors.Is(s.Err, fs.ErrPermission):
		return keysDenied.with("error", s.Err)
	case s.DirErr != nil && filepath.Dir(s.Path) != ownState:
		return keysNoDirectory.with("error", s.DirErr)
	}
	return keysNew.with("path", s.Path)
}

const (
	// secretLate is how long after its time a secret that is still in use is reported.
	secretLate = time.Hour
	// secretOld is the age from which a secret that ntsserve does not replace is
	// reported: four times the default of keys.renew.
	secretOld = 32 * 24 * time.Hour
)

// secretFindings judges the age of the secret that cookie keys are derived from.
func secretFindings(s *SecretFacts, path string, now time.Time) []Finding {
	age := now.Sub(s.Since)
	values := []any{"path", path, "error", s.Err, "days", int(age / (24 * time.Hour)), "date", s.Since.UTC().Format(time.DateOnly)}
	switch {
	case s.Err != nil:
		return []Finding{keysUnusable.with(values...)}
	case s.Left:
		return []Finding{keysNobody.with(values...)}
	case s.Since.IsZero():
		return nil
	case !s.Until.IsZero() && now.Sub(s.Until) > secretLate:
		return []Finding{keysSecretLate.with(values...)}
	case s.Until.IsZero() && age > secretOld:
		return []Finding{keysSecretOld.with(values...)}
	}
	return []Finding{keysSecretOK.with(values...)}
}

// portFinding says who listens where a daemon is to.
func portFinding(p *PortFacts) Finding {
	var others []string
	for _, x := range p.Listeners {
		if x.Name != p.Daemon && (p.Daemon != "ntsserve" || x.Name != keyexchange.ProcessName) {
			others = append(others, x.String())
		}
	}
	k := portNobody
	switch {
	case len(others) > 0:
		k = portTaken
	case len(p.Listeners) > 0:
		k = portOurs
	case p.Taken:
		k = portHidden
	}
	return k.with("port", p, "service", p.Service, "daemon", p.Daemon, "programs", strings.Join(others, ", "))
}

// firewallFindings says whether strangers reach the ports.
func firewallFindings(r *Ruleset, ports []PortFacts) (found []Finding) {
	if r.Err != nil {
		return []Finding{firewallUnknown.with()}
	}
	for i := range ports {
		p := &ports[i]
		for _, fam := range [...]struct{ table, name string }{{"ip", "IPv4"}, {"ip6", "IPv6"}} {
			k := firewallClosed
			switch pass := r.passage(fam.table, p.Proto, p.Port); {
			case pass.open:
				k = firewallOpen
			case pass.some:
				k = firewallPartly
			}
			found = append(found, k.with("port", p, "service", p.Service, "family", fam.name, "source", r.Source, "proto", p.Proto, "number", p.Port))
		}
	}
	return found
}
