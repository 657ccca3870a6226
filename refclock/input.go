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
	"noonmark/refclock/report"
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
	// The system clock runs on raw's own crystal: it is no second opinion. Stamps
	// by CLOCK_REALTIME are carried to raw over their age only, so that whoever
	// slews it moves them by less than their noise.
	if e.cfg.Kind == status.PHCClock || e.cfg.Kind == status.SimClock {
		e.drift.pulse(sec, float64(p.Clock.Sub(p.Clock.Round()))-steer)
		e.judge()
		if !e.loop.Clock.Available() {
			return
		}
	}
	e.weighEdge(p.Mono, x.Other)
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
	if m.HasPulse {
		e.proof.announce(m)
	}
	e.recv.Message(m)
	e.watch.Message(m)
	dated := e.names(m)
	in := e.clocks(m.Mono)
	in.SystemDisciplined = e.cfg.RealKept != nil && e.cfg.RealKept()
	at := e.changed(e.leap.Message(m, in, dated))
	e.judge()
	if !dated {
		return
	}
	if m.Valid {
		e.msgs++
		e.msgMono = m.Mono
		e.label = report.Label{Time: at, Mono: m.Mono}
		e.weighSecond(at, m.Mono)
	} else {
		e.badMsgs++
	}
	e.loop.Control.Label(discipline.Label{Time: at, Mono: m.Mono, Valid: m.Valid, Source: m.Source, TAcc: time.Duration(m.TAcc)})
}

// names reports whether a message names an instant that can be used, valid or
// not.
func (e *Engine) names(m *gnss.Message) bool {
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
	r, ok := e.dated(m)
	if !ok {
		e.badMsgs++
		e.loop.Control.MessageRefused(r, m.Mono)
		e.refuse(r, nil, "source", m.Source, "says", m.Time.UTC(e.leap.Table().Offset(m.Time)).Format(time.DateTime), "rollover_weeks", m.Rollover)
	}
	return ok
}

// clocks returns what the clocks' models show at an instant of
// CLOCK_MONOTONIC_RAW.
func (e *Engine) clocks(mono int64) leap.Clocks {
	c := leap.Clocks{Mono: mono}
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
	for _, v := range r.Events {
		e.note(v)
	}
	if r.Table != nil && e.cfg.Leaps != nil {
		e.cfg.Leaps(r.Table)
	}
	return r.Label
}

// rolloverSpan is half of the 1024 weeks by which a receiver can be wrong:
// evidence that is nearer than this tells which of them it is.
const rolloverSpan = 512 * 7 * 86400 * tai.Second

// dated judges the date of a message: none before the configured floor, and a
// date that had to be moved by 1024 weeks only with other evidence for it.
func (e *Engine) dated(m *gnss.Message) (reason.Code, bool) {
	if e.cfg.NotBefore != 0 && m.Time < e.cfg.NotBefore {
		return reason.MessageTooEarly, false
	}
	if m.Rollover == 0 {
		return 0, true
	}
	evidence := ""
	if s := e.loop.Control.Status(); s.ServoState == status.Locked || s.ServoState == status.Holdover {
		if e.loop.Clock.Known() && near(m.Time, e.loop.Clock.At(m.Mono)) {
			evidence = "the clock itself"
		}
	}
	if t, ok := e.systemTAI(m.Mono); ok && evidence == "" && t >= e.cfg.NotBefore && near(m.Time, t) {
		evidence = "the system clock"
	}
	if e.cfg.RefuseRollover || evidence == "" {
		return reason.MessageRollover, false
	}
	if !e.rolled {
		e.rolled = true
		e.log.Warn("receiver is past a week rollover; its dates are corrected", "weeks", m.Rollover, "evidence", evidence, "policy", "correct")
	}
	return 0, true
}

// systemTAI returns CLOCK_REALTIME as TAI at an instant of CLOCK_MONOTONIC_RAW.
func (e *Engine) systemTAI(mono int64) (t tai.Time, ok bool) {
	ns, ok := e.loop.Clock.Real(mono)
	if !ok {
		return 0, false
	}
	return tai.Time(ns) + tai.Time(e.leap.Table().OffsetUTC(ns/1e9))*tai.Second, true
}

func near(a, b tai.Time) bool { return a-b < rolloverSpan && b-a < rolloverSpan }

// judge tells the discipline when doubts arise and when they are gone. The
// receiver's own come first: they are more exact.
func (e *Engine) judge() {
	now, why := e.cfg.Mono(), e.outer
	e.expect(now)
	d := integrity.Highest(e.watch.Alarms(now)...)
	var doubts []integrity.Alarm
	for _, c := range e.leap.Alarms() {
		doubts = append(doubts, integrity.Alarm{Code: c})
	}
	switch {
	case d.Code != reason.None:
		why = d.String()
	case len(doubts) > 0:
		why = integrity.Highest(doubts...).String()
	case e.proof.doubt != "":
		why = e.proof.doubt
	case e.drift.moved:
		why = reason.ReferenceDrift.String()
	}
	if why == e.doubted {
		return
	}
	e.doubted = why
	if why == "" {
		e.loop.Control.Clear(now)
		return
	}
	if d.Code != reason.None {
		e.refuse(d.Code, nil)
	}
	if why == reason.ReferenceDrift.String() {
		e.refuse(reason.ReferenceDrift, nil)
	}
	e.loop.Control.Alarm(reason.None, why, now)
	e.act(discipline.Action{FreqPPB: e.loop.Control.Status().FreqPPB})
}
