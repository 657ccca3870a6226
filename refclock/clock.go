package refclock

import (
	"errors"
	"io"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// realStep is the disagreement of CLOCK_REALTIME with its own line that is
// taken for a step and not for slewing.
const realStep = 100e3 // ns

// open opens the clock and starts its line.
func (e *Engine) open(now int64) {
	c, err := e.cfg.Open()
	var x phc.Cross
	var f float64
	if err == nil {
		if x, err = c.Cross(); err == nil {
			f, err = c.FreqPPB()
		}
		if err != nil {
			closeClock(c)
		}
	}
	if err != nil {
		e.pause(now)
		if errors.Is(err, errWatching) {
			return
		}
		r := ClockMissing
		if errors.Is(err, ErrContested) {
			r = ClockContested
		}
		if r == ClockContested || e.ctl == nil { // else it keeps the name of how it went
			e.away = r
		}
		e.refuse(r, err)
		return
	}
	e.clock, e.backoff, e.badReads, e.denied = c, 0, 0, false
	if i, ok := c.(interface{ Index() int }); ok {
		e.snap.PHCIndex = int32(i.Index())
	} else {
		e.snap.PHCIndex = -1
	}
	e.log.Info("clock opened", "clock", e.cfg.ClockName, "max_freq_ppb", c.MaxFreq(), "freq_ppb", f, "read_width", x.Width)
	first := e.ctl == nil
	if first {
		d := e.cfg.Discipline
		if m := c.MaxFreq(); m > 0 && (d.MaxFreqPPB == 0 || m < d.MaxFreqPPB) {
			d.MaxFreqPPB = m
		}
		e.ctl = discipline.New(d)
		e.ctl.Import(e.cfg.Learned)
	}
	e.steerAt = x.Mono
	if !first && e.line.ok {
		// It was away. If it ran on as before it is still the same clock; else
		// somebody, or its power, moved it.
		if v, limit := e.line.surprise(x); math.Abs(v) > limit+1e4 || f != e.line.cmdPPB {
			e.epoch++
			e.stepMono = e.cfg.Mono()
			e.ctl.Stepped(e.stepMono, max(time.Duration(v), 1)) // never zero: that would mean "not stepped"
		}
	}
	e.line.reset(x, f, first)
	e.real = line{}
	e.follow(x)
}

// cross reads the clocks into the lines. It notices when somebody else stepped
// one of them, and when the clock is gone.
func (e *Engine) cross() (phc.Cross, bool) {
	x, err := e.clock.Cross()
	if err != nil {
		e.badRead(err)
		return x, false
	}
	if v, limit := e.line.surprise(x); e.line.ok && math.Abs(v) > limit {
		// Once may be a bad reading (an interrupt in the bracket); twice in a
		// row within microseconds is a clock that was moved.
		y, err := e.clock.Cross()
		if err != nil {
			e.badRead(err)
			return y, false
		}
		w, limit := e.line.surprise(y)
		if math.Abs(w) > limit {
			e.foreign(y, w)
			return y, false
		}
		x = y
	}
	e.badReads = 0
	e.line.update(x)
	e.follow(x)
	return x, true
}

// badRead counts a failed reading and gives the clock up after three.
func (e *Engine) badRead(err error) {
	e.badReads++
	e.refuse(ClockRead, err)
	if e.badReads >= 3 || gone(err) {
		e.lose(err)
	}
}

// follow keeps the line of CLOCK_REALTIME.
func (e *Engine) follow(x phc.Cross) {
	r := phc.Cross{Clock: tai.Time(x.Real), Mono: x.Mono, Width: x.Width}
	if !e.real.ok {
		ppb := 0.0
		if e.cfg.Kind == status.SystemClock {
			ppb = e.line.cmdPPB
		}
		e.real.reset(r, ppb, false)
		return
	}
	switch v, limit := e.real.surprise(r); {
	case math.Abs(v) > max(limit, realStep):
		e.realMono = x.Mono
		e.real.reset(r, e.real.cmdPPB, true)
	case math.Abs(v) > limit: // its daemon slews it: learn the rate anew
		e.real.update(r)
		e.real.p11 += 1e8 // 10 ppm
	default:
		e.real.update(r)
	}
}

// foreign deals with a step that we did not make.
func (e *Engine) foreign(x phc.Cross, ns float64) {
	e.refuse(ClockForeign, nil, "step", time.Duration(ns))
	e.settling = true
	e.publish()
	e.stepMono = e.cfg.Mono()
	e.epoch++
	e.saw.gap()
	e.drift.clear()
	e.line.reset(x, e.line.cmdPPB, true)
	e.ctl.Stepped(e.stepMono, time.Duration(ns))
	if e.cfg.Stepped != nil {
		e.cfg.Stepped(time.Duration(ns))
	}
	e.settling = false
}

// lost reports whether an error means that the clock is gone, and gives it up
// then.
func (e *Engine) lost(err error) bool {
	if !gone(err) {
		return false
	}
	e.lose(err)
	return true
}

func (e *Engine) lose(err error) {
	e.away = ClockGone
	if errors.Is(err, ErrContested) {
		e.away = ClockContested
	}
	e.refuse(e.away, err)
	e.close()
	e.badReads = 0
	e.pause(e.cfg.Mono())
	e.publish()
}

// pause sets the next attempt: after 0.5 s, then doubling to 15 s.
func (e *Engine) pause(now int64) {
	e.backoff = min(max(2*e.backoff, 500*time.Millisecond), 15*time.Second)
	e.retryAt = now + int64(e.backoff)
}

func (e *Engine) close() {
	if e.clock != nil {
		closeClock(e.clock)
		e.clock = nil
	}
}

func closeClock(c Clock) {
	if x, ok := c.(io.Closer); ok {
		x.Close()
	}
}

// gone reports whether an error means that the clock is not ours to use now.
func gone(err error) bool { return errors.Is(err, phc.ErrGone) || errors.Is(err, ErrContested) }
