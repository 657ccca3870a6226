package main

import (
	"errors"

	"noonmark/internal/exitcode"
)

// failure is an error with the exit code that it causes.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// withCode gives an error an exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &failure{code, err}
}

// codeOf returns the exit code of an error.
func codeOf(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return exitcode.Of(err)
}
