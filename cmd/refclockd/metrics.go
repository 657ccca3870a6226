package main

import (
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/refclock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/export"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
)

// collector makes metrics of what the engine and its inputs count. It reads
// copies and never waits for the engine.
type collector struct {
	engine *refclock.Engine
	port   *receiver.Port // nil without a receiver
	pulses *pps.Reader    // nil without a pulse
	source *pulseSource   // of pulses
	mono   func() int64

	sensor    *oscillator.Thermometer // nil without
	exports   []*export.Task
	followers []*follow.Follower
	witnesses *witness.Task // nil without
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("noonmark_refclock_"+name, help, labels, nil)
}

var (
	mState    = desc("state", "State of the discipline: 1 for the one it is in.", "state")
	mOffset   = desc("offset_seconds", "Last accepted measurement, clock minus reference; positive: clock fast.")
	mNoise    = desc("noise_seconds", "Standard deviation of recent measurements.")
	mFreq     = desc("frequency_correction_ppb", "Frequency correction in force; positive: clock made faster.")
	mDrift    = desc("oscillator_error_ppb", "Estimated frequency error of the free oscillator; positive: fast.")
	mBound    = desc("bound_seconds", "Bound of the clock's error now.")
	mLine     = desc("line_error_seconds", "How far the published line may be from the clock.")
	mUsable   = desc("synchronised", "1 if clients are told that the clock is synchronised.")
	mStratum  = desc("stratum", "Stratum told to clients, 16 if not synchronised.")
	mTAI      = desc("tai_offset_seconds", "TAI minus UTC.")
	mLeap     = desc("leap_indicator", "Leap indicator told to clients (RFC 5905): 0 none, 1 insert, 2 delete, 3 not synchronised.")
	mEpoch    = desc("steps_total", "Steps of the clock, our own and others'.")
	mUpdates  = desc("snapshots_total", "Snapshots published.")
	mPulses   = desc("pulses_total", "Pulses by what became of them.", "result")
	mMsgs     = desc("messages_total", "Time messages by what became of them.", "result")
	mPulseAge = desc("pulse_age_seconds", "Time since the last accepted pulse.")
	mMsgAge   = desc("message_age_seconds", "Time since the last valid time message.")
	mSats     = desc("satellites", "Satellites in the receiver's solution.")
	mLatency  = desc("message_latency_seconds", "From a second to its message, smoothed.")
	mCmpOff   = desc("compared_pulse_offset_seconds", "Clock minus a pulse that is only compared; positive: pulse late.", "pulse")
	mCmpAlarm = desc("compared_pulse_alarm", "1 while a compared pulse is beyond its limit, with the reason.", "pulse", "reason")
	mCmpN     = desc("compared_pulses_total", "Edges of pulses that are only compared, by what became of them.", "pulse", "result")
	mLeapWarn = desc("leap_warning", "1 while a warning about leap seconds stands.", "reason")
	mLeapRecv = desc("receiver_tai_offset_seconds", "TAI minus UTC as the receiver announces it.")
	mLeapEnd  = desc("leap_table_expires_timestamp_seconds", "When the table of leap seconds in force ends, POSIX time.")
	mLeapEnds = desc("leap_source_expires_timestamp_seconds", "When a source of leap seconds ends, POSIX time.", "source")
	mLeapNext = desc("leap_next_timestamp_seconds", "When TAI minus UTC changes next, POSIX time; positive sign: a second is inserted.", "sign")
	mTemp     = desc("oscillator_temperature_celsius", "Last believed reading of the sensor near the oscillator.")
	mTempPPB  = desc("oscillator_temperature_ppb_per_kelvin", "How the oscillator's frequency follows its temperature, as it is counted with; 0: not known well enough.")
	mAgeing   = desc("oscillator_ageing_ppb_per_day", "Drift of the oscillator's frequency that is counted with; 0: not known well enough.")
	mReason   = desc("events_total", "Refusals and changes by named reason, and the part that named it.", "part", "reason")
	mOpened   = desc("opened_total", "How often a device was opened.", "device")

	mRecvState = desc("receiver_state", "What the receiver says of its surroundings: 1 for the state it is in.", "what", "state")
	mExports   = desc("exports_total", "Samples and settings handed to other programs, by what became of them.", "target", "result")
	mFolOffset = desc("follower_offset_seconds", "Following clock minus the disciplined one; positive: fast.", "clock")
	mFolBound  = desc("follower_bound_seconds", "Bound of the following clock's error.", "clock")
	mFolState  = desc("follower_state", "State of the following clock: 1 for the one it is in.", "clock", "state")
	mFolOthers = desc("follower_contested", "1 while another program steers the clock, so that it is left alone.", "clock")
	mFolEvents = desc("follower_events_total", "Refusals and changes of a following clock by named reason.", "clock", "reason")
	mWitOffset = desc("witness_offset_seconds", "Clock minus witness; positive: clock fast.", "witness")
	mWitState  = desc("witness_verdict", "What came of the last question: 1 for the verdict.", "witness", "verdict")
	mWitAsked  = desc("witness_queries_total", "Questions by what became of them.", "witness", "result")
)

// Describe sends nothing: the set of reasons is the code's.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, l ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, l...)
	}
	count := func(d *prometheus.Desc, v uint64, l ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), l...)
	}
	one := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	st := c.engine.Report()
	s, d, now := &st.Snapshot, &st.Discipline, c.mono()
	for v := status.Unlocked; v <= status.Faulty; v++ {
		gauge(mState, one(s.State == v), v.String())
	}
	usable := s.Usable(now)
	gauge(mOffset, s.OffsetNS*1e-9)
	gauge(mNoise, s.NoiseNS*1e-9)
	gauge(mFreq, s.FreqPPB)
	gauge(mDrift, d.DriftPPB)
	if b := s.BoundAt(now); b < math.MaxInt64 {
		gauge(mBound, b.Seconds())
	} else {
		gauge(mBound, math.Inf(1))
	}
	gauge(mLine, s.LineErr.Seconds())
	gauge(mUsable, one(usable))
	gauge(mStratum, float64(stratumAt(s, now)))
	gauge(mTAI, float64(s.TAIOffset))
	gauge(mLeap, float64(leapAt(s, now)))
	count(mEpoch, uint64(s.Epoch))
	count(mUpdates, s.Updates)
	count(mPulses, s.Pulses, "accepted")
	count(mPulses, s.BadPulses, "refused")
	count(mPulses, s.Missed, "missed")
	count(mMsgs, s.Msgs, "valid")
	count(mMsgs, s.BadMsgs, "refused")
	if s.PulseMono != 0 {
		gauge(mPulseAge, float64(now-s.PulseMono)*1e-9)
	}
	if s.MsgMono != 0 {
		gauge(mMsgAge, float64(now-s.MsgMono)*1e-9)
	}
	gauge(mSats, float64(st.Receiver.Sats))
	gauge(mLatency, d.Latency.Seconds())
	for _, p := range st.Compared {
		if p.Mono != 0 {
			gauge(mCmpOff, p.OffsetNS*1e-9, p.Name)
		}
		gauge(mCmpAlarm, one(p.Alarm), p.Name, reason.CompareAlarm.String())
		count(mCmpN, p.Count, p.Name, "compared")
		count(mCmpN, p.Skipped, p.Name, "skipped")
	}
	for _, w := range st.Leap.Warnings() {
		gauge(mLeapWarn, one(w.Raised), w.Code.String())
	}
	for _, x := range st.Leap.Tables {
		if !x.Expires.IsZero() {
			gauge(mLeapEnds, float64(x.Expires.Unix()), x.Name)
		}
	}
	if n := st.Leap.NextSign; n != 0 {
		gauge(mLeapNext, float64(st.Leap.Next.Unix()), fmt.Sprintf("%+d", n))
	}
	if st.Leap.Receiver != 0 {
		gauge(mLeapRecv, float64(st.Leap.Receiver))
	}
	if !st.Leap.Expires.IsZero() {
		gauge(mLeapEnd, float64(st.Leap.Expires.Unix()))
	}
	for r, n := range st.Counts {
		if reason.Code(r) == reason.None {
			continue
		}
		count(mReason, n, "engine", reason.Code(r).String())
	}
	for r := 1; r < discipline.NumReasons; r++ {
		count(mReason, d.Counts[r], "discipline", discipline.Reason(r).String())
	}
	for _, w := range [...]struct {
		what  string
		state fmt.Stringer
	}{{"antenna", st.Receiver.Antenna}, {"jamming", st.Receiver.Jamming}, {"spoofing", st.Receiver.Spoofing}, {"fix", st.Receiver.Fix}} {
		if word := w.state.String(); word != "unknown" {
			gauge(mRecvState, 1, w.what, word)
		}
	}
	for _, x := range c.exports {
		for r := range export.Result(export.NumResults) {
			count(mExports, x.Count(r), x.Name(), r.String())
		}
	}
	for _, f := range c.followers {
		name, fs := f.Name(), f.Stats()
		if fs.Compared {
			gauge(mFolOffset, fs.OffsetNS*1e-9, name)
		}
		bound := math.Inf(1)
		if fs.Bound < math.MaxInt64 {
			bound = fs.Bound.Seconds()
		}
		gauge(mFolBound, bound, name)
		gauge(mFolOthers, one(fs.Contested), name)
		for v := status.Unlocked; v <= status.Faulty; v++ {
			if !fs.Observed {
				gauge(mFolState, one(fs.Snapshot.State == v), name, v.String())
			}
		}
		for r, n := range fs.Counts {
			if n > 0 || followerReasons[reason.Code(r)] {
				count(mFolEvents, n, name, reason.Code(r).String())
			}
		}
	}
	if c.witnesses != nil {
		for _, w := range c.witnesses.Status() {
			gauge(mWitOffset, w.OffsetNS*1e-9, w.Name)
			for v := integrity.NoVerdict; v <= integrity.Disagrees; v++ {
				gauge(mWitState, one(w.Verdict == v), w.Name, v.String())
			}
			count(mWitAsked, w.Asked-w.Silent, w.Name, "answered")
			count(mWitAsked, w.Silent, w.Name, "silent")
			count(mWitAsked, w.Disagreed, w.Name, "disagreed")
		}
	}
	if c.port != nil {
		count(mOpened, c.port.Opened(), "receiver")
		if g := c.port.Counters(); g != nil {
			for _, r := range gnss.Reasons() {
				count(mReason, g.Of(r), "receiver", r.String())
			}
		}
	}
	gauge(mAgeing, d.AgeingPPB)
	if c.sensor != nil {
		if d.TempMono != 0 {
			gauge(mTemp, d.TempC)
		}
		gauge(mTempPPB, d.TempPPB)
		for r := oscillator.SensorGood + 1; int(r) < oscillator.NumSensorReasons; r++ {
			count(mReason, c.sensor.Failed(r), "sensor", r.String())
		}
	}
	if c.pulses != nil {
		count(mOpened, c.pulses.Opened(), "pulse")
		if undelivered := c.source.undelivered(); undelivered != nil {
			for r := pps.Reason(0); r < pps.NumReasons; r++ {
				count(mReason, undelivered(r), "pulse", r.String())
			}
		}
	}
}

// followerReasons are those that an alert may wait for: told from the start.
var followerReasons = map[reason.Code]bool{
	reason.ClockMissing: true, reason.ClockGone: true, reason.ClockDenied: true, reason.ClockContested: true,
	reason.ClockForeign: true, reason.ClockStep: true, reason.ReferenceUnusable: true,
}

// stratumAt is what clients are told at an instant.
func stratumAt(s *status.Snapshot, mono int64) int {
	if !s.Usable(mono) {
		return 16
	}
	return int(s.Stratum)
}

// leapAt is the leap indicator clients are told at an instant.
func leapAt(s *status.Snapshot, mono int64) int {
	if !s.Usable(mono) {
		return 3
	}
	return int(s.LeapIndicator(s.ClockAt(mono)))
}
