// Package steer connects a clock with the discipline that steers it. It applies
// what the discipline decides and reports to the discipline what happens to the
// clock.
package steer

import (
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
)

// Loop is a clock and its discipline. It is for one goroutine.
type Loop struct {
	Clock   *clock.Steered
	Control *discipline.Controller // nil until the first clock was opened

	cfg     discipline.Config
	learned discipline.Learned
}

// New returns a loop. learned is what an earlier run has learned of the
// oscillator, if OK.
func New(c *clock.Steered, cfg discipline.Config, learned discipline.Learned) *Loop {
	return &Loop{Clock: c, cfg: cfg, learned: learned}
}

// Act applies an Action: first the step, then the frequency. It returns what
// happened to the clock, as Events does.
func (l *Loop) Act(a discipline.Action) []clock.Event {
	var all []clock.Event
	if a.Step != 0 && l.Clock.Available() {
		l.Clock.Step(a.Step)
		all = l.Events()
	}
	if l.Clock.Available() {
		l.Clock.Request(a.FreqPPB)
		all = append(all, l.Events()...)
	}
	return all
}

// Events reports to the discipline what has happened to the clock since the last
// call, and returns it for the owner to count, log and publish.
func (l *Loop) Events() []clock.Event {
	all := l.Clock.Events()
	for _, e := range all {
		switch e.Kind {
		case clock.Opened:
			if e.First || e.Other {
				l.control(e)
			}
		case clock.Moved, clock.Stepped:
			l.Control.Stepped(e.Mono, e.By)
		case clock.StepFailed:
			l.Control.Stepped(e.Mono, 0)
		case clock.Allowed:
			l.Control.Stepped(e.Mono, 1) // meanwhile it did not run as requested
		}
	}
	return all
}

// control makes the discipline of a clock that was opened for the first time, or
// is another device than before.
func (l *Loop) control(e clock.Event) {
	cfg := l.cfg
	if e.MaxPPB > 0 && (cfg.MaxFreqPPB == 0 || e.MaxPPB < cfg.MaxFreqPPB) {
		cfg.MaxFreqPPB = e.MaxPPB
	}
	l.Control = discipline.New(cfg)
	if e.First {
		l.Control.Import(l.learned)
	}
}
