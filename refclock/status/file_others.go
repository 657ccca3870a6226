//go:build !linux

package status

import (
	"fmt"
	"io/fs"
	"os"
)

// openReader opens a snapshot. The daemons run on Linux; this is for the tools.
func openReader(path string) (*os.File, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNone, err)
	}
	if err := notFile(fi.Mode()); err != nil {
		return nil, err
	}
	if fi.Size() < Size {
		return nil, fmt.Errorf("%w (file has %d bytes, want %d)", ErrNone, fi.Size(), Size)
	}
	return os.Open(path)
}

func openWriter(path string) (*os.File, error) {
	if fi, err := os.Lstat(path); err == nil {
		if err := notFile(fi.Mode()); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, everybodyReads)
}

func checkOwner(string, fs.FileInfo) error { return nil }

func isFull(error) bool { return false }

func onMemory(*os.File) bool { return false }

func readAt(f *os.File, b *[Size]byte) int {
	n, _ := f.ReadAt(b[:], 0)
	return n
}
