package refclock

import (
	"errors"
	"time"

	"noonmark/phc"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// act does what the discipline wants: first step, then frequency.
func (e *Engine) act(a discipline.Action) {
	if e.clock == nil {
		return
	}
	if a.Step != 0 {
		e.step(a.Step)
	}
	if e.clock == nil || a.FreqPPB == e.line.cmdPPB && !e.denied {
		return
	}
	e.steer(a.FreqPPB)
}

// steer sets the correction and tells the line what is in force.
func (e *Engine) steer(ppb float64) {
	if e.denied && e.cfg.Mono() < e.retryAt {
		return
	}
	err := e.clock.AdjFreq(ppb)
	now := e.cfg.Mono()
	if err != nil && !errors.Is(err, phc.ErrFreqRange) {
		if e.lost(err) {
			return
		}
		e.denied = true
		e.pause(now)
		e.refuse(ClockDenied, err)
		return
	}
	e.denied = false
	if got, err := e.clock.FreqPPB(); err == nil { // the device rounds
		ppb = got
	}
	e.steerNS += e.line.cmdPPB * float64(now-e.steerAt) * 1e-9
	e.steerAt = now
	e.line.command(now, ppb)
	if e.cfg.Kind == status.SystemClock { // then it is CLOCK_REALTIME that runs so
		e.real.command(now, ppb)
	}
}

// step makes a step. Readers see: not usable, then the new line in a new
// epoch; never the old line as valid after the step.
func (e *Engine) step(d time.Duration) {
	e.settling = true
	e.publish()
	err := e.clock.Step(d)
	now := e.cfg.Mono()
	if err != nil {
		e.settling = false
		e.ctl.Stepped(now, 0)
		if !e.lost(err) {
			e.refuse(ClockStep, err, "step", d)
		}
		return
	}
	e.stepped(now)
	e.ctl.Stepped(now, d)
	if e.cfg.Stepped != nil {
		e.cfg.Stepped(d)
	}
	e.log.Info("clock stepped", "step", d, "epoch", e.epoch)
	e.settling = false
}

// stepped begins a new epoch: stamps of before don't compare any more.
func (e *Engine) stepped(now int64) {
	e.stepMono = now
	e.epoch++
	e.saw.gap()
	e.drift.clear()
	if e.cfg.Kind == status.SystemClock {
		e.real = line{}
	}
	x, err := e.clock.Cross()
	if err != nil {
		e.lost(err)
		return
	}
	e.line.reset(x, e.line.cmdPPB, true)
	e.follow(x)
}
