package manager

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"noonmark/fleet/access"
	"noonmark/fleet/identity"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/daemon"
	"noonmark/server/crowd"
)

// Limits of the listener, which strangers can reach. Each connection serves one request, so
// that nobody holds one; a place that is held is taken (package crowd).
const (
	maxConnections = 32
	maxRequest     = 16 << 10 // octets
	maxRSA         = 4096     // bits: verifying a signature of 48000 takes a second
	patience       = 10 * time.Second
)

// refusal is why a request is refused. Its word is the label of a metric.
type refusal uint8

const (
	malformed refusal = iota
	badToken
	nameTaken
	noNode
	unavailable
)

var refusals = [...]struct {
	word string
	code int
}{
	malformed:   {"malformed", http.StatusBadRequest},
	badToken:    {"token", http.StatusForbidden},
	nameTaken:   {"name-taken", http.StatusConflict},
	noNode:      {"no-node", http.StatusForbidden},
	unavailable: {"unavailable", http.StatusServiceUnavailable},
}

// Counts counts what strangers and nodes cause at the listener. The zero value is ready, and
// several runs of Serve may share it.
type Counts struct {
	Connections crowd.Counts
	refused     [len(refusals)]atomic.Uint64
}

// Refused returns how many requests were refused, by reason.
func (c *Counts) Refused() map[string]uint64 {
	all := map[string]uint64{}
	for i, r := range refusals {
		all[r.word] = c.refused[i].Load()
	}
	return all
}

// joinRequest is the request of a machine that joins.
type joinRequest struct {
	ID      string      `json:"id"`
	Secret  []byte      `json:"secret"`
	Request []byte      `json:"request"` // PKCS #10, DER: proves that it has the key
	Seal    seal.Public `json:"seal"`
}

// Joined is what it gets.
type Joined struct {
	Fleet       string           `json:"fleet"`
	Node        string           `json:"node"`
	Addresses   []string         `json:"addresses,omitempty"`
	Certificate []byte           `json:"certificate"` // PEM
	CA          []byte           `json:"ca"`          // PEM
	Endpoints   []string         `json:"endpoints"`
	Member      *identity.Member `json:"member,omitempty"`
	Revoked     []byte           `json:"revoked"` // DER
}

// renewal is the request for a new certificate for the same key or another.
type renewal struct {
	Request []byte `json:"request"`
}

type renewed struct {
	Certificate []byte `json:"certificate"`
}

// failure is a refusal with its cause.
type failure struct {
	refusal
	err error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func refuse(r refusal, err error) error { return &failure{r, err} }

// Admission is where the manager admits nodes. All is required.
type Admission struct {
	Listener net.Listener // Serve closes it
	Dir      identity.Dir
	Counts   *Counts
	Log      *slog.Logger
}

// Serve admits nodes and renews certificates until ctx ends. The certificate is that of the
// node; the authority follows it, because a joining machine knows only its fingerprint.
func (m *Manager) Serve(ctx context.Context, a Admission) error {
	pool := x509.NewCertPool()
	pool.AddCert(m.authority.Cert)
	settings := &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := identity.ReadPair(a.Dir.Cert(), a.Dir.Key())
			if err == nil {
				c.Certificate = append(c.Certificate[:1:1], m.authority.Cert.Raw)
			}
			return &c, err
		},
	}
	d := &handler{counts: a.Counts, log: a.Log, limited: daemon.NewLimited(a.Log, time.Minute, 5)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/join", func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, m.join) })
	mux.HandleFunc("POST /v1/renew", func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, m.renew) })
	s := &http.Server{
		Handler: mux, ReadTimeout: patience, WriteTimeout: 3 * patience, MaxHeaderBytes: maxRequest,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // strangers cause these lines
	}
	s.SetKeepAlivesEnabled(false)
	defer context.AfterFunc(ctx, func() { s.Close() })()
	err := s.Serve(tls.NewListener(crowd.Limit(a.Listener, maxConnections, &a.Counts.Connections), settings))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("admit nodes: %w", err)
}

// handler counts and logs the requests.
type handler struct {
	counts  *Counts
	log     *slog.Logger
	limited *daemon.Limited // for lines that strangers can cause
}

// answer answers one request.
func (d *handler) answer(w http.ResponseWriter, r *http.Request, do func(context.Context, *http.Request, []byte) (any, string, error)) {
	ctx, stop := context.WithTimeout(r.Context(), 2*patience)
	defer stop()
	var result any
	var what string
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		err = refuse(malformed, err)
	} else {
		result, what, err = do(ctx, r, body)
	}
	if err != nil {
		f := &failure{unavailable, err}
		errors.As(err, &f)
		d.counts.refused[f.refusal].Add(1)
		// The text says nothing that a stranger does not know.
		http.Error(w, refusals[f.refusal].word, refusals[f.refusal].code)
		if f.refusal == unavailable {
			d.limited.Log(slog.LevelWarn, refusals[unavailable].word, "request of a node failed", "error", err)
		}
		return
	}
	d.log.Info(what, "from", r.RemoteAddr)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(result) // the other side repeats it if this fails
}

// certificateRequest reads a PKCS #10 and checks that its sender has the key.
func certificateRequest(der []byte) (*x509.CertificateRequest, error) {
	c, err := x509.ParseCertificateRequest(der)
	if err == nil {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
			return nil, refuse(malformed, fmt.Errorf("an RSA key of %d bits; want at most %d", k.N.BitLen(), maxRSA))
		}
		err = c.CheckSignature()
	}
	if err != nil {
		return nil, refuse(malformed, err)
	}
	return c, nil
}

// join admits a machine that shows a token.
func (m *Manager) join(ctx context.Context, _ *http.Request, body []byte) (any, string, error) {
	var q joinRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, "", refuse(malformed, err)
	}
	if q.Seal == (seal.Public{}) {
		return nil, "", refuse(malformed, errors.New("there is no key to seal to"))
	}
	request, err := certificateRequest(q.Request)
	if err != nil {
		return nil, "", err
	}
	now := m.now()
	i, err := m.store.CheckToken(ctx, q.ID, q.Secret, now)
	if errors.Is(err, store.ErrToken) {
		return nil, "", refuse(badToken, err)
	}
	if err != nil {
		return nil, "", err
	}
	cert, err := m.authority.IssueNode(i.Node, i.Hosts, 0, request.PublicKey, now)
	if err != nil {
		return nil, "", err
	}
	j := &Joined{Fleet: m.node.Fleet, Node: i.Node, Addresses: i.Hosts, Certificate: certPEM(cert), CA: m.authority.CertPEM()}
	// What can be repeated comes first. The token is used up last, together with the
	// registration: without it the rights have no certificate.
	if err := access.Admit(ctx, m.etcd, m.node.Fleet, i.Node); err != nil {
		return nil, "", err
	}
	if i.Member {
		if j.Member, err = m.addMember(ctx, i); err != nil {
			return nil, "", err
		}
	}
	if j.Endpoints, err = m.endpoints(ctx); err != nil {
		return nil, "", err
	}
	if j.Revoked, err = m.revocations(ctx); err != nil {
		return nil, "", err
	}
	err = m.store.Accept(ctx, i, q.Seal, cert.SerialNumber, m.entry("join", "node "+i.Node))
	switch {
	case errors.Is(err, store.ErrToken):
		err = refuse(badToken, err)
	case errors.Is(err, store.ErrNameTaken):
		err = refuse(nameTaken, err)
	}
	return j, "node " + i.Node + " has joined", err
}

// revocations returns the present revocation list; an empty one if nothing is revoked.
func (m *Manager) revocations(ctx context.Context) ([]byte, error) {
	list, _, err := m.store.Revoked(ctx)
	if err != nil || list != nil {
		return list, err
	}
	return m.authority.RevocationList(nil, 0, m.now())
}

// renew replaces the certificate of a node that shows the present one.
func (m *Manager) renew(ctx context.Context, r *http.Request, body []byte) (any, string, error) {
	var q renewal
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, "", refuse(malformed, err)
	}
	request, err := certificateRequest(q.Request)
	if err != nil {
		return nil, "", err
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return nil, "", refuse(noNode, errors.New("there is no certificate"))
	}
	old := r.TLS.PeerCertificates[0]
	node := old.Subject.CommonName
	if err := m.valid(ctx, node, old); err != nil {
		return nil, "", err
	}
	cert, err := m.authority.IssueNode(node, hostsOf(old), 0, request.PublicKey, m.now())
	if err != nil {
		return nil, "", err
	}
	err = m.store.Issued(ctx, node, cert.SerialNumber, m.entry("renew", "certificate of node "+node))
	if errors.Is(err, store.ErrNoNode) || errors.Is(err, store.ErrName) {
		err = refuse(noNode, err)
	}
	return &renewed{certPEM(cert)}, "certificate of node " + node + " renewed", err
}

// valid refuses a certificate that is not one of a registered node: it was revoked, and
// perhaps another machine has the name now.
func (m *Manager) valid(ctx context.Context, node string, c *x509.Certificate) error {
	serials, err := m.store.Serials(ctx, node)
	if err != nil {
		return err
	}
	for _, s := range serials {
		if s.Cmp(c.SerialNumber) == 0 {
			return nil
		}
	}
	return refuse(noNode, fmt.Errorf("certificate %x of node %s is not in use", c.SerialNumber, node))
}

func hostsOf(c *x509.Certificate) []string {
	hosts := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}
