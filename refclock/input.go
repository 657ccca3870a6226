package refclock

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Edge takes one edge of the pulse.
func (e *Engine) Edge(x pps.Edge) {
	if !e.loop.Clock.Adjustable() {
		e.refuse(reason.EdgeNoClock, nil)
		return
	}
	at, r := e.loop.Clock.Locate(x)
	e.happened(e.loop.Events())
	switch r {
	case reason.None:
	case reason.ClockRead:
		return // an event of the clock
	default:
		e.refuse(r, nil)
		return
	}
	p := discipline.Pulse{Clock: at.Clock.Add(-e.set.Bias - e.set.Cable), Mono: at.Mono, Width: at.Width}
	q, hasQ := e.quant.Take(p.Mono)
	sec := p.Mono // corrected as the pulse's time is
	steer := e.loop.Clock.Travel(p.Mono)
	if hasQ {
		e.quant.Learn(p.Mono, float64(p.Clock.Sub(p.Clock.Round()))-steer, q)
		if s := e.quant.Sign(); s != e.quantSign {
			e.quantSign = s
			e.refuse(reason.SawtoothRefused, nil, "applied_with_sign", s)
		}
		if !e.set.NoSawtooth {
			p.Clock += tai.Time(math.Round(q * e.quantSign))
			sec += int64(math.Round(q * e.quantSign))
		}
	} else {
		e.quant.Gap()
	}
	free := float64(p.Clock.Sub(p.Clock.Round())) - steer
	e.integrity.Edge(integrity.Edge{Mono: p.Mono, Corrected: sec, Free: free, Other: x.Other}, e.checks(e.clocks(p.Mono)))
	e.judge()
	if !e.loop.Clock.Available() {
		return
	}
	p.Now = e.cfg.Mono()
	p.Clock = e.loop.Clock.Requested(p.Clock, p.Mono)
	e.act(e.loop.Control.Pulse(p))
	e.publish()
}

// Compare takes an edge of the i-th pulse that is only compared.
func (e *Engine) Compare(i int, x pps.Edge) {
	if i < 0 || i >= len(e.compare) {
		return
	}
	c, now := e.compare[i], e.cfg.Mono()
	st := e.loop.Control.Status()
	if !e.loop.Clock.Available() || st.ServoState != status.Locked && st.ServoState != status.Holdover {
		c.Skip()
		e.Count(reason.CompareSkipped)
		return
	}
	p, refused := e.loop.Clock.Locate(x)
	e.happened(e.loop.Events())
	if refused != reason.None {
		c.Skip()
		e.Count(reason.CompareSkipped)
		return
	}
	at := p.Clock.Add(-c.Delay())
	offset := float64(at - at.Round())
	uncertain := float64(p.Width)/2 + st.Bound + st.BoundRate*max(0, float64(now-st.Mono)*1e-9)
	if !c.Add(offset, p.Mono, uncertain) {
		return
	}
	if s := c.State(); s.Alarm {
		e.refuse(reason.CompareAlarm, nil, "pulse", s.Name, "offset", time.Duration(offset), "limit", s.Limit, "uncertain", time.Duration(uncertain))
	} else {
		e.log.Info("compared pulse agrees again", "pulse", s.Name, "offset", time.Duration(offset))
	}
}

// Message takes one statement of the receiver.
func (e *Engine) Message(m *gnss.Message) {
	if m.HasQErr {
		e.quant.Announce(m.Mono, float64(m.QErrPS)*1e-3)
	}
	e.recv.Message(m)
	e.integrity.Message(m)
	in := e.clocks(m.Mono)
	dated := e.names(m, in)
	at := e.changed(e.leap.Message(m, in, dated))
	switch {
	case dated && m.Valid:
		e.msgs++
		e.msgMono = m.Mono
		e.label = integrity.Label{Time: at, Mono: m.Mono}
		e.integrity.Second(e.label, e.checks(in))
	case dated:
		e.badMsgs++
	}
	e.judge()
	if !dated {
		return
	}
	e.loop.Control.Label(discipline.Label{Time: at, Mono: m.Mono, Valid: m.Valid, Source: m.Source, TAcc: time.Duration(m.TAcc)})
}

// names reports whether a message names an instant that can be used, valid or
// not.
func (e *Engine) names(m *gnss.Message, in leap.Clocks) bool {
	switch {
	case !m.HasTimeOfDay || m.HasPulse || m.DateCarried:
		return false
	case !m.HasDate:
		e.badMsgs++
		e.Count(reason.MessageNoDate)
		return false
	case !e.loop.Clock.Opened():
		e.refuse(reason.MessageNoClock, nil)
		return false
	}
	r := e.integrity.Date(m, e.checks(in))
	if r != reason.None {
		e.badMsgs++
		e.loop.Control.MessageRefused(r, m.Mono)
		e.refuse(r, nil, "source", m.Source, "says", m.Time.UTC(e.leap.Table().Offset(m.Time)).Format(time.DateTime), "rollover_weeks", m.Rollover)
	}
	return r == reason.None
}

// clocks returns what the clocks' models show at an instant of
// CLOCK_MONOTONIC_RAW.
func (e *Engine) clocks(mono int64) leap.Clocks {
	c := leap.Clocks{Mono: mono, SystemDisciplined: e.cfg.SystemDisciplined != nil && e.cfg.SystemDisciplined()}
	c.System, _ = e.systemTAI(mono)
	if e.loop.Clock.Known() {
		st := e.loop.Control.Status()
		c.Clock, c.Latency = e.loop.Clock.At(mono), st.Latency
		c.Tracked = st.ServoState == status.Locked || st.ServoState == status.Holdover
	}
	return c
}

// changed carries out what the leap-second authority found, and returns the
// instant that a message labels.
func (e *Engine) changed(r leap.Result) tai.Time {
	e.note(r.Events)
	if r.Table != nil && e.cfg.Leaps != nil {
		e.cfg.Leaps(r.Table)
	}
	return r.Label
}

// checks returns the same for the checks of the reference.
func (e *Engine) checks(in leap.Clocks) integrity.Clocks {
	s := e.loop.Control.Status().ServoState
	c := integrity.Clocks{Unlocked: s == status.Unlocked || s == status.Acquiring, System: in.System, SystemDisciplined: in.SystemDisciplined}
	if in.Tracked {
		c.Own = in.Clock
	}
	return c
}

// systemTAI returns CLOCK_REALTIME as TAI at an instant of CLOCK_MONOTONIC_RAW.
func (e *Engine) systemTAI(mono int64) (t tai.Time, ok bool) {
	ns, ok := e.loop.Clock.Real(mono)
	if !ok {
		return 0, false
	}
	return tai.Time(ns) + tai.Time(e.leap.Table().OffsetUTC(ns/1e9))*tai.Second, true
}

// outside takes the alarm from outside.
func (e *Engine) outside(a integrity.Alarm) {
	if e.integrity.Outside(a) {
		e.leap.WitnessesAgree(e.cfg.Mono())
	}
	e.judge()
}

// judge reports to the discipline when the alarm in force changes.
func (e *Engine) judge() {
	now := e.cfg.Mono()
	e.expect(now)
	alarm, changed := e.integrity.Decide(now, e.leap.Alarms()...)
	e.note(e.integrity.Events())
	switch {
	case !changed:
	case alarm.Code == reason.None:
		e.loop.Control.Clear(now)
	default:
		e.loop.Control.Alarm(alarm.Code, alarm.Detail, now)
		e.act(discipline.Action{FreqPPB: e.loop.Control.Status().FreqPPB})
	}
}

// expect notes where in the clock's second a disciplined system clock has its
// own, for Grid.
func (e *Engine) expect(now int64) {
	g := int64(0)
	if t := e.checks(e.clocks(now)).Startup(); t != 0 && e.loop.Clock.Known() {
		at := e.loop.Clock.At(now - int64(t-t.Floor()))
		g = int64(at-at.Floor()) + 1
	}
	e.grid.Store(g)
}
