package pps

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Each edge has a number and a stamp of its own; the other's never counts.
func TestKernelEdgeOfFetch(t *testing.T) {
	var d unix.PPSFData
	d.Info.Assert_sequence, d.Info.Assert_tu = 7, unix.PPSKTime{Sec: 100, Nsec: 12}
	d.Info.Clear_sequence, d.Info.Clear_tu = 9, unix.PPSKTime{Sec: 100, Nsec: 100_000_012}
	for _, c := range []struct {
		edge  KernelEdge
		seq   uint32
		stamp int64
	}{
		{Assert, 7, 100e9 + 12},
		{Clear, 9, 100e9 + 100_000_012},
	} {
		k := Kernel{opt: KernelOptions{Edge: c.edge}}
		if seq, stamp := k.edge(&d); seq != c.seq || stamp != c.stamp {
			t.Errorf("%v: %d at %d, want %d at %d", c.edge, seq, stamp, c.seq, c.stamp)
		}
	}
}
