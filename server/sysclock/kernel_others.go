//go:build !linux

package sysclock

import (
	"errors"
	"fmt"
)

func newKernel(Config) (prober, error) {
	return nil, fmt.Errorf("read the kernel's word on the system clock: %w", errors.ErrUnsupported)
}
