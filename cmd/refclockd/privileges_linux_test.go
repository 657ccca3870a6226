package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/privileges"
	"noonmark/internal/proctest"
)

// nobody is the number of a user that every machine has.
const nobody = 65534

// asNobody returns the command of refclockd on a configuration, as an ordinary user with
// the capabilities that a unit would give, and that user's folder.
func asNobody(t *testing.T, text func(dir string) string, caps ...privileges.Capability) *exec.Cmd {
	t.Helper()
	proctest.RequireRoot(t, "another user with capabilities is needed")
	dir := proctest.ShortDir(t)
	conf := filepath.Join(dir, "r.toml")
	if err := os.WriteFile(conf, []byte(text(dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	// The program is in a folder that only this user can read. A process of its own
	// copies it: a file that is open for writing here cannot be executed.
	if out, err := exec.Command("cp", proctest.Program(t, "refclockd"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range []string{dir, conf, filepath.Join(dir, "refclockd")} {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "refclockd"), "-config", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
	for _, c := range caps {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, uintptr(c))
	}
	return cmd
}

// The unit gives CAP_SYS_TIME to every configuration; the daemon keeps it only if the
// configuration steers the system clock.
func TestCapabilitiesThatAreNotNeededAreDropped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, more, want string
	}{
		{"virtual appliance", "", "0000000000000000"},
		{"observed system clock", "[system_clock]\nmode = \"observe\"\n", "0000000000000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := proctest.StartCmd(t, asNobody(t, func(dir string) string { return virtual(dir) + c.more }, privileges.SysTime))
			d.WaitFor(t, "msg=ready")
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.PID()))
			if err != nil || len(threads) == 0 {
				t.Fatal("no threads: ", err)
			}
			for _, f := range threads {
				b, err := os.ReadFile(f)
				if err != nil {
					continue // ended meanwhile
				}
				for _, set := range []string{"CapPrm", "CapEff", "CapAmb"} {
					if want := set + ":\t" + c.want; !strings.Contains(string(b), want) {
						t.Errorf("%s: no %q in\n%s", f, want, b)
					}
				}
			}
		})
	}
}

// A right that is missing is an error with the line that needs it, and 77.
func TestAMissingCapabilityNamesTheLine(t *testing.T) {
	t.Parallel()
	cmd := asNobody(t, func(dir string) string {
		return fmt.Sprintf("runtime_dir = %q\nstate_dir = %[1]q\n[clock]\nsource = \"system\"\n", dir)
	})
	_, errs, code := proctest.RunCmd(t, cmd)
	if code != 77 || !strings.Contains(errs, `r.toml:4: clock.source: \"system\" needs CAP_SYS_TIME, which this process does not have`) || !strings.Contains(errs, "systemctl start refclockd") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// So is a folder that belongs to another user.
func TestAFolderOfAnotherUserNamesTheLine(t *testing.T) {
	t.Parallel()
	cmd := asNobody(t, func(string) string {
		return "runtime_dir = \"/root/none\"\n[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n"
	})
	_, errs, code := proctest.RunCmd(t, cmd)
	if code != 77 || !strings.Contains(errs, "r.toml:1: runtime_dir: ") || !strings.Contains(errs, "permission denied; the user that refclockd runs as cannot write there") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
