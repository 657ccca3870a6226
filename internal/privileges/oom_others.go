//go:build !linux

package privileges

// PreferForOOM does nothing: only Linux has it.
func PreferForOOM(string) error { return nil }
