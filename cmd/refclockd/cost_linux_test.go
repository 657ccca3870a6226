package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/refclock/status"
)

// usage is what a process has taken of the machine.
type usage struct {
	cpu      time.Duration
	rss, hwm int // kB, now and at most
	threads  int
}

// usageOf reads a process's usage from /proc/PID/stat and /proc/PID/status
// (proc(5)). Ticks are 1/100 s on every Linux (USER_HZ).
func usageOf(pid int) (u usage, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 18 {
		return u, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	threads, err3 := strconv.Atoi(f[17])
	u.threads = threads
	u.cpu = time.Duration(user+system) * 10 * time.Millisecond
	if b, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil {
		return u, err
	}
	for l := range strings.Lines(string(b)) {
		fmt.Sscanf(l, "VmRSS: %d kB", &u.rss)
		fmt.Sscanf(l, "VmHWM: %d kB", &u.hwm)
	}
	return u, errors.Join(err1, err2, err3)
}

func TestUsage(t *testing.T) {
	u, err := usageOf(os.Getpid())
	if err != nil || u.rss <= 0 || u.hwm < u.rss/2 || u.threads < 1 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestCost measures what the daemon costs on one pulse and one receiver a second,
// through a real pseudo-terminal. It takes the time that NOONMARK_MEASURE names,
// such as 60s (make bench-refclockd); the virtual appliance, which runs within
// the daemon, is part of the figure. NOONMARK_BIN is where the program is; else
// it is this test. NOONMARK_BEFORE is an earlier refclockd, which is measured beside it.
// The test checks that the daemons lock and are alive at the end. What they may cost is judged
// by make bench-refclockd, on a machine that does nothing else.
func TestCost(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("NOONMARK_MEASURE"))
	if err != nil {
		t.Skip("NOONMARK_MEASURE, such as 60s, is not set; make bench-refclockd sets it")
	}
	exe := ""
	if bin := os.Getenv("NOONMARK_BIN"); bin != "" {
		exe = filepath.Join(bin, "refclockd")
	}
	// Only sentences, as the receiver of earlier versions: more octets cost more.
	runs := []*costRun{{name: "refclockd", exe: exe, sim: "[sim]\nreceiver = \"nmea\"\n"}}
	if before := os.Getenv("NOONMARK_BEFORE"); before != "" {
		runs = append(runs, &costRun{name: "before", exe: before})
	}
	for _, r := range runs {
		r.start(t)
	}
	began := time.Now()
	time.Sleep(span)
	for _, r := range runs {
		r.end(t, time.Since(began))
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("load average %s", strings.TrimSpace(string(load)))
	if len(runs) > 1 {
		now, was := runs[0], runs[1]
		t.Logf("of the earlier one: processor time %.2f, memory %.2f", now.core/was.core, float64(now.hwm)/float64(was.hwm))
	}
}

// The bench says which goals a result holds, and its exit status says whether all are held.
func TestGoalsOfCostAreJudged(t *testing.T) {
	t.Parallel()
	const good = "refclockd, 3m0s: 0.83 % of a core (1.49s), resident 14.9 MB, at most 14.9 MB, 9 threads\n" +
		"before, 3m0s: 1.01 % of a core (1.82s), resident 14.7 MB, at most 14.7 MB, 9 threads\n" +
		"of the earlier one: processor time 0.82, memory 1.10\nrefclockweb took at most 16000 kB\n"
	for _, c := range []struct {
		name, old, as string
		no            int
	}{
		{"all are held", "", "", 0},
		{"processor time", "time 0.82", "time 1.11", 1},
		{"memory of both", "memory 1.10", "memory 12.0", 1},
		{"memory", "at most 14.9", "at most 30.1", 1},
		{"the page", "16000 kB", "20481 kB", 1},
		{"two", "time 0.82, memory 1.10", "time 2.00, memory 2.00", 2},
		{"no earlier one", "of the earlier one: processor time 0.82, memory 1.10\n", "", 0},
	} {
		file := write(t, strings.Replace(good, c.old, c.as, 1))
		out, err := exec.Command("../../docs/results/bench-refclockd", "-judge", file).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Skipf("no shell: %v", err)
		}
		if n := strings.Count(string(out), "| NO |"); n != c.no || (exit != nil) != (c.no > 0) || strings.Count(string(out), "| yes |")+strings.Count(string(out), "not measured")+n != 4 {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}

// costRun is a daemon whose cost is measured.
type costRun struct {
	name, exe, sim string // exe: empty for this test; sim: its [sim]

	pid   int
	since usage
	core  float64 // % of a core
	hwm   int     // kB
}

// start starts the daemon and waits until it is locked.
func (r *costRun) start(t *testing.T) {
	dir := t.TempDir()
	conf := virtual(dir) + r.sim
	var d *proctest.Process
	if r.exe != "" {
		d = proctest.Start(t, r.exe, "-config", write(t, conf))
	} else {
		d = startDaemon(t, conf)
	}
	var s status.Snapshot
	proctest.Until(t, r.name+" is locked", func() bool {
		v, err := status.Open(filepath.Join(dir, "status"))
		if err != nil {
			return false
		}
		defer v.Close()
		return v.Load(&s) == nil && s.State == status.Locked
	})
	r.pid = d.PID()
	var err error
	if r.since, err = usageOf(r.pid); err != nil {
		t.Fatal(err)
	}
}

// end says what the daemon has taken in took.
func (r *costRun) end(t *testing.T, took time.Duration) {
	u, err := usageOf(r.pid)
	if err != nil {
		t.Fatal(err)
	}
	cpu := u.cpu - r.since.cpu
	r.core, r.hwm = 100*float64(cpu)/float64(took), u.hwm
	t.Logf("%s, %v: %.2f %% of a core (%v), resident %.1f MB, at most %.1f MB, %d threads",
		r.name, took.Round(time.Second), r.core, cpu, float64(u.rss)/1024, float64(u.hwm)/1024, u.threads)
}
