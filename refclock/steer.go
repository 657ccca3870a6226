package refclock

import (
	"errors"
	"io/fs"
	"time"

	"noonmark/phc"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
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
	if e.clock == nil {
		return
	}
	c := e.owed.due(e.cfg.Mono())
	if a.FreqPPB == e.owed.wish && c == 0 && !e.denied {
		return
	}
	e.steer(a.FreqPPB, c)
}

// steer sets the correction, and what is owed of earlier ones, and tells the
// line what is in force.
func (e *Engine) steer(wish, more float64) {
	if e.denied && !e.again() {
		return
	}
	ppb := wish + more
	err := e.clock.AdjFreq(ppb)
	now := e.cfg.Mono()
	if err != nil && !errors.Is(err, phc.ErrFreqRange) {
		if e.lost(err) {
			return
		}
		e.deny(now, err)
		return
	}
	if e.denied {
		e.denied, e.backoff = false, 0
		e.log.Info("clock may be steered", "clock", e.cfg.ClockName)
		e.ctl.Stepped(now, 1) // it did not run as the discipline wanted
	}
	if got, err := e.clock.FreqPPB(); err == nil { // the device rounds
		ppb = got
	}
	if err != nil { // beyond the device's range: that is not made up for
		e.owed.clear(now, ppb)
		e.owed.wish = wish
	} else {
		e.owed.set(now, wish, ppb)
	}
	e.steerNS += e.line.cmdPPB * float64(now-e.steerAt) * 1e-9
	e.steerAt = now
	e.line.command(now, ppb)
	if e.cfg.Kind == status.SystemClock { // then it is CLOCK_REALTIME that runs so
		e.real.command(now, ppb)
	}
}

// deny gives up steering for a while. Meanwhile the discipline measures nothing:
// it would take its corrections for made.
func (e *Engine) deny(now int64, err error) {
	e.denied = true
	e.pause(now)
	e.refuse(reason.ClockDenied, err)
}

// again reports whether it is time to try once more to steer a clock that
// refused. It is opened anew for that: a device that could only be read when it
// was opened stays so, whatever was mended since.
func (e *Engine) again() bool {
	now := e.cfg.Mono()
	if now < e.retryAt {
		return false
	}
	e.close()
	e.open(now)
	return e.clock != nil
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
		switch {
		case e.lost(err):
		case errors.Is(err, fs.ErrPermission):
			e.deny(now, err)
		default:
			e.refuse(reason.ClockStep, err, "step", d)
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
