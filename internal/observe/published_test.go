package observe

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/refclock/status"
)

// A snapshot that cannot be published is the task's reason to wait, is logged, and
// ends with the next one that can.
func TestWhatCannotBePublishedIsShown(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("needs Linux: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var log bytes.Buffer
	p := NewPublished(w, slog.New(slog.NewTextHandler(&log, nil)))
	p.Publish(&status.Snapshot{})
	if err := p.Waiting(); err != nil || log.Len() > 0 {
		t.Errorf("%v: %s", err, &log)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	for range 8 { // the writer looks after its file at some of the writes
		p.Publish(&status.Snapshot{})
	}
	if err := p.Waiting(); err == nil || !strings.Contains(log.String(), "servers of time have none") {
		t.Errorf("%v: %s", err, &log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.Publish(&status.Snapshot{})
	if err := p.Waiting(); err != nil || !strings.Contains(log.String(), "published again") {
		t.Errorf("%v: %s", err, &log)
	}
}
