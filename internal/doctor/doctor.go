// Package doctor examines a machine for everything that refclockd and ntsserve
// need: facts of the host become findings, each with its remedy.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"noonmark/internal/exitcode"
	"strings"
	"time"
)

// Level is how bad a finding is.
type Level string

const (
	levelOK   Level = "ok"
	levelWarn Level = "warn" // works, or may work later; look at it
	levelFail Level = "fail"
)

// Finding is what doctor has to say of one thing. Its JSON keys are a contract.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	What  string `json:"what"`
	Mend  string `json:"mend,omitempty"`

	code int // exit code of a failure; 0 is exitcode.Unavailable
}

func good(check, format string, a ...any) Finding {
	return Finding{Check: check, Level: levelOK, What: fmt.Sprintf(format, a...)}
}

func warn(check, mend, format string, a ...any) Finding {
	return Finding{Check: check, Level: levelWarn, What: fmt.Sprintf(format, a...), Mend: mend}
}

func bad(check, mend, format string, a ...any) Finding {
	return Finding{Check: check, Level: levelFail, What: fmt.Sprintf(format, a...), Mend: mend}
}

// as gives a finding the exit code it causes.
func (f Finding) as(code int) Finding {
	f.code = code
	return f
}

// Options say what is examined.
type Options struct {
	Refclockd, Ntsserve           string // configuration files
	RefclockdNamed, NtsserveNamed bool   // the user gave the path: a missing file is an error
	User                          string // refclockd's, whose rights are checked when root examines
	Listen                        time.Duration
}

// Examine looks at this machine.
func Examine(ctx context.Context, o Options) []Finding {
	d := doctor{host: thisHost(), user: o.User, listen: o.Listen}
	return d.examine(ctx, o.Refclockd, o.RefclockdNamed, o.Ntsserve, o.NtsserveNamed)
}

// ExitCode is the exit code of findings: that of the first failure.
func ExitCode(found []Finding) int {
	for _, f := range found {
		if f.Level == levelFail {
			if f.code != 0 {
				return f.code
			}
			return exitcode.Unavailable
		}
	}
	return exitcode.OK
}

// count returns how many findings are of a level.
func count(found []Finding, l Level) (n int) {
	for _, f := range found {
		if f.Level == l {
			n++
		}
	}
	return n
}

// Print writes findings for people, or as one JSON object.
func Print(w io.Writer, found []Finding, asJSON bool) error {
	ok, warns, fails := count(found, levelOK), count(found, levelWarn), count(found, levelFail)
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Findings []Finding `json:"findings"`
			OK       int       `json:"ok"`
			Warn     int       `json:"warn"`
			Fail     int       `json:"fail"`
		}{found, ok, warns, fails})
	}
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-5s%-12s %s\n", f.Level, f.Check, f.What)
		if f.Mend != "" {
			fmt.Fprintf(&b, "%17s > %s\n", "", f.Mend)
		}
	}
	fmt.Fprintf(&b, "%d fine, %d to look at, %d wrong\n", ok, warns, fails)
	_, err := io.WriteString(w, b.String())
	return err
}
