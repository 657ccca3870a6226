package rollout

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/health"
	"noonmark/fleet/store"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// TestAnAccessListThatRefusesEverybodyIsTakenBack: a real ntsserve takes over a good list
// without a restart. One that also refuses the node itself passes the check of the
// program; the health gate notices it, and ntsserve answers again.
func TestAnAccessListThatRefusesEverybodyIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	a := s.nodes[0]
	address := fmt.Sprintf("127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	w, err := status.Create(filepath.Join(a.dir, "status"))
	must(t, err)
	defer w.Close()
	publish := func() {
		now := time.Now()
		clock := tai.FromUnix(now.Unix(), int64(now.Nanosecond()), 37)
		must(t, w.Write(&status.Snapshot{
			State: status.Locked, Kind: status.SystemClock, Stratum: 1, PHCIndex: -1, Mono: phc.MonoRaw(), Clock: clock,
			LineErr: time.Microsecond, Bound: time.Microsecond, BoundRate: 10, Limit: time.Second, TAIOffset: 37, RefTime: clock,
		}))
	}
	publish()
	local := proctest.Write(t, a.files[0].Path, fmt.Sprintf("[source]\npath = %q\n[[endpoint]]\naddress = %q\nworkers = 1\n", filepath.Join(a.dir, "status"), address))
	cmd := exec.Command(s.programs[NTSServe], "-config", local)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+a.dir)
	proctest.Write(t, a.files[0].Local, s.file(a, 0))
	proc := proctest.StartCmd(t, cmd)
	proc.WaitFor(t, "msg=ready")
	gate := &health.Local{Status: filepath.Join(a.dir, "status"), Serving: filepath.Join(a.dir, "serving.json"), NTP: netip.MustParseAddrPort(address), Timeout: 500 * time.Millisecond}

	a.keeper.cfg.Files = a.files[:1]
	a.keeper.cfg.Files[0].Apply = func(ctx context.Context, restart bool) error {
		if restart {
			t.Error("an access list needs no restart")
		}
		return fleettest.Reload(ctx, proc)
	}
	a.keeper.cfg.Health = func() (list []string) {
		publish()
		for _, p := range health.Judge(gate.Facts(t.Context(), time.Now()), health.Limits{Gate: true, Sample: 3}) {
			list = append(list, p.String())
		}
		return list
	}
	a.keeper.cfg.Mono = func() time.Duration { return time.Duration(phc.MonoRaw()) }
	until := func(what string, ok func() bool) {
		t.Helper()
		proctest.UntilState(t, what, func() (bool, string) {
			must(t, a.presence.Show(t.Context(), store.Record{}))
			var err error
			a.last, err = a.keeper.Round(t.Context())
			must(t, err)
			return ok(), fmt.Sprintf("%+v", a.last)
		}, proc)
	}
	until("the node is healthy", func() bool { return a.last.Report.Healthy })
	p := Params{Soak: 2, Patience: 10}
	s.apply("[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\n", p)
	until("the good list is confirmed", func() bool { return s.state().Rollout.Phase == Done && !a.last.Report.Trial })
	s.apply("[ntsserve.access]\ndeny = [\"0.0.0.0/0\"]\n", p)
	until("the bad list is taken back", func() bool { return s.state().Rollout.Phase == Undone && a.last.Report.Healthy })
	st := s.state().Rollout
	if !strings.Contains(st.Why, "node a: not healthy after the change: no-answer") || a.last.Report.Refused != st.Number {
		t.Errorf("%+v, report %+v", st, a.last.Report)
	}
	if text := s.file(a, 0); !strings.Contains(text, "192.0.2.0/24") || strings.Contains(text, "0.0.0.0/0") {
		t.Errorf("the file:\n%s", text)
	}
}
