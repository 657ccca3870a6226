package agent

import (
	"path/filepath"
	"testing"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
)

// TestASlowDiscOfEtcdHoldsUpThePlanOnly: with the disc of a worn card the fleet gets its
// roots. With one that hardly writes, rounds fail and nothing else: all nodes serve on, and
// when it writes again the fleet goes on.
func TestASlowDiscOfEtcdHoldsUpThePlanOnly(t *testing.T) {
	d := fleettest.NewSlowDisc(t)
	etcd := fleettest.EtcdIn(t, filepath.Join(d.Dir, "etcd"), false)
	t.Cleanup(func() {
		d.Limit(t, 0)
		etcd.Close()
	})
	s := newSiteOn(t, params, etcd)
	for _, name := range []string{"a", "b", "c"} {
		s.join(name)
	}
	const worn = 200 << 10 // an fsync of etcd takes about a tenth of a second
	d.Limit(t, worn)
	s.settle()
	s.allServe("with a slow disc")

	const stuck = 256 // octets a second: one block in 16 s
	d.Limit(t, stuck)
	failed := 0
	for range 2 {
		for _, n := range s.nodes {
			if _, err := n.agent.Round(t.Context()); err != nil {
				failed++
			}
			if got := n.agent.Readiness(); got != roots.Serves {
				t.Errorf("%s: %v", n.name, got.Word())
			}
		}
	}
	if failed == 0 {
		t.Error("no round has failed: the disc is not slow")
	}
	d.Limit(t, 0)
	s.during(7 * step)
	s.allServe("when the disc writes again")
	if s.refused > 0 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
}
