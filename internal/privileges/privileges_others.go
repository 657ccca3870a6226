//go:build !linux

package privileges

import "errors"

func become(int, int, uint64) error { return errors.ErrUnsupported }

func keepFromChildren() error { return nil }

func keepNetAdmin(int, int) error { return errors.ErrUnsupported }

func drop(uint64) (string, error) { return "as they were", nil }

// Has reports whether the process has a capability, or could not look.
func Has(Capability) bool { return true }

// PortNeedsCapability reports whether binding a port needs a privilege.
func PortNeedsCapability(port uint16) bool { return port < 1024 }
