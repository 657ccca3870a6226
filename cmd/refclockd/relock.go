package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"noonmark/refclock"
)

// relocker discards the lock on SIGUSR1, which `refclockctl relock` sends.
type relocker struct{ engine *refclock.Engine }

// Run waits for the signal until ctx ends.
func (r relocker) Run(ctx context.Context) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c:
			r.engine.Relock()
		}
	}
}

// String names the task in logs.
func (r relocker) String() string { return "relock" }
