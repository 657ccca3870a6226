// Package report holds the one description of the reference side at one moment.
// Status, metrics, details.json, the dashboard and SNMP are projections of it.
package report

import (
	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Report is the engine's state at the instant of its snapshot. A published Report
// is not changed afterwards.
type Report struct {
	Snapshot   status.Snapshot // as published
	Since      int64           // CLOCK_MONOTONIC_RAW of the last change of state, ns; 0: none yet
	Discipline discipline.Status
	Receiver   Receiver
	Label      integrity.Label    // the latest valid one
	Begun      integrity.Label    // the latest second that a valid message named, with the pulse that began it
	Learned    discipline.Learned // to be kept for the next run; OK is false while there is nothing
	Counts     [reason.Count]uint64
	Conditions []reason.Lasting // of the receiver and its port, the one that explains most first
	Leap       leap.Status
	Table      *tai.Table       // leap seconds in force
	Compared   []pps.Comparison // pulses that are only compared
	// QuantisationSign is the factor with which announced quantisation errors are
	// applied: 1, 0, -1.
	QuantisationSign float64
}

// Receiver is the latest of what the receiver reported about itself.
type Receiver struct {
	Sats     int // satellites used
	HasSats  bool
	Fix      gnss.Fix
	Antenna  gnss.Antenna
	Jamming  gnss.Threat
	Spoofing gnss.Threat
	Identity gnss.Identity
	Sky      Sky
}

// Message takes what a message says about the receiver.
func (r *Receiver) Message(m *gnss.Message) {
	if m.HasSats {
		r.Sats, r.HasSats = m.Sats, true
	}
	if m.Fix != gnss.FixUnknown {
		r.Fix = m.Fix
	}
	if m.HasAntenna {
		r.Antenna = m.Antenna
	}
	if m.Jamming != gnss.ThreatUnknown {
		r.Jamming = m.Jamming
	}
	if m.Spoofing != gnss.ThreatUnknown {
		r.Spoofing = m.Spoofing
	}
	r.Identity.Message(m)
	r.Sky.message(m)
}
