package cookiekeys

import (
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/nts"
)

// A keeper hangs while it asks whether the clock is right. It reads the snapshot's file.
func TestHangingKeeperIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		path := filepath.Join(t.TempDir(), "keys")
		const renew = 2 * time.Hour
		hold := make(chan struct{})
		k := NewKeeper(Config{
			Path: path, Ring: nts.RingConfig{Rotate: time.Hour, Keep: 3, Renew: renew}, Opened: func(*nts.Ring) {},
			Trust: func() error { <-hold; return nil }, Log: slog.New(slog.DiscardHandler),
		})
		k.looking.Clock = func() int64 { return 1 + int64(time.Since(start)) }
		proctest.Hangs(t, proctest.Hanging{Run: k.Run, Hanging: k.Hanging, After: renew, Release: func() { close(hold) }})
	})
}
