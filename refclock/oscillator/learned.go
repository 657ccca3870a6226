// Package oscillator is what refclockd knows of an oscillator besides pulses:
// what earlier runs learned, kept on disk, and the temperature beside it.
package oscillator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noonmark/internal/durable"
	"noonmark/refclock/discipline"
)

// File is where the learned state of one oscillator is kept between runs. The
// zero File keeps nothing.
type File struct {
	Path  string
	Clock string // the clock whose oscillator it is; the state of another clock is not used
}

// ReferenceFile is the file of the clock that the reference disciplines.
func ReferenceFile(dir, clock string) File {
	return File{filepath.Join(dir, "oscillator.json"), clock}
}

// FollowerFile is the file of a clock that follows. Its name is made from the
// clock's and cannot leave dir.
func FollowerFile(dir, clock string) File {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, clock)
	return File{filepath.Join(dir, "oscillator-"+strings.Trim(safe, "-")+".json"), clock}
}

// saved is the content of the file.
type saved struct {
	Clock string    `json:"clock"`
	Saved time.Time `json:"saved"`
	discipline.Learned
}

// unknownAge is assumed of a state from the future: the system clock of a board
// without a battery may start at any time.
const unknownAge = 30 * 24 * time.Hour

// maxSaved is more than a file of learned state has, octets.
const maxSaved = 1 << 20

// Load returns what an earlier run learned, with its age. A missing file is no
// error and holds nothing; OK of the result is false then, as it is for an error.
func (f File) Load() (discipline.Learned, error) {
	if f.Path == "" {
		return discipline.Learned{}, nil
	}
	b, _, err := durable.ReadFile(f.Path, maxSaved)
	if errors.Is(err, fs.ErrNotExist) {
		return discipline.Learned{}, nil
	}
	if err != nil {
		return discipline.Learned{}, err // names the file
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return discipline.Learned{}, fmt.Errorf("parse %s: %w", f.Path, err)
	}
	if s.Clock != f.Clock {
		return discipline.Learned{}, fmt.Errorf("%s belongs to clock %q, not %q", f.Path, s.Clock, f.Clock)
	}
	age := time.Since(s.Saved)
	if age < 0 {
		age = unknownAge
	}
	s.AgeSecond = age.Seconds()
	return s.Learned, nil
}

// LoadLogged is Load with the outcome in the log: nothing depends on the file.
func (f File) LoadLogged(log *slog.Logger) discipline.Learned {
	l, err := f.Load()
	switch {
	case err != nil:
		log.Warn("learned oscillator state ignored", "clock", f.Clock, "error", err)
	case l.OK:
		age := time.Duration(l.AgeSecond * float64(time.Second))
		log.Info("learned oscillator state loaded", "clock", f.Clock, "freq_ppb", l.FreqPPB, "age", age.Round(time.Second))
	}
	return l
}

// Save replaces the file. It makes the directory where that is missing.
func (f File) Save(l discipline.Learned) error {
	b, err := json.Marshal(saved{f.Clock, time.Now().UTC(), l})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(f.Path, append(b, '\n'), 0o644, true)
}

// saveEvery is how often a Saver writes.
const saveEvery = 15 * time.Minute

// Saver is a task that saves what is learned every 15 minutes and at the end.
type Saver struct {
	file    File
	learned func() discipline.Learned
	log     *slog.Logger
}

// NewSaver returns a Saver of what learned returns, as long as that is OK.
func NewSaver(f File, learned func() discipline.Learned, log *slog.Logger) *Saver {
	return &Saver{f, learned, log}
}

// Run saves until ctx ends. A file that cannot be written is logged and tried
// again.
func (s *Saver) Run(ctx context.Context) error {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			s.save()
			return ctx.Err()
		case <-t.C:
			s.save()
		}
	}
}

func (s *Saver) save() {
	l := s.learned()
	if !l.OK {
		return
	}
	if err := s.file.Save(l); err != nil {
		s.log.Warn("learned oscillator state not saved", "clock", s.file.Clock, "error", err)
	}
}

// String names the task in logs.
func (s *Saver) String() string { return "oscillator state of " + s.file.Clock }
