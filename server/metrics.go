package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stats are one worker's counters. The worker alone writes them, once per
// batch; readers see each counter whole. A worker's are an allocation of their
// own with room before and after, so that no two workers share a cache line.
type stats struct {
	_        [64]byte
	reasons  [numReasons]atomic.Uint64
	received atomic.Uint64
	octetsIn atomic.Uint64
	hard     atomic.Uint64 // requests with a hardware stamp of the served clock
	soft     atomic.Uint64 // requests with a kernel stamp
	unstamp  atomic.Uint64 // requests dated when they were read
	refused  atomic.Uint64 // answers the system would not send
	failed   atomic.Uint64 // receive calls that failed
	redated  atomic.Uint64 // answers sent together that were interrupted between dating and sending
	early    histogram     // transmit timestamps before their departures: how far
	late     histogram     // and after them
	toWire   atomic.Int64  // learned latency to the wire of an answer sent alone, ns
	_        [64]byte
}

// histogram has buckets of powers of two: bucket i counts sizes up to 2^i *
// histUnit, the last all others.
type histogram struct {
	n   [histLen]atomic.Uint64
	sum atomic.Int64 // ns
}

const (
	histLen  = 18
	histUnit = 125 * time.Nanosecond // the last bound is 16 ms
)

// add counts d.
func (h *histogram) add(d time.Duration) {
	i := 0
	for b := histUnit; i < histLen-1 && d > b; b *= 2 {
		i++
	}
	bump(&h.n[i], 1)
	h.sum.Store(h.sum.Load() + int64(d))
}

// departed counts a transmit timestamp that was late, or with a minus sign early.
func (s *stats) departed(late time.Duration) {
	if late > 0 {
		s.late.add(late)
	} else {
		s.early.add(-late)
	}
}

// bump adds to a counter that only the caller writes: cheaper than an atomic
// addition.
func bump(c *atomic.Uint64, n uint64) { c.Store(c.Load() + n) }

var (
	descRequests = prometheus.NewDesc("noonmark_ntp_requests_total", "Datagrams received by the NTP endpoints.", []string{"endpoint"}, nil)
	descOctets   = prometheus.NewDesc("noonmark_ntp_request_octets_total", "Octets received by the NTP endpoints.", []string{"endpoint"}, nil)
	descAnswers  = prometheus.NewDesc("noonmark_ntp_responses_total", "Answers, by kind.", []string{"endpoint", "reason"}, nil)
	descDropped  = prometheus.NewDesc("noonmark_ntp_dropped_total", "Datagrams that got no answer, by reason.", []string{"endpoint", "reason"}, nil)
	descStamps   = prometheus.NewDesc("noonmark_ntp_receive_stamps_total", "Requests by the origin of their receive timestamp.", []string{"endpoint", "stamp"}, nil)
	descRefused  = prometheus.NewDesc("noonmark_ntp_send_errors_total", "Answers the system would not send.", []string{"endpoint"}, nil)
	descFailed   = prometheus.NewDesc("noonmark_ntp_receive_errors_total", "Receive calls that failed.", []string{"endpoint"}, nil)
	descDelay    = prometheus.NewDesc("noonmark_ntp_transmit_error_seconds", "How much earlier or later than its departure, as stamped, an answer's transmit timestamp was; sampled.", []string{"endpoint", "direction"}, nil)
	descToWire   = prometheus.NewDesc("noonmark_ntp_transmit_latency_seconds", "Learned latency to the wire of an answer sent alone, largest of the workers.", []string{"endpoint"}, nil)
	descRedated  = prometheus.NewDesc("noonmark_ntp_redated_total", "Times that answers about to be sent were dated anew because something came in between.", []string{"endpoint"}, nil)
	descSynced   = prometheus.NewDesc("noonmark_ntp_synchronised", "1 if clients are told that the clock is synchronised.", nil, nil)
	descWorkers  = prometheus.NewDesc("noonmark_ntp_workers", "Sockets, each with a worker of its own.", []string{"endpoint"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRequests, descOctets, descAnswers, descDropped, descStamps, descRefused,
		descFailed, descRedated, descDelay, descToWire, descSynced, descWorkers} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	synced := 0.0
	if s.synced.Load() {
		synced = 1
	}
	ch <- prometheus.MustNewConstMetric(descSynced, prometheus.GaugeValue, synced)
	for _, e := range s.endpoints {
		count := func(d *prometheus.Desc, v uint64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{e.name}, labels...)...)
		}
		sum := func(f func(*stats) uint64) (n uint64) {
			for _, w := range e.workers {
				n += f(w.stats)
			}
			return n
		}
		count(descRequests, sum(func(t *stats) uint64 { return t.received.Load() }))
		count(descOctets, sum(func(t *stats) uint64 { return t.octetsIn.Load() }))
		for r := Reason(0); r < numReasons; r++ {
			n := sum(func(t *stats) uint64 { return t.reasons[r].Load() })
			if r.Answered() {
				count(descAnswers, n, r.String())
			} else {
				count(descDropped, n, r.String())
			}
		}
		count(descStamps, sum(func(t *stats) uint64 { return t.hard.Load() }), "hardware")
		count(descStamps, sum(func(t *stats) uint64 { return t.soft.Load() }), "software")
		count(descStamps, sum(func(t *stats) uint64 { return t.unstamp.Load() }), "none")
		count(descRefused, sum(func(t *stats) uint64 { return t.refused.Load() }))
		count(descFailed, sum(func(t *stats) uint64 { return t.failed.Load() }))
		count(descRedated, sum(func(t *stats) uint64 { return t.redated.Load() }))
		for direction, of := range map[string]func(*stats) *histogram{
			"early": func(t *stats) *histogram { return &t.early }, "late": func(t *stats) *histogram { return &t.late },
		} {
			buckets := map[float64]uint64{}
			var total uint64
			bound := histUnit
			for i := range histLen {
				total += sum(func(t *stats) uint64 { return of(t).n[i].Load() })
				if i < histLen-1 {
					buckets[bound.Seconds()] = total
					bound *= 2
				}
			}
			var ns int64
			for _, w := range e.workers {
				ns += of(w.stats).sum.Load()
			}
			ch <- prometheus.MustNewConstHistogram(descDelay, total, float64(ns)*1e-9, buckets, e.name, direction)
		}
		var wire int64
		for _, w := range e.workers {
			wire = max(wire, w.stats.toWire.Load())
		}
		ch <- prometheus.MustNewConstMetric(descToWire, prometheus.GaugeValue, float64(wire)*1e-9, e.name)
		ch <- prometheus.MustNewConstMetric(descWorkers, prometheus.GaugeValue, float64(len(e.workers)), e.name)
	}
}
