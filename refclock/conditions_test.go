package refclock_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"noonmark/refclock/reason"
	"noonmark/refclock/sim"
)

// A condition of the receiver's port is the cause of a state without messages, is in
// the report, and is logged when it begins and when it ends.
func TestPortConditionsExplainTheState(t *testing.T) {
	t.Parallel()
	sc, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	sc.Engine.Log = slog.New(slog.NewTextHandler(&log, nil))
	l, err := sc.Loop(1)
	if err != nil {
		t.Fatal(err)
	}
	silent := reason.Condition{Code: reason.PortSilent, Detail: "nothing came"}
	l.Engine.PortConditions([]reason.Condition{silent})
	l.Run(10 * time.Millisecond)
	r := l.Engine.Report()
	if r.Snapshot.Reason != "starting: port_silent" || len(r.Conditions) != 1 || r.Conditions[0].Condition != silent {
		t.Errorf("%s, conditions %+v", r.Snapshot.Reason, r.Conditions)
	}
	if got := r.Discipline.Remedy(); got != reason.PortSilent.Info().Remedy {
		t.Errorf("remedy %q", got)
	}
	l.Engine.PortConditions(nil)
	l.Run(250 * time.Millisecond)
	if r := l.Engine.Report(); strings.Contains(r.Snapshot.Reason, "port_silent") || len(r.Conditions) != 0 {
		t.Errorf("afterwards %s, conditions %+v", r.Snapshot.Reason, r.Conditions)
	}
	for _, w := range []string{"reason=port_silent detail=\"nothing came\" remedy=", "msg=\"condition ended\" reason=port_silent"} {
		if n := strings.Count(log.String(), w); n != 1 {
			t.Errorf("%q is logged %d times:\n%s", w, n, &log)
		}
	}
}
