package nts

import (
	"errors"
	"fmt"
	"time"
)

// NeverRenew is a RingConfig.Renew: the ring draws no root secret itself.
const NeverRenew time.Duration = -1

// ParseRenew reads a RingConfig.Renew as operators write it: "auto", "never", or how long a
// root secret seals, such as "192h".
func ParseRenew(text string) (time.Duration, error) {
	switch text {
	case "auto":
		return 0, nil
	case "never":
		return NeverRenew, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("not a positive duration")
	}
	return d, err
}

// maxRenewals limits how many root secrets may be in use at once by their schedule;
// some of maxRoots are for those that an operator adds.
const maxRenewals = 12

// withRenewal checks Renew and Ahead and sets their defaults.
func (c RingConfig) withRenewal() (RingConfig, error) {
	if c.Renew == 0 {
		c.Renew = time.Duration(c.Keep) * c.Rotate
	}
	if c.Ahead == 0 {
		c.Ahead = DefaultAhead
	}
	if c.Renew == NeverRenew {
		return c, nil
	}
	if least := max(c.Rotate, c.life()/maxRenewals); c.Renew < least || c.Renew%time.Second != 0 {
		return c, fmt.Errorf("a new root secret every %v is not a whole number of seconds of at least %v", c.Renew, least)
	}
	if c.Ahead < 0 || c.Ahead > c.Renew {
		return c, fmt.Errorf("a new root secret %v ahead is not from 0 to the %v that it seals", c.Ahead, c.Renew)
	}
	return c, nil
}

// life is how long after its end a root secret may still be needed.
func (c RingConfig) life() time.Duration { return time.Duration(c.Keep+1) * c.Rotate }

// Renewal is what Renew has changed.
type Renewal struct {
	Drawn   bool      // there is a new root secret
	Begins  time.Time // when it begins to seal
	Removed int       // root secrets that no valid cookie needs any more
}

// RenewalDue reports whether Renew has something to do.
func (r *Ring) RenewalDue(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, due := r.cfg.due(r.roots, now)
	return due || len(r.cfg.needed(r.roots, now)) < len(r.roots)
}

// Renew draws a new root secret when the schedule asks for it, and removes those
// that are no longer needed. Cookies stay valid as long as without it. Call it only
// with a clock that is known to be right: a secret that was removed by mistake
// takes its cookies with it. Servers that share the file may all call it: they find
// the secret that one of them has drawn.
func (r *Ring) Renew(now time.Time) (Renewal, error) {
	var done Renewal
	if !r.RenewalDue(now) {
		return done, nil
	}
	err := r.change(now, func(old []root) ([]root, error) {
		roots := r.cfg.needed(old, now)
		done.Removed = len(old) - len(roots)
		since, due := r.cfg.due(roots, now)
		if !due && done.Removed == 0 {
			return nil, nil // another server has done it
		}
		if !due {
			return roots, nil
		}
		n := newRoot(since)
		done.Drawn, done.Begins = true, time.Unix(n.since, 0).UTC()
		return appendRoot(roots, n)
	})
	if err != nil {
		return Renewal{}, err
	}
	return done, nil
}

// due returns when the next root secret is to begin, and whether it is to be drawn
// now. A clock earlier than the first secret is wrong: nothing is due.
func (c RingConfig) due(roots []root, now time.Time) (since time.Time, due bool) {
	i := sealingAt(roots, now)
	if c.Renew == NeverRenew || roots[i].since > now.Unix() {
		return time.Time{}, false
	}
	since = time.Unix(roots[i].since, 0).Add(c.Renew).UTC()
	if i+1 < len(roots) && roots[i+1].since <= max(since.Unix(), now.Add(c.Ahead).Unix()) {
		return since, false // it is there already
	}
	if now.Before(since.Add(-c.Ahead)) {
		return since, false
	}
	if earliest := now.Add(c.Ahead); since.Before(earliest) {
		since = earliest
	}
	return since, true
}

// needed returns the roots whose cookies may still be accepted.
func (c RingConfig) needed(roots []root, now time.Time) (needed []root) {
	for i, rt := range roots {
		if i+1 == len(roots) || roots[i+1].since >= now.Add(-c.life()).Unix() {
			needed = append(needed, rt)
		}
	}
	return needed
}

// appendRoot adds a root in place of those that were to begin later.
func appendRoot(roots []root, n root) ([]root, error) {
	var all []root
	for _, rt := range roots {
		if rt.since < n.since {
			all = append(all, rt)
		}
	}
	if len(all) >= maxRoots {
		return nil, fmt.Errorf("%w: it already has %d roots", ErrRingFile, len(all))
	}
	return append(all, n), nil
}

// NewRoot makes a new root secret that seals cookies from since on. Cookies of
// earlier roots stay valid as long as before. Roots whose cookies have all expired
// are removed from the file. A since in the future leaves time to copy the file to
// other servers; roots that were to begin later than that are removed. Secrets
// begin at whole seconds: NewRoot returns when this one does, which is at least a
// second after the last root that has begun.
func (r *Ring) NewRoot(since, now time.Time) (begins time.Time, err error) {
	n := newRoot(since)
	err = r.change(now, func(old []root) ([]root, error) {
		if now.Unix() < old[0].since {
			return nil, fmt.Errorf("the clock reads %s, before the first secret began at %s: set the clock first",
				now.UTC().Format(time.RFC3339), time.Unix(old[0].since, 0).UTC().Format(time.RFC3339))
		}
		for _, rt := range old {
			if rt.since <= now.Unix() { // it may have sealed
				n.since = max(n.since, rt.since+1)
			}
		}
		return appendRoot(r.cfg.needed(old, now), n)
	})
	return time.Unix(n.since, 0).UTC(), err
}

// SecretInfo describes one root secret without showing it.
type SecretInfo struct {
	Since    time.Time // it seals from then on
	Until    time.Time // until its successor begins, or by the schedule; zero: there is no schedule
	Accepted time.Time // its last cookie is accepted until then; zero if Until is
	Sealing  bool
}

// Overdue reports whether the secret seals although it should have been replaced.
func (s SecretInfo) Overdue(now time.Time) bool {
	return s.Sealing && !s.Until.IsZero() && now.After(s.Until)
}

// Secrets returns the root secrets in the order of their beginning.
func (r *Ring) Secrets(now time.Time) []SecretInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]SecretInfo, len(r.roots))
	sealing := sealingAt(r.roots, now)
	for i, rt := range r.roots {
		x := SecretInfo{Since: time.Unix(rt.since, 0).UTC(), Sealing: i == sealing}
		switch {
		case i+1 < len(r.roots):
			x.Until = time.Unix(r.roots[i+1].since, 0).UTC()
		case r.cfg.Renew != NeverRenew:
			x.Until = x.Since.Add(r.cfg.Renew)
		}
		if !x.Until.IsZero() {
			last := r.period(x.Until.Add(-time.Second))
			x.Accepted = time.Unix((last+int64(r.cfg.Keep))*int64(r.cfg.Rotate/time.Second), 0).UTC()
		}
		list[i] = x
	}
	return list
}
