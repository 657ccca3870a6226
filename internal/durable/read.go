package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular is wrapped by the error of something else in the place of a file.
var ErrNotRegular = errors.New("not a regular file")

// CheckRegular returns an error that names what a mode is of, nil for a regular
// file.
func CheckRegular(m fs.FileMode) error {
	what := "special file"
	switch {
	case m.IsRegular():
		return nil
	case m.IsDir():
		what = "directory"
	case m&fs.ModeNamedPipe != 0:
		what = "named pipe"
	case m&fs.ModeSocket != 0:
		what = "socket"
	case m&fs.ModeDevice != 0:
		what = "device"
	case m&fs.ModeSymlink != 0:
		what = "symbolic link"
	}
	return fmt.Errorf("%w but a %s", ErrNotRegular, what)
}

// Open opens a regular file for reading. It refuses anything else at once, such as
// a named pipe, which would wait for a writer.
func Open(path string) (*os.File, fs.FileInfo, error) {
	f, err := openNow(path)
	if err != nil {
		if fi, e := os.Stat(path); e == nil && !fi.Mode().IsRegular() { // a socket cannot be opened
			err = &fs.PathError{Op: "open", Path: path, Err: CheckRegular(fi.Mode())}
		}
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		if err = CheckRegular(fi.Mode()); err != nil {
			err = &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// ReadFile reads a regular file of at most limit octets, and its mode.
func ReadFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	f, fi, err := Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(b)) > limit {
		return nil, 0, fmt.Errorf("%s is longer than %d octets", path, limit)
	}
	return b, fi.Mode(), nil
}
