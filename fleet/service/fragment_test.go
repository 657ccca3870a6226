package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/fleet/rollout"
	"noonmark/internal/config"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// TestAFragmentOnTrialMustBeInForce: missing evidence is none, and a node that does not keep the
// file has nothing to show.
func TestAFragmentOnTrialMustBeInForce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := ClockFile(filepath.Join(dir, "local.toml"), dir)
	const text = "[[witness]]\naddress = \"a\"\n"
	w, err := status.Create(filepath.Join(dir, "status"))
	must(t, err)
	t.Cleanup(func() { w.Close() })
	s := &status.Snapshot{State: status.Locked, Kind: status.SimClock, Stratum: 1, PHCIndex: -1, Mono: phc.MonoRaw(), Clock: 1795426200e9, RefTime: 1795426200e9, TAIOffset: 37, LineErr: time.Microsecond, Bound: time.Microsecond, BoundRate: 10, Limit: time.Second}
	must(t, w.Write(s))
	good := report.FragmentDetail{Path: f.Path, Content: config.FragmentContent(text)}
	for _, c := range []struct {
		name  string
		local string
		file  string
		shown func(d *report.FragmentDetail) *report.FragmentDetail
		want  error
	}{
		{"the local file names another one", "fleet = \"/other\"\n", text, nil, nil},
		{"the local file names none", "", text, nil, nil},
		{"the local file is no TOML", "[", text, nil, nil},
		{"refclockd was not restarted", "own", text, func(*report.FragmentDetail) *report.FragmentDetail { return nil }, errNotNamed},
		{"refclockd reads another one", "own", text, func(d *report.FragmentDetail) *report.FragmentDetail { d.Path = "/other"; return d }, errNotNamed},
		{"refused", "own", text, func(d *report.FragmentDetail) *report.FragmentDetail { d.Refused = "x"; return d }, errRefused},
		{"the one before is in force", "own", text + "\n", func(d *report.FragmentDetail) *report.FragmentDetail { return d }, errNotTaken},
		{"a witness is silent", "own", text, func(d *report.FragmentDetail) *report.FragmentDetail { d.Silent = []string{"a"}; return d }, errWitnesses},
		{"a witness disagrees", "own", text, func(d *report.FragmentDetail) *report.FragmentDetail { d.Disagree = []string{"a"}; return d }, errWitnesses},
		{"in force", "own", text, func(d *report.FragmentDetail) *report.FragmentDetail { return d }, nil},
	} {
		local := c.local
		if local == "own" {
			local = fmt.Sprintf("fleet = %q\nruntime_dir = %q\n", f.Path, dir)
		}
		proctest.Write(t, f.Local, local)
		proctest.Write(t, f.Path, c.file)
		if c.shown != nil {
			d := good
			details := report.Details{PID: os.Getpid(), Mono: phc.MonoRaw(), Fleet: c.shown(&d)}
			b, err := json.Marshal(details)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, report.DetailsName), b, 0o644))
		}
		if err := unused(f); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	must(t, os.Remove(filepath.Join(dir, report.DetailsName)))
	if err := unused(f); err == nil {
		t.Error("refclockd says nothing, and the fragment counts as in force")
	}
	must(t, os.Remove(f.Path))
	if err := unused(f); err == nil {
		t.Error("there is no fragment, and it counts as in force")
	}

	// The process that sends alerts says itself what it takes.
	x := AlertFile(dir, filepath.Join(dir, "fragment.json"))
	proctest.Write(t, x.Path, text)
	for want, d := range map[error]report.FragmentDetail{
		nil:         {Path: x.Path, Content: config.FragmentContent(text)},
		errNotTaken: {Path: x.Path},
		errRefused:  {Path: x.Path, Refused: "x"},
	} {
		b, err := json.Marshal(d)
		must(t, err)
		proctest.Write(t, x.Published, string(b))
		if err := unused(x); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("alerts: %v, want %v", err, want)
		}
	}
	c := &configTask{Service: &Service{cfg: Config{Config: Configuration{Fragments: []rollout.File{f}}}}}
	if list := c.onTrial([]rollout.Program{rollout.NTSServe}); len(list) > 0 {
		t.Errorf("a change of ntsserve waits for refclockd: %q", list)
	}
	if list := c.onTrial([]rollout.Program{rollout.NTSServe, rollout.Refclockd}); len(list) != 1 {
		t.Errorf("a change of refclockd: %q", list)
	}
}
