package proctest

import (
	"testing"

	"noonmark/internal/freeports"
)

// FreePorts returns n ports of 127.0.0.1 that are free now, for TCP and UDP. Until the
// test ends, no other test of this machine gets them, and no connection.
func FreePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		r, err := freeports.Reserve(1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Release)
		ports = append(ports, r.First)
	}
	return ports
}
