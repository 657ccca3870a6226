package command

import (
	"context"
	"io/fs"
	"os"
	"time"
)

// IsTerminal reports whether a reader or writer of a Console is a terminal, or another
// device of characters.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&fs.ModeCharDevice != 0
}

// EverySecond does something at once and then every second, until ctx ends, which is no
// error, or do fails.
func EverySecond(ctx context.Context, do func() error) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
