package refclock

import (
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// wake looks whether the machine slept since the last look. CLOCK_MONOTONIC_RAW
// stands still meanwhile; the clock may have run on, stood still as well, or lost
// its time, and no reading of the two tells which. So phase and second are found
// anew, whatever the readings say; the oscillator is the same.
func (e *Engine) wake() {
	if e.cfg.Slept == nil {
		return
	}
	was := e.slept
	e.slept = e.cfg.Slept()
	d := e.slept - was
	if d < status.SleptLeast {
		e.slept = was // a difference of two readings: do not follow its noise
		return
	}
	e.refuse(reason.ClockSlept, nil, "for", d)
	e.real, e.realMono = line{}, e.cfg.Mono()
	if e.clock != nil {
		e.settling = true
		e.publish() // before the card is asked: it may take long to wake up
		e.settling = false
		x, err := e.clock.Cross()
		if err == nil {
			e.moved(x, d)
			e.follow(x)
			return
		}
		e.lose(err)
	}
	if e.ctl != nil { // it is away: when it is back nothing is compared with before
		e.stepMono = e.cfg.Mono()
		e.epoch++
		e.saw.gap()
		e.drift.clear()
		e.line = line{}
		e.ctl.Stepped(e.stepMono, d)
	}
}
