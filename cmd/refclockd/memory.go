package main

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

// saveEvery is how often what was learned of the oscillator is written down.
const saveEvery = 15 * time.Minute

// memory keeps what was learned of one oscillator between runs. It is a task;
// a nil memory keeps nothing.
type memory struct {
	path    string
	clock   string // what it was learned of
	learned func() discipline.Learned
	log     *slog.Logger
}

// note is the file.
type note struct {
	Clock string    `json:"clock"`
	Saved time.Time `json:"saved"`
	discipline.Learned
}

// newMemory returns nil where there is nothing to remember: a simulated clock
// is another one each time, and "none" is only watched.
func newMemory(s *settings) *memory {
	if s.Clock.Source != "phc" && s.Clock.Source != "system" {
		return nil
	}
	return &memory{path: filepath.Join(s.StateDir, "oscillator.json"), clock: s.clockName()}
}

// followerMemory keeps what was learned of the oscillator of a clock that
// follows, beside that of the first.
func followerMemory(s *settings, clock string) *memory {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, clock)
	return &memory{path: filepath.Join(s.StateDir, "oscillator-"+strings.Trim(safe, "-")+".json"), clock: clock}
}

// unknownAge is assumed of a note from the future: the system clock of a board
// without a battery starts anywhere.
const unknownAge = 30 * 24 * time.Hour

// load returns what an earlier run learned of this clock.
func (m *memory) load(log *slog.Logger) discipline.Learned {
	if m == nil {
		return discipline.Learned{}
	}
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return discipline.Learned{}
	}
	var n note
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err == nil && n.Clock != m.clock {
		err = fmt.Errorf("it is of clock %q", n.Clock)
	}
	if err != nil {
		log.Warn("what was learned of the oscillator is not used", "file", m.path, "error", err)
		return discipline.Learned{}
	}
	age := time.Since(n.Saved)
	if age < 0 {
		age = unknownAge
	}
	n.AgeSecond = age.Seconds()
	log.Info("oscillator remembered", "clock", m.clock, "freq_ppb", n.FreqPPB, "age", age.Round(time.Second))
	return n.Learned
}

// Run writes now and then, and at the end.
func (m *memory) Run(ctx context.Context) error {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			m.save()
			return ctx.Err()
		case <-t.C:
			m.save()
		}
	}
}

// save writes the file; that it cannot is said and is no reason to end.
func (m *memory) save() {
	l := m.learned()
	if !l.OK {
		return
	}
	b, err := json.Marshal(note{m.clock, time.Now().UTC(), l})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.path), 0o755)
	}
	if err == nil {
		err = durable.WriteFile(m.path, append(b, '\n'), 0o644, true)
	}
	if err != nil {
		m.log.Warn("what was learned of the oscillator cannot be kept", "error", err)
	}
}

// Ready says that it is ready at once.
func (m *memory) Ready() <-chan struct{} { return nil }

// String names the task.
func (m *memory) String() string { return "oscillator memory of " + m.clock }
