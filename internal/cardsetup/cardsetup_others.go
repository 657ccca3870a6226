//go:build !linux

package cardsetup

import (
	"errors"

	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
	"noonmark/server/transport/sockets"
)

// Helper is the process; there is none here.
type Helper struct{}

// Start returns errors.ErrUnsupported.
func Start(*privileges.User, func(error)) (*Helper, error) { return nil, errors.ErrUnsupported }

// PID returns 0.
func (h *Helper) PID() int { return 0 }

// Widen returns ErrEnded.
func (h *Helper) Widen(string) (sockets.Setting, error) { return sockets.Setting{}, ErrEnded }

// Close does nothing.
func (h *Helper) Close() {}

// Main returns an error.
func Main([]string) int { return exitcode.Usage }
