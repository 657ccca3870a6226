package replay

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/internal/simulate"
)

// caseOf is an entry of testdata/cases/manifest.json.
type caseOf struct {
	Case     string   `json:"case"`     // a file of events
	Scenario string   `json:"scenario"` // or a scenario file
	Args     []string `json:"args"`
	Wrong    *int     `json:"wrong"`
	Outside  *int     `json:"outside"`
	LockBy   *float64 `json:"lock_by"`
	Final    string   `json:"final"`
	NotFinal []string `json:"not_final"`
	Why      string   `json:"why"`
}

const casesDir = "testdata/cases"

func TestCases(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(casesDir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []caseOf
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		name := strings.TrimSpace(c.Case + c.Scenario + " " + strings.Join(c.Args, " "))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && c.Scenario != "" {
				t.Skip("needs seconds; not with -short")
			}
			sum, err := c.play()
			if err != nil {
				t.Fatal(err)
			}
			if short := c.short(sum); len(short) > 0 {
				t.Errorf("%s (%s)", strings.Join(short, "; "), c.Why)
			}
		})
	}
}

// play runs the case.
func (c *caseOf) play() (sum simulate.Summary, err error) {
	r := simulate.Run{Seed: 1}
	if c.Scenario != "" {
		r.Scenario, err = simulate.FindScenario(filepath.Join(casesDir, c.Scenario))
	} else {
		r, err = c.site()
	}
	if err != nil {
		return sum, err
	}
	var b bytes.Buffer
	r.JSON = &b
	if _, err := r.Play(); err != nil {
		return sum, err
	}
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	return sum, json.Unmarshal(lines[len(lines)-1], &sum)
}

// site is the run of a file of events with its arguments.
func (c *caseOf) site() (simulate.Run, error) {
	var s Site
	fl := flag.NewFlagSet("", flag.ContinueOnError)
	fl.SetOutput(io.Discard)
	s.Flags(fl)
	if err := fl.Parse(c.Args); err != nil {
		return simulate.Run{}, err
	}
	e, err := OpenEvents(filepath.Join(casesDir, c.Case))
	if err != nil {
		return simulate.Run{}, err
	}
	return s.Run(e)
}

// short returns what does not hold.
func (c *caseOf) short(s simulate.Summary) (short []string) {
	add := func(format string, args ...any) { short = append(short, fmt.Sprintf(format, args...)) }
	if c.Wrong != nil && s.WrongS > *c.Wrong {
		add("wrong time served for %d s, at worst %d ns off", s.WrongS, s.WorstNS)
	}
	if c.Outside != nil && s.OutsideS > *c.Outside {
		add("%d s outside the bound", s.OutsideS)
	}
	switch {
	case c.LockBy == nil:
	case s.LockedAfterS == nil:
		add("the right time is never served, want it after %v s", *c.LockBy)
	case *s.LockedAfterS > *c.LockBy:
		add("the right time is served after %v s, want %v s", *s.LockedAfterS, *c.LockBy)
	}
	if c.Final != "" && s.FinalState != c.Final || slices.Contains(c.NotFinal, s.FinalState) {
		add("ends %s", s.FinalState)
	}
	return short
}
