//go:build !linux

package pps

import (
	"context"
	"errors"
	"fmt"
)

// Kernel is a PPS device of the kernel. It exists on Linux only.
type Kernel struct{ Counters }

// OpenKernel returns errors.ErrUnsupported.
func OpenKernel(dev string, _ KernelOptions) (*Kernel, error) {
	return nil, fmt.Errorf("open pulse device %s: %w: /dev/ppsN exists on Linux only", dev, errors.ErrUnsupported)
}

// Next returns errors.ErrUnsupported.
func (k *Kernel) Next(context.Context) (Edge, error) { return Edge{}, errors.ErrUnsupported }

// Close does nothing.
func (k *Kernel) Close() error { return nil }

// String names the source for logs.
func (k *Kernel) String() string { return "" }
