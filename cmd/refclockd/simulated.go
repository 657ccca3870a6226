package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/sim"
)

// appliance is the virtual receiver, pulse and clock in real time.
type appliance struct {
	*sim.Appliance
	source *sim.Source
	pty    *sim.PTY // nil: no receiver
	w      io.Writer
}

// truth is the content of sim-truth.json: true TAI at an instant of
// CLOCK_MONOTONIC_RAW, both in ns. Both advance at the same rate for ever.
type truth struct {
	Mono0 int64  `json:"mono0"`
	TAI0  int64  `json:"tai0"`
	Seed  uint64 `json:"seed"`
}

// newAppliance makes the virtual appliance and writes its truth down.
func newAppliance(s *refclockd.Settings) (*appliance, error) {
	c := s.SimConfig()
	mono, now := phc.MonoRaw(), time.Now()
	c.Clock.Mono0 = mono - int64(now.Nanosecond()) // when that second began
	if !s.SimStart.IsZero() {
		now = s.SimStart
	}
	unix, table := now.Unix(), s.LatestLeapTable()
	c.Clock.Truth = tai.FromUnix(unix, 0, table.OffsetUTC(unix))
	c.Clock.TAIOffset = table.OffsetUTC(unix)
	a := &appliance{source: sim.NewSource(), w: io.Discard}
	var err error
	if a.Appliance, err = sim.New(phc.MonoRaw, c); err != nil {
		return nil, err
	}
	if s.Sim.ReceiverPTY {
		if a.pty, err = sim.OpenPTY(); err != nil {
			return nil, err
		}
		a.w = a.pty
	}
	b, err := json.Marshal(truth{Mono0: c.Clock.Mono0, TAI0: int64(c.Clock.Truth), Seed: s.Sim.Seed})
	if err == nil {
		err = durable.Publish(filepath.Join(s.RuntimeDir, "sim-truth.json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("write truth: %w", err)
	}
	return a, nil
}

// receiverDevice is the port of the virtual receiver, or the configured one if
// it has none.
func (a *appliance) receiverDevice(configured string) string {
	if a.pty == nil {
		return configured
	}
	return a.pty.Name()
}

func (a *appliance) close() {
	if a.pty != nil {
		a.pty.Close()
	}
}

// Run plays the appliance.
func (a *appliance) Run(ctx context.Context) error {
	return a.Play(ctx, phc.MonoRaw, a.w, a.source)
}

// Ready returns nil: it plays at once.
func (a *appliance) Ready() <-chan struct{} { return nil }

// String names the task in logs.
func (a *appliance) String() string { return "virtual appliance" }
