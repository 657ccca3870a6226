package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/server/transport/sockets"
)

// workerMetrics are one worker's counters. Only the worker writes them, once per
// batch. They are an allocation of their own with room before and after, so that
// no two workers share a cache line.
type workerMetrics struct {
	_          [64]byte
	reasons    [numReasons]atomic.Uint64
	received   atomic.Uint64
	octetsIn   atomic.Uint64
	hardStamps atomic.Uint64 // requests with a hardware timestamp of the served clock
	softStamps atomic.Uint64 // requests with a kernel timestamp
	unstamped  atomic.Uint64 // requests with the time at which they were read
	refused    atomic.Uint64 // answers that the system did not send
	failed     atomic.Uint64 // receive calls that failed
	redated    atomic.Uint64 // groups of answers that were timestamped again after an interruption
	early      histogram     // of how much transmit timestamps were earlier than the departure
	late       histogram     // and later
	toWire     atomic.Int64  // learned latency of an answer that is sent alone, ns
	clients    *clientTable  // nil: clients are not counted
	_          [64]byte
}

// tally counts what happens in one batch.
type tally struct {
	reasons    [numReasons]uint64
	octets     uint64
	hardStamps uint64
	softStamps uint64
	unstamped  uint64
}

// flush adds a batch of n to the metrics.
func (t *tally) flush(m *workerMetrics, n int) {
	bump(&m.received, uint64(n))
	bump(&m.octetsIn, t.octets)
	for r, c := range t.reasons {
		if c != 0 {
			bump(&m.reasons[r], c)
		}
	}
	bump(&m.softStamps, t.softStamps)
	bump(&m.hardStamps, t.hardStamps)
	bump(&m.unstamped, t.unstamped)
	*t = tally{}
}

// histogram has buckets of powers of two: bucket i counts sizes up to 2^i *
// histUnit, the last one all others.
type histogram struct {
	n   [histLen]atomic.Uint64
	sum atomic.Int64 // ns
}

const (
	histLen  = 18
	histUnit = 125 * time.Nanosecond // the last bound is 8 ms
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

// addTxError counts a transmit timestamp that was late, - = early.
func (m *workerMetrics) addTxError(late time.Duration) {
	if late > 0 {
		m.late.add(late)
	} else {
		m.early.add(-late)
	}
}

// bump adds to a counter that only the caller writes. It is cheaper than an
// atomic addition.
func bump(c *atomic.Uint64, n uint64) { c.Store(c.Load() + n) }

var (
	descRequests = prometheus.NewDesc("noonmark_ntp_requests_total", "Datagrams received by the NTP endpoints.", []string{"endpoint"}, nil)
	descOctets   = prometheus.NewDesc("noonmark_ntp_request_octets_total", "Octets received by the NTP endpoints.", []string{"endpoint"}, nil)
	descAnswers  = prometheus.NewDesc("noonmark_ntp_responses_total", "Answers, by kind.", []string{"endpoint", "reason"}, nil)
	descDropped  = prometheus.NewDesc("noonmark_ntp_dropped_total", "Datagrams without an answer, by reason.", []string{"endpoint", "reason"}, nil)
	descStamps   = prometheus.NewDesc("noonmark_ntp_receive_stamps_total", "Requests by the source of their receive timestamp.", []string{"endpoint", "stamp"}, nil)
	descRefused  = prometheus.NewDesc("noonmark_ntp_send_errors_total", "Answers that the system did not send.", []string{"endpoint"}, nil)
	descFailed   = prometheus.NewDesc("noonmark_ntp_receive_errors_total", "Receive calls that failed.", []string{"endpoint"}, nil)
	descTxError  = prometheus.NewDesc("noonmark_ntp_transmit_error_seconds", "How much earlier or later than the departure an answer's transmit timestamp was; sampled.", []string{"endpoint", "direction"}, nil)
	descToWire   = prometheus.NewDesc("noonmark_ntp_transmit_latency_seconds", "Learned latency from reading the clock to the departure of an answer that is sent alone, largest of the workers.", []string{"endpoint"}, nil)
	descRedated  = prometheus.NewDesc("noonmark_ntp_redated_total", "Times that answers got new transmit timestamps because the worker was interrupted before sending.", []string{"endpoint"}, nil)
	descSynced   = prometheus.NewDesc("noonmark_ntp_synchronised", "1 if answers report a synchronised clock.", nil, nil)
	descLack     = prometheus.NewDesc("noonmark_ntp_endpoint_state", "1 for the state of each endpoint, 0 for its other states.", []string{"endpoint", "state"}, nil)
	descReopened = prometheus.NewDesc("noonmark_ntp_endpoint_reopened_total", "Times that an endpoint was opened again because its interface was removed, renamed or made anew.", []string{"endpoint"}, nil)
	descCards    = prometheus.NewDesc("noonmark_ntp_stamping_cards", "Network cards beneath an endpoint that timestamp every received datagram.", []string{"endpoint"}, nil)
	descCardLog  = prometheus.NewDesc("noonmark_ntp_card_events_total", "Network cards that came or went, whose timestamps were set up again, or could not be.", []string{"endpoint", "event"}, nil)
	descWorkers  = prometheus.NewDesc("noonmark_ntp_workers", "Sockets that receive, each with its own worker; 0 while the endpoint waits.", []string{"endpoint"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRequests, descOctets, descAnswers, descDropped, descStamps, descRefused,
		descFailed, descRedated, descTxError, descToWire, descSynced, descWorkers,
		descLack, descReopened, descCards, descCardLog} {
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
		e.collect(ch)
	}
}

// collect sends the metrics of one endpoint: sums over its workers.
func (e *endpoint) collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, of func(*workerMetrics) *atomic.Uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(e.sum(of)), append([]string{e.name}, labels...)...)
	}
	count(descRequests, func(m *workerMetrics) *atomic.Uint64 { return &m.received })
	count(descOctets, func(m *workerMetrics) *atomic.Uint64 { return &m.octetsIn })
	for r := Reason(0); r < numReasons; r++ {
		d := descDropped
		if r.Answered() {
			d = descAnswers
		}
		count(d, func(m *workerMetrics) *atomic.Uint64 { return &m.reasons[r] }, r.String())
	}
	count(descStamps, func(m *workerMetrics) *atomic.Uint64 { return &m.hardStamps }, "hardware")
	count(descStamps, func(m *workerMetrics) *atomic.Uint64 { return &m.softStamps }, "software")
	count(descStamps, func(m *workerMetrics) *atomic.Uint64 { return &m.unstamped }, "none")
	count(descRefused, func(m *workerMetrics) *atomic.Uint64 { return &m.refused })
	count(descFailed, func(m *workerMetrics) *atomic.Uint64 { return &m.failed })
	count(descRedated, func(m *workerMetrics) *atomic.Uint64 { return &m.redated })
	ch <- e.histogram("early", func(m *workerMetrics) *histogram { return &m.early })
	ch <- e.histogram("late", func(m *workerMetrics) *histogram { return &m.late })
	var toWire int64
	for _, m := range e.metrics {
		toWire = max(toWire, m.toWire.Load())
	}
	ch <- prometheus.MustNewConstMetric(descToWire, prometheus.GaugeValue, float64(toWire)*1e-9, e.name)
	ch <- prometheus.MustNewConstMetric(descWorkers, prometheus.GaugeValue, float64(e.receiving()), e.name)
	e.collectNetwork(ch)
}

// collectNetwork sends the metrics of what an endpoint depends on.
func (e *endpoint) collectNetwork(ch chan<- prometheus.Metric) {
	is, _ := e.problem()
	for l := range numLacks {
		v := 0.0
		if l == is {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(descLack, prometheus.GaugeValue, v, e.name, l.String())
	}
	ch <- prometheus.MustNewConstMetric(descReopened, prometheus.CounterValue, float64(e.reopened.Load()), e.name)
	ch <- prometheus.MustNewConstMetric(descCards, prometheus.GaugeValue, float64(e.stampingCards()), e.name)
	for k := range e.cardEvents {
		ch <- prometheus.MustNewConstMetric(descCardLog, prometheus.CounterValue, float64(e.cardEvents[k].Load()), e.name, sockets.CardEventKind(k).String())
	}
}

// sum adds up a counter of all workers.
func (e *endpoint) sum(of func(*workerMetrics) *atomic.Uint64) (n uint64) {
	for _, m := range e.metrics {
		n += of(m).Load()
	}
	return n
}

// histogram adds up a histogram of all workers.
func (e *endpoint) histogram(direction string, of func(*workerMetrics) *histogram) prometheus.Metric {
	buckets := map[float64]uint64{}
	var total uint64
	bound := histUnit
	for i := range histLen {
		total += e.sum(func(m *workerMetrics) *atomic.Uint64 { return &of(m).n[i] })
		if i < histLen-1 {
			buckets[bound.Seconds()] = total
			bound *= 2
		}
	}
	var ns int64
	for _, m := range e.metrics {
		ns += of(m).sum.Load()
	}
	return prometheus.MustNewConstHistogram(descTxError, total, float64(ns)*1e-9, buckets, e.name, direction)
}
