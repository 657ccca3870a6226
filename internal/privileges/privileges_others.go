//go:build !linux

package privileges

import "errors"

func become(int, int) error { return errors.ErrUnsupported }

func drop(bool) (string, error) { return "as they were", nil }

// PortNeedsCapability reports whether binding a port needs a privilege.
func PortNeedsCapability(port uint16) bool { return port < 1024 }
