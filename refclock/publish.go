package refclock

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/leap"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Receiver is the latest of what the receiver said about itself.
type Receiver struct {
	Sats     int
	Fix      string
	Antenna  string
	Jamming  string
	Spoofing string
	Sources  string
}

// Label is what the receiver last said of the second.
type Label struct {
	Time tai.Time // the second named; 0 = none yet
	Mono int64    // CLOCK_MONOTONIC_RAW (ns) at the arrival of the message
}

// receiverText is how long the snapshot's text of the receiver can be.
const receiverText = 48

// text returns the port with what the receiver says of its surroundings, as
// much as there is room for: "/dev/ttyAMA0 ant=open jam=critical spf=none".
// The port is never cut for it.
func (r *Receiver) text(port string) string {
	for _, w := range [...]struct{ key, value string }{{"ant", r.Antenna}, {"jam", r.Jamming}, {"spf", r.Spoofing}} {
		if x := " " + w.key + "=" + w.value; w.value != "" && w.value != "unknown" && len(port)+len(x) <= receiverText {
			port += x
		}
	}
	return port
}

// Stats is a copy of the engine's state for metrics.
type Stats struct {
	Snapshot status.Snapshot
	Status   discipline.Status
	Receiver Receiver
	Label    Label                // latest valid one
	Begun    Label                // the latest second that a valid message named, and the pulse that began it
	Learned  discipline.Learned   // to be kept for the next run; OK is false while there is nothing
	Counts   [reason.Count]uint64 // by reason.Code
	Leap     leap.Status          // what is known of the sources of leap seconds
	Compared []Compared           // pulses that are only compared
	Sawtooth float64              // sign with which the announced sawtooth is applied: 1, 0, -1
}

// publish makes the snapshot of now and hands it out.
func (e *Engine) publish() {
	s := &e.snap
	now := e.cfg.Mono()
	e.loop.Control.LeapUndecided(e.leap.Undecided())
	if half := e.halfAt.Swap(0); half != 0 {
		e.loop.Control.PulseRefused(reason.PulseAmbiguous, half)
	}
	st := e.loop.Describe(s, now, e.cfg.Stratum, e.cfg.WanderPPB, e.drift.strain())
	s.Kind, s.RefID, s.ClockDev, s.Pulse, s.Receiver = e.cfg.Kind, e.cfg.RefID, e.cfg.ClockName, e.cfg.Pulse, e.recv.text(e.cfg.Receiver)
	s.MsgMono, s.Msgs, s.BadMsgs = e.msgMono, e.msgs, e.badMsgs
	s.BadPulses += e.badEdges()
	e.recv.Sources = st.Labels
	if s.Clock != 0 {
		e.leapSeconds(s)
	}
	if !st.Moving && (s.State != e.state || s.Reason != e.reason || !e.stated) {
		e.log.Info("state", "state", s.State.String(), "was", e.state.String(), "reason", s.Reason, "offset_ns", math.Round(s.OffsetNS), "freq_ppb", math.Round(s.FreqPPB*1e3)/1e3)
		e.state, e.reason, e.stated = s.State, s.Reason, true
	}
	e.cfg.Publish(s)
	t := &Stats{Snapshot: *s, Status: st, Receiver: e.recv, Label: e.label, Begun: e.proof.begun, Sawtooth: e.sawSign, Learned: e.learned, Leap: e.leap.Status(), Compared: e.comparisons(), Counts: e.incidents.Counts()}
	e.stats.Store(t)
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

// note counts and logs an event.
func (e *Engine) note(v reason.Event) {
	switch {
	case v.Code != reason.None:
		e.refuse(v.Code, nil, v.Fields...)
	case v.Warn:
		e.log.Warn(v.Text, v.Fields...)
	default:
		e.log.Info(v.Text, v.Fields...)
	}
}
