package refclock

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// straddle is how long after a step edges stamped by the clock are dropped: an
// external timestamp reaches user space up to 0.3 s after its pulse, and
// nothing in it tells on which side of the step it was taken.
const straddle = 350 * time.Millisecond

// maxEdgeAge is the oldest edge that is still of use.
const maxEdgeAge = 1100 * time.Millisecond

// farOff is a distance of stamps beyond which nothing is computed.
const farOff = time.Hour

// Edge takes one edge of the pulse.
func (e *Engine) Edge(x pps.Edge) {
	if e.clock == nil || e.denied {
		e.refuse(reason.EdgeNoClock, nil)
		return
	}
	p, r, ok := e.place(x)
	if !ok {
		if r == reason.ClockRead {
			return // said where it happened
		}
		e.refuse(r, nil)
		return
	}
	p.Clock = p.Clock.Add(-e.set.Bias - e.set.Cable)
	q, hasQ := e.saw.take(p.Mono)
	sec := p.Mono // corrected as the pulse's time is
	steer := e.steerNS + e.line.cmdPPB*float64(p.Mono-e.steerAt)*1e-9
	if hasQ {
		e.saw.learn(p.Mono, float64(p.Clock.Sub(p.Clock.Round()))-steer, q)
		if s := e.saw.sign(); s != e.sawSign {
			e.sawSign = s
			e.refuse(reason.SawtoothRefused, nil, "applied_with_sign", s)
		}
		if !e.set.NoSawtooth {
			p.Clock += tai.Time(math.Round(q * e.sawSign))
			sec += int64(math.Round(q * e.sawSign))
		}
	} else {
		e.saw.gap()
	}
	// The system clock runs on raw's own crystal: it is no second opinion. Stamps
	// by CLOCK_REALTIME are carried to raw over their age only, so that whoever
	// slews it moves them by less than their noise.
	if e.cfg.Kind == status.PHCClock || e.cfg.Kind == status.SimClock {
		e.drift.pulse(sec, float64(p.Clock.Sub(p.Clock.Round()))-steer)
		e.judge()
		if e.clock == nil {
			return
		}
	}
	e.weighEdge(p.Mono, x.Other)
	p.Now = e.cfg.Mono()
	p.Clock += tai.Time(math.Round(e.owed.at(p.Mono)))
	e.act(e.ctl.Pulse(p))
	e.publish()
}

// Second takes a full second of another clock in the place of a pulse and its
// message: it was sec at mono, by a line that is known to within width.
func (e *Engine) Second(sec tai.Time, mono int64, width time.Duration) {
	if e.clock == nil || e.denied {
		e.refuse(reason.EdgeNoClock, nil)
		return
	}
	x, ok := e.cross()
	if !ok {
		return // said where it happened
	}
	if e.stepMono != 0 && mono <= e.stepMono {
		e.refuse(reason.EdgeStraddles, nil)
		return
	}
	now := e.cfg.Mono()
	e.act(e.ctl.Pulse(discipline.Pulse{Clock: e.line.at(mono) + tai.Time(math.Round(e.owed.at(mono))), Mono: mono, Now: now, Width: x.Width + width}))
	if e.clock == nil {
		return
	}
	e.msgs, e.msgMono = e.msgs+1, now
	e.ctl.Label(discipline.Label{Time: sec, Mono: max(now, mono+1), Valid: true, Source: "phc"})
	e.publish()
}

// place finds where on the clock and on raw an edge happened, uncorrected.
func (e *Engine) place(x pps.Edge) (discipline.Pulse, reason.Code, bool) {
	var p discipline.Pulse
	if x.Scale == pps.Clock {
		p.Clock = tai.Time(x.Stamp)
		switch d := p.Clock.Sub(e.line.clock); { // far off is no matter of rates
		case d < -farOff:
			return p, reason.EdgeStale, false
		case d > farOff:
			return p, reason.EdgeFuture, false
		}
		p.Mono = e.line.when(p.Clock)
		if x.Mono-e.stepMono < int64(straddle) && e.stepMono != 0 {
			return p, reason.EdgeStraddles, false
		}
	} else {
		c, ok := e.cross()
		if !ok {
			return p, reason.ClockRead, false
		}
		// The edge lies a little back: over that age CLOCK_REALTIME and the
		// clock run at different rates.
		switch d := tai.Time(x.Stamp).Sub(e.real.clock); {
		case d < -farOff:
			return p, reason.EdgeStale, false
		case d > farOff:
			return p, reason.EdgeFuture, false
		}
		p.Mono = e.real.when(tai.Time(x.Stamp))
		p.Clock = e.line.at(p.Mono)
		age := float64(c.Mono-p.Mono) * 1e-9
		p.Width = c.Width + time.Duration(math.Abs(age)*(e.real.rateErr()+e.line.rateErr()))
		if e.realMono != 0 && p.Mono <= e.realMono {
			return p, reason.EdgeRealStepped, false
		}
		if e.stepMono != 0 && p.Mono <= e.stepMono {
			return p, reason.EdgeStraddles, false
		}
	}
	switch age := time.Duration(x.Mono - p.Mono); {
	case age > maxEdgeAge:
		return p, reason.EdgeStale, false
	case age < -time.Millisecond:
		return p, reason.EdgeFuture, false
	}
	return p, 0, true
}

// Message takes one statement of the receiver.
func (e *Engine) Message(m *gnss.Message) {
	if m.HasQErr {
		e.saw.announce(m.Mono, float64(m.QErrPS)*1e-3)
	}
	if m.HasPulse {
		e.proof.announce(m)
	}
	e.describe(m)
	e.watch.Message(m)
	e.minded(m)
	e.judge()
	if !m.HasTimeOfDay || m.HasPulse {
		return
	}
	if !m.HasDate || m.DateCarried {
		if !m.HasDate {
			e.badMsgs++
			e.Count(reason.MessageNoDate)
		}
		return
	}
	if e.ctl == nil {
		e.refuse(reason.MessageNoClock, nil)
		return
	}
	if r, ok := e.dated(m); !ok {
		e.badMsgs++
		e.dateAt, e.dateBad = m.Mono, r
		e.refuse(r, nil, "source", m.Source, "says", m.Time.UTC(e.set.Table.Offset(m.Time)).Format(time.DateTime), "rollover_weeks", m.Rollover)
		return
	}
	at := e.named(m)
	if m.Valid {
		e.msgs++
		e.msgMono = m.Mono
		e.label = Label{at, m.Mono}
		e.weighSecond(at, m.Mono)
	} else {
		e.badMsgs++
	}
	e.ctl.Label(discipline.Label{Time: at, Mono: m.Mono, Valid: m.Valid, Source: m.Source, TAcc: time.Duration(m.TAcc)})
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
	if s := e.ctl.Status(); s.State == status.Locked || s.State == status.Holdover {
		if t := e.line.at(m.Mono); e.line.ok && near(m.Time, t) {
			evidence = "the clock itself"
		}
	}
	if e.real.ok && evidence == "" {
		real := e.real.at(m.Mono) // in UTC
		if t := real + tai.Time(e.set.Table.OffsetUTC(int64(real/tai.Second)))*tai.Second; t >= e.cfg.NotBefore && near(m.Time, t) {
			evidence = "the system clock"
		}
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

func near(a, b tai.Time) bool { return a-b < rolloverSpan && b-a < rolloverSpan }

// judge tells the discipline when doubts arise and when they are gone. The
// receiver's own come first: they are more exact.
func (e *Engine) judge() {
	if e.ctl == nil {
		return
	}
	now, why := e.cfg.Mono(), e.outer
	e.expect(now)
	d := integrity.Highest(e.watch.Alarms(now)...)
	e.settledLeap()
	switch {
	case d.Code != reason.None:
		why = d.String()
	case e.leaps.waits(e.cfg.ProveLeap):
		why = reason.LeapUnconfirmed.String()
	case e.leaps.news.Even:
		why = reason.LeapContradicted.String()
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
		e.ctl.Clear(now)
		return
	}
	if d.Code != reason.None {
		e.refuse(d.Code, nil)
	}
	if why == reason.ReferenceDrift.String() {
		e.refuse(reason.ReferenceDrift, nil)
	}
	e.ctl.Doubt(why, now)
	e.act(discipline.Action{FreqPPB: e.ctl.Status().FreqPPB})
}

// describe notes what the receiver says about itself.
func (e *Engine) describe(m *gnss.Message) {
	if m.HasSats {
		e.recv.Sats = m.Sats
	}
	if m.Fix != gnss.FixUnknown {
		e.recv.Fix = m.Fix.String()
	}
	if m.HasAntenna {
		e.recv.Antenna = m.Antenna.String()
	}
	if m.Jamming != gnss.ThreatUnknown {
		e.recv.Jamming = m.Jamming.String()
	}
	if m.Spoofing != gnss.ThreatUnknown {
		e.recv.Spoofing = m.Spoofing.String()
	}
}
