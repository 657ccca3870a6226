//go:build !linux

package sim

import (
	"errors"
	"fmt"
)

// PTY is a pseudo-terminal; only Linux has them here.
type PTY struct{}

// OpenPTY fails: the virtual appliance in real time needs Linux.
func OpenPTY() (*PTY, error) {
	return nil, fmt.Errorf("open pseudo-terminal: %w", errors.ErrUnsupported)
}

// Name returns the empty string.
func (p *PTY) Name() string { return "" }

// Write fails.
func (p *PTY) Write(b []byte) (int, error) { return 0, errors.ErrUnsupported }

// Read fails.
func (p *PTY) Read(b []byte) (int, error) { return 0, errors.ErrUnsupported }

// Baud returns 0.
func (p *PTY) Baud() int { return 0 }

// Close does nothing.
func (p *PTY) Close() error { return nil }
