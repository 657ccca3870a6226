package refclock

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// realStep is the disagreement of CLOCK_REALTIME with its own line that is
// taken for a step and not for slewing.
const realStep = 100e3 // ns

// awaySlack is what line.surprise allows crystals to jump, ppb, less what they
// may be believed to have wandered while nobody read the clock: then no second
// reading tells, and a wrong guess costs no more than measuring anew.
const awaySlack = 900

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
		r := reason.ClockMissing
		switch {
		case errors.Is(err, ErrContested):
			r = reason.ClockContested
		case errors.Is(err, fs.ErrPermission):
			r = reason.ClockDenied
		case errors.Is(err, ErrTimeout):
			r = reason.ClockTimeout
		}
		if r != reason.ClockMissing || e.ctl == nil { // else it keeps the name of how it went
			e.away = r
		}
		e.refuse(r, err)
		return
	}
	e.clock, e.badReads = c, 0
	if !e.denied { // else it is not known yet whether it may be steered now
		e.backoff = 0
	}
	if i, ok := c.(interface{ Index() int }); ok {
		e.snap.PHCIndex = int32(i.Index())
	} else {
		e.snap.PHCIndex = -1
	}
	level := slog.LevelInfo
	if e.denied { // again and again, until it may be steered
		level = slog.LevelDebug
	}
	e.log.Log(context.Background(), level, "clock opened", "clock", e.cfg.ClockName, "max_freq_ppb", c.MaxFreq(), "freq_ppb", f, "read_width", x.Width)
	first := e.ctl == nil
	switch m := c.MaxFreq(); {
	case first:
		e.control(m)
		e.ctl.Import(e.cfg.Learned)
	case m != e.maxFreq: // another card: what is known is not of it
		e.control(m)
		e.learned, e.line, e.doubted = discipline.Learned{}, line{}, ""
		e.epoch++
		e.stepMono = e.cfg.Mono()
	}
	e.steerAt = x.Mono
	if !first && e.line.ok {
		// It was away. If it ran on as before it is still the same clock; else
		// somebody, or its power, moved it, or another card is in its place.
		if v, limit := e.line.surprise(x); math.Abs(v) > limit-awaySlack*float64(x.Mono-e.line.mono)*1e-9 || f != e.line.cmdPPB {
			e.epoch++
			e.stepMono = e.cfg.Mono()
			e.ctl.Stepped(e.stepMono, max(time.Duration(v), 1)) // never zero: that would mean "not stepped"
		}
	}
	e.owed.clear(x.Mono, f)
	e.line.reset(x, f, first)
	e.real = line{}
	e.follow(x)
}

// control makes the discipline of a clock whose largest correction is m ppb.
func (e *Engine) control(m float64) {
	d := e.cfg.Discipline
	if m > 0 && (d.MaxFreqPPB == 0 || m < d.MaxFreqPPB) {
		d.MaxFreqPPB = m
	}
	e.ctl, e.maxFreq = discipline.New(d), m
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
	if errors.Is(err, ErrTimeout) {
		e.refuse(reason.ClockTimeout, err)
	} else {
		e.refuse(reason.ClockRead, err)
	}
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
	e.refuse(reason.ClockForeign, nil, "step", time.Duration(ns))
	e.moved(x, time.Duration(ns))
}

// moved begins a new epoch after the clock, or what it is read against, was
// moved by d by another hand. The discipline finds phase and second anew; the
// oscillator is the same. x is a reading from after it.
func (e *Engine) moved(x phc.Cross, d time.Duration) {
	e.settling = true
	e.publish()
	e.stepMono = e.cfg.Mono()
	e.epoch++
	e.saw.gap()
	e.drift.clear()
	f, err := e.clock.FreqPPB() // who resets a card may reset the correction, too
	if err != nil {
		f = e.line.cmdPPB
	}
	e.steerNS += e.line.cmdPPB * float64(x.Mono-e.steerAt) * 1e-9
	e.steerAt = x.Mono
	e.owed.clear(x.Mono, f)
	e.line.reset(x, f, true)
	e.ctl.Stepped(e.stepMono, d)
	if e.cfg.Stepped != nil {
		e.cfg.Stepped(d)
	}
	e.settling = false
}

// lost reports whether the error of a change means that the clock is gone, or
// that nobody knows how it runs now, and gives it up then.
func (e *Engine) lost(err error) bool {
	if !gone(err) && !unsure(err) {
		return false
	}
	e.lose(err)
	return true
}

func (e *Engine) lose(err error) {
	e.away = reason.ClockGone
	switch {
	case errors.Is(err, ErrContested):
		e.away = reason.ClockContested
	case errors.Is(err, ErrTimeout):
		e.away = reason.ClockTimeout
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

// unsure reports whether an error of a change means that nobody knows whether it
// was made.
func unsure(err error) bool { return errors.Is(err, ErrTimeout) }
