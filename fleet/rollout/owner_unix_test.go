//go:build unix

package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
)

// writeFiles is a program that replaces files, as another user does. It prints a line for
// each file.
func writeFiles() int {
	for _, path := range os.Args[1:] {
		err := replace(path, []byte("new\n"), 0o644)
		fmt.Println(filepath.Base(path), errors.Is(err, ErrOwner), err == nil)
	}
	return 0
}

// TestAFileThatCannotBeReplacedIsNoReasonToRestart: nothing has changed, and it is tried
// again, because an operator repairs owners and modes without a change of the local file.
func TestAFileThatCannotBeReplacedIsNoReasonToRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	a := s.nodes[0]
	a.keeper.cfg.Files = a.files[:1]
	path := a.files[0].Path
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o755)) // no file can replace a folder, whoever asks
	must(t, os.WriteFile(filepath.Join(path, "x"), nil, 0o644))
	c := &change{file: a.files[0], text: localServe, mode: 0o644, old: []byte("old")}
	if err := c.write(t.Context()); err == nil || c.undo(t.Context()) != nil || len(a.applied) > 0 {
		t.Errorf("%v, applied %v", err, a.applied)
	}
}

// TestACheckIsJudgedByItsEnd: not by a process that it has left, which keeps its output open.
func TestACheckIsJudgedByItsEnd(t *testing.T) {
	t.Parallel()
	hold := filepath.Join(t.TempDir(), "hold")
	must(t, syscall.Mkfifo(hold, 0o600))
	left, err := os.OpenFile(hold, os.O_RDWR, 0)
	must(t, err)
	defer left.Close() // the process ends
	for code, want := range map[int]string{0: "", 3: "exit status 3"} {
		out, err := run(t.Context(), proctest.Require(t, "sh"), "-c", fmt.Sprintf(`cat <"$0" & echo good; exit %d`, code), hold)
		if fmt.Sprint(err) != cmp.Or(want, "<nil>") || out != "good" {
			t.Errorf("exit status %d: %q, %v", code, out, err)
		}
	}
}

// TestTheUserOfTheAgentReplacesOnlyItsFile: with owner and mode of the folder as
// docs/fleet.md has them, the agent replaces ntsserve.toml and its candidate, and no file
// of root.
func TestTheUserOfTheAgentReplacesOnlyItsFile(t *testing.T) {
	t.Parallel()
	proctest.RequireRoot(t, "files of two users")
	const user = 64999 // of nobody else
	dir := proctest.ShortDir(t)
	must(t, os.Chmod(dir, 0o755))
	etc := filepath.Join(dir, "noonmark")
	must(t, os.Mkdir(etc, 0o755))
	files := []string{"ntsserve.toml", "ntsserve.toml.candidate", "ntsserve.local.toml", "refclockd.toml"}
	for i, name := range files {
		files[i] = filepath.Join(etc, name)
		if i != 1 {
			proctest.Write(t, files[i], "old\n")
		}
	}
	self := proctest.Self(t)
	program, err := os.ReadFile(self.Path) // its folder is closed to other users
	must(t, err)
	proctest.WriteProgram(t, filepath.Join(dir, "program"), program)
	write := func(want string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "program"), files...)
		cmd.Env = self.Env
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%v: %s, want %s", err, out, want)
		}
	}
	write("ntsserve.toml true false\nntsserve.toml.candidate true false\nntsserve.local.toml true false\nrefclockd.toml true false\n")
	must(t, os.Chown(files[0], user, user))
	must(t, os.Chown(etc, 0, user))
	must(t, os.Chmod(etc, fs.ModeSticky|0o775))
	write("ntsserve.toml false true\nntsserve.toml.candidate false true\nntsserve.local.toml true false\nrefclockd.toml true false\n")
	list, err := os.ReadDir(etc)
	must(t, err)
	if len(list) != len(files) {
		t.Errorf("other files remain: %v", list)
	}
	for i, want := range []string{"new\n", "new\n", "old\n", "old\n"} {
		if b, err := os.ReadFile(files[i]); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", files[i], b, err)
		}
	}
	if !strings.Contains(ErrOwner.Error(), "mode 1775") {
		t.Error("the error does not name the remedy")
	}
}
