package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyRegularFilesAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, []byte("12345"), 0o640), os.Symlink(file, file+".link"), os.Mkdir(file+".dir", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		limit int64
		is    error
		say   string
	}{
		{file + ".none", 10, fs.ErrNotExist, ""},
		{file + ".dir", 10, ErrNotRegular, "directory"},
		{file, 4, nil, "longer than 4 octets"},
		{file, 5, nil, ""},
		{file + ".link", 5, nil, ""},
	} {
		b, mode, err := ReadFile(c.path, c.limit)
		bad := c.is != nil || c.say != ""
		if (err != nil) != bad || c.is != nil && !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %v, %q", c.path, err, c.is, c.say)
		}
		if !bad && (string(b) != "12345" || mode.Perm() != 0o640) {
			t.Errorf("%s: %q, mode %v", c.path, b, mode)
		}
	}
}
