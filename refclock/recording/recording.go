// Package recording writes down everything that an engine sees, and reads it again:
// the receiver's octets, the pulses, the results of each call to the clock, the
// state of the system clock, the temperature, readings of witnesses, alarms and orders,
// in the order of their arrival and with their instants. A replay gives them to an engine again,
// which then decides the same (docs/recording.md).
package recording

import (
	"encoding/json"
	"time"

	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
)

// FormatVersion is the version of the format. A reader refuses a later one. Since version
// 2 there are readings of witnesses; before, only what was concluded from them.
const FormatVersion = 2

// Header says how the recorded program was set up. Each segment of a recording
// begins with it.
type Header struct {
	Version int    `json:"version"` // FormatVersion
	Program string `json:"program"` // name and version
	Run     string `json:"run"`     // names one run of the program
	Mono    int64  `json:"mono"`    // CLOCK_MONOTONIC_RAW when the engine was made, ns

	// What the engine was given: nil functions behave differently.
	Slept       bool          `json:"slept"`
	SleptFirst  time.Duration `json:"slept_first"` // when the engine was made
	Temperature bool          `json:"temperature"`

	Site json.RawMessage `json:"site"` // site.Config
}

// State is what a reader must know that begins in the middle.
type State struct {
	Mono        int64           `json:"mono"`           // of the first record behind it
	Real        int64           `json:"real,omitempty"` // CLOCK_REALTIME then, ns since the POSIX epoch; 0 unknown
	Port        *bool           `json:"port,omitempty"` // of PortStarted, while the port is open
	Grant       *phc.ExtTSGrant `json:"grant,omitempty"`
	Clock       *Clock          `json:"clock,omitempty"` // while it is open
	Slept       time.Duration   `json:"slept,omitempty"`
	Disciplined bool            `json:"disciplined,omitempty"`
	Celsius     float64         `json:"celsius,omitempty"`
	CelsiusMono int64           `json:"celsius_mono,omitempty"`

	Witnesses []integrity.WitnessVerdict `json:"witnesses,omitempty"`
	Confirmed bool                       `json:"witnesses_confirmed,omitempty"` // the required ones had agreed once
}

// HasReadings reports whether the readings of witnesses are in the recording.
func (h *Header) HasReadings() bool { return h.Version >= 2 }

// Clock is the open clock.
type Clock struct {
	MaxFreqPPB float64 `json:"max_freq_ppb"`
	FreqPPB    float64 `json:"freq_ppb"` // correction in force
	Index      int     `json:"index"`    // N of /dev/ptpN, -1: no PTP device
}

// Record is one entry of a recording: a *Header, *State, *PortStarted, *Octets,
// *PulseEnabled, *Stamp, *Edge, *Step, *Dropped, *witness.Reading or *Gap.
type Record any

// PortStarted says that the receiver's port was opened.
type PortStarted struct{ Settable bool }

// Octets were read from the receiver's port at Mono; none: a read timed out.
type Octets struct {
	Mono int64
	Data []byte
}

// PulseEnabled says that a card was made to stamp pulses.
type PulseEnabled struct{ Grant phc.ExtTSGrant }

// Stamp is a card's timestamp, before it is filtered.
type Stamp struct{ Event phc.ExtTSEvent }

// Edge is an edge that needs no filter.
type Edge struct{ Edge pps.Edge }

// Dropped says that the engine was too slow, and the oldest message, or edge, that it had
// not taken was dropped.
type Dropped struct{ Edge bool }

// Gap says that records are missing, because the disc was too slow or a part is damaged.
type Gap struct{}

// Step is one input of the engine, what it found, and what it did to the clock.
type Step struct {
	Mono int64 // when it began
	// Input has no Message and no Edge. TakesMessage and TakesEdge mean the
	// message, or edge, that comes next of those with a Mono of up to Of.
	Input        refclock.Input
	TakesMessage bool
	TakesEdge    bool
	Of           int64

	Slept       time.Duration
	Disciplined bool
	Celsius     float64
	CelsiusMono int64 // 0: no temperature yet

	Calls []Call
}

// CallKind is a method of a clock.
type CallKind uint8

// The methods.
const (
	CallOpen CallKind = iota
	CallCross
	CallStep
	CallAdjFreq
	CallFreqPPB
	callKinds
)

// Call is a call to the clock and its result.
type Call struct {
	Kind  CallKind
	After int64 // CLOCK_MONOTONIC_RAW when it returned, ns
	Err   error // nil, or one that wraps the error that callers branch on

	Clock Clock         // Open
	Cross phc.Cross     // Cross
	By    time.Duration // Step
	PPB   float64       // AdjFreq: the request; FreqPPB: the result
}

// Real is CLOCK_REALTIME of a reading, as a time.
func Real(ns int64) time.Time { return time.Unix(0, ns).UTC() }
