package report

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"time"

	"noonmark/internal/durable"
	"noonmark/refclock/gnss"
	"noonmark/refclock/status"
)

// DetailsName is the file beside the snapshot that holds Details.
const DetailsName = "details.json"

// Status is the projection that `refclockctl status` prints, of a snapshot and the
// Details beside it. Its JSON keys are a contract: they only grow.
type Status struct {
	State     string   `json:"state"`
	Reason    string   `json:"reason"`
	Usable    bool     `json:"synchronised"` // clients get this state now
	OffsetNS  float64  `json:"offset_ns"`    // clock - reference, + = clock fast
	BoundNS   *int64   `json:"bound_ns"`     // of |clock - true time| now; null: there is none
	BoundRate float64  `json:"bound_rate_ns_per_s"`
	LimitNS   *int64   `json:"limit_ns"`   // with a larger bound clients see "not synchronised"; null: there is none
	LimitInS  *float64 `json:"limit_in_s"` // until the bound reaches it at bound_rate_ns_per_s, which is for a clock that nobody corrects; null: never, or already
	NoiseNS   float64  `json:"noise_ns"`
	FreqPPB   float64  `json:"freq_ppb"` // correction in force, + = clock made faster
	Stratum   int      `json:"stratum"`
	RefID     string   `json:"refid"`
	Leap      int      `json:"leap"` // leap indicator of RFC 5905; 3: not synchronised
	LeapAt    *string  `json:"leap_at"`
	TAIOffset int32    `json:"tai_offset_s"`
	Time      *string  `json:"time"`           // by the clock, UTC
	RefTime   *string  `json:"reference_time"` // UTC
	Pulse     Input    `json:"pulse"`
	Receiver  Port     `json:"receiver"`
	Clock     ClockNow `json:"clock"`
	Updates   uint64   `json:"updates"`
	AgeS      float64  `json:"age_s"`   // of the snapshot
	Stopped   bool     `json:"stopped"` // refclockd does not publish any more
	PID       uint32   `json:"pid"`

	// Of Details; empty where there are none.
	Pulses     []PulseDetail      `json:"pulses"` // those that are only compared
	Leaps      *LeapDetails       `json:"leap_sources"`
	Oscillator *OscillatorDetails `json:"oscillator"`
	Remedy     string             `json:"remedy,omitempty"` // what an operator can do about Reason
	Cause      string             `json:"cause,omitempty"`  // the word of what is behind Reason; empty: it is not known
	Conditions []ConditionDetail  `json:"conditions"`       // what keeps the receiver from being used
	Lock       *LockDetails       `json:"lock"`
	StateForS  *float64           `json:"state_for_s"` // for how long the state has lasted
	Forecast   *ForecastDetails   `json:"forecast"`    // null: there is none of this state
	Fleet      *FragmentDetail    `json:"fleet"`       // null: the configuration names no file of a fleet
}

// Input is a source and what became of its input.
type Input struct {
	Source   string   `json:"source"`
	Accepted uint64   `json:"accepted"`
	Refused  uint64   `json:"refused"`
	Missed   *uint64  `json:"missed,omitempty"`
	AgeS     *float64 `json:"age_s"` // of the last accepted one
}

// Port is the source of messages, with what the receiver reports about itself. A
// key is missing while the receiver has not reported it.
type Port struct {
	Input
	Antenna  string `json:"antenna,omitempty"`  // ok, open, short
	Jamming  string `json:"jamming,omitempty"`  // none, warning, critical
	Spoofing string `json:"spoofing,omitempty"` // none, warning, critical

	LatencyS *float64 `json:"latency_s"` // from a second to its first message, learned; null: not known
	Fix      string   `json:"fix,omitempty"`
	Sats     *int     `json:"satellites"`
	Label    string   `json:"label_source,omitempty"` // the kind of message that named the second last

	Identity *gnss.Identity    `json:"identity,omitempty"` // what it says it is; missing: there are no details
	Sky      []SatelliteDetail `json:"sky,omitempty"`      // satellites in view
}

// ClockNow is the disciplined clock.
type ClockNow struct {
	Kind     string  `json:"kind"`
	Device   string  `json:"device"`
	PHCIndex int32   `json:"phc_index"` // -1: no PHC
	Epoch    uint32  `json:"epoch"`     // clock generation: steps so far
	RatePPB  float64 `json:"rate_ppb"`  // against CLOCK_MONOTONIC_RAW
	LineNS   int64   `json:"line_error_ns"`
}

// silentAge is the age of a snapshot from which its writer has stopped: it writes at
// least four times a second.
const silentAge = 2 * time.Second

// NewStatus describes a snapshot at an instant of CLOCK_MONOTONIC_RAW, ns.
func NewStatus(s *status.Snapshot, mono int64) Status {
	now := s.ClockAt(mono)
	r := Status{
		State: s.State.String(), Reason: s.Reason, Usable: s.Usable(mono), OffsetNS: s.OffsetNS, BoundRate: s.BoundRate,
		NoiseNS: s.NoiseNS, FreqPPB: s.FreqPPB, Stratum: 16, RefID: strings.TrimRight(string(s.RefID[:]), "\x00"), Leap: 3,
		TAIOffset: s.TAIOffset, Updates: s.Updates, AgeS: seconds(mono - s.Mono), PID: s.PID, Stopped: mono-s.Mono > int64(silentAge),
		Pulse:    Input{Source: s.Pulse, Accepted: s.Pulses, Refused: s.BadPulses, Missed: &s.Missed, AgeS: age(mono, s.PulseMono)},
		Receiver: Port{Input: Input{Source: s.Receiver, Accepted: s.Msgs, Refused: s.BadMsgs, AgeS: age(mono, s.MsgMono)}},
		Clock:    ClockNow{s.Kind.String(), s.ClockDev, s.PHCIndex, s.Epoch, s.RatePPB, int64(s.LineErr)},
		Pulses:   []PulseDetail{}, Conditions: []ConditionDetail{},
	}
	if b := s.BoundAt(mono); b < math.MaxInt64 {
		n := int64(b)
		r.BoundNS = &n
	}
	r.LimitNS, r.LimitInS = limit(s, mono)
	if r.Usable {
		r.Stratum, r.Leap = int(s.Stratum), int(s.LeapIndicator(now))
	}
	if s.RefTime != 0 {
		r.RefTime = utc(s.RefTime.UTC(s.OffsetAt(s.RefTime)))
		r.Time = utc(now.UTC(s.OffsetAt(now)))
	}
	if s.LeapAt != 0 {
		r.LeapAt = utc(s.LeapAt.UTC(int(s.TAIOffset) + int(s.LeapSign)))
	}
	return r
}

// limit returns the holdover limit, ns, and in how many seconds the bound reaches
// it at the present rate.
func limit(s *status.Snapshot, mono int64) (ns *int64, in *float64) {
	if s.Limit <= 0 || s.Limit == math.MaxInt64 {
		return nil, nil
	}
	l := int64(s.Limit)
	if left := s.Limit - s.BoundAt(mono); left > 0 && s.BoundRate > 0 {
		x := math.Round(float64(left) / s.BoundRate)
		in = &x
	}
	return &l, in
}

// utc writes a time to the nanosecond.
func utc(t time.Time) *string {
	x := t.Format("2006-01-02T15:04:05.000000000Z")
	return &x
}

// age returns the age in s of what happened at an instant, nil for 0: it never
// happened.
func age(now, mono int64) *float64 {
	if mono == 0 {
		return nil
	}
	x := seconds(now - mono)
	return &x
}

// Details older than staleDetails are not shown. They are written once a second.
const staleDetails = 10e9 // ns

// maxDetails is more than the file of details has, octets.
const maxDetails = 1 << 20

// ReadDetails returns the Details beside the snapshot at path, nil if there are
// none of this process that are fresh.
func ReadDetails(path string, pid uint32, mono int64) *Details {
	b, _, err := durable.ReadFile(filepath.Join(filepath.Dir(path), DetailsName), maxDetails)
	if err != nil {
		return nil
	}
	d := new(Details)
	if json.Unmarshal(b, d) != nil || d.PID != int(pid) || mono-d.Mono > staleDetails || d.Mono > mono+1e9 {
		return nil
	}
	return d
}

// AddDetails adds the Details beside the snapshot at path, if the same process
// wrote them and they are fresh. That there are none is no error: an older
// refclockd writes none.
func (r *Status) AddDetails(path string, mono int64) {
	d := ReadDetails(path, r.PID, mono)
	if d == nil {
		return
	}
	r.Pulses, r.Leaps, r.Oscillator = d.Pulses, &d.Leap, &d.Oscillator
	r.Lock, r.Remedy, r.Fleet = &d.Lock, d.Remedy, d.Fleet
	if d.State == r.State && d.StateForS != nil { // else it has changed since the details were written
		lasted := *d.StateForS + seconds(mono-d.Mono)
		r.StateForS = &lasted
	}
	if d.State == r.State {
		r.Cause = d.Cause
	}
	if d.State == r.State && d.Forecast != nil {
		r.Forecast = d.Forecast.after(seconds(mono - d.Mono))
	}
	if d.Conditions != nil {
		r.Conditions = d.Conditions
	}
	p := &r.Receiver
	p.LatencyS, p.Fix, p.Sats, p.Label, p.Sky = d.LatencyS, d.Fix, &d.Sats, d.Sources, d.Sky
	p.Antenna, p.Jamming, p.Spoofing, p.Identity = d.Antenna, d.Jamming, d.Spoofing, &d.Identity
}

// Read returns the Status of the snapshot at path at an instant of
// CLOCK_MONOTONIC_RAW, ns. mono is called once the snapshot has been read.
func Read(path string, mono func() int64) (Status, error) {
	rd, err := status.Open(path)
	if err != nil {
		return Status{}, err
	}
	defer rd.Close()
	var s status.Snapshot
	if err := rd.LoadAll(&s); err != nil {
		return Status{}, err
	}
	now := mono()
	r := NewStatus(&s, now)
	r.AddDetails(path, now)
	return r, nil
}
