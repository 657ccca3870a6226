//go:build unix

package command

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Who is denied a file learns who may read it: root, and the group of the file, or of the folder
// that does not show it.
func TestDeniedFilesNameWhoMayReadThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "closed", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const gid = 54321 // of nobody
	for _, path := range []string{file, filepath.Dir(file)} {
		if err := os.Chown(path, -1, gid); err != nil {
			t.Skipf("only root gives files away: %v", err)
		}
	}
	if err := os.Chmod(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	denied := &fs.PathError{Op: "open", Path: file, Err: fs.ErrPermission}
	missing := &fs.PathError{Op: "open", Path: filepath.Join(filepath.Dir(file), "none", "new"), Err: fs.ErrPermission}
	inRoot := &fs.PathError{Op: "open", Path: filepath.Join(dir, "root", "file"), Err: fs.ErrPermission}
	group := "run it as root, or as a member of group " + strconv.Itoa(gid)
	for _, c := range []struct {
		name   string
		err    error
		uid    int
		groups []int
		mode   fs.FileMode
		want   string // empty: nothing
	}{
		{"another error", &fs.PathError{Op: "open", Path: file, Err: fs.ErrNotExist}, 1, []int{1, 2}, 0o640, ""},
		{"no file", fs.ErrPermission, 1, []int{1, 2}, 0o640, ""},
		{"root", denied, 0, nil, 0o640, ""},
		{"it says what to do", fmt.Errorf("%w; run it as root or as its user", denied), 1, []int{1, 2}, 0o640, ""},
		{"its group may read it", denied, 1, []int{1, 2}, 0o640, group},
		{"everybody may read it, so it was written", denied, 1, []int{1, 2}, 0o644, "; run it as root"},
		{"the user's group may read it, so it was written", denied, 1, []int{1, gid}, 0o640, "; run it as root"},
		{"what does not exist was written", missing, 1, []int{1, 2}, 0o640, "; run it as root"},
		{"a path speaks of root", fmt.Errorf("read: %w", inRoot), 1, []int{1, 2}, 0o640, "; run it as root"},
		{"its owner alone may", fmt.Errorf("read: %w", denied), 1, []int{1, 2}, 0o600, "; run it as root"},
		{"below a file, as below a folder that shows nothing", &fs.PathError{Op: "open", Path: filepath.Join(file, "x", "y"), Err: fs.ErrPermission}, 1, []int{1, 2}, 0o640, group},
	} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := remedy(c.err, c.uid, c.groups); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || c.want == "; run it as root" && got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
