package sockets

import (
	"encoding/binary"
	"testing"
)

// TestLatency wants a card's receive stamps made earlier by what its stamps are
// late, the kernel's left alone, and none made of nothing.
func TestLatency(t *testing.T) {
	for _, c := range []struct{ soft, hard, want int64 }{{5e9, 0, 0}, {5e9, 7e9 + 400, 7e9 + 100}} {
		b := NewBatch()
		conn := &Conn{rxLate: 300}
		ctl := appendHeader(b.sys.ctl[0][:0], word, solSocket, scmTimestampingNew, 48)
		for _, v := range []int64{c.soft, 0, c.hard} {
			ctl = binary.NativeEndian.AppendUint64(ctl, uint64(v/1e9))
			ctl = binary.NativeEndian.AppendUint64(ctl, uint64(v%1e9))
		}
		b.sys.rx[0].Hdr.SetControllen(len(ctl))
		conn.unpack(b, 0)
		if p := &b.Packets[0]; p.Soft != c.soft || p.Hard != c.want {
			t.Errorf("stamps %d and %d; want %d and %d", p.Soft, p.Hard, c.soft, c.want)
		}
	}
}
