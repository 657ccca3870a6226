package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/export"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
	"noonmark/server"
	"noonmark/server/ntsclient"
	"noonmark/server/transport/sockets"
)

// taker is a program that is exported to.
type taker struct {
	got    []export.Sample
	set    []export.Grandmaster
	forgot int
	closed bool
	err    error
}

func (x *taker) Export(s export.Sample) error { x.got = append(x.got, s); return x.err }
func (x *taker) Set(g export.Grandmaster) error {
	x.set = append(x.set, g)
	return x.err
}
func (x *taker) Forget()        { x.forgot++ }
func (x *taker) Close() error   { x.closed = true; return nil }
func (x *taker) String() string { return "taker" }

func TestExportTask(t *testing.T) {
	s := &status.Snapshot{State: status.Acquiring, Kind: status.PHCClock, Stratum: 1, RefTime: 1, TAIOffset: 37, Mono: 1e9,
		Clock: tai.FromUnix(1795435200, 0, 37), Bound: 100, Limit: 1e5, NoiseNS: 5}
	var log bytes.Buffer
	x, p, opens := &taker{}, &taker{}, 0
	task := func(t *exportTask) *exportTask {
		t.snapshot, t.mono, t.log = func() *status.Snapshot { return s }, func() int64 { return 1e9 }, slog.New(slog.NewTextHandler(&log, nil))
		t.cross = func() (phc.Cross, error) { return phc.Cross{Mono: 1e9, Real: 1795435200e9 + 250}, nil }
		return t
	}
	shm := task(&exportTask{name: "shm", open: func() (export.Exporter, error) {
		if opens++; opens < 3 {
			return nil, fmt.Errorf("no such segment: %w", fs.ErrNotExist)
		}
		return x, nil
	}})
	ptp := task(&exportTask{name: "ptp4l", ptp: p})

	shm.once(0)
	ptp.once(0)
	if len(x.got) != 0 || opens != 0 || shm.count(exportUnusable) != 1 || ptp.count(exportUnusable) != 1 || p.set[0].Class != 248 {
		t.Errorf("exported from an unusable snapshot: %+v, %+v", x, p)
	}
	s.State = status.Locked
	for n := range 40 {
		shm.once(n)
		ptp.once(n)
	}
	if len(x.got) != 38 || shm.count(exportMissing) != 2 || shm.count(exported) != 38 || x.got[0].Real-x.got[0].True != 250 || p.set[len(p.set)-1].Class != 6 || p.forgot != 3 {
		t.Errorf("%d samples, %d failed, %+v, told ptp4l %+v, forgot %d", len(x.got), shm.count(exportMissing), x.got[0], p.set[len(p.set)-1], p.forgot)
	}
	if !strings.Contains(log.String(), "no such segment") || !strings.Contains(log.String(), "export works") {
		t.Errorf("log:\n%s", &log)
	}
	log.Reset()
	x.err = errors.New("gone")
	for n := range 300 {
		shm.once(n)
	}
	if n := strings.Count(log.String(), "\n"); n < 3 || n > 8 || shm.count(exportFailed) != 300 {
		t.Errorf("%d lines for 300 failures, counted %d", n, shm.count(exportFailed))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ptp.Run(ctx); !errors.Is(err, context.Canceled) || !p.closed || p.set[len(p.set)-1].Class != 52 {
		t.Errorf("at the end: %v, closed %v, told %+v", err, p.closed, p.set[len(p.set)-1])
	}
}

func TestExportReasons(t *testing.T) {
	for _, c := range []struct {
		err  error
		want result
	}{
		{errors.New("odd"), exportFailed},
		{fmt.Errorf("dial: %w", fs.ErrNotExist), exportMissing},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), exportMissing},
		{fmt.Errorf("open: %w", syscall.EACCES), exportDenied},
		{errors.Join(fmt.Errorf("set: %w", export.ErrPTP)), exportRefused},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), exportSilent},
		{nil, exported},
	} {
		if got := why(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	// A real one: nobody listens.
	x := export.NewSock(filepath.Join(t.TempDir(), "none"))
	if err := x.Export(export.Sample{}); why(err) != exportMissing {
		t.Errorf("no socket: %v is %v", err, why(err))
	}
}

// TestWitnessServer asks our own server on the loopback and compares with what
// it is known to serve.
func TestWitnessServer(t *testing.T) {
	sys, err := phc.OpenSystem(func(int64) int { return 37 })
	if err != nil {
		t.Skip("needs the system clock: ", err)
	}
	const ahead = 3 * time.Second // of the system clock, what the server serves
	path := filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	x, err := sys.Cross()
	if err != nil {
		t.Fatal(err)
	}
	w.Write(&status.Snapshot{State: status.Locked, Kind: status.PHCClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, Mono: x.Mono, Clock: x.Clock.Add(ahead),
		RefTime: x.Clock.Add(ahead - time.Second), TAIOffset: 37, Bound: 200, BoundRate: 10, Limit: time.Millisecond})
	srv, err := server.New(server.Config{Snapshot: path, Endpoints: []server.Endpoint{{Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1}}}})
	if err != nil {
		t.Skip("needs a socket on the loopback: ", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	<-srv.Ready()
	cl, err := ntsclient.New(ntsclient.Config{Host: "127.0.0.1", Port: int(srv.Addrs()[0].Port()), Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got, err := ask(ctx, cl, sys.Cross)
	if err != nil {
		t.Fatal(err)
	}
	y, err := sys.Cross()
	if err != nil {
		t.Fatal(err)
	}
	off := time.Duration(got.UTC - (y.Real - (y.Mono - got.Mono)))
	if d := (off - ahead).Abs(); d > got.Error+time.Millisecond || got.Error > time.Second {
		t.Errorf("the witness is %v ahead by its word, %v in truth, and claims %v", off, ahead, got.Error)
	}
	moved := -1
	step := func() (phc.Cross, error) { // somebody steps the clock meanwhile
		moved++
		x, err := sys.Cross()
		x.Real += int64(moved) * 1e9
		return x, err
	}
	if _, err := ask(ctx, cl, step); !errors.Is(err, errStepped) {
		t.Errorf("stepped meanwhile: %v", err)
	}
	cancel()
	<-done
}

// What the configuration asks for is what is made.
func TestOutputsWired(t *testing.T) {
	s, err := refclockd.Load(write(t, "[export]\nchrony_sock = \"/run/c\"\nptp4l = \"/run/p\"\n[system_clock]\nmode = \"observe\"\n[[phc]]\ndevice = \"eth7\"\n[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\nrequired = true\n[receiver]\nbaud = \"auto\"\nconfigure = true\nposition = [47.0, 8.0, 400.0]\n"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	none := func() *status.Snapshot { return &status.Snapshot{} }
	if x := newExports(s, none, nil, log); len(x) != 2 || x[0].name != "chrony_sock" || x[1].ptp == nil {
		t.Errorf("exports %v", x)
	}
	if initialAlarm(s) != reason.WitnessAwaited.String() {
		t.Errorf("no alarm while a required witness is awaited: %q", initialAlarm(s))
	}
	fs, ms, err := newFollowers(s, none, newLeapTable(s.LeapTables[0]), log)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("needs Linux: ", err)
	}
	if err != nil || len(fs) != 2 || fs[0].Name() != "system" || fs[1].Name() != "eth7" {
		t.Errorf("followers %v, %v", fs, err)
	}
	if len(ms) != 1 || ms[0].String() != "oscillator state of eth7" { // the system clock is only observed
		t.Errorf("kept in mind: %v", ms)
	}
	w, err := newWitnesses(s, nil, newLeapTable(s.LeapTables[0]), log)
	if err != nil || len(w.List) != 1 || !w.List[0].Required || w.List[0].MaxOffset != 50*time.Millisecond {
		t.Errorf("witnesses %+v, %v", w, err)
	}
	if s, _ := refclockd.Load(write(t, "")); initialAlarm(s) != "" {
		t.Errorf("alarm by default: %q", initialAlarm(s))
	}
}
