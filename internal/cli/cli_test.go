package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

func TestScripts(t *testing.T) {
	t.Parallel()
	var bin string
	for _, name := range []string{"refclockd", "ntsserve", "refclockctl", "refclockweb", "ntsquery"} {
		bin = filepath.Dir(proctest.Program(t, name))
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exit, "stopped": stopped, "running": running, "start": start, "free": free, "taken": taken, "fill": fill},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "mounts": // of its own, in a mount namespace
				return exec.Command("unshare", "-m", "true").Run() == nil, nil
			}
			return false, fmt.Errorf("no condition %s", cond)
		},
	})
}

// exit is the command "exit CODE PROGRAM ARGS...".
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var ee *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ee) {
		code = ee.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// start is the command "start REGEXP PROGRAM ARGS...": it waits until the program has printed a line that
// matches, and the program runs until the script ends.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start REGEXP PROGRAM ARGS...")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	program, err := exec.LookPath(filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], args[1]))
	ts.Check(err)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, program, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { err := cmd.Wait(); in.Close(); ended <- err }()
	ts.Defer(func() { stop(); <-ended })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ts.Logf("%s", lines.Text())
		if want.Match(lines.Bytes()) {
			go io.Copy(io.Discard, out) // the rest, so that the program does not block
			return
		}
	}
	ts.Fatalf("%s ended, or ran for a minute, without a line like %s", args[1], args[0])
}

// free is the command "free NAME": a port of loopback that no program uses.
func free(ts *testscript.TestScript, neg bool, args []string) {
	l := listen(ts, neg, args)
	ts.Check(l.Close())
}

// taken is the command "taken NAME": a port of loopback that is used until the script ends.
func taken(ts *testscript.TestScript, neg bool, args []string) {
	l := listen(ts, neg, args)
	ts.Defer(func() { l.Close() })
}

func listen(ts *testscript.TestScript, neg bool, args []string) net.Listener {
	if neg || len(args) != 1 {
		ts.Fatalf("want one name of a variable")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	return l
}

// fill is the command "fill FILE...": variables in the files get their values.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
	}
}

// stopped is the command "stopped FILE": the snapshot of a refclockd that published
// last a minute ago.
func stopped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stopped FILE")
	}
	publish(ts, args[0], status.Locked, time.Minute)
}

// running is the command "running FILE STATE": the snapshot of a refclockd that
// published just now.
func running(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: running FILE locked|unlocked")
	}
	state := status.Locked
	if args[1] == "unlocked" {
		state = status.Unlocked
	}
	publish(ts, args[0], state, -time.Second/2)
}

// publish writes a snapshot of an age.
func publish(ts *testscript.TestScript, path string, state status.State, age time.Duration) {
	w, err := status.Create(ts.MkAbs(path))
	ts.Check(err)
	now := time.Now().Add(-age).Unix()
	ts.Check(w.Write(&status.Snapshot{
		State: state, Reason: "disciplined", Kind: status.SystemClock, Stratum: 1, Mono: phc.MonoRaw() - int64(age),
		Clock: tai.FromUnix(now, 0, 37), RefTime: tai.FromUnix(now-1, 0, 37), TAIOffset: 37, Bound: 100, BoundRate: 5, Limit: 1e5,
	}))
	ts.Check(w.Close())
}
