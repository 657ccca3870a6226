package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"noonmark/internal/durable"
	"noonmark/server/mac"
)

// symmetricKeys is the task that reads the symmetric keys, and reads them again
// when a file changes, or while a file cannot be used.
type symmetricKeys struct {
	set func(*mac.Keys)
	log *slog.Logger

	mu      sync.Mutex // guards the next fields
	source  mac.Source
	files   *durable.Watch
	inUse   *mac.Loaded
	problem string // why not all files are in use; empty: they are
}

func newSymmetricKeys(source mac.Source, set func(*mac.Keys), log *slog.Logger) *symmetricKeys {
	return &symmetricKeys{set: set, log: log, source: source, files: durable.NewWatch(source.Paths()...)}
}

// Run looks at the files until ctx ends.
func (k *symmetricKeys) Run(ctx context.Context) error {
	t := time.NewTicker(keyInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			k.look()
		}
	}
}

// look reads the keys again if there is a reason to.
func (k *symmetricKeys) look() {
	k.mu.Lock()
	changed := k.files.Changed() || k.problem != ""
	k.mu.Unlock()
	if changed {
		k.load()
	}
}

// replace uses another source, after a reload of the configuration.
func (k *symmetricKeys) replace(source mac.Source) {
	k.mu.Lock()
	k.source, k.files, k.problem = source, durable.NewWatch(source.Paths()...), ""
	k.mu.Unlock()
	k.load()
}

// load reads all keys. A file that cannot be used keeps the keys that it had.
func (k *symmetricKeys) load() {
	k.mu.Lock()
	defer k.mu.Unlock()
	loaded, err := k.source.Load(k.inUse)
	keys := loaded.Keys
	k.inUse = loaded
	k.set(keys)
	switch {
	case err == nil && (keys.Len() > 0 || k.problem != ""):
		k.log.Info("symmetric keys loaded", "keys", keys.Len())
	case err != nil && err.Error() != k.problem:
		k.log.Error("symmetric keys not loaded, those of before stay in use", "error", err, "keys", keys.Len())
	}
	again := k.problem != ""
	if k.problem = ""; err != nil {
		k.problem = err.Error()
		if again {
			return
		}
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

// String names the task in logs.
func (k *symmetricKeys) String() string { return "symmetric keys" }
