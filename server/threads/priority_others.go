//go:build !linux

package threads

import "errors"

// Raise gives all threads of the process a priority.
func Raise(p Priority) error {
	if p == Normal {
		return nil
	}
	return errors.ErrUnsupported
}

// RaiseThread gives the calling thread the real-time priority.
func RaiseThread() error { return errors.ErrUnsupported }

// LowerAll lowers the priority of all threads of the process.
func LowerAll() error { return errors.ErrUnsupported }
