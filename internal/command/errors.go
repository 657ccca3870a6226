package command

import (
	"errors"
	"fmt"
	"io/fs"

	"noonmark/internal/exitcode"
)

// usageError says that the command line is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// Is makes it exitcode.ErrUsage.
func (e *usageError) Is(target error) bool { return target == exitcode.ErrUsage }

// Usagef returns an error of the command line: exit code 64, and the synopsis is
// printed.
func Usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// ExitError is an error with an exit code of its own. Without Err nothing more is
// printed.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// ErrOutput marks an error of writing the output.
var ErrOutput = errors.New("write output")

// Written marks an error of writing the output; nil stays nil.
func Written(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOutput, err)
}

// FileCode is the exit code of commands that read and write files which the
// command line names, and of a service that does not do what they need.
func FileCode(err error) int {
	var pe *fs.PathError
	switch {
	case errors.Is(err, exitcode.ErrUnavailable):
		return exitcode.Unavailable
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, fs.ErrExist):
		return exitcode.CantCreate
	case errors.Is(err, fs.ErrNotExist):
		return exitcode.NoInput
	case errors.As(err, &pe):
		return exitcode.IO
	}
	return exitcode.DataErr
}
