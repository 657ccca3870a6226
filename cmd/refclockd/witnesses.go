package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/server/ntsclient"
)

// newWitnesses makes the task that asks other time servers; nil without any. It
// is here because refclock must not depend on the client of the server side.
func newWitnesses(s *refclockd.Settings, eng refclock.WitnessEngine, leaps *leapTable, log *slog.Logger) (*refclock.Witnesses, error) {
	if len(s.Servers) == 0 {
		return nil, nil
	}
	w := &refclock.Witnesses{Engine: eng, Mono: phc.MonoRaw, Table: leaps.Load, Log: log}
	sys, err := phc.OpenSystem(func(int64) int { return 0 })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	for _, c := range s.Servers {
		cl, err := ntsclient.New(ntsclient.Config{Host: c.Host, Port: c.Port, Plain: !c.NTS, RootCAs: c.Roots})
		if err != nil {
			return nil, err
		}
		w.List = append(w.List, refclock.Witness{
			Name: c.Name, MaxOffset: c.MaxOffset, Required: c.Required, Every: c.Interval,
			Ask: func(ctx context.Context) (refclock.Testimony, error) { return ask(ctx, cl, sys.Cross) },
		})
	}
	return w, nil
}

// errStepped: the system clock, by which the answer was measured, was stepped
// meanwhile.
var errStepped = errors.New("system clock was stepped while the witness was asked")

// ask asks a server and expresses its answer on CLOCK_MONOTONIC_RAW.
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
		return refclock.Testimony{}, errStepped
	}
	return refclock.Testimony{Mono: x.Mono, UTC: x.Real - int64(r.Offset), Error: r.RootDistance()}, nil
}
