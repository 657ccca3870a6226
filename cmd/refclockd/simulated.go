package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/phc"
	"noonmark/refclock/sim"
)

// newVirtual makes the virtual appliance and writes its truth into the runtime
// folder.
func newVirtual(s *refclockd.Settings) (*sim.Live, error) {
	l, err := sim.NewLive(phc.MonoRaw, s.SimConfig(), s.SimStart, s.Sim.ReceiverPTY)
	if err != nil {
		return nil, err
	}
	l.Truth.Seed = s.Sim.Seed
	b, err := json.Marshal(l.Truth)
	if err == nil {
		err = durable.Publish(filepath.Join(s.RuntimeDir, sim.TruthName), append(b, '\n'), 0o644)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write truth: %w", err), l.Close())
	}
	return l, nil
}
