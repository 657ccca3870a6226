package main

import (
	"errors"

	"noonmark/internal/config/refclockd"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/sim"
)

// newVirtual makes the virtual appliance and writes its truth into the runtime
// folder. An appliance whose start is "now" runs on after a restart of the daemon.
func newVirtual(s *refclockd.Settings, earlier *report.Earlier) (*sim.Live, error) {
	var played *sim.Played
	if s.SimStart.IsZero() {
		played = sim.ReadPlayed(s.RuntimeDir, s.Sim.Seed, earlier.Last)
	}
	if played == nil {
		earlier.Last = nil // of another appliance
	}
	l, err := sim.NewLive(phc.MonoRaw, s.SimConfig(), s.SimStart, played, s.Sim.ReceiverPTY)
	if err != nil {
		return nil, err
	}
	l.Truth.Seed = s.Sim.Seed
	if err := l.Truth.Write(s.RuntimeDir); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
