package transport

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// NewPair returns the two ends of a path in memory. It has no kernel, no clock
// and no goroutine: datagrams arrive in the order in which the Peer sent them,
// with the timestamps that the Peer gave them.
func NewPair() (*Memory, *Peer) {
	m := &Memory{}
	m.arrived.L = &m.mu
	return m, &Peer{m}
}

// Memory is the server's end of a pair. Receive, Compose, Transmit and TxStamps
// are for one goroutine; Stop may be called from any.
type Memory struct {
	batch   []Packet // as Receive filled it
	out     [BatchLen][MaxPacket]byte
	pending []int  // indices in batch of the composed answers
	nextID  uint32 // of the next stamped answer

	mu       sync.Mutex
	arrived  sync.Cond  // requests or stopped changed
	requests []Datagram // not yet received
	answers  []Answer   // not yet taken by the peer
	stamps   []TxStamp  // not yet drained
	refuse   int        // number of answers to refuse
	stopped  bool
}

// Datagram is a request on its way to the server.
type Datagram struct {
	From      netip.AddrPort
	Octets    []byte // more than MaxPacket are truncated on arrival
	SoftStamp int64  // Packet.SoftStamp
	HardStamp int64  // Packet.HardStamp
	PHC       int32  // Packet.PHC
	StampsTx  bool   // Packet.StampsTx
	NotToUs   bool   // Packet.NotToUs
}

// Answer is a datagram that the server sent.
type Answer struct {
	To      netip.AddrPort
	Octets  []byte
	Stamped bool   // a transmit timestamp was requested
	ID      uint32 // its identifier
}

// errRefused is what Transmit returns for answers that Peer.Refuse let fail.
var errRefused = errors.New("answer refused by the peer")

// Receive waits for at least one datagram and fills p. It ignores gather: what
// has been sent is already there.
func (m *Memory) Receive(p []Packet, _ time.Duration) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.requests) == 0 && !m.stopped {
		m.arrived.Wait()
	}
	if m.stopped {
		return 0, ErrClosed
	}
	n := min(len(m.requests), len(p), BatchLen)
	for i, d := range m.requests[:n] {
		p[i] = Packet{
			Req: d.Octets[:min(len(d.Octets), MaxPacket)], Src: d.From, Truncated: len(d.Octets) > MaxPacket,
			SoftStamp: d.SoftStamp, HardStamp: d.HardStamp, PHC: d.PHC, StampsTx: d.StampsTx, NotToUs: d.NotToUs,
			Out: m.out[i][:0],
		}
	}
	m.requests = slices.Delete(m.requests, 0, n)
	m.batch = p[:n]
	return n, nil
}

// Compose prepares the answers of the packets from to to-1 of the last batch.
func (m *Memory) Compose(from, to int) {
	m.pending = m.pending[:0]
	for i := from; i < to; i++ {
		if len(m.batch[i].Out) > 0 {
			m.pending = append(m.pending, i)
		}
	}
}

// Transmit sends the composed answers to the peer.
func (m *Memory) Transmit() (sent int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.pending {
		p := &m.batch[i]
		if m.refuse > 0 {
			m.refuse--
			p.WantStamp, err = false, errRefused
			continue
		}
		if p.WantStamp {
			p.ID = m.nextID
			m.nextID++
		}
		m.answers = append(m.answers, Answer{To: p.Src, Octets: slices.Clone(p.Out), Stamped: p.WantStamp, ID: p.ID})
		sent++
	}
	m.pending = m.pending[:0]
	return sent, err
}

// TxStamps moves the transmit timestamps that the peer gave to dst.
func (m *Memory) TxStamps(dst []TxStamp) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := copy(dst, m.stamps)
	m.stamps = slices.Delete(m.stamps, 0, n)
	return n
}

// Stop makes Receive return ErrClosed, now and always.
func (m *Memory) Stop() {
	m.mu.Lock()
	m.stopped = true
	m.mu.Unlock()
	m.arrived.Broadcast()
}

// Peer is the clients' end of a pair. Its methods may be called from any
// goroutine.
type Peer struct{ m *Memory }

// Send queues datagrams for the server, which keeps their octets.
func (p *Peer) Send(d ...Datagram) {
	p.m.mu.Lock()
	p.m.requests = append(p.m.requests, d...)
	p.m.mu.Unlock()
	p.m.arrived.Broadcast()
}

// Take returns the answers since the last call, in the order of sending.
func (p *Peer) Take() []Answer {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	a := p.m.answers
	p.m.answers = nil
	return a
}

// Stamp gives the server transmit timestamps, for its next TxStamps.
func (p *Peer) Stamp(s ...TxStamp) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.stamps = append(p.m.stamps, s...)
}

// Refuse makes the next n answers fail, as a full queue of the kernel does.
func (p *Peer) Refuse(n int) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.refuse = n
}
