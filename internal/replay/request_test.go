package replay

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/refclock/sim"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// write writes a file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRequestOfEvents(t *testing.T) {
	t.Parallel()
	file := write(t, "a.events", "start 2026-11-23T12:00:00Z\n1.12 nmea GPRMC,120001.00,V,,,,,,,231126,,,N\n")
	for _, x := range []struct {
		name string
		q    Request
		out  io.Writer
		want error
	}{
		{"no file", Request{File: file + "-"}, io.Discard, fs.ErrNotExist},
		{"a leap second in the middle of a month", Request{File: file, Site: Site{LeapAt: time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC)}}, io.Discard, exitcode.ErrUsage},
		{"lost text", Request{File: file}, full{}, command.ErrOutput},
		{"lost JSON", Request{File: file, JSON: true}, full{}, command.ErrOutput},
	} {
		if err := x.q.Play(x.out, io.Discard); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	q := Request{File: file, Site: Site{For: 5 * time.Second}, JSON: true}
	var out bytes.Buffer
	if err := q.Play(&out, io.Discard); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 6 || !strings.Contains(out.String(), `{"summary":true,"served_s":0,`) {
		t.Errorf("%v\n%s", err, &out)
	}
}

// A configuration says how the recorded machine is to be run, not what machine it is.
func TestConfigurationStaysOnTheRecordedClock(t *testing.T) {
	t.Parallel()
	s, err := refclockd.Load(write(t, "a.toml", "[clock]\ndevice = \"eth7\"\n[discipline]\nservo = \"pi\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	var was site.Config
	e := &was.Engine
	e.Kind, e.ClockName, e.Learned.OK = status.SystemClock, "system", true
	e.Before = &status.Snapshot{Kind: e.Kind, ClockDev: e.ClockName, Clock: 1, Mono: 1}
	was.Receiver.Name = "/dev/ttyS1"
	c := configured(s, &was)
	got := &c.Engine
	if got.Kind != e.Kind || got.ClockName != "system" || got.Before != e.Before || !got.Learned.OK || !got.SystemSet || !got.SystemOwn || c.Receiver.Name != "/dev/ttyS1" || got.Discipline.Servo != "pi" {
		t.Errorf("%+v", got)
	}
	e.Continued = true
	if c = configured(s, &was); c.Engine.SystemOwn || !c.Engine.Continued {
		t.Errorf("continued: %+v", c.Engine)
	}
}

func TestRequestOfARecording(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 2 * time.Minute
	dir, _ := record(t, s, 4)
	for _, x := range []struct {
		name string
		q    Request
		out  io.Writer
		want error
	}{
		{"no configuration", Request{File: dir, Config: filepath.Join(dir, "absent.toml")}, io.Discard, fs.ErrNotExist},
		{"lost text", Request{File: dir}, full{}, command.ErrOutput},
		{"lost JSON", Request{File: dir, JSON: true}, full{}, command.ErrOutput},
	} {
		if err := x.q.Play(x.out, io.Discard); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	play := func(q Request) (out, log string) {
		t.Helper()
		var o, l bytes.Buffer
		if err := q.Play(&o, &l); err != nil {
			t.Fatal(err)
		}
		return o.String(), l.String()
	}
	out, log := play(Request{File: dir})
	if !strings.Contains(out, "at the end locked\n") || !strings.Contains(out, " 0 steps and corrections are other than recorded\n") || log != "" {
		t.Errorf("as recorded:\n%s%s", out, log)
	}
	// With another estimator the clock gets other corrections.
	out, log = play(Request{File: dir, Config: write(t, "pi.toml", "[discipline]\nservo = \"pi\"\n"), Log: true})
	if strings.Contains(out, " 0 steps and corrections are other") || !strings.Contains(log, "level=INFO") {
		t.Errorf("with another configuration:\n%s%s", out, log)
	}
	if out, _ = play(Request{File: dir, JSON: true}); strings.Count(out, "\n") < 100 || !strings.Contains(out, `{"summary":true,`) {
		t.Errorf("as JSON:\n%s", out)
	}
}
