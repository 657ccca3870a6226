package interop

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
)

// The two ends of the link. Ours has an address for each kind of request, because
// clients have one association per address.
const (
	ourAddr  = "10.91.0.1"
	ourAddr6 = "fd91::1"
	peerAddr = "10.91.0.2"

	addrNTS      = "10.91.0.11"
	addrNTSX     = "10.91.0.12" // NTS, interleaved
	addrPlain    = "10.91.0.13"
	addrPlainX   = "10.91.0.14" // plain, interleaved
	addrVersion3 = "10.91.0.15"
)

var ourAddrs = []string{ourAddr, addrNTS, addrNTSX, addrPlain, addrPlainX, addrVersion3}

// envRole is the role of a copy of this binary: "" is started by go test, "inside"
// runs the tests in our namespace, "hold" keeps the peer's namespace alive.
const (
	envRole = "NOONMARK_INTEROP_ROLE"
)

var (
	skipAll string // why no test can run
	holder  int    // process that keeps the peer's namespace
)

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "hold":
		io.Copy(io.Discard, os.Stdin)
	case "inside":
		os.Exit(inside(m))
	default:
		code := outside(m)
		proctest.RemoveBuilt()
		os.Exit(code)
	}
}

// outside builds the programs and runs the tests in a copy of this process in its
// own namespaces.
func outside(m *testing.M) int {
	if flag.Parse(); testing.Short() {
		skipAll = "real daemons are slow: run without -short"
		return m.Run()
	}
	for _, prog := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(prog); err != nil {
			skipAll = prog + " is missing: apt-get install iproute2 util-linux"
			return m.Run()
		}
	}
	dir, err := os.MkdirTemp("", "noonmark-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Build here: there is no network inside.
	bin := os.Getenv(proctest.EnvPrograms)
	for _, prog := range [...]string{"ntsserve", "ntsquery", "refclockctl"} {
		if os.Getenv(proctest.EnvPrograms) != "" {
			break
		}
		path, err := proctest.Build(prog)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		bin = filepath.Dir(path)
	}
	runtime.LockOSThread() // Pdeathsig follows the thread
	start := func(attr *syscall.SysProcAttr, args ...string) (*exec.Cmd, error) {
		c := exec.Command(args[0], append(args[1:], os.Args[1:]...)...)
		c.Env = append(os.Environ(), envRole+"=inside", proctest.EnvPrograms+"="+bin, "TMPDIR="+dir)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		attr.Pdeathsig = syscall.SIGKILL
		c.SysProcAttr = attr
		return c, c.Start()
	}
	signal.Ignore(os.Interrupt) // the child gets it from the terminal, and this process has to clean up
	c, err := start(&syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}, "/proc/self/exe")
	if err != nil && os.Geteuid() == 0 {
		// Root without user namespaces: drop the capability to set the clock. setpriv
		// executes this program, so it needs the path.
		self, _ := os.Executable()
		c, err = start(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, "setpriv", "--bounding-set=-sys_time", self)
	}
	if err != nil {
		skipAll = "user namespaces are not allowed, and the user is not root: " + err.Error()
		return m.Run()
	}
	if err := c.Wait(); err != nil {
		if c.ProcessState.ExitCode() > 0 {
			return c.ProcessState.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "tests in their namespace:", err)
		return 1
	}
	return 0
}

// inside sets up the link and runs the tests.
func inside(m *testing.M) int {
	runtime.LockOSThread()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envRole+"=hold")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		skipAll = "a second network namespace: " + err.Error()
		return m.Run()
	}
	defer func() { in.Close(); c.Wait() }()
	holder = c.Process.Pid
	steps := [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs", "netns", fmt.Sprint(holder)},
		{"ip", "addr", "add", ourAddr6 + "/64", "dev", "ours", "nodad"},
		enter("ip", "link", "set", "lo", "up"),
		enter("ip", "addr", "add", peerAddr+"/24", "dev", "theirs"),
		enter("ip", "addr", "add", "fd91::2/64", "dev", "theirs", "nodad"),
		enter("ip", "link", "set", "theirs", "up"),
		{"ip", "link", "set", "ours", "up"},
	}
	for _, a := range ourAddrs {
		steps = append(steps, []string{"ip", "addr", "add", a + "/24", "dev", "ours"})
	}
	for _, s := range steps {
		if out, err := exec.Command(s[0], s[1:]...).CombinedOutput(); err != nil {
			skipAll = fmt.Sprintf("%s: %v: %s", strings.Join(s, " "), err, out)
			break
		}
	}
	return m.Run()
}

// enter prefixes a command so that it runs in the peer's namespace.
func enter(args ...string) []string {
	return append([]string{"nsenter", "-t", fmt.Sprint(holder), "-n"}, args...)
}
