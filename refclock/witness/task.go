// Package witness asks servers on the network for the time and reports to the
// engine what package integrity concludes from their answers.
package witness

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
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
	Reference() integrity.Reference // the latest state
	Alarm(integrity.Alarm)          // the alarm from outside; the zero value ends it
	Confirm(time.Duration)          // the clock is within so much of true time
	Count(reason.Code)
}

// Task compares the clock with its witnesses for as long as it runs. If any of
// them is required, the engine must begin with the alarm reason.WitnessAwaited.
type Task struct {
	engine  Engine
	mono    func() int64
	slept   func() time.Duration
	log     *slog.Logger
	servers []Server

	witnesses *integrity.Witnesses
	begun     bool
	asOf      time.Duration   // result of slept when the verdicts began
	alarm     integrity.Alarm // the latest that was reported
	status    atomic.Pointer[[]integrity.WitnessStatus]
}

// New returns a Task. mono reads CLOCK_MONOTONIC_RAW, ns, which stands still while the
// machine sleeps; slept returns for how long it has slept in total.
func New(engine Engine, mono func() int64, slept func() time.Duration, log *slog.Logger, servers []Server) *Task {
	var list []integrity.WitnessConfig
	for _, s := range servers {
		list = append(list, s.WitnessConfig)
	}
	t := &Task{engine: engine, mono: mono, slept: slept, log: log, servers: servers, witnesses: integrity.NewWitnesses(list), asOf: slept()}
	t.publish()
	return t
}

// Status returns what is known of each witness. It is for any goroutine.
func (t *Task) Status() []integrity.WitnessStatus { return *t.status.Load() }

func (t *Task) publish() {
	s := t.witnesses.Status()
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
		if t.report(); t.alarm.Code == reason.WitnessAwaited {
			t.engine.Count(reason.WitnessAwaited)
		}
	}
	if now := t.slept(); now-t.asOf >= status.MinSleep {
		t.asOf = now
		t.witnesses.Forget()
		t.report()
		t.log.Info("witnesses are asked again, because the machine slept")
	}
	for i := range t.servers {
		if r := t.engine.Reference(); t.witnesses.Due(i, t.mono(), &r) {
			t.ask(ctx, i)
		}
	}
	t.report()
	t.publish()
}

// ask asks one witness and compares.
func (t *Task) ask(ctx context.Context, i int) {
	c := &t.servers[i]
	t.witnesses.Ask(i)
	a, err := c.Ask(ctx)
	now := t.mono()
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		n := t.witnesses.Unanswered(i, now)
		t.engine.Count(reason.WitnessSilent)
		if n&(n-1) == 0 && n <= 16 || n%64 == 0 {
			t.log.Warn("witness does not answer", "reason", reason.WitnessSilent.String(), "witness", c.Name, "error", err, "attempt", n)
		}
		return
	}
	r := t.engine.Reference()
	verdict, changed := t.witnesses.Answered(i, a, now, &r)
	level := slog.LevelInfo
	if verdict == integrity.Agrees {
		s := t.witnesses.Status()[i]
		t.engine.Confirm(time.Duration(math.Abs(s.OffsetNS)) + a.Error)
	}
	if verdict == integrity.Disagrees {
		t.engine.Count(reason.WitnessDisagrees)
		level = slog.LevelWarn
	}
	if changed {
		s := t.witnesses.Status()[i]
		t.log.Log(ctx, level, "witness "+verdict.String(), "witness", c.Name, "offset", time.Duration(s.OffsetNS), "error", a.Error, "max_offset", c.MaxOffset, "required", c.Required)
	}
}

// report passes an alarm on when it is another one.
func (t *Task) report() {
	if a := t.witnesses.Decide(); a != t.alarm {
		t.alarm = a
		t.engine.Alarm(a)
	}
}
