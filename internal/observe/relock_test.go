package observe

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// The process of this test is the refclockd that is signalled.
func TestRelockSaysWhatIsDiscardedAndWaits(t *testing.T) { // not parallel: it has the signal for itself
	path := filepath.Join(t.TempDir(), "status")
	if err := Relock(t.Context(), new(strings.Builder), path, false); !errors.Is(err, status.ErrNone) || !strings.Contains(err.Error(), "systemctl start refclockd") {
		t.Errorf("nothing is published: %v", err)
	}
	w, err := status.Create(path)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	defer w.Close()
	write := func(state status.State, age time.Duration) {
		if err := w.Write(&status.Snapshot{State: state, PID: uint32(os.Getpid()), Reason: "disciplined", Mono: phc.MonoRaw() - int64(age), Clock: tai.FromUnix(1795435200, 0, 37), TAIOffset: 37, Bound: 1500, Limit: 1e5}); err != nil {
			t.Error(err)
		}
	}
	relock := func(ctx context.Context, dry bool) (string, error) {
		var b strings.Builder
		err := Relock(ctx, &b, path, dry)
		return b.String(), err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)

	write(status.Locked, time.Minute)
	if out, err := relock(t.Context(), false); !errors.Is(err, ErrStopped) || out != "" {
		t.Errorf("a refclockd that has stopped: %v, %q", err, out)
	}
	write(status.Locked, 0)
	if out, err := relock(t.Context(), true); err != nil || !strings.HasPrefix(out, "discards: state locked (disciplined), error bound 1") || strings.Contains(out, "now:") {
		t.Errorf("dry: %v, %q", err, out)
	}
	if len(signals) > 0 {
		t.Error("it was signalled although nothing was to be done")
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := relock(interrupted, false); !errors.Is(err, exitcode.ErrUnavailable) {
		t.Errorf("a lock that is kept: %v", err)
	}
	<-signals
	go func() { <-signals; write(status.Acquiring, 0) }()
	if out, err := relock(t.Context(), false); err != nil || !strings.HasSuffix(out, "\nnow: state acquiring (disciplined)\n") {
		t.Errorf("a lock that is discarded: %v, %q", err, out)
	}
}
