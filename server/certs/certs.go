// Package certs is where the server's TLS certificates come from: PEM files that
// are read again when they change, an ACME server (RFC 8555), and a private
// certificate authority for networks that no public one can look into.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where certificates come from: from Pairs, from ACME, or both.
type Config struct {
	Pairs []Pair
	ACME  *ACME         // nil: none
	Poll  time.Duration // how often files and dates are looked at; 0 = 10 s
	Alarm time.Duration // what is left of a certificate when it is complained about, see AlarmAt; 0 = 14 days

	// Event, if set, is told what a person should know. It is called from Run's
	// goroutines and from Reload, never twice at a time, and must not call back.
	// Strangers cannot cause events.
	Event func(Event)

	now func() time.Time // tests
}

// Defaults of Config.
const (
	DefaultPoll  = 10 * time.Second
	DefaultAlarm = 14 * 24 * time.Hour // public authorities' clients renew a month before
	alarmAgain   = 24 * time.Hour
)

// Event is something that happened to a certificate.
type Event struct {
	Kind     Kind
	From     string    // the certificate file, or the ACME directory
	Names    []string  // what the certificate is for
	NotAfter time.Time // when it expires
	Reason   Reason    // of Refused and OrderFailed
	Err      error     // of Refused and OrderFailed
	Terms    string    // of Registered: URL of the terms that were accepted
	Next     time.Time // of OrderFailed: when the next try begins
}

// Status describes one certificate in use.
type Status struct {
	From      string // the certificate file, or the ACME directory
	Names     []string
	NotBefore time.Time
	NotAfter  time.Time
	Alarm     bool // less is left than the threshold
}

// ErrNone is what Get returns while there is no certificate yet.
var ErrNone = errors.New("no certificate yet")

// Source holds the certificates in use. Its methods may be called from any
// goroutine; Get takes no lock.
type Source struct {
	cfg      Config
	cur      atomic.Pointer[[]held]
	counters counters
	kick     chan struct{} // wakes the ACME loop

	mu    sync.Mutex // guards what follows, and all changes of cur
	files []*watched
	acme  *issuer // nil without ACME
	warn  map[string]time.Time

	telling sync.Mutex // serialises Config.Event
}

// held is a certificate in use. There is one for each pair, in their order,
// then one for ACME, whose cert is nil until there is one.
type held struct {
	from string
	cert *tls.Certificate
}

// New reads the pairs and what ACME has left on disk. A pair that cannot be
// used is an *Error. A certificate that is not valid now is taken: nothing
// better is at hand, and the clock may not be set yet. It asks nobody on the
// network; Run does.
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
		w.due(cfg.now())
		c, exposed, err := p.load()
		if err != nil {
			return nil, err
		}
		if exposed {
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
	for _, h := range certs {
		if h.cert != nil {
			events = append(events, h.event(Loaded))
		}
	}
	for _, e := range events {
		s.tell(e)
	}
	return s, nil
}

func (h held) event(k Kind) Event {
	return Event{Kind: k, From: h.from, Names: namesOf(h.cert.Leaf), NotAfter: h.cert.Leaf.NotAfter}
}

func (s *Source) tell(e Event) {
	if s.cfg.Event == nil {
		return
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	s.cfg.Event(e)
}

// Get is for tls.Config.GetCertificate. It chooses among the certificates that
// the client can use the one for the name it asked for, or, when it sent none,
// for the address it came to; of equals one that is valid, then the first. A
// client that asked for a name that nobody has gets the first too: it can say
// better than we what is wrong.
func (s *Source) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name, nameless := hello.ServerName, *hello
	nameless.ServerName = ""
	if name == "" && hello.Conn != nil {
		if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			name = a.AddrPort().Addr().Unmap().WithZone("").String()
		}
	}
	now := s.cfg.now()
	var best *tls.Certificate
	top := -1
	for _, h := range *s.cur.Load() {
		if h.cert == nil {
			continue
		}
		rank := 0
		if nameless.SupportsCertificate(h.cert) == nil {
			rank |= 4
		}
		if name != "" && h.cert.Leaf.VerifyHostname(name) == nil {
			rank |= 2
		}
		if validAt(h.cert.Leaf, now) {
			rank |= 1
		}
		if rank > top {
			best, top = h.cert, rank
		}
	}
	if best == nil {
		return nil, ErrNone
	}
	return best, nil
}

// Run looks after files and dates, and orders and renews by ACME, until ctx
// ends; then it returns nil.
func (s *Source) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if s.acme != nil {
		wg.Go(func() { s.runACME(ctx) })
	}
	t := time.NewTicker(s.cfg.Poll)
	defer t.Stop()
	for {
		s.judge()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s.look(false)
		}
	}
}

// Ready is nil: waiting for an ACME server is no reason to keep quiet about
// time.
func (s *Source) Ready() <-chan struct{} { return nil }

// String names the task.
func (s *Source) String() string { return "certificates" }

// Reload reads all files again, whether they seem to have changed or not, and
// lets ACME try again at once where it waits after a failure. The error joins an
// *Error for each pair that was refused and stays as it was.
func (s *Source) Reload() error {
	err := s.look(true)
	s.judge()
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return err
}

// look reads the pairs that have changed, or all when asked.
func (s *Source) look(asked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.now()
	var errs []error
	for i, w := range s.files {
		m, due := w.due(now)
		if !due && !asked {
			continue
		}
		old := (*s.cur.Load())[i]
		c, exposed, err := w.pair.load()
		if err == nil {
			err = supersedes(c, old.cert, w.pair.Cert, now)
		}
		if err != nil {
			if w.report(m, asked) {
				s.counters[ReasonOf(err)].Add(1)
				s.tell(Event{Kind: Refused, From: w.pair.Cert, Names: namesOf(old.cert.Leaf), NotAfter: old.cert.Leaf.NotAfter, Reason: ReasonOf(err), Err: err})
				errs = append(errs, err)
			}
			continue
		}
		w.pending, w.reported = mark{}, mark{}
		if same(c, old.cert) {
			continue
		}
		if exposed {
			s.tell(Event{Kind: Exposed, From: w.pair.Key})
		}
		s.use(i, c)
	}
	return errors.Join(errs...)
}

// use puts a certificate into service. The caller holds mu.
func (s *Source) use(i int, c *tls.Certificate) {
	certs := append([]held(nil), *s.cur.Load()...)
	certs[i].cert = c
	s.cur.Store(&certs)
	delete(s.warn, certs[i].from)
	s.tell(certs[i].event(Loaded))
}

// judge complains about certificates that expire soon or have, once a day.
func (s *Source) judge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.now()
	for _, h := range *s.cur.Load() {
		if h.cert == nil || now.Before(s.AlarmAt(h.cert.Leaf.NotBefore, h.cert.Leaf.NotAfter)) {
			continue
		}
		// A last complaint in the future is one before the clock was set.
		if last, ok := s.warn[h.from]; ok && !last.After(now) && now.Sub(last) < alarmAgain && last.After(h.cert.Leaf.NotAfter) == now.After(h.cert.Leaf.NotAfter) {
			continue
		}
		s.warn[h.from] = now
		k := Expiring
		if now.After(h.cert.Leaf.NotAfter) {
			k = Lapsed
		}
		s.tell(h.event(k))
	}
}

// AlarmAt returns when a certificate becomes a matter of concern: Config.Alarm
// before its end, but not before four fifths of its life are over, since those
// that live for days are renewed late.
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

// NotAfter returns when the first of the certificates in use expires, the zero
// time when there is none.
func (s *Source) NotAfter() time.Time {
	var end time.Time
	for _, x := range s.Status() {
		if end.IsZero() || x.NotAfter.Before(end) {
			end = x.NotAfter
		}
	}
	return end
}

// Refusals returns how many certificates were not taken since the start, by
// reason.
func (s *Source) Refusals() map[string]uint64 {
	m := make(map[string]uint64, numReasons)
	for r := Good + 1; r < numReasons; r++ {
		m[r.String()] = s.counters[r].Load()
	}
	return m
}

// String describes the event for logs and tests.
func (e Event) String() string {
	switch e.Kind {
	case Refused:
		return fmt.Sprintf("%v: %v", e.Kind, e.Err)
	case OrderFailed:
		return fmt.Sprintf("%v: %v, next try at %s", e.Kind, e.Err, stamp(e.Next))
	case Registered:
		return fmt.Sprintf("%v: %s, terms %s", e.Kind, e.From, e.Terms)
	case Exposed:
		return fmt.Sprintf("%v: %s", e.Kind, e.From)
	}
	return fmt.Sprintf("%v: %s for %v until %s", e.Kind, e.From, e.Names, stamp(e.NotAfter))
}
