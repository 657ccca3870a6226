package refclock

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
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
	Leap     LeapNews             // what is known of the sources of leap seconds
	Compared []Compared           // pulses that are only compared
	Sawtooth float64              // sign with which the announced sawtooth is applied: 1, 0, -1
}

// publish makes the snapshot of now and hands it out.
func (e *Engine) publish() {
	s := &e.snap
	now := e.cfg.Mono()
	s.Kind, s.RefID, s.Epoch = e.cfg.Kind, e.cfg.RefID, e.epoch
	s.ClockDev, s.Pulse, s.Receiver = e.cfg.ClockName, e.cfg.Pulse, e.recv.text(e.cfg.Receiver)
	s.Mono, s.MsgMono, s.Msgs, s.BadMsgs = now, e.msgMono, e.msgs, e.badMsgs
	if e.cfg.Slept != nil {
		s.Slept = max(e.slept, 1)
	}
	s.Stratum, s.Bound, s.BoundRate, s.LineErr = 16, math.MaxInt64, 0, 0
	s.State, s.Reason = status.Unlocked, e.away.String()
	var st discipline.Status
	if e.ctl != nil {
		st = e.ctl.Status()
		s.State, s.Reason = st.State, st.Reason.String()
		switch {
		case e.doubted != "" && (st.Reason == discipline.Doubted || st.State == status.Unlocked):
			s.Reason = discipline.Doubted.String() + ": " + e.doubted // the latest: one doubt may follow another
		case st.Detail != "":
			s.Reason += ": " + st.Detail
		default:
			s.Reason += e.detail(&st, now)
		}
		s.Limit, s.RefTime = st.Limit, st.RefTime
		s.OffsetNS, s.FreqPPB, s.NoiseNS = st.OffsetNS, st.FreqPPB, st.NoiseNS
		s.PulseMono, s.Pulses, s.BadPulses, s.Missed = st.PulseMono, st.Pulses, st.BadPulses+e.badEdges(), st.Missed
		e.recv.Sources = st.Labels
	}
	switch {
	case e.ctl == nil:
	case e.clock == nil:
		s.State, s.Reason = status.Unlocked, e.away.String()
	case e.denied:
		s.State, s.Reason = status.Faulty, reason.ClockDenied.String()
	case e.settling:
		s.State = status.Acquiring
	case e.leaps.trial.on && (s.State == status.Locked || s.State == status.Holdover):
		s.State, s.Reason = status.Faulty, reason.LeapContradicted.String()
	}
	if e.ctl != nil && e.line.ok {
		l := e.line
		l.advance(now)
		s.Clock, s.RatePPB, s.LineErr = l.clock, l.rate(), l.err()
		// The limit is for what the clock loses, not for what reading it costs.
		s.Limit += time.Duration(st.Floor) + min(s.LineErr, time.Duration(l.width))
		s.TAIOffset = int32(e.set.Table.Offset(s.Clock))
		s.LeapAt, s.LeapSign = 0, 0
		if n, sign, ok := e.set.Table.Next(s.Clock); ok {
			s.LeapAt, s.LeapSign = n.At(), int8(sign)
		}
		s.LeapPast, s.PastSign = 0, 0
		if n, sign, ok := e.set.Table.Past(s.Clock); ok {
			s.LeapPast, s.PastSign = n.At(), int8(sign)
		}
		age := max(0, float64(now-st.Mono)*1e-9)
		owed, owedRate := e.owed.bound(now)
		if b := st.Bound + st.BoundRate*age + owed; b < math.MaxInt64/2 && !math.IsNaN(b) && st.RefTime != 0 && e.clock != nil && !e.settling {
			s.Bound = time.Duration(math.Ceil(b + e.drift.strain()))
			s.BoundRate = st.BoundRate + l.rateErr() + e.cfg.WanderPPB + owedRate
		}
		if s.State == status.Locked || s.State == status.Holdover {
			s.Stratum = e.cfg.Stratum
		}
	}
	if !e.settling && (s.State != e.state || s.Reason != e.reason || !e.stated) {
		e.log.Info(e.cfg.said, "state", s.State.String(), "was", e.state.String(), "reason", s.Reason, "offset_ns", math.Round(s.OffsetNS), "freq_ppb", math.Round(s.FreqPPB*1e3)/1e3)
		e.state, e.reason, e.stated = s.State, s.Reason, true
	}
	e.cfg.Publish(s)
	t := &Stats{Snapshot: *s, Status: st, Receiver: e.recv, Label: e.label, Begun: e.proof.begun, Sawtooth: e.sawSign, Learned: e.learned, Leap: e.leaps.told(), Compared: e.comparisons()}
	for i := range t.Counts {
		t.Counts[i] = e.counts[i].Load()
	}
	e.stats.Store(t)
}

// fresh is how long a cause of silence is named.
const fresh = 30e9 // ns

// detail says why nothing comes, where that is known: ": " and a Reason's word.
func (e *Engine) detail(st *discipline.Status, now int64) string {
	switch {
	case st.Reason == discipline.NoMessages && e.dateAt != 0 && now-e.dateAt < fresh:
		return ": " + e.dateBad.String()
	case (st.Reason == discipline.NoPulse || st.Reason == discipline.MissingPulses) && e.halfAt.Load() != 0 && now-e.halfAt.Load() < fresh:
		return ": " + reason.PulseAmbiguous.String()
	}
	return ""
}

// badEdges is how many edges were refused before the discipline saw them.
func (e *Engine) badEdges() (n uint64) {
	for _, r := range reason.All() {
		if r.Info().Group == reason.Edge {
			n += e.counts[r].Load()
		}
	}
	return n
}

// refuse counts a reason and logs it, rate limited.
func (e *Engine) refuse(r reason.Code, err error, args ...any) {
	e.Count(r)
	if held, ok := e.hush.pass(r, e.cfg.Mono()); ok {
		if err != nil {
			args = append(args, "error", err)
		}
		if held > 0 {
			args = append(args, "held_back", held)
		}
		e.log.Warn(r.Message(), append([]any{"reason", r.String()}, args...)...)
	}
}

// hush limits log lines: one of a kind every minute.
type hush struct {
	last [reason.Count]int64
	held [reason.Count]uint64
}

func (h *hush) pass(r reason.Code, now int64) (held uint64, ok bool) {
	if h.last[r] != 0 && now-h.last[r] < int64(time.Minute) {
		h.held[r]++
		return 0, false
	}
	held, h.held[r] = h.held[r], 0
	h.last[r] = now
	return held, true
}
