package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// OpenLimited is Open for a file of at most limit octets.
func OpenLimited(path string, limit int64) (*os.File, fs.FileInfo, error) {
	f, fi, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	if err := checkSize(path, fi.Size(), limit); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// checkSize returns an error for a file of more than limit octets.
func checkSize(path string, octets, limit int64) error {
	if octets > limit {
		return fmt.Errorf("%s is longer than %d octets", path, limit)
	}
	return nil
}

// ErrOwner is wrapped by the error of a file that others than the owner of its folder can
// write.
var ErrOwner = errors.New("is not only the owner's; want a file of the user to whom its folder belongs, no link, and both without the right to write for group and others")

// ReadOwned reads a file that another program writes, and that nobody else may have put
// there: the owner of its folder, no link, at most limit octets. The error wraps ErrOwner,
// ErrNotRegular or that of the system.
func ReadOwned(path string, limit int64) ([]byte, error) {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	link, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case link.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s: %w", path, ErrOwner)
	}
	if err := CheckRegular(link.Mode()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := openOwn(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const others = 0o022
	if identityOf(fi).uid != identityOf(folder).uid || (fi.Mode()|folder.Mode())&others != 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrOwner)
	}
	b, _, err := readAll(f, fi, path, limit)
	return b, err
}

// ReadFile reads a regular file of at most limit octets, and its mode.
func ReadFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	f, fi, err := Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	return readAll(f, fi, path, limit)
}

func readAll(f *os.File, fi fs.FileInfo, path string, limit int64) ([]byte, fs.FileMode, error) {
	if err := CheckRegular(fi.Mode()); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	if err := checkSize(path, fi.Size(), limit); err != nil {
		return nil, 0, err
	}
	// Room for all of it at once: a buffer that grows is copied several times.
	b := bytes.NewBuffer(make([]byte, 0, fi.Size()+bytes.MinRead))
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, 0, err
	}
	if err := checkSize(path, int64(b.Len()), limit); err != nil { // it has grown
		return nil, 0, err
	}
	return b.Bytes(), fi.Mode(), nil
}
