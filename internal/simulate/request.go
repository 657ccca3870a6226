package simulate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
)

// Request is what an operator asks to be simulated: one run of a scenario or a series, or a
// table of many.
type Request struct {
	Scenario string        // the name of one, or a FILE.toml; of a table also AllScenarios
	Series   string        // instead of a scenario: a file as SeriesHeader describes
	Seed     uint64        // of the noise
	Seeds    string        // of a table, one or a range as "1-20"; empty: Seed alone
	Duration time.Duration // instead of the scenario's own; 0: that
	Servo    string        // the estimator, as discipline.Config names it
	CSV      string        // write one line a second to this file; "-": to the output. Of a series it is the default
	JSON     bool          // write one Second a line to the output, then the Summary
}

// AllScenarios is the Request.Scenario of a table of all of them.
const AllScenarios = "all"

// ErrSeries is wrapped by the error of a series that cannot be used.
var ErrSeries = errors.New("recorded series")

// Many reports whether a table is asked for, which has neither series nor CSV nor JSON.
func (q *Request) Many() bool { return q.Seeds != "" || q.Scenario == AllScenarios }

// Run simulates what is asked for. Figures for people go to out, or to errs if CSV has out.
// What the request has wrong is exitcode.ErrUsage, or ErrSeries.
func (q *Request) Run(out, errs io.Writer) error {
	if q.Many() {
		return q.table(out)
	}
	return q.one(out, errs)
}

// one runs one scenario or series with one seed.
func (q *Request) one(out, errs io.Writer) error {
	r := Run{Seed: q.Seed}
	csv := q.CSV
	var err error
	if q.Series != "" {
		if r.Scenario, r.T0, err = ReadSeries(q.Series); err != nil {
			return exitcode.With(ErrSeries, err)
		}
		if csv == "" && !q.JSON {
			csv = "-"
		}
	} else if r.Scenario, err = q.find(); err != nil {
		return err
	}
	if err := q.configure(&r.Scenario); err != nil {
		return err
	}
	text := out
	switch {
	case q.JSON:
		r.JSON, text = out, io.Discard
	case csv == "-":
		r.CSV, text = out, errs
	}
	if csv != "" && csv != "-" {
		f, err := os.Create(csv)
		if err != nil {
			return err
		}
		defer f.Close()
		r.CSV = f
	}
	st, err := r.Play()
	if err != nil {
		return err
	}
	return st.Print(text)
}

// table writes a table of scenarios over seeds.
func (q *Request) table(out io.Writer) error {
	all := sim.Scenarios()
	if q.Scenario != AllScenarios {
		s, err := q.find()
		if err != nil {
			return err
		}
		all = []sim.Scenario{s}
	}
	lo, hi := q.Seed, q.Seed
	if q.Seeds != "" {
		var err error
		if lo, hi, err = parseSeeds(q.Seeds); err != nil {
			return exitcode.With(exitcode.ErrUsage, err)
		}
	}
	for i := range all {
		if err := q.configure(&all[i]); err != nil {
			return err
		}
	}
	return Table(out, all, lo, hi)
}

// find returns the scenario.
func (q *Request) find() (sim.Scenario, error) {
	s, err := FindScenario(q.Scenario)
	if errors.Is(err, ErrScenario) {
		err = exitcode.With(exitcode.ErrUsage, err)
	}
	return s, err
}

// configure sets in a scenario what the request says.
func (q *Request) configure(s *sim.Scenario) error {
	if q.Duration > 0 {
		s.Duration = q.Duration
	}
	s.Engine.Discipline.Servo = q.Servo
	if err := (discipline.Config{Servo: q.Servo}).Check(); err != nil {
		return exitcode.With(exitcode.ErrUsage, err)
	}
	return nil
}

// List writes the name, the length and the description of every scenario, one a line.
func List(w io.Writer) error {
	for _, s := range sim.Scenarios() {
		if _, err := fmt.Fprintf(w, "%-17s %8v  %s\n", s.Name, s.Duration, s.About); err != nil {
			return err
		}
	}
	return nil
}
