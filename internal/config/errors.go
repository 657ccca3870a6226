package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Error is one complaint about a configuration file.
type Error struct {
	File    string
	Line    int    // counted from 1; 0 if the file could not be read at all
	Key     string // dotted; empty if no key is concerned
	Problem string // what is wrong
	Remedy  string // what would be right; empty if Problem says it
	Err     error  // what the system said, if it did
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

// Unwrap returns what the system said.
func (e *Error) Unwrap() error { return e.Err }

// Sentinels that decide an exit code where the error itself does not.
var (
	ErrUsage       = errors.New("usage") // the command line is wrong
	ErrUnavailable = errors.New("unavailable")
)

// Exit codes of sysexits.h.
const (
	ExitOK          = 0
	ExitUsage       = 64 // EX_USAGE
	ExitUnavailable = 69 // EX_UNAVAILABLE
	ExitSoftware    = 70 // EX_SOFTWARE
	ExitPermission  = 77 // EX_NOPERM
	ExitConfig      = 78 // EX_CONFIG
)

// ExitCode maps an error to an exit code: what the user typed 64, a
// permission 77 (also one that a configuration file names in vain), the
// configuration 78, a device, an address or a peer that cannot be had 69, a
// fault of our own 70.
func ExitCode(err error) int {
	var ce *Error
	var ne net.Error
	var oe *net.OpError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrUsage):
		return ExitUsage
	case errors.Is(err, fs.ErrPermission):
		return ExitPermission
	case errors.As(err, &ce):
		return ExitConfig
	case errors.Is(err, ErrUnavailable), errors.Is(err, fs.ErrNotExist), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &ne), errors.As(err, &oe):
		return ExitUnavailable
	}
	for _, e := range [...]error{syscall.ENODEV, syscall.ENXIO, syscall.EBUSY, syscall.EIO, syscall.EADDRINUSE,
		syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED, syscall.ENOSPC, syscall.EROFS, syscall.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return ExitUnavailable
		}
	}
	return ExitSoftware
}
