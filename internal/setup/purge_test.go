package setup

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
)

// script returns a maintainer script of the package, which works below the root of a site.
func (s *site) script(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../packaging/deb", name))
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{"@UNITS@", strings.Join([]string{refclockdUnit, ntsserveUnit, webUnit}, " ")}
	for _, dir := range []string{"/etc/", "/var/", "/run/"} {
		dirs = append(dirs, dir, s.root+dir)
	}
	return strings.NewReplacer(dirs...).Replace(string(b))
}

// A removal keeps what setup wrote, and a purge removes it: the program is gone then, so prerm leaves a
// list. Programs that setup stopped run again, unless the removal was more than a day ago: others may have
// been chosen since.
func TestPurgeAfterASetup(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	const restarted = "try-restart chrony.service"
	for _, x := range []struct {
		name, machine string
		age           time.Duration // of the list when the package is purged
		want, never   []string
		says          string
	}{
		{"pi", "pi", 0, []string{"enable systemd-timesyncd.service", "start systemd-timesyncd.service"}, nil, ""},
		{"lan", "lan", 0, []string{restarted}, nil, ""},
		{"pi, after days", "pi", 50 * time.Hour, nil, []string{"enable systemd-timesyncd.service", "start systemd-timesyncd.service"},
			"noonmark: before refclockctl setup systemd-timesyncd.service was enabled and ran; if it is to be so again: systemctl enable --now systemd-timesyncd.service\n"},
		{"lan, after days", "lan", 50 * time.Hour, []string{restarted}, []string{"enable chrony.service", "start chrony.service"},
			"noonmark: before refclockctl setup chrony.service was enabled and ran; if it is to be so again: systemctl enable --now chrony.service\n"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := load(t, x.machine)
			m := s.look(nil)
			s.setUnits(m)
			before := tree(t, s.root)
			s.carryOut(t, m, Defaults(m))
			s.put(t, unitDir+"/"+renewTimer+beforeSetup, "# an edit that setup replaced\n")
			written := tree(t, s.root)

			// The commands that the scripts run; refclockctl prints what this setup would undo.
			bin := t.TempDir()
			rec, err := s.system().readRecord()
			if err != nil {
				t.Fatal(err)
			}
			var list bytes.Buffer
			rec.undo(s.system()).print(&list)
			calls := filepath.Join(bin, "calls")
			for name, text := range map[string]string{
				"refclockctl":        "[ \"$*\" = 'setup -undo -dry-run' ] && cat <<'END'\n" + list.String() + "END\n",
				"systemctl":          "echo \"$*\" >>" + calls + "\n",
				"deb-systemd-helper": "",
				"deb-systemd-invoke": "",
			} {
				proctest.WriteProgram(t, filepath.Join(bin, name), []byte("#!/bin/sh\n"+text))
			}
			run := func(script, arg string) string {
				t.Helper()
				c := exec.Command("sh", "-c", s.script(t, script), script, arg)
				c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
				out, err := c.CombinedOutput()
				if err != nil {
					t.Fatalf("%s %s: %v\n%s", script, arg, err, out)
				}
				return string(out)
			}
			if out := run("prerm", "remove"); !strings.Contains(out, "refclockctl setup -undo") {
				t.Errorf("a removal says %q", out)
			}
			run("postrm", "remove")
			now := tree(t, s.root)
			delete(now, "var/lib/noonmark/setup.undo")
			sameTree(t, "removal", written, now)
			then := time.Now().Add(-x.age)
			if err := os.Chtimes(filepath.Join(s.root, "var/lib/noonmark/setup.undo"), then, then); err != nil {
				t.Fatal(err)
			}
			if out := run("postrm", "purge"); out != x.says {
				t.Errorf("a purge says %q, want %q", out, x.says)
			}
			sameTree(t, "purge", before, tree(t, s.root))
			b, err := os.ReadFile(calls)
			if err != nil {
				t.Fatal(err)
			}
			done := strings.Split(string(b), "\n")
			for _, w := range append(x.want, "disable --now "+renewTimer) {
				if !slices.Contains(done, w) {
					t.Errorf("a purge does not %s: %q", w, done)
				}
			}
			for _, w := range x.never {
				if slices.Contains(done, w) {
					t.Errorf("a purge does %s by an old list", w)
				}
			}
			if slices.ContainsFunc(done, func(l string) bool {
				return strings.HasPrefix(l, "enable ") && ourUnit(strings.TrimPrefix(l, "enable "))
			}) {
				t.Errorf("a purge enables a unit of ours: %q", done)
			}
		})
	}
}
