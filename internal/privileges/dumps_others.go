//go:build !linux

package privileges

// ForbidDumps does nothing: the daemons run on Linux only.
func ForbidDumps() error { return nil }
