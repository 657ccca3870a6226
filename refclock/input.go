package refclock

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Message takes one message of the receiver.
func (e *Engine) Message(m *gnss.Message) {
	defer e.begin(Input{Message: m})()
	if m.HasQErr {
		e.pulse.Announce(m.Mono, float64(m.QErrPS)*1e-3)
	}
	e.receiver.Message(m)
	// What a message says of its instant, its epoch's first message said.
	began := m.Mono
	if m.Epoch != 0 {
		began = m.Epoch
	}
	now := e.clocks(began)
	dated := e.admit(m, &now)
	at := e.carryOut(e.leap.Message(m, now, dated))
	e.integrity.Message(m)
	if dated && m.Valid && at != 0 {
		e.labelled(at, began)
		e.integrity.Second(at, &now)
	}
	e.judge()
	if dated && at != 0 && !unresolved(m, e.loop.Control.Status().LabelMono) {
		e.loop.Control.Label(discipline.Label{Time: at, Mono: began, Valid: m.Valid, Source: m.Source, TAcc: time.Duration(m.TAcc)})
	}
}

// unresolvedAge is how long after a valid label another is expected.
const unresolvedAge = 5 * time.Second

// unresolved reports whether a message is not valid only because the receiver's leap seconds
// are not known yet, while other messages name seconds. It is not void then: whether
// the others are made with the right count is for leap to decide. last is when the latest valid
// label came, CLOCK_MONOTONIC_RAW in ns; 0: none did.
func unresolved(m *gnss.Message, last int64) bool {
	return !m.Valid && m.UTC == gnss.UTCUnresolved && m.Fix.Good() && last != 0 && m.Mono-last < int64(unresolvedAge)
}

// Edge takes one edge of the pulse.
func (e *Engine) Edge(x pps.Edge) {
	defer e.begin(Input{Edge: &x})()
	at, refused := clock.Instant{}, reason.EdgeNoClock
	if e.loop.Clock.Adjustable() {
		at, refused = e.loop.Clock.Locate(x)
		e.happened(e.loop.Events())
	}
	if refused != reason.None {
		e.refuse(refused)
		return
	}
	p, turned := e.pulse.Apply(at.Clock, at.Mono, e.loop.Clock.Travel(at.Mono))
	if turned {
		e.incidents.Report(reason.SawtoothRefused, nil, "applied_with_sign", e.pulse.Sign())
	}
	now := e.clocks(at.Mono)
	e.integrity.Edge(integrity.Edge{Mono: at.Mono, Corrected: p.Mono, Free: p.Free, Other: x.Other}, &now)
	e.judge()
	if e.loop.Clock.Available() {
		reading := e.loop.Clock.Requested(p.Clock, at.Mono)
		e.act(e.loop.Control.Pulse(discipline.Pulse{Clock: reading, Mono: at.Mono, Now: e.cfg.Mono(), Width: at.Width}))
		e.publish()
	}
}

// Compare takes an edge of the i-th pulse that is only compared.
func (e *Engine) Compare(i int, x pps.Edge) {
	if i < 0 || i >= len(e.compared) {
		return
	}
	defer e.begin(Input{Compared: &pps.ComparedEdge{Index: i, Edge: x}})()
	c, st := e.compared[i], e.loop.Control.Status()
	at, refused := clock.Instant{}, reason.EdgeNoClock
	if st.Tracked() {
		at, refused = e.loop.Clock.Locate(x)
		e.happened(e.loop.Events())
	}
	if refused != reason.None {
		c.Skip()
		e.Count(reason.CompareSkipped)
		return
	}
	reading := at.Clock.Add(-c.Delay())
	offset := float64(reading - reading.Round())
	uncertain := float64(at.Width)/2 + st.Bound + st.BoundRate*max(0, float64(e.cfg.Mono()-st.Mono)*1e-9)
	changed := c.Add(offset, at.Mono, uncertain)
	if ns, ok := c.Confirms(float64(at.Width) / 2); ok {
		e.loop.Control.Confirm(ns, at.Mono)
	}
	if !changed {
		return
	}
	if s := c.State(); s.Alarm {
		e.incidents.Report(reason.CompareAlarm, nil, "pulse", s.Name, "offset", time.Duration(offset), "limit", s.Limit, "uncertain", time.Duration(uncertain))
	} else {
		e.cfg.Log.Info("compared pulse agrees again", "pulse", s.Name, "offset", time.Duration(offset))
	}
}

// Tick opens the clock where there is none, reads it, lets the discipline notice
// what is missing, and publishes.
func (e *Engine) Tick() {
	select {
	case a := <-e.alarms: // in a simulation Run does not listen
		e.Take(Input{Alarm: &a})
	default:
	}
	select {
	case c := <-e.port: // likewise
		e.Take(Input{Port: &c})
	default:
	}
	defer e.begin(Input{})()
	now := e.cfg.Mono()
	e.loop.Clock.Maintain(now)
	e.happened(e.loop.Events())
	e.carryOut(e.leap.Tick(e.clocks(now)))
	e.judge()
	if e.loop.Clock.Available() {
		_, ok := e.loop.Clock.Read()
		e.happened(e.loop.Events())
		if ok {
			e.control(max(now, e.loop.Clock.Anchor()))
		}
	}
	e.publish()
}

// control hands time and temperature to the discipline.
func (e *Engine) control(now int64) {
	if e.cfg.Temperature != nil {
		if c, mono := e.cfg.Temperature(); mono > e.sensorMono {
			e.sensorMono = mono
			e.loop.Control.Temperature(c, mono)
		}
	}
	e.act(e.loop.Control.Tick(now, e.loop.Clock.At(now)))
	e.keepLearned(e.loop.Control, now)
}

// admit reports whether a message names an instant that can be used, valid or
// not.
func (e *Engine) admit(m *gnss.Message, now *reading.Clocks) bool {
	if !m.HasTimeOfDay || m.HasPulse || m.DateCarried || m.FixElsewhere {
		return false
	}
	switch {
	case !m.HasDate:
		e.Count(reason.MessageNoDate)
		e.loop.Control.MessageRefused(reason.MessageNoDate, m.Mono)
	case !e.loop.Clock.Opened():
		e.refuse(reason.MessageNoClock)
		return false // no fault of the message
	default:
		code := e.integrity.Label(m, now)
		if code == reason.None {
			e.counted(m.Valid, m.Mono)
			return true
		}
		e.loop.Control.MessageRefused(code, m.Mono)
		e.incidents.Report(code, nil, "source", m.Source, "says", said(m, e.leap.Table()), "moved_by_weeks", m.Rollover)
	}
	e.counted(false, m.Mono)
	return false
}

// said returns the date and time of a message as the receiver sent it.
func said(m *gnss.Message, table *tai.Table) string {
	return m.Time.UTC(table.Offset(m.Time)).AddDate(0, 0, -7*m.Rollover).Format(time.DateTime + ".999")
}

// clocks returns what the clocks' models show at an instant of
// CLOCK_MONOTONIC_RAW.
func (e *Engine) clocks(mono int64) reading.Clocks {
	st := e.loop.Control.Status()
	c := reading.Clocks{
		Mono: mono, Pulse: e.integrity.PulseBefore(mono), TableEnd: e.leap.TableEnd(),
		ClockIsSystem: e.cfg.Kind == status.SystemClock, SystemDisciplined: e.cfg.SystemDisciplined(), SystemOwn: e.cfg.SystemOwn,
		SystemSet: e.cfg.SystemSet, SystemDoubted: e.cfg.SystemSet && e.leap.ClockDoubted(), Continued: e.cfg.Continued || st.RefTime != 0,
		Unlocked: st.ServoState == status.Unlocked || st.ServoState == status.Acquiring,
		Young:    st.Accepted < discipline.ProvisionalPulses,
	}
	if ns, ok := e.loop.Clock.Real(mono); ok {
		c.TAIOffset = time.Duration(e.leap.Table().OffsetUTC(ns/1e9)) * time.Second
		c.System = tai.Time(ns).Add(c.TAIOffset)
		c.SystemPlausible = e.integrity.Plausible(c.System)
	}
	if e.loop.Clock.Known() {
		c.Clock, c.Latency, c.Tracked = e.loop.Clock.At(mono), st.Latency, st.Tracked()
	}
	return c
}

// carryOut does what the leap-second authority decided, and returns the instant
// that a message labels.
func (e *Engine) carryOut(r leap.Result) tai.Time {
	e.incidents.Note(r.Events)
	if r.Table != nil {
		e.cfg.Leaps(r.Table)
	}
	if r.Recounted {
		e.loop.Control.Recounted()
	}
	return r.Label
}

// conditions takes the conditions of the receiver and its port.
func (e *Engine) conditions(now []reason.Condition) {
	e.incidents.Conditions(now)
	first := reason.None
	if len(now) > 0 {
		first = now[0].Code
	}
	e.loop.Control.PortTrouble(first)
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
	e.expect(e.clocks(now), e.loop.Clock)
	alarm, changed := e.integrity.Decide(now, e.leap.Alarms()...)
	e.incidents.Note(e.integrity.Events())
	switch {
	case !changed:
	case alarm.Code == reason.None:
		e.loop.Control.Clear(now)
	default:
		e.loop.Control.Alarm(alarm.Code, alarm.Detail, now)
		e.act(discipline.Action{FreqPPB: e.loop.Control.Status().FreqPPB})
	}
}

// act applies what the discipline decided.
func (e *Engine) act(a discipline.Action) { e.happened(e.loop.Act(a)) }

// happened counts, logs and publishes what happened to the clock.
func (e *Engine) happened(events []clock.Event) {
	for _, ev := range events {
		var fields []any
		switch ev.Kind {
		case clock.Opened:
			e.opened(ev, e.loop.Clock.Adjustable())
			continue
		case clock.Waiting:
			e.Count(ev.Code)
			continue
		case clock.Allowed:
			e.cfg.Log.Info("clock may be adjusted", "clock", e.cfg.ClockName)
			continue
		case clock.Stepped:
			e.cfg.Log.Info("clock stepped", "step", ev.By, "generation", e.loop.Clock.View(ev.Mono).Generation)
		case clock.StepFailed, clock.Moved:
			fields = []any{"step", ev.By}
			if ev.Code == reason.ClockSlept {
				fields = []any{"for", ev.By}
			}
		}
		if ev.Code != reason.None {
			e.incidents.Report(ev.Code, ev.Err, fields...)
		}
		if ev.Kind == clock.Stepped || ev.Kind == clock.Moved {
			e.pulse.Break()
			e.integrity.Break()
			e.cfg.Stepped(ev.By)
		}
		if ev.Kind == clock.Lost {
			e.publish()
		}
	}
}

// publish makes the snapshot of now and hands it out.
func (e *Engine) publish() {
	now := e.cfg.Mono()
	e.loop.Control.LeapUndecided(e.leap.Undecided())
	if at := e.ambiguousAt.Swap(0); at != 0 {
		e.loop.Control.PulseRefused(reason.PulseAmbiguous, at)
	}
	s := &e.snap
	st := e.loop.Describe(s, now, e.cfg.Stratum, e.cfg.WanderPPB, e.integrity.Unexplained())
	leapSeconds(s, e.leap.Table())
	if st.Reason == discipline.Restarted {
		inheritLeaps(s, e.cfg.Before)
	}
	r := e.describe(s, st, e.leap.Status())
	r.Begun, r.Table, r.QuantisationSign = e.integrity.Begun(), e.leap.Table(), e.pulse.Sign()
	for _, c := range e.compared {
		r.Compared = append(r.Compared, c.State())
	}
	e.cfg.Publish(s)
	e.report.Store(r)
}
