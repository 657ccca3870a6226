package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
)

// Error is one problem of a configuration file.
type Error struct {
	File    string
	Line    int    // counted from 1; 0 if the file could not be read at all
	Key     string // dotted; empty if no key is concerned
	Problem string // what is wrong
	Remedy  string // what would be right; empty if Problem says it
	Err     error  // the system's error, if there was one
}

// Error writes FILE:LINE: KEY: what is wrong; what would be right.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Problem)
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap returns the system's error.
func (e *Error) Unwrap() error { return e.Err }

// Is reports that the error decides exit code 78. A file that is there and could not be
// read, as of a disc that fails, may be good.
func (e *Error) Is(target error) bool { return target == exitcode.ErrConfig && !e.unread() }

// unread reports whether the file could not be read although there is one.
func (e *Error) unread() bool {
	return e.Line == 0 && e.Err != nil && !errors.Is(e.Err, fs.ErrNotExist) && !errors.Is(e.Err, durable.ErrNotRegular)
}
