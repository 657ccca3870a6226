package incident

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"noonmark/refclock/reason"
)

func TestAReasonIsLoggedOnceAMinuteAndCountedAlways(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := int64(1)
	l := New(func() int64 { return now }, slog.New(slog.NewTextHandler(&out, nil)))
	for range 90 {
		l.Report(reason.ClockRead, errors.New("bus error"), "clock", "eth0")
		l.Report(reason.EdgeStale, nil)
		now += 1e9
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines:\n%s", n, &out)
	}
	for _, w := range []string{`msg="clock failed" reason=clock_read clock=eth0 error="bus error"`, "held_back=59"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("no %q in\n%s", w, &out)
		}
	}
	if n := l.Counts(); n[reason.ClockRead] != 90 || l.Group(reason.Edge) != 90 || n[reason.ClockGone] != 0 {
		t.Errorf("counted %v", n)
	}
}
