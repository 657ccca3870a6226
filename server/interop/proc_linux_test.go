package interop

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a daemon to get somewhere.
const patience = 25 * time.Second

// setup skips where nothing can run, and gives a short directory of its own
// (the path of a Unix socket has at most 107 octets).
func setup(t *testing.T) string {
	t.Helper()
	if skipAll != "" {
		t.Skip(skipAll)
	}
	dir, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// find returns the paths of somebody else's program, one for each version that
// is at hand.
func find(name string) (paths []string) {
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

// each runs a test with every version of a program, or skips it.
func each(t *testing.T, name, how string, f func(t *testing.T, prog string)) {
	t.Helper()
	if skipAll != "" {
		t.Skip(skipAll)
	}
	progs := find(name)
	if len(progs) == 0 {
		t.Skipf("%s is missing: %s", name, how)
	}
	seen := map[string]bool{}
	for _, p := range progs {
		v := version(t, p)
		if seen[v] {
			continue // the same again from another place
		}
		seen[v] = true
		t.Run(v, func(t *testing.T) { f(t, p) })
	}
}

// version asks a program which it is: "chronyd 4.3", "ntpd 1.2.2".
func version(t *testing.T, prog string) string {
	t.Helper()
	out, errs, _ := tool(t, prog, "--version")
	return filepath.Base(prog) + " " + regexp.MustCompile(`[0-9]+(\.[0-9]+)+`).FindString(out+errs)
}

const (
	getChrony = "apt-get install chrony, or server/interop/peers"
	getNTPsec = "server/interop/peers, and NOONMARK_PEERS as it says"
	getNtpdig = "apt-get install ntpsec-ntpdig python3-ntp"
)

// ours returns the path of a program under test.
func ours(t *testing.T, name string) string {
	t.Helper()
	watchSources(t)
	dir := os.Getenv(envBin)
	if why, err := os.ReadFile(filepath.Join(dir, name+".err")); err == nil {
		t.Fatalf("%s does not build: %s", name, why)
	}
	return filepath.Join(dir, name)
}

// watchSources looks at the files that the programs under test are made of: the
// go command takes an old result for a new one if nothing has changed that a
// test has looked at.
func watchSources(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"../../cmd", ".."} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".go" {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// output collects what a process writes while others read it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// proc is a daemon that ends with the test.
type proc struct {
	name string
	out  output
	done chan struct{} // closed when it has ended
	cmd  *exec.Cmd
}

// daemon starts a program that runs until the test ends. What it wrote is shown
// if the test fails.
func daemon(t *testing.T, args ...string) *proc {
	t.Helper()
	p := &proc{name: filepath.Base(args[0]), done: make(chan struct{}), cmd: exec.Command(args[0], args[1:]...)}
	if p.name == "nsenter" {
		p.name = filepath.Base(args[4]) // see enter
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.name, p.out.String())
		}
	})
	return p
}

func (p *proc) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// tool runs a program to its end and returns what it wrote and its exit code.
func tool(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

// until waits for a real program to get somewhere: real daemons have no virtual
// time. state says what is the case, for the failure's message.
func until(t *testing.T, what string, p *proc, ok func() (bool, string)) {
	t.Helper()
	var state string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var good bool
		if good, state = ok(); good {
			return
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended while waiting until %s:\n%s", p.name, what, p.out.String())
		default:
		}
	}
	t.Fatalf("not within %v: %s\n%s", patience, what, state)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
