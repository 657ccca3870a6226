// Package observe projects the state of the daemons for those who watch them.
// Each metric is one row of a table: its description, and the function that takes
// its values from the state.
package observe

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// family is a metric, with one value or one for each combination of labels, as a
// projection of a state T.
type family[T any] struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func(state *T, put sink)
}

// sink takes one value of a metric and its labels.
type sink = func(v float64, labels ...string)

// gauge is a metric that goes up and down.
func gauge[T any](d *prometheus.Desc, value func(*T) float64) family[T] {
	return gauges(d, func(s *T, put sink) { put(value(s)) })
}

// gauges is a gauge with labels, or one that may be absent.
func gauges[T any](d *prometheus.Desc, values func(*T, sink)) family[T] {
	return family[T]{d, prometheus.GaugeValue, values}
}

// counter is a metric that only grows.
func counter[T any](d *prometheus.Desc, value func(*T) uint64) family[T] {
	return counters(d, func(s *T, put sink) { put(float64(value(s))) })
}

// counters is a counter with labels.
func counters[T any](d *prometheus.Desc, values func(*T, sink)) family[T] {
	return family[T]{d, prometheus.CounterValue, values}
}

// collector makes metrics of a state. It reads copies and never waits.
type collector[T any] struct {
	families []family[T]
	read     func() *T
}

// Describe implements prometheus.Collector.
func (c *collector[T]) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector[T]) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	for _, f := range c.families {
		f.values(s, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
		})
	}
}

// one is 1 for true.
func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is infinite for the largest duration, which means that there is no bound.
func seconds(d time.Duration) float64 {
	if d == math.MaxInt64 {
		return math.Inf(1)
	}
	return d.Seconds()
}
