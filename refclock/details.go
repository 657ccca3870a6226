package refclock

import (
	"math"
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
}

// LeapDetails tells what each source of leap seconds says.
type LeapDetails struct {
	ReceiverS *int     `json:"receiver_tai_offset_s"` // null: it does not say
	TableS    *int     `json:"table_tai_offset_s"`
	Table     string   `json:"table"`
	Expires   string   `json:"table_expires"`
	Warnings  []string `json:"warnings"` // leap_disagrees, leap_expired, leap_unconfirmed
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
	if l := s.Status.Latency.Seconds(); l != 0 {
		l = math.Round(l*1e3) / 1e3
		d.LatencyS = &l
	}
	if s.Label.Time != 0 {
		u := s.Label.Time.UTC(s.Snapshot.OffsetAt(s.Label.Time)).Format("2006-01-02T15:04:05Z")
		d.LabelUTC = &u
	}
	n := s.Leap
	d.Leap = LeapDetails{Table: n.Source, Warnings: []string{}}
	if !n.Expires.IsZero() {
		d.Leap.Expires = n.Expires.UTC().Format(time.DateOnly)
	}
	if n.Receiver != 0 {
		d.Leap.ReceiverS = &n.Receiver
	}
	if n.Table != 0 {
		d.Leap.TableS = &n.Table
	}
	for _, w := range [...]struct {
		is bool
		r  Reason
	}{{n.Differ, LeapDisagrees}, {n.Expired, LeapExpired}, {n.Awaited, LeapUnconfirmed}} {
		if w.is {
			d.Leap.Warnings = append(d.Leap.Warnings, w.r.String())
		}
	}
	for _, c := range s.Compared {
		p := PulseDetail{Source: c.Name, MeanNS: c.MeanNS, NoiseNS: c.NoiseNS, LimitNS: int64(c.Limit), Count: c.Count, Skipped: c.Skipped}
		if c.Mono != 0 {
			z, age := c.OffsetNS, math.Round(float64(mono-c.Mono)*1e-6)*1e-3
			p.OffsetNS, p.AgeS = &z, &age
		}
		if c.Alarm {
			p.Alarm = CompareAlarm.String()
		}
		d.Pulses = append(d.Pulses, p)
	}
	return d
}
