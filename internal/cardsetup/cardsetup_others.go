//go:build !linux

package cardsetup

import (
	"context"
	"errors"

	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
	"noonmark/server/transport/sockets"
)

// Helper is the processes and the task; there are none here.
type Helper struct{}

// Start returns errors.ErrUnsupported.
func Start(*privileges.User) (*Helper, error) { return nil, errors.ErrUnsupported }

// PID returns 0.
func (h *Helper) PID() int { return 0 }

// Widen returns ErrLost.
func (h *Helper) Widen(string) (sockets.Setting, error) { return sockets.Setting{}, ErrLost }

// Run does nothing.
func (h *Helper) Run(context.Context) error { return nil }

// String names the task in logs.
func (h *Helper) String() string { return "card setup" }

// Close does nothing.
func (h *Helper) Close() {}

// Main returns an error.
func Main([]string) int { return exitcode.Usage }
