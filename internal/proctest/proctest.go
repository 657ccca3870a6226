// Package proctest runs real programs in tests: our own, built once or played by
// the test binary itself, and those of others. It is for tests only.
package proctest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// waitLimit bounds every wait for a program. It is no limit of what is
	// tested: a test that waits this long has failed.
	waitLimit = time.Minute
	// pollInterval is between two looks at the state of another program, which
	// has no virtual time.
	pollInterval = 50 * time.Millisecond
)

// Output collects what a program writes. It is safe for concurrent use; the zero
// value is empty.
type Output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	written chan struct{} // closed and replaced by each write; nil before the first wait
}

// Write appends to the output.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.written != nil {
		close(o.written)
		o.written = nil
	}
	return o.buf.Write(b)
}

// String returns everything written so far.
func (o *Output) String() string {
	s, _ := o.snapshot()
	return s
}

// snapshot returns everything written so far, and a channel that the next write
// closes.
func (o *Output) snapshot() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.written == nil {
		o.written = make(chan struct{})
	}
	return o.buf.String(), o.written
}

// Process is a program that ends with the test at the latest.
type Process struct {
	Name   string
	Output Output // standard output and standard error
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of Wait; valid once ended is closed
}

// Start starts a program. What it wrote is logged if the test fails.
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	return StartCmd(t, exec.Command(name, args...))
}

// StartCmd is Start for a command with an environment or attributes of its own.
func StartCmd(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Name: filepath.Base(cmd.Path), cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.Output, &p.Output
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", p.Name, err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.Name, p.Output.String())
		}
	})
	return p
}

// run starts the program and waits for its end on a thread of its own, because
// the program is killed when the thread that started it ends.
func (p *Process) run(started chan<- error) {
	defer lockThread()()
	dieWithParent(p.cmd)
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.ended)
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Children are the processes that the process has started and that run (Linux), with
// an argument only those that have it on their command lines.
func (p *Process) Children(t testing.TB, argument string) []int {
	t.Helper()
	return ChildrenOf(t, p.PID(), argument)
}

// ChildrenOf is Children of any process.
func ChildrenOf(t testing.TB, pid int, argument string) (list []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of process %d: %v, %v", pid, files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) { // the thread has ended
			t.Fatal(err)
		}
		for _, w := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(w)
			if err != nil {
				t.Fatal(err)
			}
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n))
			if err == nil && (argument == "" || strings.Contains(string(line), argument)) {
				list = append(list, n)
			}
		}
	}
	return list
}

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %s: %v", p.Name, err)
	}
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Stop asks the program to end, kills it if it does not, and returns the error of
// its end, as exec.Cmd's Wait does. It may be called more than once.
func (p *Process) Stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM) // an error if it has ended
	select {
	case <-p.ended:
	case <-time.After(waitLimit):
		p.cmd.Process.Kill()
		<-p.ended
	}
	return p.err
}

// Kill kills the program and waits for its end.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // an error if it has ended
	<-p.ended
}

// WaitFor waits until the output contains text, and returns the output.
func (p *Process) WaitFor(t testing.TB, text string) string {
	t.Helper()
	return p.WaitForAfter(t, 0, text)
}

// WaitForAfter is WaitFor for the output after its first n octets.
func (p *Process) WaitForAfter(t testing.TB, n int, text string) string {
	t.Helper()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	for {
		out, written := p.Output.snapshot()
		if strings.Contains(out[min(n, len(out)):], text) {
			return out
		}
		select {
		case <-written:
		case <-p.ended:
			if out = p.Output.String(); strings.Contains(out[min(n, len(out)):], text) {
				return out
			}
			t.Fatalf("%s ended before it wrote %q:\n%s", p.Name, text, out)
		case <-limit.C:
			t.Fatalf("%s has not written %q within %v:\n%s", p.Name, text, waitLimit, out)
		}
	}
}

// Until waits until ok returns true. what completes "waiting until"; while it
// waits, the programs given must not end.
func Until(t testing.TB, what string, ok func() bool, alive ...*Process) {
	t.Helper()
	UntilState(t, what, func() (bool, string) { return ok(), "" }, alive...)
}

// UntilState is Until with a description of the present state, which is shown on
// failure.
func UntilState(t testing.TB, what string, ok func() (good bool, state string), alive ...*Process) {
	t.Helper()
	for end := time.Now().Add(waitLimit); ; time.Sleep(pollInterval) {
		good, state := ok()
		if good {
			return
		}
		for _, p := range alive {
			select {
			case <-p.ended:
				t.Fatalf("%s ended while waiting until %s:\n%s", p.Name, what, p.Output.String())
			default:
			}
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s\n%s", waitLimit, what, state)
		}
	}
}

// Run runs a program to its end and returns what it wrote and its exit code.
func Run(t testing.TB, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return RunCmd(t, exec.Command(name, args...))
}

// RunCmd is Run for a command with an environment or folder of its own.
func RunCmd(t testing.TB, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	defer context.AfterFunc(ctx, func() { cmd.Process.Kill() })()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s does not end within %v:\n%s%s", cmd, waitLimit, &o, &e)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// KillAfterLines runs a program until it has written n lines, 1 or more, to its
// standard output, kills it wherever it is then, and returns the last line that it
// wrote.
func KillAfterLines(t testing.TB, cmd *exec.Cmd, n int) (last string) {
	t.Helper()
	return killWhen(t, cmd, func(string) bool { n--; return n == 0 })
}

// KillAtLine runs a program until it has written a line to its standard output, and kills
// it. The program must wait there. The result is the last line that it wrote.
func KillAtLine(t testing.TB, cmd *exec.Cmd, line string) (last string) {
	t.Helper()
	return killWhen(t, cmd, func(now string) bool { return now == line })
}

func killWhen(t testing.TB, cmd *exec.Cmd, is func(line string) bool) (last string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("the kernel cannot run this test binary by itself (an emulator does)")
	} else if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if last = lines.Text(); is(last) {
			break
		}
	}
	cmd.Process.Kill() // an error if it has ended
	for lines.Scan() {
		last = lines.Text()
	}
	cmd.Wait() // killed
	return last
}

// ShortDir is a folder with a short name, removed with the test: the path of a
// Unix socket has at most 107 octets.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Write writes a file that only this user can read, and returns its path.
func Write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// WriteProgram writes a program that a test starts, and returns its path. Meanwhile this
// process starts no other one, which would have the file open for writing for a moment
// and prevent the start of the program (ETXTBSY).
func WriteProgram(t testing.TB, path string, program []byte) string {
	t.Helper()
	syscall.ForkLock.RLock() // os/exec holds it until the process that it starts has closed its files
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Read returns the content of a file; elem are joined to its path.
func Read(t testing.TB, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Find returns the paths of another project's program, one for each version that
// is installed, in PATH, the system folders and the roots that NOONMARK_PEERS
// names.
func Find(name string) (paths []string) {
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin")
	for _, root := range filepath.SplitList(os.Getenv("NOONMARK_PEERS")) {
		dirs = append(dirs, filepath.Join(root, "usr/sbin"), filepath.Join(root, "usr/bin"))
	}
	seen := map[string]bool{}
	for _, d := range dirs {
		p, err := exec.LookPath(filepath.Join(d, name))
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(p); err == nil && !seen[real] {
			seen[real] = true
			paths = append(paths, p)
		}
	}
	return paths
}

// Require returns the path of another project's program, or skips the test.
func Require(t testing.TB, name string) string {
	t.Helper()
	paths := Find(name)
	if len(paths) == 0 {
		t.Skipf("%s is missing: install it, or put it into PATH or NOONMARK_PEERS (server/interop/peers and .ci/run unpack it)", name)
	}
	return paths[0]
}

// RequireRoot skips the test for an ordinary user. why completes "needs root".
func RequireRoot(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: ", why)
	}
}

// envSelf makes the test binary the program under test.
const envSelf = "NOONMARK_TEST_PROGRAM"

// Main is for TestMain. In a process that Self started, it runs the program;
// else it runs the tests and removes the programs that they built. program may be
// nil where Self is not used. The result is
// the exit code.
func Main(m *testing.M, program func() int) int {
	if os.Getenv(envSelf) != "" {
		return program()
	}
	defer RemoveBuilt()
	return m.Run()
}

// Self is the program under test, played by the test binary. TestMain must call
// Main.
func Self(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), envSelf+"=1")
	return cmd
}

// BuildError is a program of ours that does not build.
type BuildError struct {
	Output string
	Err    error
}

// Error shows what the compiler wrote.
func (e *BuildError) Error() string { return fmt.Sprintf("%v\n%s", e.Err, e.Output) }
