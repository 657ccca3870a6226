//go:build unix

package durable

import (
	"os"
	"syscall"
)

// keepOwner gives f the owner and group of what it will replace.
func keepOwner(f *os.File, was os.FileInfo) error {
	st, ok := was.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid() {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// identityOf returns what the file system knows of the file.
func identityOf(fi os.FileInfo) identity {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{inode: uint64(st.Ino), uid: st.Uid, gid: st.Gid}
}

// openNow opens a file without waiting for another program.
func openNow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// openOwn opens a file without following a link and without waiting for another program.
func openOwn(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}
