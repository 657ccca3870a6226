package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// reader reads a snapshot as a server of time does, and compares it with the truth.
type reader struct {
	t     *testing.T
	path  string
	truth sim.Truth
	snap  status.Snapshot
}

func newReader(t *testing.T, dir string) *reader {
	r := &reader{t: t, path: filepath.Join(dir, "status")}
	b, err := os.ReadFile(filepath.Join(dir, sim.TruthName))
	if err == nil {
		err = json.Unmarshal(b, &r.truth)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// look loads the snapshot, and reports whether time is served by it now.
func (r *reader) look() bool {
	r.t.Helper()
	f, err := status.Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if err := f.LoadAll(&r.snap); err != nil && !errors.Is(err, status.ErrBusy) { // readers keep the last one while one is written
		r.t.Fatal(err)
	}
	now := phc.MonoRaw()
	if !r.snap.Usable(now) {
		return false
	}
	if off, bound := r.snap.ClockAt(now).Sub(r.truth.At(now)).Abs(), r.snap.BoundAt(now); off > bound {
		r.t.Fatalf("off by %v, claimed %v (%v, %s)", off, bound, r.snap.State, r.snap.Reason)
	}
	return true
}

// The real daemon is restarted on its virtual appliance. A reader gets time at every
// moment, and the true error is inside the bound.
func TestReadersAreServedAcrossARestart(t *testing.T) {
	t.Parallel()
	dir := proctest.ShortDir(t)
	conf := write(t, virtual(dir))
	start := func() *proctest.Process { return proctest.StartCmd(t, proctest.Self(t, "-config", conf)) }
	d := start()
	d.WaitFor(t, "msg=ready")
	r := newReader(t, dir)
	proctest.Until(t, "the clock is locked", func() bool { return r.look() && r.snap.State == status.Locked }, d)
	generation := r.snap.Epoch
	for _, end := range []struct {
		how  string
		stop func()
	}{{"stopped", func() { d.Stop() }}, {"killed", func() { d.Kill() }}} {
		end.stop()
		pid := r.snap.PID
		d = start()
		seen := map[string]bool{}
		proctest.Until(t, "the new process is locked after the old was "+end.how, func() bool {
			if !r.look() {
				t.Fatalf("%s: not served: %v (%s), bound %v, limit %v", end.how, r.snap.State, r.snap.Reason, r.snap.BoundAt(phc.MonoRaw()), r.snap.Limit)
			}
			if r.snap.PID != pid {
				seen[r.snap.Reason] = true
			}
			return r.snap.PID != pid && r.snap.State == status.Locked
		}, d)
		t.Logf("%s: reasons %v, bound %v", end.how, seen, time.Duration(r.snap.Bound))
		if r.snap.Epoch != generation {
			t.Errorf("%s: generation %d, before %d", end.how, r.snap.Epoch, generation)
		}
	}
}
