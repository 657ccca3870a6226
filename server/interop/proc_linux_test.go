package interop

import (
	"path/filepath"
	"regexp"
	"testing"

	"noonmark/internal/proctest"
)

// setup skips the test if it cannot run, and returns a folder with a short name.
func setup(t *testing.T) string {
	t.Helper()
	if skipAll != "" {
		t.Skip(skipAll)
	}
	return proctest.ShortDir(t)
}

// each runs a test with every version of a program, or skips it.
func each(t *testing.T, name, how string, f func(t *testing.T, prog string)) {
	t.Helper()
	if skipAll != "" {
		t.Skip(skipAll)
	}
	progs := proctest.Find(name)
	if len(progs) == 0 {
		t.Skipf("%s is missing: %s", name, how)
	}
	seen := map[string]bool{}
	for _, p := range progs {
		v := version(t, p)
		if seen[v] {
			continue // the same version in another directory
		}
		seen[v] = true
		t.Run(v, func(t *testing.T) { f(t, p) })
	}
}

// version returns the name and version of a program: "chronyd 4.3", "ntpd 1.2.2".
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
	return proctest.Program(t, name)
}

// proc is a daemon that ends with the test.
type proc struct{ *proctest.Process }

// daemon starts a program that runs until the test ends.
func daemon(t *testing.T, args ...string) *proc {
	t.Helper()
	p := &proc{proctest.Start(t, args[0], args[1:]...)}
	if p.Name == "nsenter" {
		p.Name = filepath.Base(args[4]) // see enter
	}
	return p
}

// tool runs a program to its end and returns what it wrote and its exit code.
func tool(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return proctest.Run(t, args[0], args[1:]...)
}

// until waits for a state of a real program, which has no virtual time.
func until(t *testing.T, what string, p *proc, ok func() (bool, string)) {
	t.Helper()
	proctest.UntilState(t, what, ok, p.Process)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	return proctest.Write(t, filepath.Join(dir, name), text)
}
