package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"noonmark/internal/durable"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// TruthName is the file in which a program that plays an appliance writes its
// Truth, for those who compare with it.
const TruthName = "sim-truth.json"

// Truth is true TAI at an instant of CLOCK_MONOTONIC_RAW, both in ns. Both advance
// at the same rate for ever.
type Truth struct {
	Mono0 int64  `json:"mono0"`
	TAI0  int64  `json:"tai0"`
	Seed  uint64 `json:"seed"` // that the appliance's noise is made from
}

// At returns the true time at an instant of CLOCK_MONOTONIC_RAW, ns.
func (t Truth) At(mono int64) tai.Time { return tai.Time(t.TAI0 + mono - t.Mono0) }

// Write writes the truth into a folder.
func (t Truth) Write(dir string) error {
	b, err := json.Marshal(t)
	if err == nil {
		err = durable.Publish(filepath.Join(dir, TruthName), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	return nil
}

// maxTruth is more than the file of the truth has, octets.
const maxTruth = 1 << 10

// ReadPlayed returns the appliance of a seed whose truth another process has written
// into a folder in this boot, and of whose clock it published a snapshot last; nil if
// there is none.
func ReadPlayed(dir string, seed uint64, last *status.Snapshot) *Played {
	if last == nil || last.Kind != status.SimClock || last.Clock == 0 {
		return nil
	}
	p := &Played{Last: last}
	b, _, err := durable.ReadFile(filepath.Join(dir, TruthName), maxTruth)
	if err != nil || json.Unmarshal(b, &p.Truth) != nil || p.Truth.Seed != seed || p.Truth.Mono0 > last.Mono {
		return nil
	}
	return p
}

// Live is a virtual appliance in real time: a clock, a pulse and a receiver on a
// pseudo-terminal. It is a task of a daemon.
type Live struct {
	*Appliance
	Pulse *Source
	Truth Truth

	mono func() int64
	pty  *PTY // nil: nobody hears the receiver
}

// Played is an appliance that another process has played in this boot: its truth, and
// what was published of its clock last.
type Played struct {
	Truth Truth
	Last  *status.Snapshot
}

// begin sets in a configuration where the clock is when the present second of true
// time began.
func (p *Played) begin(cfg *Config, at int64) {
	now := p.Truth.At(at)
	cfg.Clock.Truth = now.Floor()
	cfg.Clock.Mono0 = at - int64(now.Sub(cfg.Clock.Truth))
	cfg.Clock.TAIOffset = cfg.Receiver.Table.Offset(cfg.Clock.Truth)
	cfg.Clock.Start = p.Last.ClockAt(cfg.Clock.Mono0).Sub(cfg.Clock.Truth)
}

// continued makes the clock run on as it did.
func (p *Played) continued(c *phctest.Clock, mono func() int64) error {
	err := c.AdjFreq(p.Last.FreqPPB)
	at := mono()
	c.Disturb(p.Last.ClockAt(at).Sub(c.At(at)))
	return err
}

// NewLive makes an appliance that starts now. mono is CLOCK_MONOTONIC_RAW, ns.
// start is the true time then, a full second; zero: the system's. played is the same
// appliance, if it is to run on instead; else nil. With pty the receiver can be read
// from the device that Device names. Close closes it.
func NewLive(mono func() int64, cfg Config, start time.Time, played *Played, pty bool) (*Live, error) {
	now, at := time.Now(), mono()
	if start.IsZero() {
		start = now
	}
	if cfg.Receiver.Table == nil {
		cfg.Receiver.Table = tai.Builtin()
	}
	if played != nil {
		played.begin(&cfg, at)
	} else {
		unix := start.Unix()
		cfg.Clock.Mono0 = at - int64(now.Nanosecond()) // when this second began
		cfg.Clock.TAIOffset = cfg.Receiver.Table.OffsetUTC(unix)
		cfg.Clock.Truth = tai.FromUnix(unix, 0, cfg.Clock.TAIOffset)
	}
	a, err := New(mono, cfg)
	if err == nil && played != nil {
		err = played.continued(a.Clock, mono)
	}
	if err != nil {
		return nil, err
	}
	l := &Live{Appliance: a, Pulse: NewSource(), Truth: Truth{Mono0: cfg.Clock.Mono0, TAI0: int64(cfg.Clock.Truth)}, mono: mono}
	if pty {
		if l.pty, err = OpenPTY(); err != nil {
			return nil, fmt.Errorf("virtual receiver: %w", err)
		}
	}
	return l, nil
}

// Device is the path of the receiver's port; empty without one.
func (l *Live) Device() string {
	if l.pty == nil {
		return ""
	}
	return l.pty.Name()
}

// Run plays the appliance until ctx ends.
func (l *Live) Run(ctx context.Context) error {
	w := io.Discard
	if l.pty != nil {
		w = l.pty
	}
	return l.Play(ctx, l.mono, w, l.Pulse)
}

// Close closes the receiver's port.
func (l *Live) Close() error {
	if l.pty == nil {
		return nil
	}
	return l.pty.Close()
}

// String names the task in logs.
func (l *Live) String() string { return "virtual appliance" }
