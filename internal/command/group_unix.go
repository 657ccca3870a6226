//go:build unix

package command

import (
	"io/fs"
	"syscall"
)

// groupOf returns the group of a file.
func groupOf(fi fs.FileInfo) (gid int, ok bool) {
	s, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Gid), true
}
