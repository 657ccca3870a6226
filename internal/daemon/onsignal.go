package daemon

import (
	"context"
	"os"
	"os/signal"
)

// OnSignal makes a task that does something whenever the process gets a signal.
func OnSignal(name string, s os.Signal, do func()) Task {
	return Func(name, func(ctx context.Context) error {
		c := make(chan os.Signal, 1)
		signal.Notify(c, s)
		defer signal.Stop(c)
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-c:
				do()
			}
		}
	})
}
