package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
)

func TestTaskFindings(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	task := func(name, state, why string) daemon.Status {
		return daemon.Status{Task: name, State: state, Why: why, Since: now.Add(-90 * time.Second)}
	}
	for _, x := range []struct {
		name  string
		err   error
		tasks []daemon.Status
		want  kind
		text  string
	}{
		{"unreadable", errors.New("no JSON"), nil, tasksUnreadable, "no JSON"},
		{"stuck", nil, []daemon.Status{task("engine", "stuck", "no tick")}, taskStuck, "engine hangs for 1m30s: no tick"},
		{"starting", nil, []daemon.Status{task("engine", "starting", "")}, taskStarting, "engine is starting for 1m30s"},
		{"any task", nil, []daemon.Status{task("receiver /dev/ttyAMA0", "waiting", "no such file")}, taskWaiting, "no such file"},
		{"an endpoint, of two lines", nil, []daemon.Status{task("ntp", "waiting", "endpoint a: x\nendpoint b: y")}, taskNTP, "endpoint a: x; endpoint b: y"},
		{"a state of the future", nil, []daemon.Status{{Task: "ntp", State: "waiting", Why: "x", Since: now.Add(time.Hour)}}, taskNTP, "the future"},
		{"escapes", nil, []daemon.Status{task("ntp", "waiting", "\x1b[31mred")}, taskNTP, `\u001b[31mred`},
		{"escapes in a name", nil, []daemon.Status{task("x\n\x1b]0;", "waiting", "")}, taskWaiting, `x; \u001b]0;`},
		{"nts-ke", nil, []daemon.Status{task("nts-ke", "waiting", "unreadable")}, taskKE, "unreadable"},
		{"cards", nil, []daemon.Status{task("card setup", "waiting", "restart ntsserve")}, taskCards, "card setup waits for 1m30s: restart ntsserve"},
		{"no user", nil, []daemon.Status{task("user", "waiting", "this machine has no user \"x\" now")}, taskUser, "user waits for 1m30s: this machine has no user"},
		{"metrics", nil, []daemon.Status{task("metrics", "waiting", "in use")}, taskMetrics, "in use"},
		{"keys", nil, []daemon.Status{task("symmetric keys", "waiting", "damaged")}, taskKeys, "damaged"},
		{"export", nil, []daemon.Status{task("export shm", "waiting", "denied")}, taskExport, "denied"},
		{"a refused file of the fleet", nil, []daemon.Status{task("fleet", "waiting", "f.toml:1: clock: is not known")}, taskFragment, "does not use what the fleet sets, for 1m30s: f.toml:1: clock"},
		{"ptp4l is silent", nil, []daemon.Status{task("export ptp4l", "waiting", "i/o timeout")}, taskPTP4L, "ptp4l has not answered a SET for 1m30s: i/o timeout"},
		{"ptp4l answers", nil, []daemon.Status{task("export ptp4l", "serving", "")}, ptp4lAnswers, "answered"},
		{"ptp4l may still answer", nil, []daemon.Status{{Task: "export ptp4l", State: "serving", Since: now.Add(-time.Second)}}, tasksOK, "1 tasks"},
		{"all serve, one is off", nil, []daemon.Status{task("engine", "serving", ""), task("receiver", "off", "")}, tasksOK, "1 tasks"},
	} {
		found := taskFindings(&TaskFacts{Daemon: "ntsserve", Err: x.err, Tasks: x.tasks}, now)
		wants(t, found, x.want, x.text)
		if answers := len(found) > 1; answers != (x.want == ptp4lAnswers) {
			t.Errorf("%s: %d findings", x.name, len(found))
		}
		for _, f := range found {
			if strings.ContainsAny(f.What, "\x1b\n") {
				t.Errorf("%s: not printable: %q", x.name, f.What)
			}
		}
	}
}

// The files of both daemons are read where they write them. Those of a daemon that does
// not run, and missing ones, say nothing.
func TestTasksOfBothDaemonsAreRead(t *testing.T) {
	t.Parallel()
	root, runtime := t.TempDir(), t.TempDir()
	h := &Host{Root: root}
	write := func(path string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	report := func(pid int, tasks ...daemon.Status) []byte {
		b, err := json.Marshal(daemon.Report{PID: pid, Tasks: tasks})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	waits := daemon.Status{Task: "ntp", State: "waiting", Why: "no_address"}
	ours, theirs := filepath.Join(runtime, "tasks.json"), filepath.Join(root, "run", "ntsserve", "tasks.json")
	for _, x := range []struct {
		name string
		do   func()
		want string // daemon:tasks or error
	}{
		{"no files", func() {}, ""},
		{"a daemon that does not run", func() { write(theirs, report(7, waits)) }, ""},
		{"it runs", func() { write(filepath.Join(root, "proc", "7", "comm"), nil) }, "ntsserve:1"},
		{"a damaged file beside it", func() { write(ours, []byte("{")) }, "refclockd:error ntsserve:1"},
		{"a large file", func() { write(ours, make([]byte, daemon.MaxReport+1)) }, "refclockd:error ntsserve:1"},
		{"a folder in its place", func() { os.Remove(ours); os.Mkdir(ours, 0o755) }, "refclockd:error ntsserve:1"},
		{"both", func() { os.Remove(ours); write(ours, report(7, waits, waits)) }, "refclockd:2 ntsserve:1"},
		{"the alerts too", func() { write(filepath.Join(root, "run", "noonmark-alert", "tasks.json"), report(7, waits)) }, "refclockd:2 ntsserve:1 noonmark-alert:1"},
	} {
		x.do()
		var got []string
		for _, f := range readTasks(h, runtime) {
			if f.Err != nil {
				got = append(got, f.Daemon+":error")
			} else {
				got = append(got, fmt.Sprintf("%s:%d", f.Daemon, len(f.Tasks)))
			}
		}
		if g := strings.Join(got, " "); g != x.want {
			t.Errorf("%s: %q, want %q", x.name, g, x.want)
		}
	}
}
