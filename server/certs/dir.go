package certs

import (
	"fmt"
	"io/fs"
	"os"
)

// makeDir creates a directory with mode 0700, or checks that an existing one has
// none of the forbidden bits.
func makeDir(dir string, forbidden os.FileMode) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if m := fi.Mode().Perm(); m&forbidden != 0 {
		return &fs.PathError{Op: "use", Path: dir, Err: fmt.Errorf("mode %04o gives others access; run: chmod 700 %s", m, dir)}
	}
	return nil
}
