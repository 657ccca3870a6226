package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/phc"
	"noonmark/refclock/export"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
	"noonmark/server"
	"noonmark/server/ntsclient"
	"noonmark/server/transport/sockets"
)

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
	if x := exportTargets(s); x != (export.Targets{ChronySock: "/run/c", SHMUnit: -1, PTP4L: "/run/p", RuntimeDir: s.RuntimeDir}) {
		t.Errorf("exports %+v", x)
	}
	if initialAlarm(s).Code != reason.WitnessAwaited {
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
	w, err := newWitnesses(s, nil, log)
	if err != nil || len(w.Status()) != 1 || !w.Status()[0].Required || s.Servers[0].MaxOffset != 50*time.Millisecond {
		t.Errorf("witnesses %+v, %v", w, err)
	}
	if s, _ := refclockd.Load(write(t, "")); initialAlarm(s) != (integrity.Alarm{}) {
		t.Errorf("alarm by default: %q", initialAlarm(s))
	}
}
