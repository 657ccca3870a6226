package sim

import (
	"context"
	"fmt"
	"io"
	"time"

	"noonmark/phc/tai"
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

// Live is a virtual appliance in real time: a clock, a pulse and a receiver on a
// pseudo-terminal. It is a task of a daemon.
type Live struct {
	*Appliance
	Pulse *Source
	Truth Truth

	mono func() int64
	pty  *PTY // nil: nobody hears the receiver
}

// NewLive makes an appliance that starts now. mono is CLOCK_MONOTONIC_RAW, ns.
// start is the true time then, a full second; zero: the system's. With pty the
// receiver can be read from the device that Device names. Close closes it.
func NewLive(mono func() int64, cfg Config, start time.Time, pty bool) (*Live, error) {
	now, at := time.Now(), mono()
	if start.IsZero() {
		start = now
	}
	if cfg.Receiver.Table == nil {
		cfg.Receiver.Table = tai.Builtin()
	}
	unix := start.Unix()
	cfg.Clock.Mono0 = at - int64(now.Nanosecond()) // when this second began
	cfg.Clock.TAIOffset = cfg.Receiver.Table.OffsetUTC(unix)
	cfg.Clock.Truth = tai.FromUnix(unix, 0, cfg.Clock.TAIOffset)
	a, err := New(mono, cfg)
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
