//go:build !linux

package pps

import (
	"context"
	"errors"
	"fmt"
)

// Kernel is a PPS device of the kernel; here only Linux's are known.
type Kernel struct{ Counters }

// OpenKernel returns errors.ErrUnsupported.
func OpenKernel(dev string, _ KernelOptions) (*Kernel, error) {
	return nil, fmt.Errorf("open pulse device %s: %w: /dev/ppsN is Linux's", dev, errors.ErrUnsupported)
}

func (k *Kernel) Next(context.Context) (Edge, error) { return Edge{}, errors.ErrUnsupported }
func (k *Kernel) Close() error                       { return nil }
func (k *Kernel) String() string                     { return "" }
