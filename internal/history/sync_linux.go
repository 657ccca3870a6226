package history

import (
	"os"
	"syscall"
)

// syncData brings the content of a file to the disc, and of what describes the file
// only its length.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
