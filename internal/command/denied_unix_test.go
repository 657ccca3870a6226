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
	if err := os.Chown(file, -1, gid); err != nil {
		t.Skipf("only root gives files away: %v", err)
	}
	denied := &fs.PathError{Op: "open", Path: file, Err: fs.ErrPermission}
	group := "run it as root, or as a member of group " + strconv.Itoa(gid)
	for _, c := range []struct {
		name string
		err  error
		uid  int
		mode fs.FileMode
		want string // empty: nothing
	}{
		{"another error", &fs.PathError{Op: "open", Path: file, Err: fs.ErrNotExist}, 1, 0o640, ""},
		{"no file", fs.ErrPermission, 1, 0o640, ""},
		{"root", denied, 0, 0o640, ""},
		{"it says what to do", fmt.Errorf("%w; run it as root or as its user", denied), 1, 0o640, ""},
		{"its group may read it", denied, 1, 0o640, group},
		{"its owner alone may", fmt.Errorf("read: %w", denied), 1, 0o600, "; run it as root"},
		{"below a file, as below a folder that shows nothing", &fs.PathError{Op: "open", Path: filepath.Join(file, "x", "y"), Err: fs.ErrPermission}, 1, 0o640, group},
	} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := remedy(c.err, c.uid); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || c.want == "; run it as root" && got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
