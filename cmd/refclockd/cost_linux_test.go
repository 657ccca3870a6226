package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
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
// it is this test.
func TestCost(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("NOONMARK_MEASURE"))
	if err != nil {
		t.Skip("NOONMARK_MEASURE, such as 60s, is not set; make bench-refclockd sets it")
	}
	dir := t.TempDir()
	conf := virtual(dir)
	var d *proctest.Process
	if bin := os.Getenv("NOONMARK_BIN"); bin != "" {
		d = proctest.Start(t, filepath.Join(bin, "refclockd"), "-config", write(t, conf))
	} else {
		d = startDaemon(t, conf)
	}
	var s status.Snapshot
	proctest.Until(t, "it is locked", func() bool {
		r, err := status.Open(filepath.Join(dir, "status"))
		if err != nil {
			return false
		}
		defer r.Close()
		return r.Load(&s) == nil && s.State == status.Locked
	})
	a, err := usageOf(d.PID())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	time.Sleep(span)
	b, err := usageOf(d.PID())
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	core := 100 * float64(b.cpu-a.cpu) / float64(took)
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("refclockd, %v: %.2f %% of a core (%v), resident %.1f MB, at most %.1f MB, %d threads; load %s",
		took.Round(time.Second), core, b.cpu-a.cpu, float64(b.rss)/1024, float64(b.hwm)/1024, b.threads, strings.TrimSpace(string(load)))
	if core >= 1 || b.hwm >= 30<<10 {
		t.Errorf("%.2f %% of a core, %d kB; want less than 1 %% and 30 MB", core, b.hwm)
	}
}
