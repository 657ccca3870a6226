package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"noonmark/server/crowd"
)

// issuer orders and stores one certificate. It is for one goroutine at a time.
type issuer struct {
	cfg  ACME
	dir  string // folder in Dir for the ACME server
	now  func() time.Time
	wait time.Duration // after the last failure; 0 = none
	next time.Time     // no order before this
	roll time.Duration // jitter of renewals, a fraction of 2^16

	closed bool // the folders cannot be used, so what is stored is not known

	unsaved  unsaved
	storeErr error // of storing what the last order got

	conns *crowd.Counts // of strangers and ACME servers, to the listeners of challenges
}

func newIssuer(cfg ACME, now func() time.Time) (*issuer, error) {
	cfg.Names = append([]string(nil), cfg.Names...)
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	var b [2]byte
	rand.Read(b[:])
	is := &issuer{cfg: cfg, now: now, dir: filepath.Join(cfg.Dir, folder(cfg.Directory)), roll: time.Duration(b[0])<<8 | time.Duration(b[1]), conns: new(crowd.Counts)}
	is.closed = is.makeDirs() != nil // the first order reports why
	return is, nil
}

// makeDirs makes the folders, or checks that they are closed to others.
func (is *issuer) makeDirs() error {
	for _, d := range [...]string{is.cfg.Dir, is.dir} {
		if err := makeDir(d, 0o077); err != nil {
			return &Error{StoreFailed, is.cfg.Directory, err}
		}
	}
	return nil
}

// reopen returns the stored certificate once folders that could not be used can be. It
// is nil if a new one is due.
func (is *issuer) reopen() (*tls.Certificate, error) {
	if err := is.makeDirs(); err != nil {
		return nil, err
	}
	is.closed = false
	if c := is.stored(); is.now().Before(is.dueAt(c)) {
		return c, nil
	}
	return nil, nil
}

// folder makes a folder name of a directory's URL: account and certificate belong
// to one ACME server.
func folder(directory string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, strings.TrimPrefix(directory, "https://"))
}

// certPath is one file for certificate and key, so that one rename changes both.
func (is *issuer) certPath() string    { return filepath.Join(is.dir, "certificate.pem") }
func (is *issuer) accountPath() string { return filepath.Join(is.dir, "account.key") }

// stored returns the stored certificate, nil if there is no usable one.
func (is *issuer) stored() *tls.Certificate {
	if is.closed {
		return nil
	}
	c, _, err := Pair{is.certPath(), is.certPath()}.load()
	if err != nil {
		return nil // a new one is ordered
	}
	return c
}

// dueAt returns when a new certificate is to be ordered: the zero time, which is
// now, if there is none for all the names.
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

// runACME orders certificates when they are due.
func (s *Source) runACME(ctx context.Context) {
	t := time.NewTicker(s.cfg.Poll)
	defer t.Stop()
	for {
		s.ordering.Begin()
		s.stepACME(ctx)
		s.ordering.End()
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			s.acme.next = time.Time{}
		case <-t.C:
		}
	}
}

// stepACME orders a certificate if one is due, and uses it.
func (s *Source) stepACME(ctx context.Context) {
	is, now := s.acme, s.cfg.now()
	i := len(s.cfg.Pairs)
	s.saveACME(now)
	// A wait longer than maxWait is from before the clock was set.
	if now.Before(is.dueAt((*s.cur.Load())[i].cert)) || now.Before(is.next) && is.next.Sub(now) <= maxWait {
		return
	}
	octx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	c, err := is.order(octx, s.emit)
	if ctx.Err() != nil && err != nil {
		return // stopped: no failure
	}
	if err != nil {
		is.backOff(err)
		s.counters[ReasonOf(err)].Add(1)
		s.emit(Event{Kind: OrderFailed, From: is.cfg.Directory, Names: is.cfg.Names, Reason: ReasonOf(err), Err: err, Next: is.next})
		return
	}
	is.wait, is.next = 0, time.Time{}
	s.mu.Lock()
	s.use(i, c)
	s.mu.Unlock()
	if stored := is.storeErr; stored != nil {
		s.notStored(stored)
	}
}

// saveACME writes files that could not be written before.
func (s *Source) saveACME(now time.Time) {
	is := s.acme
	if len(is.unsaved.files) == 0 {
		return
	}
	done, err := is.unsaved.flush(now)
	switch {
	case err != nil:
		s.notStored(err)
	case done:
		s.emit(Event{Kind: Stored, From: is.cfg.Directory, Names: is.cfg.Names})
	}
}

// notStored reports that the certificate in use is only in memory.
func (s *Source) notStored(err error) {
	is := s.acme
	s.counters[StoreFailed].Add(1)
	s.emit(Event{Kind: NotStored, From: is.cfg.Directory, Names: is.cfg.Names, Reason: StoreFailed, Err: err, Next: is.unsaved.next})
}

// backOff sets the time of the next order after a failure.
func (is *issuer) backOff(err error) {
	if is.closed { // no stranger is asked
		is.next = is.now().Add(saveAgain)
		return
	}
	is.wait = min(max(3*is.wait, firstWait), maxWait)
	wait := is.wait
	var ae *acme.Error
	if errors.As(err, &ae) {
		d, _ := acme.RateLimit(ae)
		wait = min(max(wait, d), maxWait)
	}
	is.next = is.now().Add(wait)
}
