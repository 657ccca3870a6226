package main

import (
	"context"
	"log/slog"
	"time"

	"noonmark/internal/durable"
	"noonmark/internal/retry"
	"noonmark/server/nts"
)

const (
	// keyInterval is how often the cookie keys are looked at.
	keyInterval = 10 * time.Second
	// renewAgain is the time between two attempts to write a new secret.
	renewAgain = time.Minute
)

// keyKeeper is the task that rotates the cookie keys, replaces the secret that they
// are derived from, and reads them again when their file changes.
type keyKeeper struct {
	ring  *nts.Ring
	file  *durable.Watch
	trust func() error // why the system clock may be wrong, nil if it is right
	log   *slog.Logger

	failed retry.Backoff // attempts to renew the secret
	next   time.Time     // no attempt before
}

func newKeyKeeper(ring *nts.Ring, path string, trust func() error, log *slog.Logger) *keyKeeper {
	return &keyKeeper{ring: ring, file: durable.NewWatch(path), trust: trust, log: log}
}

// Run checks the keys until ctx ends.
func (k *keyKeeper) Run(ctx context.Context) error {
	t := time.NewTicker(keyInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			k.look(time.Now())
		}
	}
}

func (k *keyKeeper) look(now time.Time) {
	if k.file.Changed() {
		if err := k.ring.Reload(now); err != nil {
			k.log.Error("cookie keys not reloaded, the previous ones stay in use", "error", err)
		} else {
			k.log.Info("cookie keys reloaded", "ring", k.ring.String())
		}
	}
	if k.ring.Rotate(now) {
		k.log.Info("cookie keys rotated", "ring", k.ring.String(), "next", k.ring.NextRotation(now).Format(time.RFC3339))
	}
	if k.ring.RenewalDue(now) {
		k.renew(now)
	}
}

// renew replaces the secret. A secret that was removed by a wrong clock would take
// valid cookies with it, so it waits for a clock that is right.
func (k *keyKeeper) renew(now time.Time) {
	if now.Before(k.next) && k.next.Sub(now) <= renewAgain {
		return
	}
	err := k.trust()
	var done nts.Renewal
	if err == nil {
		done, err = k.ring.Renew(now)
	}
	if err != nil {
		k.next = now.Add(renewAgain)
		if attempt, log := k.failed.Failed(); log {
			k.log.Warn("cookie secret not renewed, the old one seals on", "error", err, "attempt", attempt)
		}
		return
	}
	k.failed.Reset()
	if done.Drawn {
		k.log.Info("new cookie secret drawn", "begins", done.Begins.Format(time.RFC3339))
	}
	if done.Removed > 0 {
		k.log.Info("old cookie secrets removed", "number", done.Removed)
	}
}

// String names the task in logs.
func (k *keyKeeper) String() string { return "cookie keys" }
