//go:build !linux

package phc

// Kernel is the kernel's state of the system clock; it exists on Linux only.
type Kernel struct{}

// Load returns errors.ErrUnsupported.
func (Kernel) Load() (Timex, error) { return Timex{}, unsupported("read state of the system clock") }

// SetQuality returns errors.ErrUnsupported.
func (Kernel) SetQuality(Quality) error { return unsupported("set quality of the system clock") }
