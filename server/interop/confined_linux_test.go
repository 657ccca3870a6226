package interop

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
)

// allowed returns the system calls in the filter of a unit and its drop-ins, with
// systemd's sets expanded.
func allowed(t *testing.T, files ...string) map[string]bool {
	t.Helper()
	var text []byte
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("../../systemd", f))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	var expand func(name string) []string
	expand = func(name string) (all []string) {
		if !strings.HasPrefix(name, "@") {
			return []string{name}
		}
		out, errs, code := tool(t, "systemd-analyze", "syscall-filter", "--no-pager", name)
		if code != 0 {
			t.Fatalf("systemd-analyze syscall-filter %s: %s", name, errs)
		}
		for line := range strings.Lines(out) {
			if w := strings.TrimSpace(line); w != "" && w != name && !strings.HasPrefix(w, "#") {
				all = append(all, expand(w)...)
			}
		}
		return all
	}
	set := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(string(text), -1) {
		for w := range strings.FieldsSeq(m[2]) {
			for _, c := range expand(w) {
				if m[1] == "~" {
					delete(set, c)
				} else {
					set[c] = true
				}
			}
		}
	}
	return set
}

// What ntsserve calls, from start to end, under load, reloaded and with another
// source, is in the filter of its unit.
func TestSyscallsAreInTheFilter(t *testing.T) {
	dir := setup(t)
	for _, prog := range []string{"strace", "systemd-analyze", "setpriv"} {
		if _, err := exec.LookPath(prog); err != nil {
			t.Skipf("%s is missing: apt-get install strace systemd util-linux", prog)
		}
	}
	k := newPKI(t, dir)
	snapshot := filepath.Join(dir, "run", "status")
	publish(t, snapshot, nil)
	usual, more := allowed(t, "ntsserve.service"), allowed(t, "ntsserve.service", "ntsserve-kernel-source.conf")
	if usual["adjtimex"] || usual["ptrace"] || usual["mount"] || usual["clock_settime"] || more["clock_settime"] {
		t.Error("the filter allows too much")
	}
	for name, source := range map[string]string{
		"snapshot": fmt.Sprintf("path = %q", snapshot),
		"chrony":   fmt.Sprintf("type = \"chrony\"\npath = %q", filepath.Join(dir, "own", "status")),
		"kernel":   fmt.Sprintf("type = \"kernel\"\npath = %q", filepath.Join(dir, "own", "kernel")),
	} {
		may := usual
		if name == "kernel" {
			may = more
		}
		conf := write(t, dir, name+".toml", fmt.Sprintf(`
[source]
%s
[[endpoint]]
address = "0.0.0.0:123"
[ke]
listen = "[::]:4460"
certificate = %q
key = %q
[keys]
file = %q
[metrics]
listen = "127.0.0.1:9124"
`, source, k.cert, k.key, filepath.Join(dir, name+".keys")))
		trace := filepath.Join(dir, name+".strace")
		// With the capability that the unit gives, as the program drops others.
		p := daemon(t, "setpriv", "--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service", "--securebits=+noroot",
			"--bounding-set=-all,+net_bind_service", "strace", "-f", "-qq", "-e", "signal=none", "-o", trace, ours(t, "ntsserve"), "-config", conf)
		ask := func() (bool, string) {
			// Without chronyd the answer is authenticated but reports an unsynchronised clock.
			out, errs, _ := tool(t, ours(t, "ntsquery"), "-json", "-n", "3", "-interval", "50ms", "-interleaved", "-ca", k.ca, "-timeout", "5s", ourAddr)
			return strings.Contains(out, `"authenticated":true`), out + errs + p.Output.String()
		}
		until(t, "ntsserve sends authenticated answers", p, ask)
		pid, err := child(p.PID())
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(pid, syscall.SIGHUP)
		until(t, "ntsserve has reloaded", p, func() (bool, string) {
			return strings.Contains(p.Output.String(), "reload"), p.Output.String()
		})
		tool(t, "curl", "-s", "http://127.0.0.1:9124/metrics")
		ask()
		syscall.Kill(pid, syscall.SIGTERM)
		<-p.Ended()
		b, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^[0-9]+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
		names := slices.Sorted(maps.Keys(used))
		t.Logf("source %s, %d system calls: %s", name, len(names), strings.Join(names, " "))
		if len(names) < 20 || !used["sendmmsg"] || used["adjtimex"] != (name == "kernel") {
			t.Errorf("source %s: the trace is incomplete", name)
		}
		for _, c := range names {
			if !may[c] {
				t.Errorf("source %s: %s is not in the unit's SystemCallFilter", name, c)
			}
		}
	}
}

// child returns the first child of a process.
func child(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	var c int
	_, err = fmt.Sscan(string(b), &c)
	return c, err
}

// A crash leaves no memory image, whatever the limits are.
func TestNoCoreDump(t *testing.T) {
	dir := setup(t)
	crash := func(args ...string) bool {
		c := exec.Command("sh", append([]string{"-c", `cd "$0" && ulimit -c unlimited && exec "$@"`, dir}, args...)...)
		c.Env = append(os.Environ(), "GOTRACEBACK=crash")
		p := &proc{proctest.StartCmd(t, c)}
		until(t, "the shell has become "+args[0], p, func() (bool, string) {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
			return strings.HasPrefix(string(line), args[0]+"\x00"), fmt.Sprintf("%q, %v", line, err)
		})
		if len(args) > 2 { // ntsserve: until it answers
			until(t, "ntsserve answers", p, func() (bool, string) {
				out, errs, _ := tool(t, ours(t, "ntsquery"), "-json", "-plain", ourAddr)
				return strings.Contains(out, `"leap":3`), out + errs
			})
		}
		p.Signal(t, syscall.SIGABRT)
		<-p.Ended()
		var exit *exec.ExitError
		if err := p.Stop(); !errors.As(err, &exit) {
			t.Fatalf("%v ended with %v", args, err)
		}
		ws, _ := exit.Sys().(syscall.WaitStatus)
		if !ws.Signaled() {
			t.Fatalf("%v was not ended by a signal: %v", args, exit)
		}
		return ws.CoreDump()
	}
	if !crash("sleep", "60") {
		t.Skip("needs a machine that makes core dumps")
	}
	conf := write(t, dir, "t.toml", "[source]\npath = \"/nonexistent\"\n[[endpoint]]\naddress = \"0.0.0.0:123\"\n")
	if crash(ours(t, "ntsserve"), "-config", conf) {
		t.Error("ntsserve made a core dump")
	}
}
