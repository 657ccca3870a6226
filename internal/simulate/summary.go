package simulate

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"noonmark/refclock/sim"
)

// Second is what a client would have been served in one second of a run. Its
// JSON keys are a contract.
type Second struct {
	T       float64 `json:"t"` // s since the start
	State   string  `json:"state"`
	Reason  string  `json:"reason"`
	Served  bool    `json:"served"`   // clients read "synchronised"
	ErrorNS int64   `json:"error_ns"` // UTC as served minus true UTC, + = fast
	BoundNS *int64  `json:"bound_ns"` // of |error_ns|; null: none is given
	Stratum int     `json:"stratum"`  // 16: not synchronised
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
	off := x.ErrorNS
	if off < 0 {
		off = -off
	}
	s.ServedS++
	s.WorstNS = max(s.WorstNS, off)
	switch {
	case off > wrongNS:
		s.WrongS++
	case s.LockedAfterS == nil:
		t := x.T
		s.LockedAfterS = &t
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
	x := Second{T: r.T, State: r.State.String(), Reason: r.Reason, Served: r.Usable, ErrorNS: r.UTCNS, Stratum: 16}
	if r.Usable {
		x.Stratum = int(r.Stratum)
	}
	if r.Bound < time.Duration(math.MaxInt64) {
		b := int64(r.Bound)
		x.BoundNS = &b
	}
	return x
}
