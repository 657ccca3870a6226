//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOnlyTheOwnerOfTheFolderCanHaveWrittenTheFile: each row is a way in which somebody else
// could have.
func TestOnlyTheOwnerOfTheFolderCanHaveWrittenTheFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		root bool
		do   func(dir, path string) error
		want error
	}{
		{"missing", false, func(_, path string) error { return os.Remove(path) }, fs.ErrNotExist},
		{"a link", false, func(dir, path string) error {
			return errors.Join(os.Rename(path, filepath.Join(dir, "other")), os.Symlink("other", path))
		}, ErrOwner},
		{"a pipe", false, func(_, path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644)) }, ErrNotRegular},
		{"a folder", false, func(_, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, ErrNotRegular},
		{"written by the group", false, func(_, path string) error { return os.Chmod(path, 0o664) }, ErrOwner},
		{"written by all", false, func(_, path string) error { return os.Chmod(path, 0o646) }, ErrOwner},
		{"replaced by all", false, func(dir, _ string) error { return os.Chmod(dir, 0o757) }, ErrOwner},
		{"replaced by the group", false, func(dir, _ string) error { return os.Chmod(dir, 0o775) }, ErrOwner},
		{"of another user", true, func(_, path string) error { return os.Chown(path, 64998, -1) }, ErrOwner},
		{"in the folder of another user", true, func(dir, _ string) error { return os.Chown(dir, 64998, -1) }, ErrOwner},
		{"both of another user", true, func(dir, path string) error { return errors.Join(os.Chown(dir, 64998, -1), os.Chown(path, 64998, -1)) }, nil},
		{"as it shall be", false, func(_, _ string) error { return nil }, nil},
	} {
		if c.root && os.Getuid() != 0 {
			t.Logf("%s: needs root", c.name)
			continue
		}
		dir := filepath.Join(t.TempDir(), "d")
		path := filepath.Join(dir, "f")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(path, []byte("text"), 0o644), c.do(dir, path)); err != nil {
			t.Fatal(err)
		}
		b, err := ReadOwned(path, 4)
		if !errors.Is(err, c.want) || (err == nil) != (string(b) == "text") {
			t.Errorf("%s: %q, %v, want %v", c.name, b, err, c.want)
		}
		if _, err := ReadOwned(path, 3); err == nil {
			t.Errorf("%s: a file that is too long is read", c.name)
		}
	}
}
