package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"noonmark/internal/printable"
)

// ACME is how the certificate is ordered.
type ACME struct {
	Directory   string   // https URL; empty: that of Let's Encrypt
	AcceptTerms bool     // of the server; required
	Email       string   // of the account; empty: none
	Roots       string   // PEM of roots for the directory; empty: those of the system
	HTTP        string   // address on which every node answers http-01, to which port 80 leads
	DNS         []string // command for dns-01 instead: COMMAND set NAME VALUE, COMMAND clear NAME
	TakesOnly   bool     // neither: this node orders nothing, and takes what another one ordered
}

const (
	httpTimeout = 30 * time.Second
	dnsTimeout  = 2 * time.Minute // until the record is in all servers of the zone: the command waits for that
	maxPEM      = 1 << 20         // octets
	maxRoots    = 32 << 10        // octets
	maxNames    = 100             // Let's Encrypt allows 100 names in a certificate
)

// ErrConfig is wrapped by the error of an ACME that cannot be used.
var ErrConfig = errors.New("settings of the certificate are not usable")

// dnsNames are those of a certificate, also with a wildcard.
var dnsNames = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Check returns what is wrong with the settings.
func (a ACME) Check(names []string) error {
	switch {
	case len(names) == 0 || len(names) > maxNames:
		return fmt.Errorf("%w: there are %d names to order it for; want 1 to %d", ErrConfig, len(names), maxNames)
	case !a.AcceptTerms:
		return fmt.Errorf("%w: read the terms of service of the ACME server, and accept them", ErrConfig)
	case a.Directory != "" && !strings.HasPrefix(a.Directory, "https://"):
		return fmt.Errorf("%w: directory %q is no https URL", ErrConfig, a.Directory)
	case len(a.Roots) > maxRoots:
		return fmt.Errorf("%w: the roots of the directory have %d octets, at most %d", ErrConfig, len(a.Roots), maxRoots)
	case a.Roots != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(a.Roots)):
		return fmt.Errorf("%w: the roots of the directory have no certificate in PEM", ErrConfig)
	case !a.TakesOnly && (a.HTTP == "") == (len(a.DNS) == 0):
		return fmt.Errorf("%w: want either an address for http-01 or a command for dns-01", ErrConfig)
	}
	for i, n := range names {
		ip, err := netip.ParseAddr(n)
		if err == nil && ip.Zone() != "" || err != nil && !dnsNames.MatchString(n) {
			return fmt.Errorf("%w: %.80q is neither a domain name in small letters nor an address", ErrConfig, n)
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("%w: %s is there twice", ErrConfig, n)
		}
		if strings.HasPrefix(n, "*.") && a.HTTP != "" || err == nil && a.HTTP == "" {
			return fmt.Errorf("%w: %s cannot be proved by this kind of challenge: a wildcard needs dns-01, an address http-01", ErrConfig, n)
		}
	}
	return nil
}

func (a ACME) kind() string {
	if a.HTTP != "" {
		return "http-01"
	}
	return "dns-01"
}

// client returns a client with the key of the account.
func (a ACME) client(key *ecdsa.PrivateKey) *acme.Client {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DisableKeepAlives = true
	if a.Roots != "" {
		tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		tr.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(a.Roots))
	}
	directory := a.Directory
	if directory == "" {
		directory = acme.LetsEncryptURL
	}
	return &acme.Client{
		Key: key, DirectoryURL: directory, UserAgent: "noonmark-fleet",
		HTTPClient: &http.Client{Transport: tr, Timeout: httpTimeout},
		RetryBackoff: func(n int, _ *http.Request, resp *http.Response) time.Duration {
			if n > 4 || resp != nil && resp.StatusCode == http.StatusTooManyRequests {
				return -1 // the state of the order waits longer
			}
			return time.Duration(n) * time.Second / 2
		},
	}
}

// register creates the account, unless the server has it.
func (a ACME) register(ctx context.Context, c *acme.Client) error {
	account := &acme.Account{}
	if a.Email != "" {
		account.Contact = []string{"mailto:" + a.Email}
	}
	_, err := c.Register(ctx, account, func(string) bool { return a.AcceptTerms })
	if err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return fmt.Errorf("register account: %w", err)
	}
	return nil
}

// identifiers are the names as the server has them (RFC 8738 for addresses).
func identifiers(names []string) (ids []acme.AuthzID) {
	for _, n := range names {
		id := acme.AuthzID{Type: "dns", Value: n}
		if _, err := netip.ParseAddr(n); err == nil {
			id.Type = "ip"
		}
		ids = append(ids, id)
	}
	return ids
}

func statusOf(o *acme.Order) Status {
	switch o.Status {
	case acme.StatusPending:
		return Pending
	case acme.StatusReady:
		return Ready
	case acme.StatusProcessing:
		return Processing
	case acme.StatusValid:
		return Valid
	case acme.StatusInvalid, acme.StatusExpired, acme.StatusRevoked, acme.StatusDeactivated:
		return Invalid
	}
	return Unknown
}

// challenge is what proves the control of one name.
type challenge struct {
	name  string
	token string // http-01: the last part of the path
	value string // what is served, or the record
	of    *acme.Challenge
}

// challenges returns those of the order that the server has not been asked to check.
// failed is why the server refused one.
func (a ACME) challenges(ctx context.Context, c *acme.Client, o *acme.Order) (list []challenge, failed error, err error) {
	for _, u := range o.AuthzURLs {
		z, err := c.GetAuthorization(ctx, u)
		if err != nil {
			return nil, nil, fmt.Errorf("authorization: %w", err)
		}
		if z.Status != acme.StatusPending {
			for _, x := range z.Challenges {
				if x.Error != nil {
					failed = fmt.Errorf("%s of %s: %w", x.Type, z.Identifier.Value, x.Error)
				}
			}
			continue
		}
		found := false
		for _, x := range z.Challenges {
			if x.Type != a.kind() {
				continue
			}
			found = true
			if x.Status != acme.StatusPending {
				continue // the server checks it
			}
			ch := challenge{name: z.Identifier.Value, token: x.Token, of: x}
			if a.HTTP != "" {
				ch.value, err = c.HTTP01ChallengeResponse(x.Token)
			} else {
				ch.value, err = c.DNS01ChallengeRecord(x.Token)
			}
			if err != nil {
				return nil, nil, err
			}
			list = append(list, ch)
		}
		if !found {
			return nil, nil, fmt.Errorf("the server does not offer %s for %s", a.kind(), z.Identifier.Value)
		}
	}
	return list, failed, nil
}

// record runs the command of dns-01.
func (a ACME) record(ctx context.Context, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, dnsTimeout)
	defer stop()
	cmd := exec.CommandContext(ctx, a.DNS[0], append(a.DNS[1:len(a.DNS):len(a.DNS)], args...)...)
	cmd.WaitDelay = time.Second
	// With ErrWaitDelay it ended well: a process that it left has its output, or this machine is busy.
	if out, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s %s: %w: %s", a.DNS[0], args[0], err, printable.Text(string(out[:min(len(out), 1<<10)])))
	}
	return nil
}

// recordName is that of the TXT record for a name (RFC 8555, section 8.4).
func recordName(name string) string { return "_acme-challenge." + strings.TrimPrefix(name, "*.") }
