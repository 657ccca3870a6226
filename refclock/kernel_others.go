//go:build !linux

package refclock

import "errors"

// LinuxKernel exists on Linux only.
type LinuxKernel struct{}

// Load returns errors.ErrUnsupported.
func (LinuxKernel) Load() (Timex, error) { return Timex{}, errors.ErrUnsupported }

// Tell returns errors.ErrUnsupported.
func (LinuxKernel) Tell(Quality) error { return errors.ErrUnsupported }
