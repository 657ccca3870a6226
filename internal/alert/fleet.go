package alert

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"noonmark/internal/config"
	alertconfig "noonmark/internal/config/alert"
	"noonmark/internal/durable"
	"noonmark/internal/retry"
	"noonmark/refclock/report"
)

// follower is the task that takes over the conditions which a fleet sets in a file of its
// agent, and reads the file again when it changes.
type follower struct {
	settings  *alertconfig.Settings
	watcher   *Watcher
	watch     *durable.Watch
	published string // file for the agent; empty: none
	log       *slog.Logger
	failed    retry.Backoff
	now       atomic.Pointer[report.FragmentDetail]
	refusals  uint64
}

func newFollower(s *alertconfig.Settings, w *Watcher, published string, log *slog.Logger) *follower {
	f := &follower{settings: s, watcher: w, watch: durable.NewWatch(s.Fleet), published: published, log: log}
	f.read()
	return f
}

// String names the task in logs.
func (f *follower) String() string { return "fleet" }

// Waiting says why the file is refused.
func (f *follower) Waiting() error {
	if why := f.now.Load().Refused; why != "" {
		return errors.New(why)
	}
	return nil
}

// Run follows the file until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	t := time.NewTicker(every)
	defer t.Stop()
	if f.published != "" {
		defer os.Remove(f.published)
	}
	for {
		f.publish()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if f.watch.Changed() {
			f.read()
		}
	}
}

// read takes the file over, or refuses it.
func (f *follower) read() {
	all, err := f.settings.Combine()
	d := &report.FragmentDetail{Path: f.settings.Fleet, Content: all.Content, Overridden: all.Overridden}
	if err != nil {
		f.refusals++
		d.Refused = config.FragmentRefusal(err)
		if n, log := f.failed.Failed(); log {
			f.log.Warn("file of the fleet refused", "error", d.Refused, "attempt", n)
		}
	} else {
		f.failed.Reset()
		f.log.Info("file of the fleet taken over", "file", d.Path, "content", d.Content, "overridden", len(d.Overridden))
	}
	d.Refusals = f.refusals
	f.now.Store(d)
	f.watcher.setLimits(all.Conditions)
}

// publish says what is in force. It is written again and again, so that its age shows that the
// process runs.
func (f *follower) publish() {
	if f.published == "" {
		return
	}
	b, err := json.Marshal(f.now.Load())
	if err == nil {
		err = durable.Publish(f.published, append(b, '\n'), 0o644)
	}
	if err != nil {
		f.log.Debug("what is taken from the fleet is not published", "error", err)
	}
}

// setLimits changes the limits of the conditions.
func (w *Watcher) setLimits(c alertconfig.Conditions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.engine.limits = c
}
