package durable

import (
	"io/fs"
	"os"
	"slices"
	"time"
)

// Fingerprint tells two states of a file apart without reading it. A file may be
// replaced by rename or written in place, and a change of owner or mode may make
// it readable. The zero value differs from that of every file, a missing one too.
type Fingerprint struct {
	taken    bool // not the zero value
	exists   bool
	modified int64 // ns since 1970
	size     int64
	mode     fs.FileMode
	id       identity
}

// identity is what the operating system knows of a file beyond its FileInfo.
type identity struct {
	inode    uint64
	uid, gid uint32
}

// FingerprintOf looks at the file at path, which may be missing.
func FingerprintOf(path string) Fingerprint {
	fi, err := os.Stat(path)
	if err != nil {
		return Fingerprint{taken: true}
	}
	return Fingerprint{taken: true, exists: true, modified: fi.ModTime().UnixNano(), size: fi.Size(), mode: fi.Mode(), id: identityOf(fi)}
}

// settle is how old a file must be for its time stamp to show every further
// change: the coarsest stamps in use (FAT, some network file systems) advance
// every 2 s.
const settle = 2 * time.Second

// Settled reports whether every later change of the file changes its
// fingerprint. A file that was modified just now may change again within one
// tick of its time stamp.
func (f Fingerprint) Settled(now time.Time) bool {
	age := now.UnixNano() - f.modified
	return !f.exists || age >= int64(settle) || age <= -int64(settle)
}

// Watch notices changes of files. It is for one goroutine.
type Watch struct {
	paths []string
	last  []Fingerprint
}

// NewWatch returns a watch of files as they are now.
func NewWatch(paths ...string) *Watch {
	w := &Watch{paths: paths}
	w.Changed()
	return w
}

// Changed reports whether a file differs from the last call.
func (w *Watch) Changed() bool {
	now := make([]Fingerprint, len(w.paths))
	for i, p := range w.paths {
		now[i] = FingerprintOf(p)
	}
	changed := !slices.Equal(now, w.last)
	w.last = now
	return changed
}
