package status

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openReader opens a snapshot without following a link and without waiting, so
// that nothing else in its place can hold up the caller.
func openReader(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		if fi, e := os.Lstat(path); e == nil {
			if e := notFile(fi.Mode()); e != nil { // a socket or a link cannot be opened
				return nil, e
			}
			return nil, err
		}
		return nil, fmt.Errorf("%w (%w)", ErrNone, err)
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = notFile(fi.Mode())
	case fi.Size() < Size:
		err = fmt.Errorf("%w (file has %d bytes, want %d)", ErrNone, fi.Size(), Size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openWriter opens or makes a snapshot, locks it, and has its space allocated. A
// file that it has made and has no space for is removed.
func openWriter(path string) (*os.File, error) {
	_, missing := os.Lstat(path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, everybodyReads)
	if err != nil {
		if fi, e := os.Lstat(path); e == nil {
			if e := notFile(fi.Mode()); e != nil {
				return nil, e
			}
		}
		return nil, err
	}
	if err = prepare(f); err != nil {
		f.Close()
		if missing != nil {
			os.Remove(path)
		}
		return nil, err
	}
	return f, nil
}

// prepare locks a snapshot and allocates its space.
func prepare(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := notFile(fi.Mode()); err != nil {
		return err
	}
	if err := checkOwner(f.Name(), fi); err != nil {
		return err
	}
	// A file of root stays as it is, if everybody may read it.
	if err := f.Chmod(everybodyReads); err != nil && fi.Mode()&0o044 != 0o044 {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return errors.New("another process publishes there: check whether refclockd is running already")
		}
		return os.NewSyscallError("flock", err)
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, Size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil // the first write allocates it
	}
	return os.NewSyscallError("fallocate", err)
}

// checkOwner refuses what another user than this one or root can change.
func checkOwner(path string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return nil
	case int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return fmt.Errorf("%s belongs to user %d, while this program runs as user %d: run it as that user, or remove %s", path, st.Uid, os.Geteuid(), path)
	case fi.Mode().Perm()&0o002 != 0 && fi.Mode()&(fs.ModeSticky|fs.ModeSymlink) == 0:
		return fmt.Errorf("every user may write to %s: chmod o-w %s", path, path)
	}
	return nil
}

// isFull reports whether there was no room for a file.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Kinds of file systems in memory (linux/magic.h), which no boot survives.
const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

// onMemory reports whether a file is on a file system in memory.
func onMemory(f *os.File) bool {
	var st syscall.Statfs_t
	if syscall.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	return uint32(st.Type) == tmpfsMagic || uint32(st.Type) == ramfsMagic
}

// readAt copies the beginning of a file and returns how much of it there is.
func readAt(f *os.File, b *[Size]byte) int {
	n, _ := f.ReadAt(b[:], 0)
	return n
}
