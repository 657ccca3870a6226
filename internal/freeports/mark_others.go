//go:build !linux

package freeports

import "io"

type none struct{}

// Close implements io.Closer.
func (none) Close() error { return nil }

// mark reserves nothing: there are no abstract sockets.
func mark(int) (io.Closer, error) { return none{}, nil }
