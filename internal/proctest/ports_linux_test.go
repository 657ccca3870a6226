package proctest

import "testing"

// No socket of another program takes a port of a test, and no other test gets it.
func TestFreePortsAreForOneTest(t *testing.T) {
	t.Parallel()
	low, high, ok := systemPorts()
	if !ok || low-firstPort < fewPorts && lastPort-high < fewPorts {
		t.Skipf("needs ports that the system hands out to nobody: it has %d to %d", low, high)
	}
	seen := map[int]bool{}
	for _, p := range append(FreePorts(t, 100), FreePorts(t, 100)...) {
		if p >= low && p <= high {
			t.Errorf("port %d is among %d to %d, which the system hands out", p, low, high)
		}
		if seen[p] {
			t.Errorf("port %d comes twice", p)
		}
		seen[p] = true
		if _, ok := claimPort(p); ok {
			t.Errorf("another test gets port %d too", p)
		}
	}
	first := 0
	t.Run("a test that ends", func(t *testing.T) { first = FreePorts(t, 1)[0] })
	release, ok := claimPort(first)
	if !ok {
		t.Fatalf("port %d of a test that has ended stays taken", first)
	}
	release()
}
