package service

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/fleet/health"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/durable"
	"noonmark/internal/retry"
	"noonmark/server"
)

// witnessEvery is the usual interval of NTP (RFC 5905, figure 9: poll 6): a witness takes
// it for that of any client.
const witnessEvery = 64 * time.Second

// maxCertificate limits what is read of a certificate, octets.
const maxCertificate = 64 << 10

// Witness says how the node compares its time with others.
type Witness struct {
	Host string         // name or address at which the others reach ntsserve of this node; empty: it is found
	CAs  *x509.CertPool // of the certificates of the others; nil: those of the system
}

// ReadCAs reads authorities, PEM. Those of the system count besides.
func ReadCAs(path string) (*x509.CertPool, error) {
	b, _, err := durable.ReadFile(path, maxCertificate)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("read authorities: %s: %w", path, errNoCertificate)
	}
	return pool, nil
}

// errNoCertificate says that a file has none.
var errNoCertificate = errors.New("no certificate in it; want PEM, such as the ca.pem of refclockctl ca init")

// Answers is where ntsserve answers NTS and plain NTP with the time of its clock: a smeared
// leap second is none.
type Answers struct {
	KE    netip.AddrPort // NTS-KE; not valid: it runs elsewhere
	NTS   netip.AddrPort // not valid: nowhere
	Plain netip.AddrPort // to this machine; not valid: nowhere
	PEM   string         // certificate of NTS-KE; empty: it orders one for Name
	Name  string
}

func answers(s *ntsserve.Settings) Answers {
	list := slices.DeleteFunc(slices.Clone(s.Endpoints), func(e server.Endpoint) bool { return e.Smear })
	a := Answers{Plain: plain(list)}
	if i := slices.IndexFunc(list, func(e server.Endpoint) bool { return e.Policy&server.NoNTS == 0 && e.Socket.Addr.Port() != 0 }); i >= 0 {
		a.NTS = list[i].Socket.Addr
	}
	if s.ServesKE {
		a.KE = s.KE.Listen.AddrPort
	}
	if list := s.Pairs(); len(list) > 0 {
		a.PEM = list[0].Cert
	}
	if len(s.ACME.Names) > 0 {
		a.Name = s.ACME.Names[0]
	}
	return a
}

// certified returns a name of the first certificate of a PEM file.
func certified(path string) (string, error) {
	b, _, err := durable.ReadFile(path, maxCertificate)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return "", err
		case len(c.DNSNames) > 0:
			return strings.Replace(c.DNSNames[0], "*", "node", 1), nil
		case len(c.IPAddresses) > 0:
			return c.IPAddresses[0].String(), nil
		}
		break
	}
	return "", fmt.Errorf("%s: %w", path, errNoCertificate)
}

// witnessTask compares the time of the node with others, and drains it while it deviates.
// Whatever happens to it, the agent goes on: then the node is not compared.
type witnessTask struct {
	*Service
	every   time.Duration // between two rounds
	returns time.Duration // how long the time must agree; 0: the default

	mu   sync.Mutex // guards what Waiting and the metrics show
	last *health.Trusted

	// Of Run.
	log                    observer
	drained, refused, mute string // as they were logged last
}

func newWitnessTask(s *Service) *witnessTask {
	return &witnessTask{Service: s, every: witnessEvery, log: observer{log: s.cfg.Log, now: time.Now}}
}

func (w *witnessTask) String() string { return "witnesses" }

// Waiting says why the node is drained by itself, or should be.
func (w *witnessTask) Waiting() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.last == nil:
		return nil
	case w.last.Deviant != "":
		return fmt.Errorf("%w: %s", errDeviant, w.last.Deviant)
	}
	return w.last.Refused
}

// deviant is why the node has drained itself; empty: it has not.
func (w *witnessTask) deviant() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return ""
	}
	return w.last.Deviant
}

// errDeviant says that the node has drained itself.
var errDeviant = errors.New("the time of this node is not that of the others; it returns when it has agreed for a while")

// reached is where others reach this node alone; without an address it is no witness.
func (w *witnessTask) reached() health.Peer {
	a, host := w.cfg.Server.Answers, w.host()
	if host == "" || !a.KE.IsValid() || !a.NTS.IsValid() {
		return health.Peer{}
	}
	p := health.Peer{TLS: a.Name, Address: join(host, a.KE), NTP: join(host, a.NTS)}
	if a.PEM != "" {
		name, err := certified(a.PEM)
		if err != nil {
			return health.Peer{} // ntsserve has none either
		}
		p.TLS = name
	}
	return p
}

// join returns host and port; an address that is not all of the machine wins.
func join(host string, a netip.AddrPort) string {
	if !a.Addr().IsUnspecified() && !a.Addr().IsLoopback() {
		host = a.Addr().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(a.Port())))
}

// host is the address of the machine that leads to etcd, unless another one is set. One of
// loopback would lead the others to themselves.
func (w *witnessTask) host() string {
	if w.cfg.Witness.Host != "" {
		return w.cfg.Witness.Host
	}
	for _, e := range w.node.Endpoints {
		u, err := url.Parse(e)
		if err != nil {
			continue
		}
		to, err := netip.ParseAddrPort(u.Host)
		if err != nil {
			continue // a name: the machine may have no resolver now
		}
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // it sends nothing
		if err != nil {
			continue
		}
		from := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		if !from.IsLoopback() {
			return from.String()
		}
	}
	return ""
}

// Run makes rounds until ctx ends.
func (w *witnessTask) Run(ctx context.Context) (err error) {
	defer func() { // a fault here must not end the process that keeps the key file
		if p := recover(); p != nil {
			w.cfg.Log.Error("fault in the comparison of time", "fault", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	if !w.cfg.Server.Answers.Plain.IsValid() {
		w.cfg.Log.Info("the time of this node is compared with no other", "missing", "an endpoint of ntsserve that answers plain NTP to this machine, without smear")
		<-ctx.Done()
		return ctx.Err()
	}
	c := &health.Comparison{Own: w.cfg.Server.Answers.Plain, Roots: w.cfg.Witness.CAs}
	defer c.Close()
	begun := time.Now()
	t := health.NewTrust(w.own, health.TrustConfig{
		Node: w.node.Name, Compare: c.Compare, Mono: func() time.Duration { return time.Since(begun) }, Now: time.Now, Returns: w.returns,
	})
	for ctx.Err() == nil {
		r, err := t.Round(ctx)
		w.observe(r, err)
		retry.Sleep(ctx, w.every)
	}
	return ctx.Err()
}

// observe logs what changes. That etcd does not answer, the agent says.
func (w *witnessTask) observe(r health.Trusted, err error) {
	if err != nil {
		w.cfg.Log.Debug("the time of this node is not compared", "error", err)
		return
	}
	w.mu.Lock()
	w.last = &r
	w.mu.Unlock()
	var deviant error
	if r.Deviant != "" {
		deviant = errors.New(r.Deviant)
	}
	w.log.changed(&w.drained, deviant, "this node is drained, because its time is not that of the others", "the time of this node is that of the others again")
	w.log.changed(&w.refused, r.Refused, "the time of this node deviates, and it is not drained", "the time of this node is not doubted any more")
	var mute error
	if names := slices.Sorted(maps.Keys(r.Failed)); len(names) > 0 {
		mute = fmt.Errorf("%s: %w", strings.Join(names, ", "), r.Failed[names[0]])
	}
	if r.Own != nil {
		mute = fmt.Errorf("ntsserve of this node: %w", r.Own)
	}
	w.log.changed(&w.mute, mute, "witnesses do not answer", "all witnesses answer")
}

// descWitnesses describes the metric of the comparison.
var descWitnesses = prometheus.NewDesc("noonmark_fleet_witnesses", "Other nodes in the last comparison of time, by what they did.", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (w *witnessTask) Describe(ch chan<- *prometheus.Desc) { ch <- descWitnesses }

// Collect implements prometheus.Collector.
func (w *witnessTask) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return
	}
	for state, n := range map[string]int{"asked": w.last.Asked, "answered": len(w.last.Readings)} {
		ch <- prometheus.MustNewConstMetric(descWitnesses, prometheus.GaugeValue, float64(n), state)
	}
}
