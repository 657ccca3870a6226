package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	config "noonmark/internal/config/alert"
	"noonmark/internal/daemon"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
	"noonmark/internal/fleetview"
	"noonmark/internal/retry"
)

const (
	// every is how often the facts are gathered.
	every = 5 * time.Second
	// maxQueue is how many notices wait for a target at most. The oldest are dropped.
	maxQueue = 100
	// sendTimeout is how long one delivery may take.
	sendTimeout = 30 * time.Second
	// maxState is more than the file of the state has, octets.
	maxState = 4 << 20
)

// transport delivers a notice to a target.
type transport interface {
	send(ctx context.Context, n *Notice) error
}

// newTransport makes the transport of a target.
func newTransport(t *config.Target) (transport, error) {
	switch t.Type {
	case "webhook":
		return newWebhook(t)
	case "email":
		return newMail(t)
	case "syslog":
		return newSyslog(t)
	}
	return &command{t.Command}, nil
}

// savedState is the file of the state.
type savedState struct {
	engineState
	Queues map[string][]Notice `json:"queues"` // by target: what is not delivered yet
}

// Watcher is the task that gathers facts and decides, and the owner of the state.
type Watcher struct {
	path    string
	sources *Sources
	engine  *engine
	targets []*Sender
	every   time.Duration // between two looks
	log     *slog.Logger

	mu     sync.Mutex
	queues map[string][]Notice
	failed bool   // the state could not be written, and that was logged
	unread string // why file systems cannot be watched; empty: they can
}

// Sender is the task that delivers to one target.
type Sender struct {
	target *config.Target
	via    transport // nil: what it needs could not be read yet
	owner  *Watcher
	wake   chan struct{}
	log    *slog.Logger

	mu     sync.Mutex
	reason error // why the first notice is not delivered; nil: nothing waits
}

// New makes the tasks of a configuration. mono is CLOCK_MONOTONIC_RAW, ns.
func New(s *config.Settings, mono func() int64, log *slog.Logger) ([]daemon.Task, error) {
	w := &Watcher{path: s.State, sources: NewSources(s, mono), every: every, log: log, queues: map[string][]Notice{}}
	saved := readState(s.State, log)
	w.engine = newEngine(s.Host, s.Conditions, saved.engineState)
	tasks := []daemon.Task{w}
	if s.Fleet != "" {
		tasks = append(tasks, newFollower(s, w, daemon.RuntimeFile(fleetview.AlertName), log))
	}
	for i := range s.Alert {
		x := &Sender{target: &s.Alert[i], owner: w, wake: make(chan struct{}, 1), log: log}
		if q := saved.Queues[x.target.Name]; len(q) > 0 {
			w.queues[x.target.Name] = q
			x.wake <- struct{}{}
		}
		w.targets = append(w.targets, x)
		tasks = append(tasks, x)
	}
	return tasks, nil
}

// readState reads the state of the process before. One that cannot be used is set aside: what
// was sent may be sent again, which is better than no alerts.
func readState(path string, log *slog.Logger) (saved savedState) {
	b, _, err := durable.ReadFile(path, maxState)
	if err == nil {
		if err = json.Unmarshal(b, &saved); err == nil {
			return saved
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return savedState{}
	}
	aside := path + ".damaged"
	if failed := os.Rename(path, aside); failed != nil {
		aside = failed.Error()
	}
	log.Error("state of alerts cannot be used; alerts that were sent may be sent again", "error", err, "set_aside", aside)
	return savedState{}
}

// String names the task in logs.
func (w *Watcher) String() string { return "conditions" }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	t := time.NewTicker(w.every)
	defer t.Stop()
	for {
		w.step(w.sources.Gather())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// step judges facts, and queues what is to be reported. It is on the disc before it is
// sent, so that a restart neither loses nor repeats it.
func (w *Watcher) step(f *Facts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteDiscs(f.DiscsErr)
	notices, changed := w.engine.step(f)
	for i := range notices {
		n := &notices[i]
		w.log.Warn("alert", "status", n.Status, "condition", n.Condition, "instance", n.Instance, "summary", n.Summary)
		for _, t := range w.targets {
			if t.wants(n) {
				q := append(w.queues[t.target.Name], *n)
				if d := len(q) - maxQueue; d > 0 {
					w.log.Error("alerts are dropped, because the target takes none", "target", t.target.Name, "dropped", d)
					q = q[d:]
				}
				w.queues[t.target.Name] = q
			}
		}
	}
	if changed {
		w.save()
	}
	for _, t := range w.targets {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// noteDiscs notes which file systems cannot be watched, and logs a change. The caller holds mu.
func (w *Watcher) noteDiscs(err error) {
	was := w.unread
	if w.unread = ""; err != nil {
		w.unread = err.Error()
	}
	switch {
	case w.unread == was:
	case err != nil:
		w.log.Warn("file systems whose room is not watched", "error", err)
	default:
		w.log.Info("the room of all file systems is watched")
	}
}

// Waiting says what cannot be watched.
func (w *Watcher) Waiting() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unread == "" {
		return nil
	}
	return errors.New(w.unread)
}

// save writes the state. The caller holds mu.
func (w *Watcher) save() {
	b, err := json.MarshalIndent(savedState{w.engine.state, w.queues}, "", " ")
	if err == nil {
		err = durable.WriteFile(w.path, append(b, '\n'), 0o600, true)
	}
	if err != nil && !w.failed {
		w.log.Error("state of alerts cannot be kept; after a restart they are sent again", "error", err)
	}
	w.failed = err != nil
}

// first returns the notice that is to be delivered to a target, nil for none.
func (w *Watcher) first(target string) *Notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.queues[target]; len(q) > 0 {
		n := q[0]
		return &n
	}
	return nil
}

// delivered removes a notice from a target's queue.
func (w *Watcher) delivered(target string, n *Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[target]
	if i := slices.IndexFunc(q, func(x Notice) bool { return x.ID == n.ID && x.Status == n.Status }); i >= 0 {
		w.queues[target] = slices.Delete(slices.Clone(q), i, i+1)
		w.save()
	}
}

// wants reports whether a notice is for the target.
func (s *Sender) wants(n *Notice) bool {
	t := s.target
	return (len(t.Conditions) == 0 || slices.Contains(t.Conditions, n.Condition)) && (n.Status != Resolved || t.Recovery == nil || *t.Recovery)
}

// String names the task in logs.
func (s *Sender) String() string { return "alert " + s.target.Name }

// Waiting returns why a notice cannot be delivered.
func (s *Sender) Waiting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

func (s *Sender) waits(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = err
}

// Run delivers until ctx ends: one after the other, each until the target takes it. It
// fails while files that the target names cannot be used; other targets go on.
func (s *Sender) Run(ctx context.Context) (err error) {
	if s.via == nil {
		if s.via, err = newTransport(s.target); err != nil {
			s.via = nil // and no interface of a nil pointer
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
		back := retry.Backoff{}
		for ctx.Err() == nil {
			n := s.owner.first(s.target.Name)
			if n == nil {
				break
			}
			err := s.deliver(ctx, n)
			s.waits(err)
			if err == nil {
				s.owner.delivered(s.target.Name, n)
				back.Reset()
				continue
			}
			if attempt, log := back.Failed(); log {
				s.log.Warn("alert cannot be delivered", "target", s.target.Name, "error", err, "attempt", attempt)
			}
			retry.Sleep(ctx, back.Next())
		}
	}
}

func (s *Sender) deliver(ctx context.Context, n *Notice) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.via.send(ctx, n)
}

// ErrNotDelivered is the error of SendTest if a target did not take the notice. It is
// exitcode.ErrUnavailable.
var ErrNotDelivered = exitcode.With(exitcode.ErrUnavailable, errors.New("not every target takes messages"))

// SendTest sends a test notice to every target and writes the result of each, a line in the
// order of their names. The error is ErrNotDelivered, or nil.
func SendTest(ctx context.Context, s *config.Settings, w io.Writer) (err error) {
	results := testResults(ctx, s)
	for _, name := range slices.Sorted(maps.Keys(results)) {
		if failure := results[name]; failure != nil {
			err = ErrNotDelivered
			fmt.Fprintf(w, "%s: failed: %v\n", name, failure)
		} else {
			fmt.Fprintf(w, "%s: %s\n", name, deliveredText(s, name))
		}
	}
	return err
}

// deliveredText says what is known of a message that a target did not refuse.
func deliveredText(s *config.Settings, name string) string {
	for i := range s.Alert {
		if t := &s.Alert[i]; t.Name == name && t.Type == "syslog" && t.Transport == "udp" {
			return "sent; nobody refused it, and UDP confirms no delivery"
		}
	}
	return "delivered"
}

// testResults sends a test notice to every target, and returns the result of each by name.
func testResults(ctx context.Context, s *config.Settings) map[string]error {
	now := time.Now().UTC().Truncate(time.Second)
	n := &Notice{
		ID: fmt.Sprintf("%s/test/%d", s.Host, now.Unix()), Status: Test, Condition: Test, Host: s.Host, Since: now, Time: now,
		Summary: "this is a test of the alerts of " + s.Host, Figures: []Figure{},
	}
	results := map[string]error{}
	for i := range s.Alert {
		t := &s.Alert[i]
		via, err := newTransport(t)
		if err == nil {
			err = (&Sender{target: t, via: via}).deliver(ctx, n)
		}
		results[t.Name] = err
	}
	return results
}
