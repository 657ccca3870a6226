package discipline

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Status is what the discipline knows at Mono.
type Status struct {
	State  status.State // to be published; Text renders why
	Reason Reason       // why the state is what it is; None: Cause says it alone
	Cause  reason.Code  // what is behind Reason, None if that is not known
	Detail string       // further words of an alarm, for people
	Own    Reason       // while Reason is Restarted: why this run has no lock of its own yet
	Moving bool         // between ClockMoving and Stepped
	Mono   int64        // CLOCK_MONOTONIC_RAW, ns

	// ServoState is the state of the estimate alone: as if the clock were open
	// and adjustable, not being stepped, and no leap second undecided.
	ServoState status.State

	Figures
	ErrorBound
	Thermal
	Evidence
	Totals
}

// Figures are what the servo measured and learned.
type Figures struct {
	OffsetNS float64 // last accepted measurement, clock - reference
	EstNS    float64 // estimated offset at Mono
	NoiseNS  float64 // learned standard deviation of a measurement
	WhiteFM  float64 // learned white frequency noise of the oscillator, ppb at 1 s
	WalkFM   float64 // learned random walk of its frequency, ppb per sqrt(s)
	FreqPPB  float64 // correction in force
	DriftPPB float64 // estimated frequency error of the free oscillator, + = fast
}

// ErrorBound bounds the clock's true error.
type ErrorBound struct {
	Bound     float64       // ns: |clock - true time| at Mono is at most this
	BoundRate float64       // ns/s: growth of Bound if nothing is measured or corrected any more, valid until Floor + Limit
	Floor     float64       // ns: part of Bound that reading the clock causes and no reference would remove
	Limit     time.Duration // holdover limit of the configuration, on top of Floor
	JumpNS    float64       // part of Bound: jumps of the pulses that the clock followed and that nothing explains
	RefusedNS float64       // part of Bound: refused pulses that agree with each other, and may be right
	AwayNS    float64       // where refused pulses are that agree with each other, from their prediction; 0: there are none
	Forecast  Forecast      // empty: there is no bound, or it is that of an earlier run
}

// Thermal is the compensation of temperature and ageing.
type Thermal struct {
	TempC       float64 // last accepted reading of the sensor near the oscillator, degrees Celsius; 0 before the first
	TempMono    int64   // CLOCK_MONOTONIC_RAW (ns) of it, 0 = none
	TempPPB     float64 // temperature coefficient in use, ppb per K; 0 = none, the sensor does not predict the oscillator so far
	TempLagS    float64 // lag of the oscillator behind the sensor, s
	AgeingPPB   float64 // ageing in use, ppb per day; 0 = none known
	SensorStuck bool    // the reading has been constant for implausibly long
}

// Evidence is the age and origin of what the estimate rests on.
type Evidence struct {
	RefTime   tai.Time      // clock reading at the last accepted measurement of a labelled second, 0 = never
	PulseMono int64         // CLOCK_MONOTONIC_RAW (ns) of the last accepted pulse, 0 = none
	LabelMono int64         // CLOCK_MONOTONIC_RAW (ns) of the last valid label, 0 = none
	Latency   time.Duration // of the first message after the pulse whose second it names, smoothed
	Labels    string        // kind of the last valid message, for people

	Accepted    int        // pulses since phase was acquired
	Agreed      int        // seconds in which labels agreed with the clock since it was labelled
	Drifted     bool       // the pulses drifted away since the last lock, or before a restart
	Inherited   Inherited  // the line of an earlier run that pulses are still compared with; zero: none
	LastLine    LastLine   // that the pulses are on, or left by a drift; zero: none
	LastPulses  LastPulses // which the next run compares its own with
	Provisional bool       // the lock stands on so little that contradicting evidence may outweigh it
}

// Totals are counters; they never fall.
type Totals struct {
	Pulses    uint64 // accepted
	BadPulses uint64 // refused
	Missed    uint64 // expected pulses that did not come
	Labelled  uint64 // valid labels
	BadLabels uint64 // refused labels
	Steps     uint64 // steps made
	Rollbacks uint64 // times when suspect pulses were forgotten
	Counts    Counts // refusals and transitions by Reason
}

// Text renders the reason of the state for the published snapshot: Reason,
// Cause and Detail as far as there are any. "no_pulse: ambiguous_edge",
// "doubted: witness_disagrees NAME", "clock_missing".
func (s *Status) Text() string {
	cause := s.Detail
	if s.Cause != reason.None {
		cause = s.Cause.String()
		if s.Detail != "" {
			cause += " " + s.Detail
		}
	}
	switch {
	case cause == "":
		return s.Reason.String()
	case s.Reason == None:
		return cause
	}
	return s.Reason.String() + ": " + cause
}

// Tracked reports whether phase and second are known, so that the servo
// follows them.
func (s *Status) Tracked() bool {
	return s.ServoState == status.Locked || s.ServoState == status.Holdover
}
