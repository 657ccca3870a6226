package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc/tai"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Every part that the configuration names is made, and no other.
func TestTasksAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	const always = "receiver /dev/ttyAMA0|engine|relock|details|history|metrics|"
	for _, c := range []struct{ name, text, tasks string }{
		{"nothing steered", "[pulse]\nsource = \"none\"\n[clock]\nsource = \"none\"\n", always},
		{"defaults", "", always + "pulse /dev/pps0|oscillator state of eth0"},
		{"sensor", "[oscillator]\ntemperature = \"/sys/t\"\n", always + "pulse /dev/pps0|oscillator state of eth0|thermometer"},
		{"compared pulses", "[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\n[[pulse.compare]]\nsource = \"extts\"\nname = \"roof\"\n",
			always + "pulse /dev/pps0|oscillator state of eth0|pulse /dev/pps1|pulse roof"},
		{"exports", "[export]\nchrony_sock = \"/run/c\"\nptp4l = \"/run/p\"\n", always + "pulse /dev/pps0|oscillator state of eth0|export chrony_sock|export ptp4l"},
		{"followers, the system clock only observed", "[system_clock]\nmode = \"observe\"\n[[phc]]\ndevice = \"eth7\"\n",
			always + "pulse /dev/pps0|oscillator state of eth0|follower system|follower eth7|oscillator state of eth7"},
		{"witnesses", "[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\n", always + "pulse /dev/pps0|oscillator state of eth0|witnesses"},
	} {
		s, err := refclockd.Load(write(t, c.text))
		if err != nil {
			t.Fatal(err)
		}
		p, err := assemble(s, func(*status.Snapshot) {}, report.Earlier{}, slog.New(slog.DiscardHandler))
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("needs Linux: ", err)
		}
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []string
		for _, x := range p.tasks {
			got = append(got, x.String())
		}
		want := strings.Split(strings.TrimSuffix(c.tasks, "|"), "|")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, want)
		}
		p.close()
	}
}

func TestARequiredWitnessRaisesAnAlarmFromTheStart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]integrity.Alarm{
		"": {},
		"[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\n":                  {},
		"[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\nrequired = true\n": {Code: reason.WitnessAwaited},
	} {
		s, err := refclockd.Load(write(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.SiteConfig("gps").Engine.Integrity.Outside; got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestOnlyRealClocksHaveLearnedState(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{"sim": "", "none": "", "phc": "eth0", "system": "system"} {
		s := &refclockd.Settings{File: refclockd.Default()}
		s.StateDir, s.Clock.Source, s.Clock.Device = "/state", source, "eth0"
		if f := learnedFile(s); f.Clock != want || (f.Path != "") != (want != "") {
			t.Errorf("%s: %+v", source, f)
		}
	}
}

// The daemon itself, on the virtual appliance, until a message has come through
// the pseudo-terminal. It touches nothing but its own folder.
func TestServePublishesTheVirtualAppliance(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs a pseudo-terminal: not on ", runtime.GOOS)
	}
	dir := t.TempDir()
	p := write(t, virtual(dir)+"[sim]\nstart = \"2026-11-23T12:00:00Z\"\n")
	s, err := refclockd.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	published := make(chan status.Snapshot, 1)
	go func() { done <- serve(ctx, p, s, slog.New(slog.DiscardHandler)) }()
	go func() { published <- firstMessage(ctx, filepath.Join(dir, "status")) }()
	var got status.Snapshot
	select {
	case err := <-done:
		t.Fatalf("ended: %v", err)
	case got = <-published:
	}
	if got.Kind != status.SimClock || got.ClockDev != "sim" || got.Pulse != "sim" || !strings.HasPrefix(got.Receiver, "/dev/pts/") || string(got.RefID[:3]) != "GPS" {
		t.Errorf("snapshot %+v", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, sim.TruthName))
	if err != nil {
		t.Fatal(err)
	}
	var tr sim.Truth
	if err := json.Unmarshal(b, &tr); err != nil || tai.Time(tr.TAI0) != tai.FromUnix(1795435200, 0, 37) {
		t.Errorf("truth %s: %v", b, err)
	}
	if b, err := firstContent(ctx, filepath.Join(dir, report.DetailsName)); err != nil || !json.Valid(b) {
		t.Errorf("details %q: %v", b, err)
	}
	// A second one must not publish over the first.
	if err := serve(ctx, p, s, slog.New(slog.DiscardHandler)); exitcode.Of(err) != exitcode.Unavailable {
		t.Errorf("second daemon: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("end: %v", err)
	}
}

// firstContent waits for a file, which another task than that of the snapshot writes.
func firstContent(ctx context.Context, path string) (b []byte, err error) {
	for {
		b, err = os.ReadFile(path)
		if !errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			return b, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// firstMessage waits for a snapshot that counts a message, and returns it.
func firstMessage(ctx context.Context, path string) (s status.Snapshot) {
	for s.MsgMono == 0 {
		if r, err := status.Open(path); err == nil {
			r.LoadAll(&s) // nothing is published yet: it stays empty
			r.Close()
		}
		select {
		case <-ctx.Done():
			return s
		case <-time.After(10 * time.Millisecond):
		}
	}
	return s
}
