package main

import (
	"fmt"
	"log/slog"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/follow"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/status"
)

// newFollowers makes the clocks that follow the steered one, which are the system
// clock and further PHCs, and the tasks that save what is learned of their
// oscillators.
func newFollowers(s *refclockd.Settings, reference func() *status.Snapshot, leaps *leapTable, log *slog.Logger) (fs []*follow.Follower, savers []*oscillator.Saver, err error) {
	add := func(c follow.Config) error {
		c.Mono, c.Suspended, c.Reference, c.Log = phc.MonoRaw, phc.Slept, reference, log
		state := oscillator.FollowerFile(s.StateDir, c.Name)
		if !c.Observe {
			c.Learned = state.LoadLogged(log)
		}
		f, err := follow.New(c)
		if err != nil {
			return err
		}
		fs = append(fs, f)
		if !c.Observe {
			savers = append(savers, oscillator.NewSaver(state, func() discipline.Learned { return f.Stats().Learned }, log))
		}
		return nil
	}
	if s.SystemClock.Mode != "off" {
		c, err := systemFollower(s, leaps)
		if err != nil {
			return nil, nil, err
		}
		if err := add(c); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range s.PHC {
		if err := add(follow.Config{
			Name: p.Device, Kind: status.PHCClock, Discipline: discipline.Config{StepOver: p.StepThreshold.Duration},
			Open: openPHC(p.Device, 0),
		}); err != nil {
			return nil, nil, err
		}
	}
	return fs, savers, nil
}

// systemFollower is the system clock as a follower.
func systemFollower(s *refclockd.Settings, leaps *leapTable) (follow.Config, error) {
	c := follow.Config{
		Name: "system", Kind: status.SystemClock, Observe: s.SystemClock.Mode == "observe", Steps: s.SystemClock.Step,
		Discipline: discipline.Config{StepOver: s.SystemClock.StepThreshold.Duration},
		Open:       func() (clock.Device, error) { return clockOrError(phc.OpenSystem(leaps.offset)) },
	}
	if c.Observe {
		return c, nil
	}
	sys, err := phc.OpenSystem(leaps.offset)
	if err != nil {
		return c, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	c.System = clock.NewSystem(sys, phc.Kernel{}, phc.MonoRaw, clock.Rivals)
	return c, nil
}
