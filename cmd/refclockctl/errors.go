package main

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

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitError is an error with an exit code of its own. Without err it needs no
// further message.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// errOutput marks an error of writing the output.
var errOutput = errors.New("write output")

// written marks an error of writing the output; nil stays nil.
func written(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errOutput, err)
}

// fileCode is the exit code of the commands that read and write files of secrets
// and certificates.
func fileCode(err error) int {
	var pe *fs.PathError
	switch {
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
