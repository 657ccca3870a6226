//go:build !linux

package ntske

import (
	"context"
	"net"
)

func newTransport(ctx context.Context, l net.Listener) (transport, error) {
	return newConnTransport(ctx, l), nil
}
