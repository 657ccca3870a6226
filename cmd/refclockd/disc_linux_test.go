package main

import (
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
)

// A full disc at the start is no fault of the configuration, and the unit starts the
// daemon again.
func TestFullDiscAtTheFirstStart(t *testing.T) {
	disc := proctest.NewSmallDisc(t, 64<<10)
	p := write(t, virtual(disc.Dir)+"[sim]\nstart = \"2026-11-23T12:00:00Z\"\n")
	s, err := refclockd.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	disc.Fill()
	err = serve(t.Context(), p, s, slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.ENOSPC) || exitcode.Of(err) != exitcode.Unavailable || !strings.Contains(err.Error(), "the file system is full") {
		t.Errorf("exit %d, %v; want %d and what is full", exitcode.Of(err), err, exitcode.Unavailable)
	}
}
