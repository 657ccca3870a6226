package certs

import (
	"os"
	"time"

	"noonmark/internal/durable"
)

// saveAgain is the time between two attempts to write a file.
const saveAgain = time.Minute

// unsaved has files that could not be written, for instance because the disc is
// full. Their content is in use from memory and is written later: an order that is
// repeated for lack of space would soon reach the ACME server's rate limit. The zero
// value is ready. It is for one goroutine at a time.
type unsaved struct {
	files []unsavedFile
	next  time.Time // no attempt before
}

type unsavedFile struct {
	path    string
	data    []byte
	replace bool
}

// write writes a file of mode 0600, or keeps it for later.
func (u *unsaved) write(path string, data []byte, replace bool, now time.Time) error {
	u.forget(path)
	err := durable.WriteFile(path, data, 0o600, replace)
	if err != nil {
		u.files = append(u.files, unsavedFile{path, data, replace})
		u.next = now.Add(saveAgain)
	}
	return err
}

// content returns what a file is to contain, nil if it is not waiting.
func (u *unsaved) content(path string) []byte {
	for _, f := range u.files {
		if f.path == path {
			return f.data
		}
	}
	return nil
}

// flush tries to write the files. done is false while it is too early or some are
// left.
func (u *unsaved) flush(now time.Time) (done bool, err error) {
	// A wait longer than saveAgain is from before the clock was set.
	if now.Before(u.next) && u.next.Sub(now) <= saveAgain {
		return false, nil
	}
	for _, f := range append([]unsavedFile(nil), u.files...) {
		err = u.write(f.path, f.data, f.replace, now)
		if os.IsExist(err) { // another process has made it
			u.forget(f.path)
			err = nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (u *unsaved) forget(path string) {
	for i, f := range u.files {
		if f.path == path {
			u.files = append(u.files[:i:i], u.files[i+1:]...)
			return
		}
	}
}
