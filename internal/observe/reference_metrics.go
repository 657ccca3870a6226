package observe

import (
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// NewReferenceMetrics returns the metrics of refclockd.
func NewReferenceMetrics(s *Sources) prometheus.Collector {
	return &collector[Reference]{referenceMetrics(), s.Read}
}

func referenceMetrics() []family[Reference] {
	return slices.Concat(clockMetrics(), inputMetrics(), leapMetrics(), oscillatorMetrics(), outputMetrics())
}

func referenceDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("noonmark_refclock_"+name, help, labels, nil)
}

// clockMetrics are the state of the clock and what clients see of it.
func clockMetrics() []family[Reference] {
	return []family[Reference]{
		gauges(referenceDesc("state", "State of the discipline: 1 for the present one.", "state"),
			func(r *Reference, put sink) { putState(put, r.Report.Snapshot.State) }),
		gauge(referenceDesc("offset_seconds", "Last accepted measurement, clock minus reference; positive: clock fast."),
			func(r *Reference) float64 { return r.Report.Snapshot.OffsetNS * 1e-9 }),
		gauge(referenceDesc("noise_seconds", "Standard deviation of recent measurements."),
			func(r *Reference) float64 { return r.Report.Snapshot.NoiseNS * 1e-9 }),
		gauge(referenceDesc("frequency_correction_ppb", "Frequency correction in force; positive: clock made faster."),
			func(r *Reference) float64 { return r.Report.Snapshot.FreqPPB }),
		gauge(referenceDesc("bound_seconds", "Bound of the clock's error now."),
			func(r *Reference) float64 { return seconds(r.Report.Snapshot.BoundAt(r.Mono)) }),
		gauge(referenceDesc("line_error_seconds", "Largest distance of the published model line from the clock."),
			func(r *Reference) float64 { return r.Report.Snapshot.LineErr.Seconds() }),
		gauge(referenceDesc("synchronised", "1 if the clock is served as synchronised."),
			func(r *Reference) float64 { return one(r.Report.Snapshot.Usable(r.Mono)) }),
		gauge(referenceDesc("stratum", "Stratum that clients get, 16 if not synchronised."), stratum),
		gauge(referenceDesc("leap_indicator", "Leap indicator that clients get (RFC 5905): 0 none, 1 insert, 2 delete, 3 not synchronised."), leapIndicator),
		gauge(referenceDesc("tai_offset_seconds", "TAI minus UTC."),
			func(r *Reference) float64 { return float64(r.Report.Snapshot.TAIOffset) }),
		counter(referenceDesc("steps_total", "Steps of the clock, by refclockd and by other programs."),
			func(r *Reference) uint64 { return uint64(r.Report.Snapshot.Epoch) }),
		counter(referenceDesc("snapshots_total", "Snapshots published."),
			func(r *Reference) uint64 { return r.Report.Snapshot.Updates }),
		counters(referenceDesc("events_total", "Refusals and changes by named reason, and the part that counts them.", "part", "reason"), putEvents),
	}
}

// inputMetrics are receiver, pulses and what became of their input.
func inputMetrics() []family[Reference] {
	return []family[Reference]{
		counters(referenceDesc("opened_total", "How often a device was opened.", "device"),
			func(r *Reference, put sink) {
				for _, o := range r.Opened {
					put(float64(o.N), o.Part)
				}
			}),
		counters(referenceDesc("pulses_total", "Pulses by result.", "result"),
			func(r *Reference, put sink) {
				s := &r.Report.Snapshot
				put(float64(s.Pulses), "accepted")
				put(float64(s.BadPulses), "refused")
				put(float64(s.Missed), "missed")
			}),
		counters(referenceDesc("messages_total", "Time messages by result.", "result"),
			func(r *Reference, put sink) {
				put(float64(r.Report.Snapshot.Msgs), "valid")
				put(float64(r.Report.Snapshot.BadMsgs), "refused")
			}),
		gauges(referenceDesc("pulse_age_seconds", "Time since the last accepted pulse."),
			func(r *Reference, put sink) { putAge(put, r.Mono, r.Report.Snapshot.PulseMono) }),
		gauges(referenceDesc("message_age_seconds", "Time since the last valid time message."),
			func(r *Reference, put sink) { putAge(put, r.Mono, r.Report.Snapshot.MsgMono) }),
		gauge(referenceDesc("message_latency_seconds", "From a second to its message, smoothed."),
			func(r *Reference) float64 { return r.Report.Discipline.Latency.Seconds() }),
		gauge(referenceDesc("satellites", "Satellites in the receiver's solution."),
			func(r *Reference) float64 { return float64(r.Report.Receiver.Sats) }),
		gauges(referenceDesc("receiver_state", "State that the receiver reports: 1 for the present one.", "what", "state"), putReceiver),
		gauges(referenceDesc("compared_pulse_offset_seconds", "Clock minus a pulse that is only compared; positive: pulse late.", "pulse"),
			ofCompared(func(p *pps.Comparison, put sink) {
				if p.Mono != 0 {
					put(p.OffsetNS*1e-9, p.Name)
				}
			})),
		gauges(referenceDesc("compared_pulse_alarm", "1 while a compared pulse is beyond its limit, with the reason.", "pulse", "reason"),
			ofCompared(func(p *pps.Comparison, put sink) { put(one(p.Alarm), p.Name, reason.CompareAlarm.String()) })),
		counters(referenceDesc("compared_pulses_total", "Edges of pulses that are only compared, by result.", "pulse", "result"),
			ofCompared(func(p *pps.Comparison, put sink) {
				put(float64(p.Count), p.Name, "compared")
				put(float64(p.Skipped), p.Name, "skipped")
			})),
	}
}

// leapMetrics are leap seconds and their sources.
func leapMetrics() []family[Reference] {
	return []family[Reference]{
		gauges(referenceDesc("leap_warning", "1 while a warning about leap seconds stands.", "reason"),
			func(r *Reference, put sink) {
				for _, w := range r.Report.Leap.Warnings() {
					put(one(w.Raised), w.Code.String())
				}
			}),
		gauges(referenceDesc("leap_source_expires_timestamp_seconds", "When a source of leap seconds expires, POSIX time.", "source"),
			func(r *Reference, put sink) {
				for _, x := range r.Report.Leap.Tables {
					if !x.Expires.IsZero() {
						put(float64(x.Expires.Unix()), x.Name)
					}
				}
			}),
		gauges(referenceDesc("leap_table_expires_timestamp_seconds", "When the table of leap seconds in force expires, POSIX time."),
			func(r *Reference, put sink) {
				if x := r.Report.Leap.Expires; !x.IsZero() {
					put(float64(x.Unix()))
				}
			}),
		gauges(referenceDesc("leap_next_timestamp_seconds", "When TAI minus UTC changes next, POSIX time; positive sign: a second is inserted.", "sign"),
			func(r *Reference, put sink) {
				if n := r.Report.Leap.NextSign; n != 0 {
					put(float64(r.Report.Leap.Next.Unix()), fmt.Sprintf("%+d", n))
				}
			}),
		gauges(referenceDesc("receiver_tai_offset_seconds", "TAI minus UTC as the receiver announces it."),
			func(r *Reference, put sink) {
				if n := r.Report.Leap.Receiver; n != 0 {
					put(float64(n))
				}
			}),
	}
}

// oscillatorMetrics are what was learned of the oscillator.
func oscillatorMetrics() []family[Reference] {
	return []family[Reference]{
		gauge(referenceDesc("oscillator_error_ppb", "Estimated frequency error of the free oscillator; positive: fast."),
			func(r *Reference) float64 { return r.Report.Discipline.DriftPPB }),
		gauge(referenceDesc("oscillator_ageing_ppb_per_day", "Ageing of the oscillator that is compensated; 0: not known well enough."),
			func(r *Reference) float64 { return r.Report.Discipline.AgeingPPB }),
		gauges(referenceDesc("oscillator_temperature_celsius", "Last accepted reading of the sensor near the oscillator."),
			func(r *Reference, put sink) {
				if d := &r.Report.Discipline; r.Sensor && d.TempMono != 0 {
					put(d.TempC)
				}
			}),
		gauges(referenceDesc("oscillator_temperature_ppb_per_kelvin", "Effect of the temperature on the frequency that is compensated; 0: not known well enough."),
			func(r *Reference, put sink) {
				if r.Sensor {
					put(r.Report.Discipline.TempPPB)
				}
			}),
	}
}

// outputMetrics are what uses the clock or checks it: exports, followers and
// witnesses.
func outputMetrics() []family[Reference] {
	return []family[Reference]{
		counters(referenceDesc("exports_total", "Samples and settings exported to other programs, by result.", "target", "result"),
			func(r *Reference, put sink) {
				for _, x := range r.Exports {
					put(float64(x.N), x.Part, x.What)
				}
			}),
		counters(referenceDesc("recording_frames_total", "Parts of the recording, by result.", "result"),
			func(r *Reference, put sink) {
				for _, x := range r.Recording {
					put(float64(x.N), x.What)
				}
			}),
		counters(referenceDesc("history_records_total", "Minutes of measurements and events for the history, by result.", "result"),
			func(r *Reference, put sink) {
				for _, x := range r.History {
					put(float64(x.N), x.What)
				}
			}),
		gauges(referenceDesc("follower_offset_seconds", "Following clock minus the disciplined one; positive: fast.", "clock"),
			ofFollowers(func(f *Follower, put sink) {
				if f.Compared {
					put(f.OffsetNS*1e-9, f.Name)
				}
			})),
		gauges(referenceDesc("follower_bound_seconds", "Bound of the following clock's error.", "clock"),
			ofFollowers(func(f *Follower, put sink) { put(seconds(f.Bound), f.Name) })),
		gauges(referenceDesc("follower_state", "State of the following clock: 1 for the present one.", "clock", "state"),
			ofFollowers(func(f *Follower, put sink) {
				if !f.Observed {
					putState(put, f.Snapshot.State, f.Name)
				}
			})),
		gauges(referenceDesc("follower_contested", "1 while another program steers the clock, so that refclockd does not.", "clock"),
			ofFollowers(func(f *Follower, put sink) { put(one(f.Contested), f.Name) })),
		counters(referenceDesc("follower_events_total", "Refusals and changes of a following clock by named reason.", "clock", "reason"),
			ofFollowers(putFollowerEvents)),
		gauges(referenceDesc("witness_offset_seconds", "Clock minus witness; positive: clock fast.", "witness"),
			ofWitnesses(func(w *integrity.WitnessStatus, put sink) { put(w.OffsetNS*1e-9, w.Name) })),
		gauges(referenceDesc("witness_verdict", "Result of the last query: 1 for the present one.", "witness", "verdict"),
			ofWitnesses(func(w *integrity.WitnessStatus, put sink) {
				for v := integrity.NoVerdict; v <= integrity.Disagrees; v++ {
					put(one(w.Verdict == v), w.Name, v.String())
				}
			})),
		counters(referenceDesc("witness_queries_total", "Queries by result.", "witness", "result"),
			ofWitnesses(func(w *integrity.WitnessStatus, put sink) {
				put(float64(w.Asked-w.Silent), w.Name, "answered")
				put(float64(w.Silent), w.Name, "silent")
				put(float64(w.Disagreed), w.Name, "disagreed")
			})),
	}
}

func ofCompared(f func(*pps.Comparison, sink)) func(*Reference, sink) {
	return func(r *Reference, put sink) {
		for i := range r.Report.Compared {
			f(&r.Report.Compared[i], put)
		}
	}
}

func ofFollowers(f func(*Follower, sink)) func(*Reference, sink) {
	return func(r *Reference, put sink) {
		for i := range r.Followers {
			f(&r.Followers[i], put)
		}
	}
}

func ofWitnesses(f func(*integrity.WitnessStatus, sink)) func(*Reference, sink) {
	return func(r *Reference, put sink) {
		for i := range r.Witnesses {
			f(&r.Witnesses[i], put)
		}
	}
}

// putState puts 1 for a state and 0 for all others. The state is the last label.
func putState(put sink, is status.State, labels ...string) {
	for v := status.Unlocked; v <= status.Faulty; v++ {
		put(one(is == v), append(slices.Clip(labels), v.String())...)
	}
}

// putAge puts the time since an instant, nothing for 0.
func putAge(put sink, now, mono int64) {
	if mono != 0 {
		put(float64(now-mono) * 1e-9)
	}
}

// putEvents puts the counters of every part, from the start also those at zero.
func putEvents(r *Reference, put sink) {
	for c, n := range r.Report.Counts {
		if code := reason.Code(c); code != reason.None {
			put(float64(n), "engine", code.String())
		}
	}
	for c := 1; c < discipline.NumReasons; c++ {
		put(float64(r.Report.Discipline.Counts[c]), "discipline", discipline.Reason(c).String())
	}
	for _, e := range r.Events {
		put(float64(e.N), e.Part, e.What)
	}
}

// putFollowerEvents puts what happened, and at zero what an alert may wait for.
func putFollowerEvents(f *Follower, put sink) {
	always := [...]reason.Code{
		reason.ClockMissing, reason.ClockGone, reason.ClockDenied, reason.ClockContested, reason.ClockForeign, reason.ClockStep, reason.ReferenceUnusable,
	}
	for c, n := range f.Counts {
		if code := reason.Code(c); n > 0 || slices.Contains(always[:], code) {
			put(float64(n), f.Name, code.String())
		}
	}
}

// putReceiver puts what the receiver has reported about itself.
func putReceiver(r *Reference, put sink) {
	x := &r.Report.Receiver
	if x.Fix != gnss.FixUnknown {
		put(1, "fix", x.Fix.String())
	}
	for _, w := range [...]struct {
		what  string
		state fmt.Stringer
	}{{"antenna", x.Antenna}, {"jamming", x.Jamming}, {"spoofing", x.Spoofing}} {
		if word := w.state.String(); word != "unknown" {
			put(1, w.what, word)
		}
	}
}

func stratum(r *Reference) float64 {
	if s := &r.Report.Snapshot; s.Usable(r.Mono) {
		return float64(s.Stratum)
	}
	return 16
}

func leapIndicator(r *Reference) float64 {
	if s := &r.Report.Snapshot; s.Usable(r.Mono) {
		return float64(s.LeapIndicator(s.ClockAt(r.Mono)))
	}
	return 3
}
