package simulate

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Second is what a client would have been served in one second of a run. Its
// JSON keys are a contract.
type Second struct {
	T       float64 `json:"t"` // s since the start
	State   string  `json:"state"`
	Reason  string  `json:"reason"`
	Served  bool    `json:"served"`        // clients read "synchronised"
	ErrorNS *int64  `json:"error_ns"`      // UTC as served minus true UTC, + = fast; null: the truth is not known
	BoundNS *int64  `json:"bound_ns"`      // of |error_ns|; null: none is given
	Stratum int     `json:"stratum"`       // 16: not synchronised
	UTC     string  `json:"utc,omitempty"` // as served, where the truth is not known (RFC 3339)
}

// NewSecond returns the second t (s since the start) of which a client reads s at
// mono (CLOCK_MONOTONIC_RAW, ns). The truth is not known.
func NewSecond(t float64, s *status.Snapshot, mono int64) Second {
	x := Second{T: t, State: s.State.String(), Reason: s.Reason, Served: s.Usable(mono), Stratum: 16}
	if x.Served {
		x.Stratum = int(s.Stratum)
	}
	if b := s.BoundAt(mono); b < time.Duration(math.MaxInt64) {
		ns := int64(b)
		x.BoundNS = &ns
	}
	return x
}

// wrongNS is the error from which a second counts as served wrong, in ns.
const wrongNS = 500_000

// Summary is the outcome of a run. Its JSON keys are a contract.
type Summary struct {
	Summary      bool     `json:"summary"`         // true: this object is not a second
	ServedS      int      `json:"served_s"`        // seconds in which clients read "synchronised"
	WrongS       int      `json:"served_wrong_s"`  // of these, more than 0.5 ms off
	OutsideS     int      `json:"outside_bound_s"` // of these, with an error beyond the bound
	LockedAfterS *float64 `json:"locked_after_s"`  // first second that was served right; null: none
	WorstNS      int64    `json:"worst_error_ns"`  // largest |error| of a served second
	FinalState   string   `json:"final_state"`
	inputEnds    float64  // s; FinalState is that of the last second up to it, 0: of the last second
}

// Add counts one second.
func (s *Summary) Add(x Second) {
	s.Summary = true
	if s.inputEnds == 0 || x.T <= s.inputEnds {
		s.FinalState = x.State
	}
	if !x.Served {
		return
	}
	s.ServedS++
	if x.ErrorNS == nil {
		if s.LockedAfterS == nil {
			s.LockedAfterS = &x.T
		}
		return
	}
	off := max(*x.ErrorNS, -*x.ErrorNS)
	s.WorstNS = max(s.WorstNS, off)
	switch {
	case off > wrongNS:
		s.WrongS++
	case s.LockedAfterS == nil:
		s.LockedAfterS = &x.T
	}
	if x.BoundNS == nil || off > *x.BoundNS {
		s.OutsideS++
	}
}

// Recorder gathers the seconds of a run into a summary and writes both as JSON,
// one object a line, the summary last.
type Recorder struct {
	enc *json.Encoder
	sum Summary
	err error // of the first write that failed
}

// NewRecorder returns a Recorder that writes to w.
func NewRecorder(w io.Writer) *Recorder {
	return &Recorder{enc: json.NewEncoder(w), sum: Summary{Summary: true}}
}

// Add writes and counts one second.
func (r *Recorder) Add(x Second) {
	r.sum.Add(x)
	if r.err == nil {
		r.err = r.enc.Encode(x)
	}
}

// Finish writes the summary. The error is that of the first write that failed.
func (r *Recorder) Finish() (Summary, error) {
	if r.err == nil {
		r.err = r.enc.Encode(r.sum)
	}
	return r.sum, r.err
}

// secondOf is the second of a simulation's row.
func secondOf(r *sim.Row) Second {
	x := Second{T: r.T, State: r.State.String(), Reason: r.Reason, Served: r.Usable, ErrorNS: &r.UTCNS, Stratum: 16}
	if r.Usable {
		x.Stratum = int(r.Stratum)
	}
	if r.Bound < time.Duration(math.MaxInt64) {
		b := int64(r.Bound)
		x.BoundNS = &b
	}
	return x
}
