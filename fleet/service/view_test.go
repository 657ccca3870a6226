package service

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/fleet/access"
	"noonmark/fleet/agent"
	"noonmark/fleet/health"
	"noonmark/fleet/identity"
	"noonmark/fleet/overview"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/fleetview"
)

// viewed is the task of a node whose etcd does not answer, with a clock of the test.
type viewed struct {
	*viewTask
	t     *testing.T
	mono  int64
	reads int
	err   error // of a read
}

func newViewed(t *testing.T) *viewed {
	t.Helper()
	dir := t.TempDir()
	c, err := access.Connect([]string{"http://127.0.0.1:1"}, nil)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	own, err := store.New(c, "test")
	must(t, err)
	s := &Service{
		cfg: Config{
			Dir: identity.Dir(dir), Server: &Server{}, Log: slog.New(slog.DiscardHandler),
			View: View{Path: filepath.Join(dir, fleetview.FileName), Wanted: filepath.Join(dir, fleetview.WantedName), Server: "/etc/ntsserve.toml"},
		},
		node: identity.Node{Fleet: "test", Name: "a"}, etcd: c, own: own,
	}
	untrusted := errors.New("unlocked")
	s.agt, err = agent.New(own, agent.Config{
		Node: "a", Key: seal.Generate(), Copy: s.cfg.Dir.Copy(), KeyFile: filepath.Join(dir, "keys"), Clock: func() (time.Time, error) { return time.Now(), untrusted },
	})
	must(t, err)
	v := &viewed{viewTask: newViewTask(s, newHealthTaskOf(s), newConfigTask(s), newCertTask(s)), t: t, mono: int64(time.Hour)}
	v.viewTask.mono = func() int64 { return v.mono }
	v.read = func(context.Context) (*overview.Sources, error) {
		v.reads++
		return &overview.Sources{At: time.Now(), Fleet: &store.Snapshot{Nodes: []store.Node{{Name: "a", Live: true, Record: store.Record{State: "serves"}}, {Name: "b"}}}}, v.err
	}
	return v
}

// newHealthTaskOf is a task with a keeper that has examined nothing yet.
func newHealthTaskOf(s *Service) *healthTask {
	h := &healthTask{Service: s}
	h.keeper.Store(health.New(s.own, health.Config{Node: "a"}))
	return h
}

// after looks once, later.
func (v *viewed) after(d time.Duration) *fleetview.File {
	v.t.Helper()
	v.mono += int64(d)
	v.look(v.t.Context(), time.Now())
	f, err := fleetview.Read(v.cfg.View.Path, v.mono)
	must(v.t, err)
	return f
}

// All nodes are read only while somebody looks, and then at most every half minute.
func TestNodesAreReadWhileSomebodyLooks(t *testing.T) {
	t.Parallel()
	v := newViewed(t)
	for range 100 {
		v.after(time.Second)
	}
	if v.reads != 0 {
		t.Fatalf("%d reads while nobody looks", v.reads)
	}
	must(t, os.WriteFile(v.cfg.View.Wanted, nil, 0o644))
	f := v.after(time.Second)
	if v.reads != 1 || len(f.Nodes) != 2 || f.Serving != 1 || f.ReadMono != v.mono || f.Mono != v.mono {
		t.Errorf("somebody looks: %d reads, %+v", v.reads, f)
	}
	at := f.ReadMono
	for range 29 {
		f = v.after(time.Second)
	}
	if v.reads != 1 || f.ReadMono != at {
		t.Errorf("%d reads in half a minute", v.reads)
	}
	v.err = errors.New("etcd is gone")
	if f = v.after(time.Second); v.reads != 2 || f.ReadMono != at || len(f.Nodes) != 2 {
		t.Errorf("a read that fails: %d reads, %+v; want the nodes as they were", v.reads, f)
	}
	if v.after(time.Second); v.reads != 2 {
		t.Errorf("a read that fails is repeated at once: %d", v.reads)
	}
	for _, old := range []time.Time{time.Now().Add(-fleetview.WantedFor - time.Minute), time.Now().Add(fleetview.WantedFor + time.Minute)} {
		must(t, os.Chtimes(v.cfg.View.Wanted, old, old))
		if v.after(time.Hour); v.reads != 2 {
			t.Errorf("%v: read although nobody looks", old)
		}
	}
}

// The file is written when something changes, and before it becomes old.
func TestViewIsWrittenWhenSomethingChanges(t *testing.T) {
	t.Parallel()
	v := newViewed(t)
	f := v.after(0)
	if f.Self.State != fleetview.ClockUntrusted || f.Self.Why != roots.ClockUntrusted.String() || f.Self.Server != "/etc/ntsserve.toml" || f.Self.Health != nil || f.Name != "test" || f.Node != "a" || f.PID != os.Getpid() {
		t.Errorf("%+v", f)
	}
	written := f.Mono
	for range int(fleetview.Every/time.Second) - 1 {
		if f = v.after(time.Second); f.Mono != written {
			t.Fatalf("written again after %v", f.Age(written))
		}
	}
	if f = v.after(time.Second); f.Mono != v.mono {
		t.Error("not written before it is old")
	}
	for _, c := range []struct {
		name   string
		change func()
		ok     func(s *fleetview.Self, f *fleetview.File) bool
	}{
		{"a round", func() {
			v.seen.Store(&seen{agent.Report{Drain: "new disc", Clock: errors.New("unlocked"), Refusal: errors.New("alone")}, errors.New("etcd: timeout")})
		}, func(s *fleetview.Self, f *fleetview.File) bool {
			return s.Drain == "new disc" && s.Clock == "unlocked" && s.Refusal == "alone" && f.Etcd == "etcd: timeout"
		}},
		{"configuration", func() { v.config.last.Store(&rollout.Report{Unmanaged: []rollout.Program{rollout.NTSServe}}) }, func(s *fleetview.Self, _ *fleetview.File) bool { return s.Alone && s.Refused == "" }},
		{"a refusal", func() { v.config.last.Store(&rollout.Report{Refused: 3, Why: "line 7"}) }, func(s *fleetview.Self, _ *fleetview.File) bool { return !s.Alone && s.Refused == "line 7" }},
		{"certificate", func() { v.certificate.follow(nil, errors.New("no order")) }, func(s *fleetview.Self, _ *fleetview.File) bool { return s.Cert == "no order" && !s.NoCert }},
		{"no part in the certificate", func() { v.certificate.follow(nil, errNoPEM) }, func(s *fleetview.Self, _ *fleetview.File) bool { return s.Cert == "" && s.NoCert }},
	} {
		c.change()
		if f := v.after(time.Second); f.Mono != v.mono || !c.ok(&f.Self, f) {
			t.Errorf("%s: written %v ago: %+v", c.name, f.Age(v.mono), f.Self)
		}
	}
}

// TestAFaultOfTheViewIsAnError: the daemon repeats the task, and the agent goes on.
func TestAFaultOfTheViewIsAnError(t *testing.T) {
	t.Parallel()
	v := newViewed(t)
	must(t, os.WriteFile(v.cfg.View.Wanted, nil, 0o644))
	v.read = func(context.Context) (*overview.Sources, error) { panic("test") }
	if err := v.Run(t.Context()); !errors.Is(err, errPanic) {
		t.Errorf("a fault: %v", err)
	}
}
