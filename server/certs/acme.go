package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"noonmark/internal/durable"
)

// ACME says how certificates are ordered from an ACME server (RFC 8555). One
// certificate has all Names.
type ACME struct {
	Directory   string   // https URL; empty = DefaultDirectory
	Names       []string // DNS names and IP addresses (RFC 8738)
	AcceptTerms bool     // the server's terms of service are accepted; without, nothing is ordered
	Email       string   // for the account; empty = none
	Profile     string   // certificate profile, as the server names it; empty = its default
	CAFile      string   // PEM file of roots to trust for the directory; empty = the system's

	// Where the server's questions are answered, while an order is open and not
	// longer. It asks on port 80 for http-01 and on port 443 for tls-alpn-01 (RFC
	// 8737). At least one is needed; empty = not offered.
	HTTP, TLS string

	Dir string // account key and certificate are kept there; made with mode 0700
}

// DefaultDirectory is Let's Encrypt's.
const DefaultDirectory = acme.LetsEncryptURL

// Tuning.
const (
	orderTimeout = 5 * time.Minute
	httpTimeout  = 30 * time.Second
	// Failed orders are tried again after a wait that grows threefold. Let's
	// Encrypt allows five failed validations of a name an hour.
	firstWait = 2 * time.Minute
	maxWait   = 6 * time.Hour
	// Renewal begins when a third of the life is left, and up to a thirtieth
	// later, so that machines set up together do not come together.
	renewFraction  = 3
	jitterFraction = 30
)

// check completes a and says what is wrong with it.
func (a *ACME) check() error {
	if a.Directory == "" {
		a.Directory = DefaultDirectory
	}
	u, err := url.Parse(a.Directory)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("directory %q is no https URL", a.Directory)
	case len(a.Names) == 0:
		return errors.New("no names to order a certificate for")
	case !a.AcceptTerms:
		return fmt.Errorf("the terms of service of %s are not accepted; read them, then set accept_terms = true", u.Host)
	case a.HTTP == "" && a.TLS == "":
		return errors.New("nowhere to answer: neither an address for http-01 nor one for tls-alpn-01")
	case a.Dir == "":
		return errors.New("no directory to keep the account and the certificate in")
	}
	for i, n := range a.Names {
		if a.Names[i], err = cleanName(n); err != nil {
			return err
		}
		if strings.HasPrefix(a.Names[i], "*.") {
			return fmt.Errorf("%s: wildcards need dns-01, which is not offered", n)
		}
	}
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			return fmt.Errorf("%q is no mail address", a.Email)
		}
	}
	return nil
}

// Check says what is wrong with a configuration, nil if nothing.
func (a ACME) Check() error {
	a.Names = append([]string(nil), a.Names...)
	return a.check()
}

// issuer orders and keeps one certificate. It is used by one goroutine at a
// time.
type issuer struct {
	cfg  ACME
	dir  string // Dir and a folder of the directory's
	now  func() time.Time
	wait time.Duration // after the last failure; 0 = none
	next time.Time     // not before
	roll time.Duration // jitter of renewals, as a share of 2^16
}

func newIssuer(cfg ACME, now func() time.Time) (*issuer, error) {
	cfg.Names = append([]string(nil), cfg.Names...)
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	var b [2]byte
	rand.Read(b[:])
	is := &issuer{cfg: cfg, now: now, dir: filepath.Join(cfg.Dir, folder(cfg.Directory)), roll: time.Duration(b[0])<<8 | time.Duration(b[1])}
	for _, d := range [...]string{cfg.Dir, is.dir} {
		if err := makeDir(d, 0o077); err != nil {
			return nil, &Error{StoreFailed, cfg.Directory, err}
		}
	}
	return is, nil
}

// folder makes a file name of a directory's URL: an account and a certificate
// belong to one ACME server, and that of a staging server is of no use.
func folder(directory string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, strings.TrimPrefix(directory, "https://"))
}

// The certificate and its key are one file, so that one rename changes both.
func (is *issuer) certPath() string    { return filepath.Join(is.dir, "certificate.pem") }
func (is *issuer) accountPath() string { return filepath.Join(is.dir, "account.key") }

// stored returns the certificate kept on disk, nil if there is none that can be
// used.
func (is *issuer) stored() *tls.Certificate {
	c, _, err := Pair{is.certPath(), is.certPath()}.load()
	if err != nil {
		return nil // a new one is ordered
	}
	return c
}

// dueAt returns when a new certificate should be ordered: the zero time when
// there is none for all the names.
func (is *issuer) dueAt(c *tls.Certificate) time.Time {
	if c == nil {
		return time.Time{}
	}
	for _, n := range is.cfg.Names {
		if c.Leaf.VerifyHostname(n) != nil {
			return time.Time{}
		}
	}
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return c.Leaf.NotAfter.Add(-life/renewFraction + life/jitterFraction/(1<<16)*is.roll)
}

// runACME orders when it is time.
func (s *Source) runACME(ctx context.Context) {
	t := time.NewTicker(s.cfg.Poll)
	defer t.Stop()
	for {
		s.stepACME(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			s.acme.next = time.Time{}
		case <-t.C:
		}
	}
}

// stepACME orders a certificate if one is due and puts it into use.
func (s *Source) stepACME(ctx context.Context) {
	is, now := s.acme, s.cfg.now()
	i := len(s.cfg.Pairs)
	// A wait longer than any is one from before the clock was set.
	if now.Before(is.dueAt((*s.cur.Load())[i].cert)) || now.Before(is.next) && is.next.Sub(now) <= maxWait {
		return
	}
	octx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	c, err := is.order(octx, s.tell)
	if ctx.Err() != nil && err != nil {
		return // asked to stop: no failure
	}
	if err != nil {
		is.backOff(err)
		s.counters[ReasonOf(err)].Add(1)
		s.tell(Event{Kind: OrderFailed, From: is.cfg.Directory, Names: is.cfg.Names, Reason: ReasonOf(err), Err: err, Next: is.next})
		return
	}
	is.wait, is.next = 0, time.Time{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use(i, c)
}

func (is *issuer) backOff(err error) {
	is.wait = min(max(3*is.wait, firstWait), maxWait)
	wait := is.wait
	var ae *acme.Error
	if errors.As(err, &ae) {
		d, _ := acme.RateLimit(ae)
		wait = min(max(wait, d), maxWait)
	}
	is.next = is.now().Add(wait)
}

// order goes all the way from the account to the certificate on disk.
func (is *issuer) order(ctx context.Context, tell func(Event)) (*tls.Certificate, error) {
	fail := func(r Reason, err error) (*tls.Certificate, error) { return nil, &Error{r, is.cfg.Directory, err} }
	client, err := is.client()
	if err != nil {
		return nil, err
	}
	if err := is.register(ctx, client, tell); err != nil {
		return nil, err
	}
	o, err := is.authorize(ctx, client)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(BadKey, err)
	}
	req := &x509.CertificateRequest{}
	for _, n := range is.cfg.Names {
		if ip := net.ParseIP(n); ip != nil {
			req.IPAddresses = append(req.IPAddresses, ip)
		} else {
			req.DNSNames = append(req.DNSNames, n)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	if err != nil {
		return fail(OrderRefused, err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, o, csr, true)
	if err != nil {
		return fail(reasonOfACME(err), fmt.Errorf("fetch certificate: %w", err))
	}
	c, err := is.judge(chain, key)
	if err != nil {
		return nil, err
	}
	if err := is.keep(chain, key); err != nil {
		return fail(StoreFailed, err)
	}
	return c, nil
}

// keep puts a certificate and its key on disk, both or none.
func (is *issuer) keep(chain [][]byte, key crypto.Signer) error {
	file, err := keyPEM(key)
	if err != nil {
		return err
	}
	for _, der := range chain {
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return durable.WriteFile(is.certPath(), file, 0o600, true)
}

// judge checks that the server gave what was ordered.
func (is *issuer) judge(chain [][]byte, key crypto.Signer) (*tls.Certificate, error) {
	fail := func(r Reason, err error) (*tls.Certificate, error) { return nil, &Error{r, is.cfg.Directory, err} }
	if len(chain) == 0 {
		return fail(BadCertificate, errors.New("the chain is empty"))
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fail(BadCertificate, err)
	}
	c := &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}
	if r, err := fits(c); err != nil {
		return fail(r, err)
	}
	for _, n := range is.cfg.Names {
		if err := leaf.VerifyHostname(n); err != nil {
			return fail(BadCertificate, err)
		}
	}
	if now := is.now(); now.After(leaf.NotAfter) {
		return fail(Expired, fmt.Errorf("it expired at %s, now is %s", stamp(leaf.NotAfter), stamp(now)))
	}
	return c, nil
}

// client makes an ACME client that trusts and waits as configured.
func (is *issuer) client() (*acme.Client, error) {
	key, err := is.accountKey()
	if err != nil {
		return nil, &Error{StoreFailed, is.cfg.Directory, fmt.Errorf("account key: %w", err)}
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DisableKeepAlives = true // a dozen requests in two months
	if is.cfg.CAFile != "" {
		b, _, err := readPEM(is.cfg.CAFile)
		if err != nil {
			return nil, &Error{Unreadable, is.cfg.Directory, err}
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(b) {
			return nil, &Error{BadCertificate, is.cfg.Directory, fmt.Errorf("%s holds no certificate", is.cfg.CAFile)}
		}
	}
	return &acme.Client{
		Key: key, DirectoryURL: is.cfg.Directory, UserAgent: "noonmark",
		HTTPClient: &http.Client{Transport: tr, Timeout: httpTimeout},
		RetryBackoff: func(n int, _ *http.Request, resp *http.Response) time.Duration {
			if n > 4 || resp != nil && resp.StatusCode == http.StatusTooManyRequests {
				return -1 // our own wait is longer
			}
			return time.Duration(n) * time.Second / 2
		},
	}, nil
}

// accountKey reads the account's key, or makes one.
func (is *issuer) accountKey() (crypto.Signer, error) {
	b, _, err := readPEM(is.accountPath())
	if err == nil {
		return parseKey(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err = keyPEM(key)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(is.accountPath(), b, 0o600, false)
}

// register makes sure that the server knows the account.
func (is *issuer) register(ctx context.Context, client *acme.Client, tell func(Event)) error {
	dir, err := client.Discover(ctx)
	if err != nil {
		return &Error{Unreachable, is.cfg.Directory, err}
	}
	if dir.OrderURL == "" {
		return &Error{Unreachable, is.cfg.Directory, errors.New("it does not speak RFC 8555")}
	}
	a := &acme.Account{}
	if is.cfg.Email != "" {
		a.Contact = []string{"mailto:" + is.cfg.Email}
	}
	_, err = client.Register(ctx, a, func(string) bool { return is.cfg.AcceptTerms })
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil
	}
	if err != nil {
		return &Error{reasonOfACME(err), is.cfg.Directory, fmt.Errorf("register account: %w", err)}
	}
	tell(Event{Kind: Registered, From: is.cfg.Directory, Terms: dir.Terms})
	return nil
}

// reasonOfACME names a refusal by the ACME client.
func reasonOfACME(err error) Reason {
	var ae *acme.Error
	var authz *acme.AuthorizationError
	var order *acme.OrderError
	var ue *url.Error
	switch {
	case errors.As(err, &authz):
		return ChallengeFailed
	case errors.As(err, &ae):
		if _, ok := acme.RateLimit(ae); ok {
			return RateLimited
		}
		if strings.HasSuffix(ae.ProblemType, ":userActionRequired") {
			return TermsRefused
		}
		return OrderRefused
	case errors.As(err, &order):
		return OrderRefused
	case errors.As(err, &ue), errors.Is(err, context.DeadlineExceeded):
		return Unreachable
	}
	return OrderRefused
}

// authorize opens an order and shows that its names are ours, by each kind of
// challenge until one does: a failed challenge spoils its order.
func (is *issuer) authorize(ctx context.Context, client *acme.Client) (*acme.Order, error) {
	var kinds []string
	if is.cfg.HTTP != "" {
		kinds = append(kinds, http01)
	}
	if is.cfg.TLS != "" {
		kinds = append(kinds, tlsALPN01)
	}
	var errs []error
	for _, kind := range kinds {
		o, err := is.tryOrder(ctx, client, kind)
		if err == nil {
			return o, nil
		}
		errs = append(errs, err)
		if r := ReasonOf(err); r != ChallengeFailed && r != ChallengePort {
			break
		}
	}
	// The reason is the last one's; Unwrap leads to what the server said.
	last := errs[len(errs)-1]
	for _, e := range errs[:len(errs)-1] {
		last = &Error{ReasonOf(last), is.cfg.Directory, fmt.Errorf("%w; before that: %v", errors.Unwrap(last), errors.Unwrap(e))}
	}
	return nil, last
}

func (is *issuer) tryOrder(ctx context.Context, client *acme.Client, kind string) (*acme.Order, error) {
	fail := func(r Reason, what string, err error) (*acme.Order, error) {
		return nil, &Error{r, is.cfg.Directory, fmt.Errorf("%s: %w", what, err)}
	}
	var opts []acme.OrderOption
	if is.cfg.Profile != "" {
		opts = append(opts, acme.WithOrderIssuanceProfile(acme.ProfileName(is.cfg.Profile)))
	}
	ids := make([]acme.AuthzID, len(is.cfg.Names))
	for i, n := range is.cfg.Names {
		ids[i] = acme.AuthzID{Type: "dns", Value: n}
		if _, err := netip.ParseAddr(n); err == nil {
			ids[i].Type = "ip"
		}
	}
	o, err := client.AuthorizeOrder(ctx, ids, opts...)
	if err != nil {
		return fail(reasonOfACME(err), "order", err)
	}
	desk := newDesk()
	addr := is.cfg.HTTP
	if kind == tlsALPN01 {
		addr = is.cfg.TLS
	}
	shut, err := desk.open(kind, addr)
	if err != nil {
		return fail(ChallengePort, "listen for "+kind, err)
	}
	defer shut()
	for _, u := range o.AuthzURLs {
		z, err := client.GetAuthorization(ctx, u)
		if err != nil {
			return fail(reasonOfACME(err), "authorization", err)
		}
		if z.Status == acme.StatusValid {
			continue
		}
		if err := desk.answer(ctx, client, z, kind); err != nil {
			r := reasonOfACME(err)
			if errors.Is(err, errNoChallenge) {
				r = ChallengeFailed
			}
			return fail(r, fmt.Sprintf("%s of %s", kind, z.Identifier.Value), err)
		}
	}
	if o, err = client.WaitOrder(ctx, o.URI); err != nil {
		return fail(reasonOfACME(err), "order", err)
	}
	return o, nil
}

// cleanName checks a DNS name or an IP address and brings it into the form of
// certificates: lower case, no trailing dot.
func cleanName(n string) (string, error) {
	if a, err := netip.ParseAddr(n); err == nil && a.Zone() == "" {
		return a.Unmap().String(), nil
	}
	s := strings.ToLower(strings.TrimSuffix(n, "."))
	labels := strings.Split(strings.TrimPrefix(s, "*."), ".")
	ok := len(s) <= 253
	for _, l := range labels {
		ok = ok && len(l) > 0 && len(l) <= 63 && l[0] != '-' && l[len(l)-1] != '-' &&
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	}
	if last := labels[len(labels)-1]; ok && strings.Trim(last, "0123456789") == "" {
		ok = false // an address that is none, as 10.0.0.256
	}
	if !ok {
		return "", fmt.Errorf("%q is no host name and no address (of other scripts write the xn-- form)", n)
	}
	return s, nil
}
