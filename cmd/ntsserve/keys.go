package main

import (
	"context"
	"log/slog"
	"time"

	"noonmark/internal/durable"
	"noonmark/server/nts"
)

// keyInterval is how often the cookie keys are looked at.
const keyInterval = 10 * time.Second

// keyKeeper is the task that rotates the cookie keys, and reads them again when
// their file changes.
type keyKeeper struct {
	ring *nts.Ring
	file *durable.Watch
	log  *slog.Logger
}

func newKeyKeeper(ring *nts.Ring, path string, log *slog.Logger) *keyKeeper {
	return &keyKeeper{ring, durable.NewWatch(path), log}
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
}

// String names the task in logs.
func (k *keyKeeper) String() string { return "cookie keys" }
