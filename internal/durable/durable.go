// Package durable replaces a file whole or not at all, and notices that a file was
// changed. Cookie keys, certificates and accounts must not be lost, and no file
// that another program reads may be seen half written.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const newSuffix = ".new-"

// WriteFile writes a file in full before it gets its name: write, fsync, rename,
// fsync of the directory. A reader, also after a crash, sees the old file, the new
// one, or none. Without replace an existing file stays, and the error is
// fs.ErrExist. With replace the new file keeps the owner and group of the old one:
// root may write what a server's user must read.
func WriteFile(path string, data []byte, mode os.FileMode, replace bool) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+newSuffix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // an error after a rename
	removeLeftovers(dir, base, f)
	if was, serr := os.Lstat(path); replace && serr == nil && was.Mode().IsRegular() {
		err = keepOwner(f, was)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else {
		err = os.Link(f.Name(), path) // unlike rename it replaces nothing
	}
	if err != nil {
		return err
	}
	return SyncDir(dir)
}

// Publish replaces a file that other programs read and that need not survive a
// crash of the machine: a reader sees the old content or the new one. The new file
// has an unpredictable name first, so that nobody can have put a link there.
func Publish(path string, data []byte, mode os.FileMode) error {
	p := Published{Path: path, Mode: mode}
	return p.Write(data)
}

// Published is a file that is published again and again. It is for one goroutine.
type Published struct {
	Path string
	Mode os.FileMode

	swept bool // leftovers of an earlier process were removed
}

// Write publishes data as the new content.
func (p *Published) Write(data []byte) error {
	dir, base := filepath.Split(p.Path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+newSuffix+"*")
	if err != nil {
		return err
	}
	if !p.swept {
		removeLeftovers(dir, base, f)
		p.swept = true
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(p.Mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), p.Path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// removeLeftovers removes new files whose writer was killed: secrets should not
// stay behind. One that is younger than a minute may be another process's work.
// Both times are the file system's.
func removeLeftovers(dir, base string, mine *os.File) {
	st, err := mine.Stat()
	if err != nil {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+base+newSuffix) {
			continue
		}
		if i, err := e.Info(); err == nil && st.ModTime().Sub(i.ModTime()) > time.Minute {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// SyncDir brings the names in a directory to the disc.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
