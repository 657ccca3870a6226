//go:build !linux

package network

import (
	"context"
	"errors"
	"net"
	"time"
)

// Watch watches for changes; on this system it cannot.
type Watch struct{}

// NewWatch returns errors.ErrUnsupported.
func NewWatch() (*Watch, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (w *Watch) Close() error { return nil }

// Wait returns errors.ErrUnsupported.
func (w *Watch) Wait(context.Context, time.Duration) error { return errors.ErrUnsupported }

// Read returns the interfaces. What lies beneath them is not known.
func Read() (Links, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var l Links
	for _, i := range list {
		l = append(l, Link{Index: i.Index, Name: i.Name, Up: i.Flags&net.FlagUp != 0, Carrier: i.Flags&net.FlagRunning != 0})
	}
	return l, nil
}
