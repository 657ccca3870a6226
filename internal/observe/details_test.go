package observe

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/refclock/report"
)

func TestDetailsAreWrittenOnceASecondAndRemovedAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, report.DetailsName)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reads := 0
		d := NewDetails(dir, func() *Reference { reads++; return &Reference{Mono: 7, Report: new(report.Report)} }, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), `"mono_ns":7`) || reads != 3 {
			t.Errorf("%s: %v after %d reads", b, err, reads)
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is left: %v", err)
		}
		d.file.Path = filepath.Join(dir, "none", "details.json")
		d.write()
		d.write()
		if n := strings.Count(log.String(), "cannot be written"); n != 1 {
			t.Errorf("%d warnings for two failures:\n%s", n, &log)
		}
	})
}
