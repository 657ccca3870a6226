package transport

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
)

var src = netip.MustParseAddrPort("192.0.2.1:123")

func TestReceiveFillsTheBatchInOrder(t *testing.T) {
	t.Parallel()
	m, peer := NewPair()
	for i := range BatchLen + 5 {
		peer.Send(Datagram{From: src, Octets: bytes.Repeat([]byte{byte(i)}, MaxPacket+i%2), SoftStamp: int64(i), PHC: -1})
	}
	var p [2 * BatchLen]Packet
	for from, want := range []int{BatchLen, 5} {
		n, err := m.Receive(p[:], 0)
		if err != nil || n != want {
			t.Fatalf("received %d, %v; want %d", n, err, want)
		}
		for k := range n {
			i := from*BatchLen + k
			if x := &p[k]; len(x.Req) != MaxPacket || x.Req[0] != byte(i) || x.Truncated != (i%2 == 1) || x.SoftStamp != int64(i) || x.Src != src || len(x.Out) != 0 || cap(x.Out) < MaxPacket {
				t.Errorf("packet %d: first octet %d, truncated %v, timestamp %d, from %v", i, x.Req[0], x.Truncated, x.SoftStamp, x.Src)
			}
		}
	}
}

func TestTransmitSkipsEmptyAndRefusedAnswers(t *testing.T) {
	t.Parallel()
	m, peer := NewPair()
	for range 4 {
		peer.Send(Datagram{From: src, Octets: []byte{1}})
	}
	var p [BatchLen]Packet
	if _, err := m.Receive(p[:], 0); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2, 3} {
		p[i].Out, p[i].WantStamp = append(p[i].Out, byte(i)), true
	}
	peer.Refuse(1)
	m.Compose(0, 4)
	if sent, err := m.Transmit(); sent != 2 || err == nil {
		t.Errorf("sent %d, error %v; want 2 and an error", sent, err)
	}
	got := peer.Take()
	if len(got) != 2 || got[0].Octets[0] != 2 || got[1].Octets[0] != 3 || got[0].ID == got[1].ID || !got[0].Stamped {
		t.Errorf("answers %+v", got)
	}
	if p[0].WantStamp || p[2].ID != got[0].ID {
		t.Errorf("a refused answer has a timestamp, or identifiers differ: %v, %d", p[0].WantStamp, p[2].ID)
	}
	if got := peer.Take(); len(got) != 0 {
		t.Errorf("answers twice: %+v", got)
	}
	peer.Stamp(TxStamp{ID: 7}, TxStamp{ID: 8}, TxStamp{ID: 9})
	var stamps [2]TxStamp
	if n := m.TxStamps(stamps[:]); n != 2 || stamps[1].ID != 8 {
		t.Errorf("%d timestamps: %+v", n, stamps)
	}
	if n := m.TxStamps(stamps[:]); n != 1 || stamps[0].ID != 9 {
		t.Errorf("%d timestamps: %+v", n, stamps)
	}
}

func TestReceiveWaitsUntilStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, peer := NewPair()
		type result struct {
			n   int
			err error
		}
		got := make(chan result, 1)
		receive := func() {
			var p [1]Packet
			n, err := m.Receive(p[:], 0)
			got <- result{n, err}
		}
		go receive()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("received without a datagram")
		}
		peer.Send(Datagram{From: src})
		if r := <-got; r.n != 1 || r.err != nil {
			t.Errorf("received %d, %v", r.n, r.err)
		}
		go receive()
		synctest.Wait()
		m.Stop()
		if r := <-got; !errors.Is(r.err, ErrClosed) {
			t.Errorf("after Stop: %d, %v", r.n, r.err)
		}
		receive()
		if r := <-got; !errors.Is(r.err, ErrClosed) {
			t.Errorf("again: %d, %v", r.n, r.err)
		}
	})
}
