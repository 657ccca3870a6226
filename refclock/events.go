package refclock

import (
	"context"
	"log/slog"

	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
)

// act applies what the discipline decided.
func (e *Engine) act(a discipline.Action) { e.happened(e.loop.Act(a)) }

// happened counts, logs and publishes what happened to the clock.
func (e *Engine) happened(events []clock.Event) {
	for _, ev := range events {
		switch ev.Kind {
		case clock.Opened:
			e.opened(ev)
		case clock.OpenFailed, clock.ReadFailed, clock.Denied:
			e.refuse(ev.Code, ev.Err)
		case clock.Lost:
			e.refuse(ev.Code, ev.Err)
			e.publish()
		case clock.Allowed:
			e.log.Info("clock may be adjusted", "clock", e.cfg.ClockName)
		case clock.Stepped:
			e.discontinuity(ev)
			e.log.Info("clock stepped", "step", ev.By, "generation", e.loop.Clock.View(ev.Mono).Generation)
		case clock.StepFailed:
			if ev.Code != reason.None {
				e.refuse(ev.Code, ev.Err, "step", ev.By)
			}
		case clock.Moved:
			switch ev.Code {
			case reason.ClockForeign:
				e.refuse(ev.Code, nil, "step", ev.By)
			case reason.ClockSlept:
				e.refuse(ev.Code, nil, "for", ev.By)
			}
			e.discontinuity(ev)
		}
	}
}

// opened notes that a clock was opened.
func (e *Engine) opened(ev clock.Event) {
	level := slog.LevelInfo
	if !e.loop.Clock.Adjustable() { // it is opened again and again until it may be adjusted
		level = slog.LevelDebug
	}
	e.log.Log(context.Background(), level, "clock opened", "clock", e.cfg.ClockName, "max_freq_ppb", ev.MaxPPB, "freq_ppb", ev.FreqPPB, "read_width", ev.Width)
	if ev.Other {
		e.learned = discipline.Learned{}
	}
}

// discontinuity forgets what does not compare across a step of the clock.
func (e *Engine) discontinuity(ev clock.Event) {
	e.quant.Gap()
	e.integrity.Break()
	if e.cfg.Stepped != nil {
		e.cfg.Stepped(ev.By)
	}
}
