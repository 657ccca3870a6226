// Package exitcode is the one list of the exit codes that all programs use,
// and how an error becomes one of them. The codes are those of sysexits.h.
package exitcode

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Exit codes of sysexits.h.
const (
	OK          = 0  // the program did what was asked
	Usage       = 64 // EX_USAGE: the command line is wrong
	DataErr     = 65 // EX_DATAERR: the content of a file or of the input is wrong
	NoInput     = 66 // EX_NOINPUT: a file that the command line names cannot be used
	Unavailable = 69 // EX_UNAVAILABLE: a device, an address, a file or a peer cannot be had
	Software    = 70 // EX_SOFTWARE: a fault of the program itself
	CantCreate  = 73 // EX_CANTCREAT: a file that would be overwritten exists already
	IO          = 74 // EX_IOERR: reading or writing failed midway
	TempFail    = 75 // EX_TEMPFAIL: the peer asks to try again later
	Protocol    = 76 // EX_PROTOCOL: the peer's answer is refused
	Permission  = 77 // EX_NOPERM: the system denied access
	Config      = 78 // EX_CONFIG: the configuration is wrong
)

// meanings are the general meanings of the codes.
var meanings = map[int]string{
	OK:          "the program did what was asked",
	Usage:       "the command line is wrong",
	DataErr:     "the content of a file or of the input is wrong",
	NoInput:     "a file that the command line names cannot be used",
	Unavailable: "a device, an address, a file or a peer cannot be had",
	Software:    "a fault of the program itself",
	CantCreate:  "a file that would be overwritten exists already",
	IO:          "reading or writing failed midway",
	TempFail:    "the peer asks to try again later",
	Protocol:    "the peer's answer is refused",
	Permission:  "the system denied access",
	Config:      "the configuration is wrong",
}

// Meaning returns the general meaning of a code, and "" for a code that is none of
// these.
func Meaning(code int) string { return meanings[code] }

// Errors that decide an exit code where the system's own error does not. An
// error type may also report one of them from its Is method.
var (
	ErrUsage       = errors.New("usage")
	ErrUnavailable = errors.New("unavailable")
	ErrConfig      = errors.New("configuration")
)

// With returns err with the exit code of one of these errors and its own text.
func With(kind, err error) error { return &coded{kind, err} }

// coded is an error with another's exit code.
type coded struct{ kind, err error }

func (e *coded) Error() string   { return e.err.Error() }
func (e *coded) Unwrap() []error { return []error{e.kind, e.err} }

// unavailable are the system's errors that mean Unavailable.
var unavailable = [...]error{
	ErrUnavailable, fs.ErrNotExist, os.ErrDeadlineExceeded,
	syscall.ENODEV, syscall.ENXIO, syscall.EBUSY, syscall.EIO, syscall.EADDRINUSE, syscall.EADDRNOTAVAIL,
	syscall.ECONNREFUSED, syscall.ENOSPC, syscall.EROFS, syscall.EOPNOTSUPP,
}

// Of returns the exit code of an error. A denied access takes precedence over
// the configuration that asked for it.
func Of(err error) int {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrUsage):
		return Usage
	case errors.Is(err, fs.ErrPermission):
		return Permission
	case errors.Is(err, ErrConfig):
		return Config
	}
	for _, e := range unavailable {
		if errors.Is(err, e) {
			return Unavailable
		}
	}
	var ne net.Error
	var oe *net.OpError
	if errors.As(err, &ne) || errors.As(err, &oe) {
		return Unavailable
	}
	return Software
}
