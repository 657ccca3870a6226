package server

import (
	"sync/atomic"
	"time"
)

// Stats are what an endpoint has counted since the start, sums over its workers.
type Stats struct {
	Endpoint string            // its name in metrics
	Workers  int               // sockets that receive; 0 while the endpoint waits
	Requests uint64            // datagrams received
	Octets   uint64            // of them
	Answered map[string]uint64 // by the word for the reason; none at zero
	Dropped  map[string]uint64 // likewise, without an answer
	Stamps   struct{ Hardware, Software, None uint64 }
	Refused  uint64        // answers that the system did not send
	Failed   uint64        // receive calls that failed
	Redated  uint64        // answers that were timestamped again
	Early    TransmitError // transmit timestamps before the departure
	Late     TransmitError // and after it
	Latency  time.Duration // from reading the clock to the departure, largest of the workers
}

// TransmitError is how far sampled transmit timestamps were from the departure.
type TransmitError struct {
	Count uint64
	Mean  time.Duration
	P99   time.Duration // 99 of 100 were closer, to a factor of two
}

// Counted is what a Server has counted since the start.
type Counted struct {
	Synchronised bool // answers report a synchronised clock
	Stratum      int  // that they report; 16: they report an unsynchronised clock
	Endpoints    []Stats
	Clients      []Client // those with the most requests; nil: they are not counted
	Networks     int      // how many there are
}

// unsynchronised is the stratum of a clock that is not synchronised (RFC 5905, section 7.3).
const unsynchronised = 16

// listedClients is how many clients Counted has at most.
const listedClients = 100

// Stats returns the counters.
func (s *Server) Stats() (c Counted) {
	c.Synchronised, c.Stratum = s.synced.Load(), unsynchronised
	if c.Synchronised {
		c.Stratum = int(s.stratum.Load())
	}
	for _, e := range s.endpoints {
		c.Endpoints = append(c.Endpoints, e.stats())
	}
	if s.cfg.Clients {
		c.Clients, c.Networks = clients(s.endpoints, listedClients)
	}
	return c
}

func (e *endpoint) stats() Stats {
	x := Stats{
		Endpoint: e.name, Workers: e.receiving(), Answered: map[string]uint64{}, Dropped: map[string]uint64{},
		Requests: e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.received }),
		Octets:   e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.octetsIn }),
		Refused:  e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.refused }),
		Failed:   e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.failed }),
		Redated:  e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.redated }),
		Early:    e.transmitError(func(m *workerMetrics) *histogram { return &m.early }),
		Late:     e.transmitError(func(m *workerMetrics) *histogram { return &m.late }),
	}
	x.Stamps.Hardware = e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.hardStamps })
	x.Stamps.Software = e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.softStamps })
	x.Stamps.None = e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.unstamped })
	for r := Reason(0); r < numReasons; r++ {
		by := x.Dropped
		if r.Answered() {
			by = x.Answered
		}
		if n := e.sum(func(m *workerMetrics) *atomic.Uint64 { return &m.reasons[r] }); n > 0 {
			by[r.String()] = n
		}
	}
	for _, m := range e.metrics {
		x.Latency = max(x.Latency, time.Duration(m.toWire.Load()))
	}
	return x
}

// transmitError sums up a histogram of all workers.
func (e *endpoint) transmitError(of func(*workerMetrics) *histogram) (x TransmitError) {
	var n [histLen]uint64
	var sum int64
	for _, m := range e.metrics {
		h := of(m)
		sum += h.sum.Load()
		for i := range n {
			c := h.n[i].Load()
			n[i] += c
			x.Count += c
		}
	}
	if x.Count == 0 {
		return x
	}
	x.Mean = time.Duration(sum / int64(x.Count))
	bound, below := histUnit, uint64(0)
	for _, c := range n {
		if below += c; below*100 >= x.Count*99 {
			break
		}
		bound *= 2
	}
	x.P99 = bound
	return x
}
