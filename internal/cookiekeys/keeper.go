package cookiekeys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"noonmark/internal/durable"
	"noonmark/internal/liveness"
	"noonmark/internal/retry"
	"noonmark/server/nts"
)

const (
	// interval is how often the cookie keys are looked at.
	interval = 10 * time.Second
	// renewAgain is the time between two attempts to write a new secret.
	renewAgain = time.Minute
	// stuckAfter is longer than any look takes: a few small files are read or written.
	stuckAfter = time.Minute
)

// Config describes a Keeper.
type Config struct {
	Path  string // of the key file
	Place string // of the key of the configuration that names it, for errors
	Ring  nts.RingConfig
	// Opened takes the ring, once: when the file can be used for the first time.
	Opened func(*nts.Ring)
	// Trust says why the system clock may be wrong, nil if it is right: a secret is
	// replaced only then.
	Trust func() error
	Log   *slog.Logger
}

// Keeper is the task that opens the cookie keys, rotates them, replaces the secret
// that they are derived from, and reads them again when their file changes. A file
// that cannot be used is opened again later, and stays as it is.
type Keeper struct {
	cfg    Config
	ready  chan struct{} // of the next or present run
	opened chan struct{}
	ring   atomic.Pointer[nts.Ring] // nil: the file could not be used yet
	broken atomic.Pointer[error]    // why the file cannot be used now; nil: it can

	opening sync.Mutex     // serialises Open
	file    *durable.Watch // for the goroutine of Run, once ring is set

	looking liveness.Work

	failed retry.Backoff // attempts to renew the secret
	next   time.Time     // no attempt before
}

// NewKeeper returns the task. Nothing is opened before Open or Run.
func NewKeeper(cfg Config) *Keeper { return &Keeper{cfg: cfg, opened: make(chan struct{}, 1)} }

// Open opens the key file, or makes it if there is none, unless that has been done. The
// error names the place in the configuration and what to do.
func (k *Keeper) Open(now time.Time) error {
	k.opening.Lock()
	defer k.opening.Unlock()
	if k.ring.Load() != nil {
		return nil
	}
	file := durable.NewWatch(k.cfg.Path)
	ring, err := nts.OpenRing(k.cfg.Path, k.cfg.Ring, now)
	if err == nil && file.Changed() { // it was made, or changed while it was read
		err = ring.Reload(now)
	}
	if k.note(err) != nil {
		return k.Missing()
	}
	k.file = file
	k.cfg.Opened(ring)
	k.ring.Store(ring)
	k.opened <- struct{}{}
	return nil
}

// note notes whether the file can be used.
func (k *Keeper) note(err error) error {
	if err == nil {
		k.broken.Store(nil)
		return nil
	}
	err = fmt.Errorf("%s: %w; %s", k.cfg.Place, err, Remedy(err))
	k.broken.Store(&err)
	return err
}

// Remedy says what to do about a key file that cannot be used.
func Remedy(err error) string {
	switch {
	case errors.Is(err, nts.ErrRingFile):
		return "repair or restore it; or delete it and restart ntsserve: clients then exchange keys again"
	case errors.Is(err, fs.ErrPermission):
		return "file and folder must belong to the user that ntsserve runs as, and each folder above must be open to that user"
	case errors.Is(err, fs.ErrNotExist):
		return "restore it; if its folder is missing, make that for the user that ntsserve runs as (StateDirectory does), or set keys.file"
	}
	return "remove what the error names, such as a full disc"
}

// Ring returns the cookie keys, nil until the file could be used.
func (k *Keeper) Ring() *nts.Ring { return k.ring.Load() }

// Opened receives once the cookie keys are there, for those who wait for them.
func (k *Keeper) Opened() <-chan struct{} { return k.opened }

// Missing returns why there are no cookie keys, nil if there are.
func (k *Keeper) Missing() error {
	if k.ring.Load() != nil {
		return nil
	}
	if why := k.broken.Load(); why != nil {
		return *why
	}
	return errNotOpened
}

var errNotOpened = errors.New("the cookie keys are not opened yet")

// Waiting returns why the file cannot be used. Keys that were read before stay in use.
func (k *Keeper) Waiting() error {
	if why := k.broken.Load(); why != nil {
		return *why
	}
	return nil
}

// Ready returns a channel that is closed when the next run has the keys.
func (k *Keeper) Ready() <-chan struct{} {
	k.ready = make(chan struct{})
	return k.ready
}

// Reload reads the file again, or opens it.
func (k *Keeper) Reload(now time.Time) error {
	if err := k.Open(now); err != nil {
		return err
	}
	return k.note(k.ring.Load().Reload(now))
}

// Run opens the keys and checks them until ctx ends. The error is that of Open.
func (k *Keeper) Run(ctx context.Context) error {
	if err := k.Open(time.Now()); err != nil {
		return err
	}
	if k.ready != nil {
		close(k.ready)
		k.ready = nil
	}
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			k.looking.Begin()
			k.look(time.Now())
			k.looking.End()
		}
	}
}

// Hanging returns an error if a look at the keys does not end.
func (k *Keeper) Hanging() error { return k.looking.Stuck(stuckAfter) }

func (k *Keeper) look(now time.Time) {
	ring := k.ring.Load()
	if changed := k.file.Changed(); changed || k.Waiting() != nil {
		switch err := k.note(ring.Reload(now)); {
		case err == nil:
			k.cfg.Log.Info("cookie keys reloaded", "ring", ring.String())
		case changed:
			k.cfg.Log.Error("cookie keys not reloaded, the previous ones stay in use", "error", err)
		}
	}
	if ring.Rotate(now) {
		k.cfg.Log.Info("cookie keys rotated", "ring", ring.String(), "next", ring.NextRotation(now).Format(time.RFC3339))
	}
	if ring.RenewalDue(now) {
		k.renew(now)
	}
}

// renew replaces the secret. A secret that was removed by a wrong clock would take
// valid cookies with it, so it waits for a clock that is right.
func (k *Keeper) renew(now time.Time) {
	if now.Before(k.next) && k.next.Sub(now) <= renewAgain {
		return
	}
	err := k.cfg.Trust()
	var done nts.Renewal
	if err == nil {
		done, err = k.ring.Load().Renew(now)
	}
	if err != nil {
		k.next = now.Add(renewAgain)
		if attempt, log := k.failed.Failed(); log {
			k.cfg.Log.Warn("cookie secret not renewed, the old one seals on", "error", err, "attempt", attempt)
		}
		return
	}
	k.failed.Reset()
	if done.Drawn {
		k.cfg.Log.Info("new cookie secret drawn", "begins", done.Begins.Format(time.RFC3339))
	}
	if done.Removed > 0 {
		k.cfg.Log.Info("old cookie secrets removed", "number", done.Removed)
	}
}

// String names the task in logs.
func (k *Keeper) String() string { return "cookie keys" }
