package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"noonmark/internal/observe"
	"noonmark/internal/summary"
	"noonmark/refclock/report"
	"noonmark/server/certs"
)

// keptSamples is how many seconds of samples are kept: somewhat more than the ten minutes
// that the page shows.
const keptSamples = 720

// sample is the state of the clock at one second.
type sample struct {
	mono     int64
	state    string
	offset   *float64 // ns; nil: no measurement in this second
	bound    *int64   // ns; nil: there is none
	rate     float64  // growth of the bound, ns/s
	noise    float64  // ns
	freq     float64  // ppb
	celsius  *float64
	sats     int
	cn0      *float64 // dB-Hz, mean of the satellites in use
	requests *float64 // a second, of ntsserve
}

// live reads what the daemons publish once a second, keeps the last minutes, and
// hands the present state to those who watch.
type live struct {
	machine      *observe.Machine
	certificates func() []certs.Status // of the page; nil: it has none
	fleet        func() *fleetGlance   // nil: nothing is looked for

	mu       sync.Mutex // guards the next
	ring     []sample   // the oldest first
	now      moment
	text     []byte     // the samples as JSON, as now; nil: nobody has asked
	held     *predicted // of the last holdover; nil: there was none
	watchers map[chan []byte]struct{}
}

// predicted is the bound as it was predicted when a holdover began.
type predicted struct {
	mono  int64
	bound int64 // ns, then
	ahead []report.BoundAhead
}

// moment is what was read last.
type moment struct {
	observe.View
	mono  int64
	at    time.Time // by the clock if it has a time, else by the system
	fleet *fleetGlance
	total uint64   // requests
	rate  *float64 // requests a second
}

// errStarting is why there is no state in the first moment.
var errStarting = errors.New("refclockweb has just started")

// summary describes the moment.
func (m *moment) summary() summary.Summary {
	return summary.Of(&summary.Input{View: m.View, Rate: m.rate})
}

func newLive(machine *observe.Machine, certificates func() []certs.Status) *live {
	return &live{machine: machine, certificates: certificates, watchers: map[chan []byte]struct{}{}, now: moment{at: time.Now().UTC(), View: observe.View{Why: errStarting, NoServing: errStarting}}}
}

// run reads until ctx ends.
func (l *live) run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		l.look()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look reads once, and keeps it.
func (l *live) look() { l.take(l.read()) }

// read reads what the daemons publish now. The rate of requests is that of the last
// second.
func (l *live) read() moment {
	now := moment{View: l.machine.Look(), mono: l.machine.Mono(), at: time.Now().UTC()}
	if s := now.Status; s != nil && s.Time != nil {
		if t, err := time.Parse(time.RFC3339Nano, *s.Time); err == nil {
			now.at = t
		}
	}
	now.rate = l.current().rate
	if l.fleet != nil {
		now.fleet = l.fleet()
	}
	return now
}

// take keeps a moment and hands it to those who watch.
func (l *live) take(now moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.now
	if s := now.Serving; s != nil {
		for i := range s.Endpoints {
			now.total += s.Endpoints[i].Requests
		}
		switch {
		case was.Serving == nil || was.Serving.PID != s.PID || now.total < was.total:
			now.rate = nil // it has started since
		case s.Mono > was.Serving.Mono:
			r := float64(now.total-was.total) / (float64(s.Mono-was.Serving.Mono) * 1e-9)
			now.rate = &r
		}
	} else {
		now.rate = nil
	}
	l.now, l.text = now, nil
	l.predict(&was, &now)
	l.ring = append(l.ring, now.sample())
	if n := len(l.ring) - keptSamples; n > 0 {
		l.ring = append(l.ring[:0], l.ring[n:]...)
	}
	if len(l.watchers) == 0 {
		return
	}
	e := l.event()
	for w := range l.watchers {
		select {
		case <-w: // it was not sent in time; the new state is worth more
		default:
		}
		w <- e
	}
}

// predict keeps what is predicted when a holdover begins.
func (l *live) predict(was, now *moment) {
	const holdover = "holdover"
	s := now.Status
	if s == nil || s.State != holdover {
		return
	}
	if was.Status == nil || was.Status.State != holdover {
		l.held = nil
	}
	// The forecast may be a second behind the state.
	if l.held == nil && s.Forecast != nil && s.BoundNS != nil {
		l.held = &predicted{now.mono, *s.BoundNS, s.Forecast.Ahead}
	}
}

// fresh is the largest age of a pulse, s, whose offset belongs to this second.
const fresh = 1.6

func (m *moment) sample() sample {
	x := sample{mono: m.mono, requests: m.rate}
	s := m.Status
	if s == nil {
		x.state = "absent"
		return x
	}
	x.state, x.bound, x.rate, x.noise, x.freq = s.State, s.BoundNS, s.BoundRate, s.NoiseNS, s.FreqPPB
	if a := s.Pulse.AgeS; a != nil && *a < fresh && s.AgeS < fresh {
		x.offset = &s.OffsetNS
	}
	if o := s.Oscillator; o != nil {
		x.celsius = o.Celsius
	}
	if n := s.Receiver.Sats; n != nil {
		x.sats = *n
	}
	used, sum := 0, 0
	for _, v := range s.Receiver.Sky {
		if v.Used && v.CN0 > 0 {
			used++
			sum += v.CN0
		}
	}
	if used > 0 {
		mean := float64(sum) / float64(used)
		x.cn0 = &mean
	}
	return x
}

// series are samples by column. Its JSON keys only grow.
type series struct {
	T        []float64  `json:"t"` // POSIX time, s, by the clock as it is now
	State    []string   `json:"state"`
	OffsetNS []*float64 `json:"offset_ns"` // null: no measurement
	BoundNS  []*int64   `json:"bound_ns"`  // null: there is no bound
	RateNSPS []float64  `json:"bound_rate_ns_per_s"`
	NoiseNS  []float64  `json:"noise_ns"`
	FreqPPB  []float64  `json:"freq_ppb"`
	Celsius  []*float64 `json:"celsius"`
	Sats     []int      `json:"satellites"`
	CN0      []*float64 `json:"cn0"`
	Requests []*float64 `json:"requests_per_s"`

	Held *heldSeries `json:"holdover_predicted,omitempty"` // missing: there was no holdover in this time
}

// heldSeries is the bound of the last holdover as it was predicted when it began. Its
// JSON keys only grow.
type heldSeries struct {
	T       []float64 `json:"t"` // POSIX time, s, from the beginning on
	BoundNS []int64   `json:"bound_ns"`
}

// predicted returns what was predicted of a holdover that the samples contain.
func (l *live) predicted() *heldSeries {
	h := l.held
	if h == nil || len(l.ring) == 0 || h.mono < l.ring[0].mono {
		return nil
	}
	x := &heldSeries{T: []float64{l.now.posix(h.mono)}, BoundNS: []int64{h.bound}}
	for _, p := range h.ahead {
		x.T, x.BoundNS = append(x.T, math.Round((x.T[0]+p.InS)*1e3)/1e3), append(x.BoundNS, p.BoundNS)
	}
	return x
}

// add appends a sample that was taken at an instant.
func (c *series) add(x *sample, at float64) {
	c.T, c.State = append(c.T, at), append(c.State, x.state)
	c.OffsetNS, c.BoundNS = append(c.OffsetNS, x.offset), append(c.BoundNS, x.bound)
	c.RateNSPS = append(c.RateNSPS, x.rate)
	c.NoiseNS, c.FreqPPB = append(c.NoiseNS, x.noise), append(c.FreqPPB, x.freq)
	c.Celsius, c.Sats = append(c.Celsius, x.celsius), append(c.Sats, x.sats)
	c.CN0, c.Requests = append(c.CN0, x.cn0), append(c.Requests, x.requests)
}

// samples returns the samples that are kept, as JSON. All who ask within a second get one text.
func (l *live) samples() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text == nil {
		l.text, _ = json.Marshal(l.series()) // no value has parts without a form
	}
	return l.text
}

// series returns the samples that are kept. l.mu is held.
func (l *live) series() *series {
	c := &series{T: []float64{}}
	for i := range l.ring {
		c.add(&l.ring[i], l.now.posix(l.ring[i].mono))
	}
	c.Held = l.predicted()
	return c
}

// posix returns the time of an instant of CLOCK_MONOTONIC_RAW, s.
func (m *moment) posix(mono int64) float64 {
	return float64(m.at.UnixMilli()-(m.mono-mono)/1e6) / 1e3
}

// current returns what was read last.
func (l *live) current() moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// watch returns a channel that gets the present state once a second. unwatch ends it.
func (l *live) watch() chan []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := make(chan []byte, 1)
	w <- l.event()
	l.watchers[w] = struct{}{}
	return w
}

func (l *live) unwatch(w chan []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
}

// update is the data of an event. Its JSON keys only grow.
type update struct {
	Status  *report.Status   `json:"status"` // null: refclockd publishes nothing
	Why     string           `json:"status_error,omitempty"`
	Server  *observe.Serving `json:"server"` // null: ntsserve publishes nothing
	NoCount string           `json:"server_error,omitempty"`
	Sample  series           `json:"sample"` // one
	Summary summary.Summary  `json:"summary"`

	Certificates []observe.CertificateState `json:"page_certificates"` // of this page
	Fleet        *fleetGlance               `json:"fleet"`             // null: this machine is in no fleet
}

// event returns the present state as a server-sent event.
func (l *live) event() []byte {
	m := &l.now
	u := update{Status: m.Status, Server: m.Serving, Summary: m.summary(), Certificates: []observe.CertificateState{}, Fleet: m.fleet}
	if l.certificates != nil {
		u.Certificates = observe.CertificateStates(l.certificates())
	}
	if m.Why != nil {
		u.Why = m.Why.Error()
	}
	if m.NoServing != nil {
		u.NoCount = m.NoServing.Error()
	}
	if n := len(l.ring); n > 0 {
		u.Sample.add(&l.ring[n-1], m.posix(m.mono))
		u.Sample.Held = l.predicted()
	}
	b, err := json.Marshal(u)
	if err != nil {
		return nil // no value has such parts
	}
	return fmt.Appendf(nil, "event: now\ndata: %s\n\n", b)
}
