package refclock

import (
	"math"

	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// publish makes the snapshot of now and hands it out.
func (e *Engine) publish() {
	s := &e.snap
	now := e.cfg.Mono()
	e.loop.Control.LeapUndecided(e.leap.Undecided())
	if half := e.halfAt.Swap(0); half != 0 {
		e.loop.Control.PulseRefused(reason.PulseAmbiguous, half)
	}
	st := e.loop.Describe(s, now, e.cfg.Stratum, e.cfg.WanderPPB, e.integrity.Unexplained())
	s.Kind, s.RefID, s.ClockDev, s.Pulse, s.Receiver = e.cfg.Kind, e.cfg.RefID, e.cfg.ClockName, e.cfg.Pulse, e.cfg.Receiver
	s.MsgMono, s.Msgs, s.BadMsgs = e.msgMono, e.msgs, e.badMsgs
	s.BadPulses += e.badEdges()
	if s.Clock != 0 {
		e.leapSeconds(s)
	}
	if !st.Moving && (s.State != e.state || s.Reason != e.reason || !e.stated) {
		e.log.Info("state", "state", s.State.String(), "was", e.state.String(), "reason", s.Reason, "offset_ns", math.Round(s.OffsetNS), "freq_ppb", math.Round(s.FreqPPB*1e3)/1e3)
		e.state, e.reason, e.stated = s.State, s.Reason, true
	}
	e.cfg.Publish(s)
	r := &report.Report{
		Snapshot: *s, Discipline: st, Receiver: e.recv, Label: e.label, Begun: e.integrity.Begun(), Learned: e.learned,
		Counts: e.incidents.Counts(), Leap: e.leap.Status(), Table: e.leap.Table(), QuantisationSign: e.quantSign,
	}
	for _, c := range e.compare {
		r.Compared = append(r.Compared, c.State())
	}
	e.report.Store(r)
}

// leapSeconds fills in what the table in force says of the clock's present time.
func (e *Engine) leapSeconds(s *status.Snapshot) {
	s.TAIOffset = int32(e.leap.Table().Offset(s.Clock))
	s.LeapAt, s.LeapSign, s.LeapPast, s.PastSign = 0, 0, 0, 0
	if n, sign, ok := e.leap.Table().Next(s.Clock); ok {
		s.LeapAt, s.LeapSign = n.At(), int8(sign)
	}
	if n, sign, ok := e.leap.Table().Past(s.Clock); ok {
		s.LeapPast, s.PastSign = n.At(), int8(sign)
	}
}

// badEdges returns how many edges were refused before the discipline saw them.
func (e *Engine) badEdges() (n uint64) {
	for _, c := range reason.All() {
		if c.Info().Group == reason.Edge {
			n += e.incidents.Of(c)
		}
	}
	return n
}

// refuse counts a reason and logs it, rate limited.
func (e *Engine) refuse(c reason.Code, err error, fields ...any) {
	e.incidents.Report(c, err, fields...)
}

// note counts and logs events.
func (e *Engine) note(events []reason.Event) {
	for _, v := range events {
		switch {
		case v.Code != reason.None:
			e.refuse(v.Code, nil, v.Fields...)
		case v.Warn:
			e.log.Warn(v.Text, v.Fields...)
		default:
			e.log.Info(v.Text, v.Fields...)
		}
	}
}
