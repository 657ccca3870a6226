//go:build !linux

package sysclock

import (
	"errors"
	"fmt"
)

func newKernel(Config) (prober, error) {
	return nil, fmt.Errorf("read the state of the system clock (adjtimex): %w", errors.ErrUnsupported)
}
