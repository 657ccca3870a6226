package alert

import (
	"fmt"
	"syscall"
)

// discOf returns the room of the file system of a folder, as users other than root
// have it.
func discOf(path string) (Disc, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Disc{}, fmt.Errorf("room of %s: %w", path, err)
	}
	if s.Blocks == 0 {
		return Disc{}, fmt.Errorf("room of %s: the file system has no size", path)
	}
	return Disc{path, float64(s.Bavail) / float64(s.Blocks), int64(s.Bavail) * int64(s.Bsize)}, nil
}
