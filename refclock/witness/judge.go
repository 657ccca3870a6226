package witness

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"time"

	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
)

// Kind is the kind of a Reading.
type Kind uint8

// The kinds. Their numbers are part of the format of recordings.
const (
	Answered  Kind = iota // a witness said Answer
	Silent                // a witness gave no answer: Err
	Forgotten             // the machine slept, and all verdicts are too old
	Concluded             // a round is over, and the alarm is decided
)

// Reading is what is learned of the witnesses at one instant. From the same readings in
// the same order a Judge concludes the same.
type Reading struct {
	Kind   Kind
	Mono   int64            // CLOCK_MONOTONIC_RAW, ns
	Name   string           // of the witness; of Answered and Silent
	Answer integrity.Answer // of Answered
	Of     int64            // CLOCK_MONOTONIC_RAW of the snapshot that Answer is compared with, ns; of Answered
	Err    error            // of Silent

	// Status is what is known of all witnesses, of Concluded. A recording has it in its
	// states.
	Status    []integrity.WitnessStatus
	Confirmed bool // the required ones have agreed once
}

// Conclusions take what a Judge concludes. The methods may be called by any goroutine.
type Conclusions interface {
	Alarm(integrity.Alarm) // the alarm from outside; the zero value ends it
	Confirm(time.Duration) // the clock is within so much of true time
	Count(reason.Code)
}

// Judge draws conclusions from readings. It is for one goroutine.
type Judge struct {
	to        Conclusions
	log       *slog.Logger
	list      []integrity.WitnessConfig
	witnesses *integrity.Witnesses
	begun     bool
	alarm     integrity.Alarm // the latest that was reported
}

// NewJudge returns a Judge of witnesses of which there is no reading yet.
func NewJudge(list []integrity.WitnessConfig, to Conclusions, log *slog.Logger) *Judge {
	return &Judge{to: to, log: log, list: list, witnesses: integrity.NewWitnesses(list)}
}

// Take takes a reading, with the clock as it was published then. A witness that is not
// on the list is ignored.
func (j *Judge) Take(r *Reading, clock *integrity.Reference) {
	switch r.Kind {
	case Forgotten:
		j.witnesses.Forget()
		j.log.Info("witnesses are asked again, because the machine slept")
		return
	case Concluded:
		j.report()
		return
	}
	i := slices.IndexFunc(j.list, func(c integrity.WitnessConfig) bool { return c.Name == r.Name })
	if i < 0 {
		return
	}
	j.witnesses.Ask(i)
	if r.Kind == Silent {
		j.silent(i, r)
		return
	}
	j.answered(i, r, clock)
}

// Resume begins with verdicts that were found before mono (CLOCK_MONOTONIC_RAW, ns), and
// with whether the required witnesses had agreed once.
func (j *Judge) Resume(found []integrity.WitnessVerdict, confirmed bool, mono int64) {
	j.witnesses.Resume(found, confirmed, mono)
	j.begun, j.alarm = true, j.witnesses.Decide()
	j.to.Alarm(j.alarm) // also none, which ends the one that the engine begins with
}

func (j *Judge) silent(i int, r *Reading) {
	n := j.witnesses.Unanswered(i, r.Mono)
	j.to.Count(reason.WitnessSilent)
	if n&(n-1) == 0 && n <= 16 || n%64 == 0 {
		j.log.Warn("witness does not answer", "reason", reason.WitnessSilent.String(), "witness", r.Name, "error", r.Err, "attempt", n)
	}
}

func (j *Judge) answered(i int, r *Reading, clock *integrity.Reference) {
	verdict, changed := j.witnesses.Answered(i, r.Answer, r.Mono, clock)
	off, level := time.Duration(j.witnesses.Status()[i].OffsetNS), slog.LevelInfo
	switch verdict {
	case integrity.Agrees:
		j.to.Confirm(time.Duration(math.Abs(float64(off))) + r.Answer.Error)
	case integrity.Disagrees:
		j.to.Count(reason.WitnessDisagrees)
		level = slog.LevelWarn
	}
	if changed {
		c := &j.list[i]
		j.log.Log(context.Background(), level, "witness "+verdict.String(), "witness", c.Name, "offset", off, "error", r.Answer.Error, "max_offset", c.MaxOffset, "required", c.Required)
	}
}

// report passes an alarm on when it is another one.
func (j *Judge) report() {
	a := j.witnesses.Decide()
	if a != j.alarm {
		j.alarm = a
		j.to.Alarm(a)
	}
	if !j.begun && a.Code == reason.WitnessAwaited {
		j.to.Count(reason.WitnessAwaited)
	}
	j.begun = true
}
