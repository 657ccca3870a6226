package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Details is the projection of a Report that refclockd writes beside the snapshot
// once a second: what people want to see and the snapshot has no room for. Nothing
// is served from it. Its JSON keys only grow.
type Details struct {
	PID       int           `json:"pid"`
	Mono      int64         `json:"mono_ns"`      // CLOCK_MONOTONIC_RAW at which it was written
	LatencyS  *float64      `json:"latency_s"`    // from a second to its first message, smoothed; null: not known
	Sources   string        `json:"label_source"` // the kind of message that named the second last
	Fix       string        `json:"fix,omitempty"`
	Sats      int           `json:"satellites"`
	Antenna   string        `json:"antenna,omitempty"`  // ok, open, short; empty: the receiver does not say
	Jamming   string        `json:"jamming,omitempty"`  // none, warning, critical; likewise
	Spoofing  string        `json:"spoofing,omitempty"` // none, warning, critical; likewise
	Identity  gnss.Identity `json:"identity"`
	Leap      LeapDetails   `json:"leap"`
	Pulses    []PulseDetail `json:"pulses"` // those that are compared
	LabelUTC  *string       `json:"label"`  // the second named last, UTC
	Rollbacks uint64        `json:"rollbacks"`
	Remedy    string        `json:"remedy,omitempty"` // what an operator can do about the state's reason
	Cause     string        `json:"cause,omitempty"`  // the word of what is behind that reason; empty: it is not known
	Lock      LockDetails   `json:"lock"`

	Oscillator OscillatorDetails `json:"oscillator"`
	Conditions []ConditionDetail `json:"conditions"` // the one that explains most first
	Alarms     []AlarmDetail     `json:"alarms"`     // by reason and name; null: an older refclockd
	Sky        []SatelliteDetail `json:"sky"`        // satellites in view
	Forecast   *ForecastDetails  `json:"forecast"`   // null: there is no bound, or it is that of an earlier run
	Fleet      *FragmentDetail   `json:"fleet"`      // null: the configuration names no file of a fleet
	State      string            `json:"state"`
	StateForS  *float64          `json:"state_for_s"` // for how long it has lasted; null: not known
}

// FragmentDetail is the file with keys that a fleet sets, which a program reads besides its
// own.
type FragmentDetail struct {
	Path       string   `json:"path"`
	Content    string   `json:"content"`    // what the file in force has; empty: there is none
	Refused    string   `json:"refused"`    // why it is not used; empty: it is
	Refusals   uint64   `json:"refusals"`   // since the start of the program
	Overridden []string `json:"overridden"` // keys of it that the operator's file names too
	Silent     []string `json:"silent"`     // witnesses of it that have never answered
	Disagree   []string `json:"disagree"`   // witnesses of it that report another time
}

// text is the file in words.
func (f *FragmentDetail) text() string {
	switch {
	case f.Refused != "":
		return "WARNING what the fleet sets is not used: " + f.Refused
	case f.Content == "":
		return "sets nothing; there is no " + f.Path
	case len(f.Overridden) > 0:
		return f.Path + " is in force, but for what the local file names: " + strings.Join(f.Overridden, ", ")
	}
	return f.Path + " is in force"
}

// ForecastDetails are what becomes of the bound if no pulse comes any more, by the
// bound's own model: the clock goes on being corrected, and the temperature stays.
type ForecastDetails struct {
	LimitInS *float64     `json:"limit_in_s"` // until the bound reaches the limit; 0: it has; null: not within a year
	Ahead    []BoundAhead `json:"ahead"`
}

// BoundAhead is the bound at an instant ahead.
type BoundAhead struct {
	InS     float64 `json:"in_s"`
	BoundNS int64   `json:"bound_ns"`
}

// newForecast returns the forecast of a report at an instant of CLOCK_MONOTONIC_RAW,
// ns, nil if there is none.
func newForecast(r *Report, mono int64) *ForecastDetails {
	f, s := &r.Discipline.Forecast, &r.Snapshot
	if f.Mono == 0 || s.State != status.Locked && s.State != status.Holdover {
		return nil
	}
	d := &ForecastDetails{Ahead: []BoundAhead{}}
	for i, b := range f.Bound {
		d.Ahead = append(d.Ahead, BoundAhead{discipline.ForecastAt(i), int64(min(b, math.MaxInt64/4)) + int64(s.LineErr)})
	}
	if !math.IsInf(f.LimitIn, 1) {
		d.LimitInS = &f.LimitIn // after copies it
	}
	return d.after(seconds(mono - f.Mono))
}

// after returns the forecast s seconds later: what is over by then is left out.
func (f *ForecastDetails) after(s float64) *ForecastDetails {
	later := &ForecastDetails{Ahead: []BoundAhead{}}
	for _, p := range f.Ahead {
		if p.InS -= s; p.InS > 0 {
			p.InS = round3(p.InS)
			later.Ahead = append(later.Ahead, p)
		}
	}
	if f.LimitInS != nil {
		in := math.Round(max(*f.LimitInS-s, 0))
		later.LimitInS = &in
	}
	return later
}

// AlarmDetail is something that lasts and that an operator wants to know of: a
// condition of the receiver, a warning about leap seconds, a witness or a pulse that
// disagrees, a clock that another program steers.
type AlarmDetail struct {
	Reason string `json:"reason"`
	Name   string `json:"name,omitempty"` // of the witness, pulse or clock
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// ConditionDetail is something that lasts and keeps the receiver from being used
// well, or at all.
type ConditionDetail struct {
	Reason string  `json:"reason"`
	Detail string  `json:"detail"` // what was seen
	Remedy string  `json:"remedy"`
	SinceS float64 `json:"since_s"` // for how long
}

// LockDetails are what the lock stands on.
type LockDetails struct {
	Provisional bool    `json:"provisional"`         // so little that contradicting evidence may outweigh it
	Pulses      int     `json:"pulses_accepted"`     // since phase was acquired
	Seconds     int     `json:"seconds_agreed"`      // in which labels agreed with the clock since it was labelled
	JumpNS      float64 `json:"unexplained_jump_ns"` // part of the bound: jumps of the pulses that the clock followed
	RefusedNS   float64 `json:"refused_pulses_ns"`   // part of the bound: refused pulses that may be right
	AwayNS      float64 `json:"pulses_away_ns"`      // where refused pulses are that agree with each other, from their prediction
	Drifted     bool    `json:"pulses_drifted"`      // the pulses drifted away since the last lock
	AppliedS    int     `json:"labels_made_with_s"`  // TAI - UTC by which the receiver has made its labels for long; 0: not known

	Earlier *discipline.Inherited `json:"earlier,omitempty"`   // the line of an earlier run that pulses are still compared with
	Last    *discipline.LastLine  `json:"last_line,omitempty"` // that the pulses are on, or left by a drift

	Recent *discipline.LastPulses `json:"last_pulses_mono_ns,omitempty"` // CLOCK_MONOTONIC_RAW of the latest pulses, 0: there were not so many
}

// NewLockDetails returns the details of a status and of the leap seconds. The next run of the
// daemon continues from them.
func NewLockDetails(st *discipline.Status, leaps *leap.Status) LockDetails {
	l := LockDetails{Provisional: st.Provisional, Pulses: st.Accepted, Seconds: st.Agreed, JumpNS: math.Round(st.JumpNS), RefusedNS: math.Round(st.RefusedNS), AwayNS: math.Round(st.AwayNS), Drifted: st.Drifted, AppliedS: leaps.Applied}
	if line := st.Inherited; line.RefTime != 0 {
		l.Earlier = &line
	}
	if line := st.LastLine; line != (discipline.LastLine{}) {
		l.Last = &line
	}
	if pulses := st.LastPulses; pulses != (discipline.LastPulses{}) {
		l.Recent = &pulses
	}
	return l
}

// OscillatorDetails are the effects of temperature and age that the discipline
// compensates.
type OscillatorDetails struct {
	Celsius   *float64 `json:"celsius"` // null: no sensor, or no reading yet
	Stuck     bool     `json:"sensor_stuck"`
	TempPPB   float64  `json:"ppb_per_kelvin"` // 0: not known well enough to be used
	TempLagS  float64  `json:"lag_s"`
	AgeingPPB float64  `json:"ageing_ppb_per_day"` // 0: likewise
}

// LeapDetails are the sources of leap seconds and what follows from them.
type LeapDetails struct {
	ReceiverS *int     `json:"receiver_tai_offset_s"` // null: not announced
	TableS    *int     `json:"table_tai_offset_s"`
	Table     string   `json:"table"`
	Expires   string   `json:"table_expires"`
	Warnings  []string `json:"warnings"` // leap_disagrees, leap_expired, leap_unconfirmed, leap_contradicted, leap_refused

	By      string       `json:"by"`      // the source that is followed; empty: none has a vote on the present count
	Sources []LeapDetail `json:"sources"` // the tables in order of trust
	Next    *string      `json:"next"`    // when the count changes next, UTC
	Sign    int          `json:"sign"`    // +1 a second is inserted then, -1 deleted
	NextBy  string       `json:"next_by,omitempty"`

	Confirmed string `json:"confirmed_by,omitempty"` // what confirms the receiver's count; empty: nothing does
}

// LeapDetail is one table of leap seconds.
type LeapDetail struct {
	Source  string `json:"source"`
	OffsetS *int   `json:"tai_offset_s"`
	Expires string `json:"expires"` // empty: not known
	Expired bool   `json:"expired"`
}

// PulseDetail is one pulse that is compared.
type PulseDetail struct {
	Source   string   `json:"source"`
	OffsetNS *float64 `json:"offset_ns"` // last: clock - pulse, + = pulse late; null: none yet
	MeanNS   float64  `json:"mean_ns"`
	NoiseNS  float64  `json:"noise_ns"`
	LimitNS  int64    `json:"limit_ns"` // 0: none
	Count    uint64   `json:"compared"`
	Skipped  uint64   `json:"skipped"`
	AgeS     *float64 `json:"age_s"`
	Alarm    string   `json:"alarm"` // a reason, or empty
}

// NewDetails returns the Details of a report at an instant of
// CLOCK_MONOTONIC_RAW, ns.
func NewDetails(r *Report, pid int, mono int64) Details {
	st := &r.Discipline
	d := Details{
		PID: pid, Mono: mono, Sources: st.Labels, Sats: r.Receiver.Sats, Rollbacks: st.Rollbacks,
		Lock:    NewLockDetails(st, &r.Leap),
		Antenna: known(r.Receiver.Antenna), Jamming: known(r.Receiver.Jamming), Spoofing: known(r.Receiver.Spoofing),
		Identity:   r.Receiver.Identity,
		Leap:       newLeapDetails(&r.Leap),
		Pulses:     []PulseDetail{},
		Conditions: []ConditionDetail{},
		Sky:        newSky(&r.Receiver.Sky, mono),
		Remedy:     r.Remedy(),
		Oscillator: OscillatorDetails{Stuck: st.SensorStuck, TempPPB: coefficient(st.TempPPB), TempLagS: st.TempLagS, AgeingPPB: coefficient(st.AgeingPPB)},
	}
	d.State, d.StateForS, d.Forecast = r.Snapshot.State.String(), age(mono, r.Since), newForecast(r, mono)
	if st.Cause != reason.None {
		d.Cause = st.Cause.String()
	}
	if r.Receiver.Fix != gnss.FixUnknown {
		d.Fix = r.Receiver.Fix.String()
	}
	if st.TempMono != 0 {
		d.Oscillator.Celsius = &st.TempC
	}
	if l := round3(st.Latency.Seconds()); l != 0 {
		d.LatencyS = &l
	}
	if r.Label.Time != 0 {
		u := utcSeconds(r.Label.Time.UTC(r.Snapshot.OffsetAt(r.Label.Time)))
		d.LabelUTC = &u
	}
	for _, c := range r.Conditions {
		d.Conditions = append(d.Conditions, ConditionDetail{c.Code.String(), c.Detail, c.Code.Info().Remedy, seconds(mono - c.Since)})
	}
	for i := range r.Compared {
		d.Pulses = append(d.Pulses, newPulseDetail(&r.Compared[i], mono))
	}
	return d
}

// Remedy returns what an operator can do about the state's reason. For evidence of
// the leap count that depends on the site.
func (r *Report) Remedy() string {
	if r.Discipline.Cause == reason.LeapUnconfirmed && r.Leap.Remedy != "" {
		return r.Leap.Remedy
	}
	return r.Discipline.Remedy()
}

// known returns the word of a state, or nothing while it is unknown.
func known(s fmt.Stringer) string {
	if w := s.String(); w != "unknown" {
		return w
	}
	return ""
}

func newLeapDetails(n *leap.Status) LeapDetails {
	d := LeapDetails{Table: n.Source, Expires: date(n.Expires), Warnings: []string{}, By: n.Followed, Sources: []LeapDetail{}, Sign: n.NextSign, NextBy: n.NextSource, Confirmed: n.Confirmed}
	for _, x := range n.Tables {
		d.Sources = append(d.Sources, LeapDetail{Source: x.Name, OffsetS: nonZero(x.Offset), Expires: date(x.Expires), Expired: x.Expired})
	}
	if n.NextSign != 0 {
		u := utcSeconds(n.Next)
		d.Next = &u
	}
	d.ReceiverS, d.TableS = nonZero(n.Receiver), nonZero(n.Offset)
	for _, w := range n.Warnings() {
		if w.Raised {
			d.Warnings = append(d.Warnings, w.Code.String())
		}
	}
	return d
}

func newPulseDetail(c *pps.Comparison, mono int64) PulseDetail {
	p := PulseDetail{Source: c.Name, MeanNS: c.MeanNS, NoiseNS: c.NoiseNS, LimitNS: int64(c.Limit), Count: c.Count, Skipped: c.Skipped}
	if c.Mono != 0 {
		z, age := c.OffsetNS, seconds(mono-c.Mono)
		p.OffsetNS, p.AgeS = &z, &age
	}
	if c.Alarm {
		p.Alarm = reason.CompareAlarm.String()
	}
	return p
}

// nonZero returns n, or nil for 0, which means "not known".
func nonZero(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// date writes a day, or nothing for the zero time.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// utcSeconds writes a time in UTC to the second.
func utcSeconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// seconds returns ns in seconds, to the millisecond.
func seconds(ns int64) float64 { return math.Round(float64(ns)*1e-6) * 1e-3 }

func round3(v float64) float64 { return math.Round(v*1e3) / 1e3 }

// coefficient rounds to four digits, wherever they are: one of a good oscillator is far
// below 0.001 ppb, and 0 means that it is not known. Texts and the page show three.
func coefficient(v float64) float64 {
	short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 3, 64), 64) // it is a number
	return short
}
