// Package certs provides the server's TLS certificates: from PEM files, which it
// reads again when they change, from an ACME server (RFC 8555), and from a private
// certificate authority, for networks that no public one can reach.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"noonmark/internal/liveness"
	"noonmark/server/crowd"
)

// Config is the origin of certificates: Pairs, ACME, or both.
type Config struct {
	Pairs []Pair
	ACME  *ACME         // nil: none
	Poll  time.Duration // period of checking files and dates; 0 = 10 s
	Alarm time.Duration // remaining life at which a certificate is reported, see AlarmAt; 0 = 14 days

	// Event, if set, gets the events. It is called from the goroutines of Run and from
	// Reload, one call at a time, and must not call methods of the Source. Strangers
	// cannot cause events.
	Event func(Event)

	now func() time.Time // for tests
}

// Defaults of Config.
const (
	DefaultPoll  = 10 * time.Second
	DefaultAlarm = 14 * 24 * time.Hour // clients of public authorities renew a month before
	alarmAgain   = 24 * time.Hour
)

// Event is something that happened to a certificate.
type Event struct {
	Kind     Kind
	From     string    // the certificate file, or the ACME directory
	Names    []string  // of the certificate
	NotAfter time.Time // expiry of the certificate
	Reason   Reason    // of Refused, OrderFailed and NotStored
	Err      error     // of the same
	Concern  Concern   // of Doubtful, with what is wrong and the remedy
	What     string
	Remedy   string
	Terms    string    // of Registered: URL of the accepted terms
	Next     time.Time // of OrderFailed and NotStored: time of the next attempt
}

// Status describes one certificate in use.
type Status struct {
	From      string // the certificate file, or the ACME directory
	Names     []string
	NotBefore time.Time
	NotAfter  time.Time
	Alarm     bool // after AlarmAt
}

// ErrNone is returned by Get while there is no certificate.
var ErrNone = errors.New("no certificate yet")

// Source has the certificates in use. Its methods may be called from any goroutine.
// Get takes no lock.
type Source struct {
	cfg      Config
	cur      atomic.Pointer[[]held]
	counters counters
	kick     chan struct{} // wakes the ACME loop

	mu    sync.Mutex // guards the next three fields, and all changes of cur
	files []*watched
	acme  *issuer              // nil without ACME
	warn  map[string]time.Time // last report of expiry, by Event.From

	emitting sync.Mutex // serialises Config.Event

	lacking  atomic.Pointer[error] // why the first pair that is refused is; nil: none is
	looking  liveness.Work         // at files and dates
	ordering liveness.Work         // by ACME
}

// held is a certificate in use: one for each pair, in their order, then one for ACME,
// whose cert may be nil.
type held struct {
	from string
	cert *tls.Certificate
}

// New reads the pairs and the stored certificate of ACME. An unusable pair is an
// event, and Run reads it again until it is usable. It accepts a certificate that is not valid now: there is no
// better one, and the clock may not be set yet. It does not use the network; Run
// does.
func New(cfg Config) (*Source, error) {
	if len(cfg.Pairs) == 0 && cfg.ACME == nil {
		return nil, errors.New("certificates: neither files nor ACME")
	}
	if cfg.Poll <= 0 {
		cfg.Poll = DefaultPoll
	}
	if cfg.Alarm <= 0 {
		cfg.Alarm = DefaultAlarm
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	s := &Source{cfg: cfg, kick: make(chan struct{}, 1), warn: map[string]time.Time{}}
	var certs []held
	var events []Event
	for _, p := range cfg.Pairs {
		w := &watched{pair: p}
		m, _ := w.due(cfg.now())
		c, exposed, err := p.load()
		if err != nil {
			c, w.refused, w.reported = nil, err, m
			s.counters[ReasonOf(err)].Add(1)
			events = append(events, Event{Kind: Refused, From: p.Cert, Reason: ReasonOf(err), Err: err})
		} else if exposed {
			events = append(events, Event{Kind: Exposed, From: p.Key})
		}
		s.files = append(s.files, w)
		certs = append(certs, held{p.Cert, c})
	}
	if cfg.ACME != nil {
		is, err := newIssuer(*cfg.ACME, cfg.now)
		if err != nil {
			return nil, err
		}
		s.acme = is
		certs = append(certs, held{cfg.ACME.Directory, is.stored()})
	}
	s.cur.Store(&certs)
	s.noteRefused()
	for _, h := range certs {
		if h.cert != nil {
			events = append(events, h.event(Loaded))
			events = append(events, h.concerns()...)
		}
	}
	for _, e := range events {
		s.emit(e)
	}
	return s, nil
}

// event returns an event about the certificate.
func (h held) event(k Kind) Event {
	return Event{Kind: k, From: h.from, Names: namesOf(h.cert.Leaf), NotAfter: h.cert.Leaf.NotAfter}
}

// concerns returns an event for each reason why clients may refuse the certificate.
func (h held) concerns() (events []Event) {
	roots, _ := x509.SystemCertPool() // nil: they are unknown
	for _, c := range Concerns(h.cert, roots) {
		e := h.event(Doubtful)
		e.Concern = c
		e.What, e.Remedy = c.What(h.cert.Leaf), c.Remedy()
		events = append(events, e)
	}
	return events
}

// emit reports an event.
func (s *Source) emit(e Event) {
	if s.cfg.Event == nil {
		return
	}
	s.emitting.Lock()
	defer s.emitting.Unlock()
	s.cfg.Event(e)
}

// Get is for tls.Config.GetCertificate. Among the certificates that the client
// supports, it prefers one for the requested name (without name: for the address
// that the client connected to), then a valid one, then the first. A client that
// requests an unknown name gets one too, so that it can report what is wrong.
func (s *Source) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return Select(hello, s.InUse(), s.cfg.now())
}

// InUse returns the certificates in use, in the order of the configuration.
func (s *Source) InUse() (list []*tls.Certificate) {
	for _, h := range *s.cur.Load() {
		if h.cert != nil {
			list = append(list, h.cert)
		}
	}
	return list
}

// Select is Get for a list of certificates that have their Leaf.
func Select(hello *tls.ClientHelloInfo, list []*tls.Certificate, now time.Time) (*tls.Certificate, error) {
	name, nameless := hello.ServerName, *hello
	nameless.ServerName = ""
	if name == "" && hello.Conn != nil {
		if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			name = a.AddrPort().Addr().Unmap().WithZone("").String()
		}
	}
	var best *tls.Certificate
	top := -1
	for _, c := range list {
		rank := 0
		if nameless.SupportsCertificate(c) == nil {
			rank |= 4
		}
		if name != "" && c.Leaf.VerifyHostname(name) == nil {
			rank |= 2
		}
		if validAt(c.Leaf, now) {
			rank |= 1
		}
		if rank > top {
			best, top = c, rank
		}
	}
	if best == nil {
		return nil, ErrNone
	}
	return best, nil
}

// Missing returns why there is no certificate at all, nil if there is one.
func (s *Source) Missing() error {
	for _, h := range *s.cur.Load() {
		if h.cert != nil {
			return nil
		}
	}
	if why := s.lacking.Load(); why != nil {
		return *why
	}
	return ErrNone
}

// noteRefused notes for Missing which pair is refused. The caller holds mu.
func (s *Source) noteRefused() {
	for _, w := range s.files {
		if why := w.refused; why != nil {
			s.lacking.Store(&why)
			return
		}
	}
	s.lacking.Store(nil)
}

const (
	// lookLimit is longer than it takes to read the files.
	lookLimit = time.Minute
	// orderLimit is longer than an order and writing its files take.
	orderLimit = orderTimeout + time.Minute
)

// Hanging returns an error if a look at the files, or an order of ACME, does not end.
// It takes no lock: a file that cannot be read holds them up.
func (s *Source) Hanging() error {
	if err := s.looking.Stuck(lookLimit); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	if err := s.ordering.Stuck(orderLimit); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	return nil
}

// Run checks files and dates, and orders and renews by ACME, until ctx ends. Then it
// returns nil.
func (s *Source) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if s.acme != nil {
		wg.Go(func() { s.runACME(ctx) })
	}
	t := time.NewTicker(s.cfg.Poll)
	defer t.Stop()
	for {
		s.looking.Begin()
		s.checkExpiry()
		s.looking.End()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s.looking.Begin()
			s.readFiles(false)
		}
	}
}

// String returns the name of the task.
func (s *Source) String() string { return "certificates" }

// Reload reads all files again, changed or not, and ends ACME's wait after a failure.
// The error joins an *Error for each pair that was refused; such a pair stays as it
// was.
func (s *Source) Reload() error {
	err := s.readFiles(true)
	s.checkExpiry()
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return err
}

// readFiles reads the pairs that have changed, or all if asked.
func (s *Source) readFiles(asked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.now()
	var errs []error
	for i, w := range s.files {
		m, due := w.due(now)
		if !due && !asked && w.refused == nil {
			continue
		}
		old := (*s.cur.Load())[i]
		c, exposed, err := w.pair.load()
		if err == nil {
			err = mayReplace(c, old.cert, w.pair.Cert, now)
		}
		if err != nil {
			w.refused = err
			if w.report(m, asked) {
				s.counters[ReasonOf(err)].Add(1)
				e := Event{Kind: Refused, From: w.pair.Cert, Reason: ReasonOf(err), Err: err}
				if old.cert != nil {
					e.Names, e.NotAfter = namesOf(old.cert.Leaf), old.cert.Leaf.NotAfter
				}
				s.emit(e)
				errs = append(errs, err)
			}
			continue
		}
		w.pending, w.reported, w.refused = pairState{}, pairState{}, nil
		if same(c, old.cert) {
			continue
		}
		if exposed {
			s.emit(Event{Kind: Exposed, From: w.pair.Key})
		}
		s.use(i, c)
	}
	s.noteRefused()
	return errors.Join(errs...)
}

// use makes c certificate i in use. The caller holds mu.
func (s *Source) use(i int, c *tls.Certificate) {
	certs := append([]held(nil), *s.cur.Load()...)
	certs[i].cert = c
	s.cur.Store(&certs)
	delete(s.warn, certs[i].from)
	s.emit(certs[i].event(Loaded))
	for _, e := range certs[i].concerns() {
		s.emit(e)
	}
}

// checkExpiry reports certificates that expire soon or have expired, once a day.
func (s *Source) checkExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.now()
	for _, h := range *s.cur.Load() {
		if h.cert == nil || now.Before(s.AlarmAt(h.cert.Leaf.NotBefore, h.cert.Leaf.NotAfter)) {
			continue
		}
		// A last report in the future is from before the clock was set.
		if last, ok := s.warn[h.from]; ok && !last.After(now) && now.Sub(last) < alarmAgain && last.After(h.cert.Leaf.NotAfter) == now.After(h.cert.Leaf.NotAfter) {
			continue
		}
		s.warn[h.from] = now
		k := Expiring
		if now.After(h.cert.Leaf.NotAfter) {
			k = Lapsed
		}
		s.emit(h.event(k))
	}
}

// AlarmAt returns when a certificate is reported as expiring: Config.Alarm before its
// end, but not before four fifths of its life are over, because certificates of a
// few days are renewed late.
func (s *Source) AlarmAt(notBefore, notAfter time.Time) time.Time {
	return notAfter.Add(-min(s.cfg.Alarm, notAfter.Sub(notBefore)/5))
}

// Status returns the certificates in use, those of pairs first.
func (s *Source) Status() []Status {
	now := s.cfg.now()
	var list []Status
	for _, h := range *s.cur.Load() {
		if h.cert != nil {
			l := h.cert.Leaf
			list = append(list, Status{h.from, namesOf(l), l.NotBefore, l.NotAfter, !now.Before(s.AlarmAt(l.NotBefore, l.NotAfter))})
		}
	}
	return list
}

// NotAfter returns the earliest expiry of the certificates in use, the zero time if
// there is none.
func (s *Source) NotAfter() time.Time {
	var end time.Time
	for _, x := range s.Status() {
		if end.IsZero() || x.NotAfter.Before(end) {
			end = x.NotAfter
		}
	}
	return end
}

// Refusals returns how many certificates were not accepted since the start, by
// reason.
func (s *Source) Refusals() map[string]uint64 {
	m := make(map[string]uint64, numReasons)
	for r := Good + 1; r < numReasons; r++ {
		m[r.String()] = s.counters[r].Load()
	}
	return m
}

// Challenges returns how many connections to a source's listeners of ACME's challenges had an
// outcome; 0 without ACME.
func Challenges(s *Source, o crowd.Outcome) uint64 {
	if s.acme == nil {
		return 0
	}
	return s.acme.conns[o].Load()
}

// String describes the event for logs and tests.
func (e Event) String() string {
	switch e.Kind {
	case Refused:
		return fmt.Sprintf("%v: %v", e.Kind, e.Err)
	case OrderFailed, NotStored:
		return fmt.Sprintf("%v: %v, next try at %s", e.Kind, e.Err, stamp(e.Next))
	case Registered:
		return fmt.Sprintf("%v: %s, terms %s", e.Kind, e.From, e.Terms)
	case Exposed, Stored:
		return fmt.Sprintf("%v: %s", e.Kind, e.From)
	}
	return fmt.Sprintf("%v: %s for %v until %s", e.Kind, e.From, e.Names, stamp(e.NotAfter))
}
