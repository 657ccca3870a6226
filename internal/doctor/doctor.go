// Package doctor examines a machine for everything that refclockd and ntsserve
// need, and says what is wrong and what to do about it.
//
// It works in three steps that are independent of each other: Host.Examine
// gathers facts and judges nothing; Findings judges facts and looks at nothing;
// Print shows findings. Kinds is the table of everything that can be found,
// from which documents are generated.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"noonmark/internal/exitcode"
)

// Finding is one statement about the machine. Its JSON keys are a contract.
type Finding struct {
	ID    string `json:"id"` // Kind.ID
	Check string `json:"check"`
	Level Level  `json:"level"`
	What  string `json:"what"`
	Mend  string `json:"mend,omitempty"` // the remedy

	code int // exit code of a failure; 0: exitcode.Unavailable
}

// ExitCode returns the exit code of findings: that of the first failure.
func ExitCode(found []Finding) int {
	for _, f := range found {
		if f.Level == Fail {
			if f.code != 0 {
				return f.code
			}
			return exitcode.Unavailable
		}
	}
	return exitcode.OK
}

// Result are findings and how many there are of each level. Its JSON keys are a
// contract.
type Result struct {
	Findings []Finding `json:"findings"`
	OK       int       `json:"ok"`
	Warn     int       `json:"warn"`
	Fail     int       `json:"fail"`
}

// NewResult counts findings.
func NewResult(found []Finding) Result {
	n := map[Level]int{}
	for _, f := range found {
		n[f.Level]++
	}
	return Result{found, n[OK], n[Warn], n[Fail]}
}

// Print writes findings for people, or as one JSON object.
func Print(w io.Writer, found []Finding, asJSON bool) error {
	r := NewResult(found)
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-5s%-12s %s\n", f.Level, f.Check, f.What)
		if f.Mend != "" {
			fmt.Fprintf(&b, "%17s > %s\n", "", f.Mend)
		}
	}
	fmt.Fprintf(&b, "%d fine, %d to look at, %d wrong\n", r.OK, r.Warn, r.Fail)
	_, err := io.WriteString(w, b.String())
	return err
}
