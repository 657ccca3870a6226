package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	cfg "noonmark/internal/config/alert"
	"noonmark/internal/observe"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// SIGKILL at any moment, from the first instruction on, damages no state: what was not
// delivered is delivered by the next process, and at most once more for each that was
// killed after the delivery and before it had noted that.
func TestKilledAlertsLoseNothing(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	ctl, dir := proctest.Program(t, "refclockctl"), proctest.ShortDir(t)
	var away atomic.Bool
	var firing atomic.Int64
	away.Store(true)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n Notice
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
		} else if n.Status == Firing && n.Condition == "not_locked" {
			firing.Add(1)
		}
	}))
	defer srv.Close()
	state := filepath.Join(dir, "state.json")
	conf := proctest.Write(t, filepath.Join(dir, "a.toml"), fmt.Sprintf(
		"runtime_dir = %q\nstate = %q\nhost = \"clock1\"\ndiscs = []\n[conditions]\nnot_locked = \"1s\"\n[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\n", dir, state, srv.URL))
	// Nothing publishes in dir, so the alert fires, and waits for a server that is away.
	p := proctest.Start(t, ctl, "alert", "-config", conf)
	noted := func() bool {
		b, err := os.ReadFile(state)
		return err == nil && bytes.Contains(b, []byte("not_locked"))
	}
	proctest.Until(t, "the alert is noted", noted, p)
	p.Kill()
	kills := int64(0)
	for i := range 25 {
		if i == 10 {
			away.Store(false)
		}
		p := proctest.Start(t, ctl, "alert", "-config", conf)
		wait := time.Duration(rnd.Int64N(int64(100 * time.Millisecond)))
		select {
		case <-p.Ended():
			t.Fatalf("round %d: it does not start:\n%s", i, p.Output.String())
		case <-time.After(wait): // the moment is what is random here
		}
		p.Kill()
		if !away.Load() {
			kills++
		}
		if b, err := os.ReadFile(state); err != nil || !json.Valid(b) {
			t.Fatalf("round %d, killed after %v: state %q, %v", i, wait, b, err)
		}
	}
	p = proctest.Start(t, ctl, "alert", "-config", conf)
	proctest.Until(t, "the alert is delivered", func() bool { return firing.Load() > 0 }, p)
	if n := firing.Load(); n > 1+kills {
		t.Errorf("delivered %d times, with %d processes killed", n, kills)
	}
	proctest.Until(t, "nothing is left of files that were not completed", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, ".state.json*"))
		return err == nil && len(left) <= 1+int(kills)
	}, p)
}

// A command has delivered a notice when it ends well, also if it leaves a process that keeps its
// output open: else the notice would come again and again.
func TestACommandIsJudgedByItsEnd(t *testing.T) {
	t.Parallel()
	hold := filepath.Join(t.TempDir(), "hold")
	if err := syscall.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := os.OpenFile(hold, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close() // the process ends
	for code, want := range map[int]string{0: "", 3: "exit status 3: said"} {
		c := &command{[]string{proctest.Require(t, "sh"), "-c", fmt.Sprintf(`cat <"$0" & echo said; exit %d`, code), hold}}
		if err := c.send(t.Context(), &notice); (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("exit status %d: %v", code, err)
		}
	}
}

// watch runs the tasks of a configuration until the test ends.
func watch(t *testing.T, path string) {
	t.Helper()
	s, err := cfg.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := New(s, phc.MonoRaw, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tasks[0].(*Watcher).every = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, x := range tasks {
		running.Go(func() { x.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
}

// refclockctl alert beside a refclockd that is killed and started again.
func TestARealDaemonThatIsKilled(t *testing.T) {
	t.Parallel()
	refclockd, ctl := proctest.Program(t, "refclockd"), proctest.Program(t, "refclockctl")
	dir := proctest.ShortDir(t)
	var mu sync.Mutex
	var got []Notice
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n Notice
		if json.NewDecoder(r.Body).Decode(&n) == nil {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n)
		}
	}))
	defer srv.Close()
	arrived := func(status, condition string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(got, func(n Notice) bool { return n.Status == status && n.Condition == condition })
		}
	}
	daemon := proctest.Write(t, filepath.Join(dir, "r.toml"), fmt.Sprintf("runtime_dir = %q\nstate_dir = %q\n[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n", dir, dir))
	conf := proctest.Write(t, filepath.Join(dir, "a.toml"), fmt.Sprintf(
		"runtime_dir = %q\nstate = %q\nhost = \"clock1\"\ndiscs = []\n[conditions]\nnot_locked = \"1s\"\nclear = \"1s\"\n[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\n", dir, filepath.Join(dir, "state.json"), srv.URL))
	if out, errs, code := proctest.Run(t, ctl, "alert", "-config", conf, "-test"); code != 0 || out != "w: delivered\n" || !arrived(Test, Test)() {
		t.Fatalf("-test ends with %d: %s%s", code, out, errs)
	}
	alerts := proctest.Start(t, ctl, "alert", "-config", conf)
	proctest.Until(t, "it is reported that nothing runs", arrived(Firing, "not_locked"))
	if err := alerts.Stop(); err != nil {
		t.Fatal(err)
	}
	// Its successor, in this process, looks more often: a test need not wait for the interval.
	watch(t, conf)
	d := proctest.Start(t, refclockd, "-config", daemon)
	proctest.Until(t, "the lock ends the alert", arrived(Resolved, "not_locked"), d)
	d.Kill()
	mu.Lock()
	first := got
	got = nil
	mu.Unlock()
	proctest.Until(t, "it is reported that refclockd has stopped", arrived(Firing, "not_locked"))
	proctest.Start(t, refclockd, "-config", daemon)
	proctest.Until(t, "the lock ends the alert again", arrived(Resolved, "not_locked"))
	proctest.Until(t, "the restart is reported", arrived(Firing, "restarted"))
	mu.Lock()
	defer mu.Unlock()
	for _, n := range append(first, got...) {
		t.Logf("%s: %s; %s", n.Title(), n.Summary, n.Remedy)
		if n.Host != "clock1" || n.Status == Firing && n.Remedy == "" {
			t.Errorf("%+v", n)
		}
	}
}

// A real ntsserve that serves the clock of another program is no reason for an alert. Where it
// is killed, that is reported, and when it is started again.
func TestARealServerWithoutRefclockd(t *testing.T) {
	t.Parallel()
	dir, server := proctest.ShortDir(t), proctest.ShortDir(t)
	source := filepath.Join(server, "status")
	w, err := status.Create(source)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	defer w.Close()
	publish := func() {
		t.Helper()
		now := tai.FromUnix(time.Now().Unix(), 0, 37)
		if err := w.Write(&status.Snapshot{State: status.Locked, Kind: status.SimClock, Reason: "disciplined", PID: 1, Mono: phc.MonoRaw(), Clock: now, RefTime: now, TAIOffset: 37, Bound: 1, BoundRate: 1, Limit: time.Hour, Stratum: 1}); err != nil {
			t.Fatal(err)
		}
	}
	daemon := proctest.Write(t, filepath.Join(server, "n.toml"), fmt.Sprintf("[source]\npath = %q\n[[endpoint]]\naddress = \"127.0.0.1:%d\"\n", source, proctest.FreePorts(t, 1)[0]))
	start := func() *proctest.Process {
		cmd := exec.Command(proctest.Program(t, "ntsserve"), "-config", daemon)
		cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+server)
		return proctest.StartCmd(t, cmd)
	}
	counters := filepath.Join(server, observe.ServingName)
	s := load(t, fmt.Sprintf("serving = %q\nrefclockd_config = %q\nntsserve_config = %q\n[conditions]\nserver_silent = \"1s\"\nnot_locked = \"1s\"\nclear = \"1s\"\n", counters, filepath.Join(dir, "none"), daemon))
	s.RuntimeDir = dir
	sources, e := NewSources(s, phc.MonoRaw), newEngine("h", s.Conditions, engineState{})
	at := 0
	report := func() (got []string) { // what ten seconds bring
		for range 3 {
			f := sources.Gather()
			f.Now = time.Unix(int64(at), 0)
			at += 5
			notices, _ := e.step(f)
			for _, n := range notices {
				got = append(got, n.Status+" "+n.Condition)
			}
		}
		return got
	}
	serves := func() (bool, string) {
		publish()
		f := sources.Gather()
		return f.Alone && f.Server != nil && f.Fault == nil && f.Server.Tasks != nil, fmt.Sprintf("%+v %+v", f, f.Fault)
	}
	p := start()
	proctest.UntilState(t, "ntsserve serves", serves, p)
	expect(t, report())
	p.Kill()
	left, err := observe.ReadServing(counters, phc.MonoRaw())
	if err != nil {
		t.Fatal(err)
	}
	left.Mono -= int64(time.Minute) // as if that time had passed
	b, err := json.Marshal(left)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, counters, string(b))
	expect(t, report(), "firing server_silent")
	p = start()
	proctest.UntilState(t, "ntsserve serves again", serves, p)
	expect(t, report(), "firing restarted", "resolved server_silent")
}
