// Package witness asks servers on the network for the time and reports to the
// engine what package integrity concludes from their answers.
package witness

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"noonmark/refclock/integrity"
	"noonmark/refclock/status"
)

// Server is a witness and the way to ask it.
type Server struct {
	integrity.WitnessConfig
	Ask func(context.Context) (integrity.Answer, error)
}

// Engine is the engine as a Task sees it. Its methods may be called by any
// goroutine.
type Engine interface {
	Conclusions
	Reference() integrity.Reference // the latest state
}

// Tap sees each reading before a conclusion is drawn from it. It does not wait.
type Tap interface{ Reading(*Reading) }

// Config describes a Task.
type Config struct {
	Engine Engine
	Mono   func() int64         // CLOCK_MONOTONIC_RAW, ns, which stands still while the machine sleeps
	Slept  func() time.Duration // for how long the machine has slept in total
	Tap    Tap                  // may be nil
	Log    *slog.Logger
}

// Task compares the clock with its witnesses for as long as it runs. If any of
// them is required, the engine must begin with the alarm reason.WitnessAwaited.
type Task struct {
	cfg     Config
	servers []Server

	judge  *Judge
	begun  bool
	asOf   time.Duration // result of Slept when the verdicts began
	status atomic.Pointer[[]integrity.WitnessStatus]
}

// New returns a Task.
func New(cfg Config, servers []Server) *Task {
	var list []integrity.WitnessConfig
	for _, s := range servers {
		list = append(list, s.WitnessConfig)
	}
	t := &Task{cfg: cfg, servers: servers, judge: NewJudge(list, cfg.Engine, cfg.Log), asOf: cfg.Slept()}
	t.publish()
	return t
}

// Status returns what is known of each witness. It is for any goroutine.
func (t *Task) Status() []integrity.WitnessStatus { return *t.status.Load() }

func (t *Task) publish() {
	s := t.judge.witnesses.Status()
	t.status.Store(&s)
}

// Run asks until ctx ends.
func (t *Task) Run(ctx context.Context) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		t.Tick(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// String names the task in logs.
func (t *Task) String() string { return "witnesses" }

// Tick asks those whose turn it is, and draws the conclusions. It is to be called
// about once a second.
func (t *Task) Tick(ctx context.Context) {
	if !t.begun {
		t.begun = true
		t.conclude()
	}
	if now := t.cfg.Slept(); now-t.asOf >= status.MinSleep {
		t.asOf = now
		t.take(&Reading{Kind: Forgotten, Mono: t.cfg.Mono()}, nil)
		t.conclude()
	}
	asked := false
	for i := range t.servers {
		if r := t.cfg.Engine.Reference(); t.judge.witnesses.Due(i, t.cfg.Mono(), &r) {
			asked = t.ask(ctx, i) || asked
		}
	}
	if asked {
		t.conclude()
	}
	t.publish()
}

// ask asks one witness and compares. It reports false if ctx ended meanwhile.
func (t *Task) ask(ctx context.Context, i int) bool {
	c := &t.servers[i]
	a, err := c.Ask(ctx)
	now := t.cfg.Mono()
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		t.take(&Reading{Kind: Silent, Mono: now, Name: c.Name, Err: err}, nil)
		return true
	}
	clock := t.cfg.Engine.Reference()
	t.take(&Reading{Kind: Answered, Mono: now, Name: c.Name, Answer: a, Of: clock.Snapshot.Mono}, &clock)
	return true
}

// conclude ends a round.
func (t *Task) conclude() {
	t.take(&Reading{Kind: Concluded, Mono: t.cfg.Mono(), Status: t.judge.witnesses.Status(), Confirmed: t.judge.witnesses.Confirmed()}, nil)
}

func (t *Task) take(r *Reading, clock *integrity.Reference) {
	if t.cfg.Tap != nil {
		t.cfg.Tap.Reading(r)
	}
	t.judge.Take(r, clock)
}
