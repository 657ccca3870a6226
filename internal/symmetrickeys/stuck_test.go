package symmetrickeys

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/mac"
)

// A keeper hangs while it replaces the keys that are in force.
func TestHangingKeeperIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		path := filepath.Join(t.TempDir(), "chrony.keys")
		hold := make(chan struct{})
		set := func(*mac.Keys) {
			if time.Since(start) > time.Hour {
				<-hold
			}
		}
		k := New(mac.Source{}, set, slog.New(slog.DiscardHandler))
		k.looking.Clock = func() int64 { return 1 + int64(time.Since(start)) }
		if err := os.WriteFile(path, []byte("1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		k.Replace(mac.Source{List: path})
		proctest.Hangs(t, proctest.Hanging{Run: k.Run, Hanging: k.Hanging, Begin: func() {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}, After: interval + stuckAfter + time.Second, Release: func() { close(hold) }})
	})
}
