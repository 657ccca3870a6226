//go:build !linux

package threads

import "errors"

// Raise gives the calling thread a priority. It returns the thread's number.
func Raise(p Priority) (thread int, err error) {
	if p == Normal {
		return 0, nil
	}
	return 0, errors.ErrUnsupported
}

// LowerOthers lowers the priority of all threads of the process but these.
func LowerOthers(threads []int) error { return errors.ErrUnsupported }
