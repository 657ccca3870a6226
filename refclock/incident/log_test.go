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

func TestAConditionIsLoggedWhenItBeginsAndWhenItEnds(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := int64(1e9)
	l := New(func() int64 { return now }, slog.New(slog.NewTextHandler(&out, nil)))
	silent, slow := reason.Condition{Code: reason.PortSilent, Detail: "nothing for 10 s"}, reason.Condition{Code: reason.PortSlow, Detail: "97 %"}
	for i := range 30 {
		slow.Detail = strings.Repeat("x", i) // other words about the same
		now += 1e9
		switch {
		case i < 10:
			l.Conditions([]reason.Condition{silent})
		case i < 20:
			l.Conditions([]reason.Condition{silent, slow})
		default:
			l.Conditions([]reason.Condition{slow})
		}
	}
	if last := l.Lasting(); len(last) != 1 || last[0].Code != reason.PortSlow || last[0].Since != 12e9 || last[0].Detail != slow.Detail {
		t.Errorf("lasting: %+v", last)
	}
	l.Conditions(nil)
	want := []string{
		`level=WARN msg="receiver failed" reason=port_silent detail="nothing for 10 s" remedy="check the receiver's power`,
		`level=WARN msg="receiver failed" reason=port_slow detail=xxxxxxxxxx remedy=`,
		`level=INFO msg="condition ended" reason=port_silent lasted=20s`,
		`level=INFO msg="condition ended" reason=port_slow lasted=19s`,
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), &out)
	}
	for i, w := range want {
		if !strings.Contains(lines[i], w) {
			t.Errorf("line %d is %s, want %s", i, lines[i], w)
		}
	}
	if n := l.Counts(); n[reason.PortSilent] != 0 {
		t.Error("counted twice: its finder has counted it")
	}
}
