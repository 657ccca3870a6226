package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/follow"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/status"
	"noonmark/server/ntsclient"
)

// newFollowers makes the followers of a configuration, the system clock and
// further PHCs, and the tasks that save what is learned of their oscillators.
func newFollowers(s *settings, reference func() *status.Snapshot, log *slog.Logger) (fs []*follow.Follower, ms []*oscillator.Saver, err error) {
	offset := s.inForce.offset
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
			ms = append(ms, oscillator.NewSaver(state, func() discipline.Learned { return f.Stats().Learned }, log))
		}
		return nil
	}
	if s.SystemClock.Mode != "off" {
		c := follow.Config{
			Name: "system", Kind: status.SystemClock, Observe: s.SystemClock.Mode == "observe", Steps: s.steps,
			Discipline: discipline.Config{StepOver: s.SystemClock.StepThreshold.Duration},
			Open:       func() (clock.Device, error) { return opened(phc.OpenSystem(offset)) },
		}
		if !c.Observe {
			sys, err := phc.OpenSystem(offset)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
			}
			c.System = clock.NewSystem(sys, phc.Kernel{}, phc.MonoRaw, clock.Rivals)
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
	return fs, ms, nil
}

// newWitnesses makes the witnesses of a configuration; nil if there are none.
// It alone knows our own client: refclock must not depend on the server.
func newWitnesses(s *settings, eng refclock.WitnessEngine, log *slog.Logger) (*refclock.Witnesses, error) {
	if len(s.witnesses) == 0 {
		return nil, nil
	}
	w := &refclock.Witnesses{Engine: eng, Mono: phc.MonoRaw, Table: s.inForce.Load, Log: log}
	sys, err := phc.OpenSystem(func(int64) int { return 0 })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	for _, c := range s.witnesses {
		cl, err := ntsclient.New(ntsclient.Config{Host: c.host, Port: c.port, Plain: !c.nts, RootCAs: c.roots})
		if err != nil {
			return nil, err
		}
		w.List = append(w.List, refclock.Witness{
			Name: c.name, MaxOffset: c.limit, Required: c.required, Every: c.every,
			Ask: func(ctx context.Context) (refclock.Testimony, error) { return ask(ctx, cl, sys.Cross) },
		})
	}
	return w, nil
}

// errMoved: the system clock, by which the witness was measured, was stepped
// meanwhile.
var errMoved = errors.New("system clock was stepped while the witness was asked")

// ask asks a server and says what its answer means on CLOCK_MONOTONIC_RAW.
func ask(ctx context.Context, cl *ntsclient.Client, cross func() (phc.Cross, error)) (refclock.Testimony, error) {
	before, err := cross()
	if err != nil {
		return refclock.Testimony{}, err
	}
	r, err := cl.Query(ctx)
	if err != nil {
		return refclock.Testimony{}, err
	}
	x, err := cross()
	if err != nil {
		return refclock.Testimony{}, err
	}
	// A slew of 500 ppm over a query of a few seconds stays well below this.
	if moved := time.Duration((x.Real - before.Real) - (x.Mono - before.Mono)); moved.Abs() > 10*time.Millisecond {
		return refclock.Testimony{}, errMoved
	}
	return refclock.Testimony{Mono: x.Mono, UTC: x.Real - int64(r.Offset), Error: r.RootDistance()}, nil
}
