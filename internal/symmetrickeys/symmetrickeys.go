// Package symmetrickeys keeps the symmetric keys of a server of time those of their files.
package symmetrickeys

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"noonmark/internal/durable"
	"noonmark/internal/liveness"
	"noonmark/server/mac"
)

// interval is how often the files are looked at.
const interval = 10 * time.Second

// stuckAfter is longer than it takes to read the files.
const stuckAfter = time.Minute

// Keeper is the task that reads the symmetric keys, and reads them again
// when a file changes, or while a file cannot be used.
type Keeper struct {
	set func(*mac.Keys)
	log *slog.Logger

	looking liveness.Work
	waits   atomic.Pointer[error] // why not all files are in use; nil: they are

	mu     sync.Mutex // guards the next fields
	source mac.Source
	files  *durable.Watch
	inUse  *mac.Loaded
}

// New returns the task for the files of source. set takes the keys that are in force, each time
// that they are read. Nothing is read before Load.
func New(source mac.Source, set func(*mac.Keys), log *slog.Logger) *Keeper {
	return &Keeper{set: set, log: log, source: source, files: durable.NewWatch(source.Paths()...)}
}

// Run looks at the files until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			k.looking.Begin()
			k.look()
			k.looking.End()
		}
	}
}

// Hanging returns an error if a look at the files does not end.
func (k *Keeper) Hanging() error { return k.looking.Stuck(stuckAfter) }

// look reads the keys again if there is a reason to.
func (k *Keeper) look() {
	k.mu.Lock()
	changed := k.files.Changed() || k.Waiting() != nil
	k.mu.Unlock()
	if changed {
		k.Load()
	}
}

// Replace uses another source, after a reload of the configuration.
func (k *Keeper) Replace(source mac.Source) {
	k.mu.Lock()
	k.source, k.files = source, durable.NewWatch(source.Paths()...)
	k.waits.Store(nil)
	k.mu.Unlock()
	k.Load()
}

// Load reads all keys. A file that cannot be used keeps the keys that it had.
func (k *Keeper) Load() {
	k.mu.Lock()
	defer k.mu.Unlock()
	loaded, err := k.source.Load(k.inUse)
	keys := loaded.Keys
	k.inUse = loaded
	k.set(keys)
	was := k.Waiting()
	if k.waits.Store(nil); err != nil {
		k.waits.Store(&err)
	}
	switch {
	case err == nil && (keys.Len() > 0 || was != nil):
		k.log.Info("symmetric keys loaded", "keys", keys.Len())
	case err != nil && (was == nil || err.Error() != was.Error()):
		k.log.Error("symmetric keys not loaded, those of before stay in use", "error", err, "keys", keys.Len())
	}
	if err != nil && was != nil {
		return
	}
	for _, w := range keys.Weak() {
		k.log.Warn("symmetric key can be attacked: it is short, or of type MD5 or SHA1", "id", w.ID(), "type", w.Type().String())
	}
	for _, path := range k.source.Paths() {
		if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&0o004 != 0 {
			k.log.Warn("every user of this machine can read the symmetric keys: chmod 640", "file", path)
		}
	}
}

// Waiting returns why a file cannot be used, nil if all are. Keys that were read before
// stay in use.
func (k *Keeper) Waiting() error {
	if why := k.waits.Load(); why != nil {
		return *why
	}
	return nil
}

// String names the task in logs.
func (k *Keeper) String() string { return "symmetric keys" }
