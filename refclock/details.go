package refclock

import (
	"math"
	"noonmark/refclock/reason"
	"time"
)

// DetailsName is the file beside the snapshot that holds Details.
const DetailsName = "details.json"

// Details is what refclockctl status shows beyond the snapshot. Its JSON only
// ever grows.
type Details struct {
	PID       int           `json:"pid"`
	Mono      int64         `json:"mono_ns"`      // CLOCK_MONOTONIC_RAW at which it was written
	LatencyS  *float64      `json:"latency_s"`    // from a second to its first message, smoothed; null: not known
	Sources   string        `json:"label_source"` // the kind of message that named the second last
	Fix       string        `json:"fix,omitempty"`
	Sats      int           `json:"satellites"`
	Leap      LeapDetails   `json:"leap"`
	Pulses    []PulseDetail `json:"pulses"` // those that are compared
	LabelUTC  *string       `json:"label"`  // the second named last, UTC
	Rollbacks uint64        `json:"rollbacks"`

	Oscillator OscillatorDetails `json:"oscillator"`
}

// OscillatorDetails tells what is counted with of temperature and age.
type OscillatorDetails struct {
	Celsius   *float64 `json:"celsius"` // null: no sensor, or no reading yet
	Stuck     bool     `json:"sensor_stuck"`
	TempPPB   float64  `json:"ppb_per_kelvin"` // 0: not known well enough to be used
	TempLagS  float64  `json:"lag_s"`
	AgeingPPB float64  `json:"ageing_ppb_per_day"` // 0: likewise
}

// LeapDetails tells what each source of leap seconds says.
type LeapDetails struct {
	ReceiverS *int     `json:"receiver_tai_offset_s"` // null: it does not say
	TableS    *int     `json:"table_tai_offset_s"`
	Table     string   `json:"table"`
	Expires   string   `json:"table_expires"`
	Warnings  []string `json:"warnings"` // leap_disagrees, leap_expired, leap_unconfirmed, leap_contradicted, leap_refused

	By      string       `json:"by"`      // the source that is followed; empty: none vouches for the present count
	Sources []LeapDetail `json:"sources"` // the tables in order of trust
	Next    *string      `json:"next"`    // when the count changes next, UTC
	Sign    int          `json:"sign"`    // +1 a second is inserted then, -1 deleted
	NextBy  string       `json:"next_by,omitempty"`
}

// LeapDetail is one table of leap seconds.
type LeapDetail struct {
	Source  string `json:"source"`
	OffsetS *int   `json:"tai_offset_s"`
	Expires string `json:"expires"` // empty: it does not say
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

// NewDetails makes Details of an engine's state at an instant of
// CLOCK_MONOTONIC_RAW.
func NewDetails(s *Stats, pid int, mono int64) Details {
	d := Details{PID: pid, Mono: mono, Sources: s.Status.Labels, Fix: s.Receiver.Fix, Sats: s.Receiver.Sats, Rollbacks: s.Status.Rollbacks, Pulses: []PulseDetail{}}
	d.Oscillator = OscillatorDetails{Stuck: s.Status.SensorStuck, TempPPB: round3(s.Status.TempPPB), TempLagS: s.Status.TempLagS, AgeingPPB: round3(s.Status.AgeingPPB)}
	if s.Status.TempMono != 0 {
		d.Oscillator.Celsius = &s.Status.TempC
	}
	if l := s.Status.Latency.Seconds(); l != 0 {
		l = math.Round(l*1e3) / 1e3
		d.LatencyS = &l
	}
	if s.Label.Time != 0 {
		u := s.Label.Time.UTC(s.Snapshot.OffsetAt(s.Label.Time)).Format("2006-01-02T15:04:05Z")
		d.LabelUTC = &u
	}
	n := s.Leap
	d.Leap = LeapDetails{Table: n.Source, Warnings: []string{}, By: n.Followed, Sources: []LeapDetail{}, Sign: n.NextSign, NextBy: n.NextSource}
	for _, x := range n.Tables {
		o := LeapDetail{Source: x.Name, Expired: x.Expired}
		if x.Offset != 0 {
			o.OffsetS = &x.Offset
		}
		if !x.Expires.IsZero() {
			o.Expires = x.Expires.UTC().Format(time.DateOnly)
		}
		d.Leap.Sources = append(d.Leap.Sources, o)
	}
	if n.NextSign != 0 {
		u := n.Next.Format("2006-01-02T15:04:05Z")
		d.Leap.Next = &u
	}
	if !n.Expires.IsZero() {
		d.Leap.Expires = n.Expires.UTC().Format(time.DateOnly)
	}
	if n.Receiver != 0 {
		d.Leap.ReceiverS = &n.Receiver
	}
	if n.Offset != 0 {
		d.Leap.TableS = &n.Offset
	}
	for _, w := range n.Warnings() {
		if w.Raised {
			d.Leap.Warnings = append(d.Leap.Warnings, w.Code.String())
		}
	}
	for _, c := range s.Compared {
		p := PulseDetail{Source: c.Name, MeanNS: c.MeanNS, NoiseNS: c.NoiseNS, LimitNS: int64(c.Limit), Count: c.Count, Skipped: c.Skipped}
		if c.Mono != 0 {
			z, age := c.OffsetNS, math.Round(float64(mono-c.Mono)*1e-6)*1e-3
			p.OffsetNS, p.AgeS = &z, &age
		}
		if c.Alarm {
			p.Alarm = reason.CompareAlarm.String()
		}
		d.Pulses = append(d.Pulses, p)
	}
	return d
}

func round3(v float64) float64 { return math.Round(v*1e3) / 1e3 }
