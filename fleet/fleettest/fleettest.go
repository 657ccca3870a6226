// Package fleettest has what the tests of a fleet share: a real etcd, connections to it,
// and a proxy that cuts them.
package fleettest

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/embedded"
	"noonmark/internal/proctest"
)

// Patience limits what waits for etcd on a loaded machine.
const Patience = time.Minute

// Must ends the test with an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Within returns a context that ends with the test, or after Patience.
func Within(t testing.TB) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(stop)
	return ctx
}

// Etcd starts etcd in this process, on loopback and a free port, until the test ends.
func Etcd(t testing.TB) *embedded.Server {
	t.Helper()
	e := EtcdIn(t, t.TempDir(), true)
	t.Cleanup(e.Close)
	return e
}

// EtcdIn starts etcd with its data in a folder. The caller closes it. With unsafe it does
// not wait for the disc.
func EtcdIn(t testing.TB, dir string, unsafe bool) *embedded.Server {
	t.Helper()
	const loopback = "http://127.0.0.1:0"
	e, err := embedded.Start(Within(t), embedded.Config{Dir: dir, Name: "test", Client: loopback, Peer: loopback, Unsafe: unsafe})
	Must(t, err)
	return e
}

// Client connects to etcd over TCP until the test ends.
func Client(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	return ClientOf(t, clientv3.Config{Endpoints: endpoints, DialTimeout: Patience})
}

// ClientOf connects with further settings.
func ClientOf(t testing.TB, c clientv3.Config) *clientv3.Client {
	t.Helper()
	c.Logger = zap.NewNop()
	etcd, err := clientv3.New(c)
	Must(t, err)
	t.Cleanup(func() { etcd.Close() })
	return etcd
}

// errEnded says that a program has ended.
var errEnded = errors.New("the program has ended")

// Reload lets ntsserve read its file again, and waits until it has: before that, its answers
// say nothing of the file.
func Reload(ctx context.Context, p *proctest.Process) error {
	before := len(p.Output.String())
	if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
		return err
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !strings.Contains(p.Output.String()[before:], "msg=reloaded") {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Ended():
			return errEnded
		case <-look.C:
		}
	}
	return nil
}
