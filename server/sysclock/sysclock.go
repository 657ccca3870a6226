// Package sysclock makes a snapshot of the system clock, where something else
// than refclockd steers it: chronyd, or whatever keeps the kernel's clock. The
// server then answers at that clock's honest stratum, with its error.
//
// The snapshot is a file of the same format that refclockd publishes, private
// to the server, so that there is one way to an answer.
package sysclock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// Reason is the outcome of one reading of the clock's quality. Its String is
// the metric's label, and the snapshot's reason.
type Reason uint8

// The outcomes.
const (
	Good           Reason = iota
	NoAnswer              // nobody answers there
	BadAnswer             // an answer that makes no sense
	Refused               // an answer that says no
	NotSynced             // whoever steers the clock says that it is not synchronised
	Unavailable           // the system does not tell
	ClockUnsettled        // the clock could not be read finely enough
	numReasons
)

var reasonText = [numReasons]string{"good", "no_answer", "bad_answer", "refused", "not_synchronised", "unavailable", "clock_unsettled"}

// String returns the reason's word.
func (r Reason) String() string {
	if int(r) < len(reasonText) {
		return reasonText[r]
	}
	return "unknown"
}

// Error is why there is no reading.
type Error struct {
	Reason Reason
	Err    error // what the system or the peer said; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason.String()
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// quality is what is known of CLOCK_REALTIME at one instant.
type quality struct {
	stratum    uint8
	refID      [4]byte
	refTime    int64         // CLOCK_REALTIME of the last measurement, ns
	rootDelay  time.Duration // to the reference
	dispersion time.Duration // error of the clock beyond half of rootDelay
	rate       float64       // growth of the error, ns/s
	correction time.Duration // to be added to CLOCK_REALTIME, + = it is slow
	slewing    bool          // corrections are made by running the clock faster or slower, not taken into account above
	leapSign   int8          // +1 inserted, -1 deleted, 0 none known
	leapAt     int64         // POSIX second after it
	tai        int           // TAI - UTC in seconds, 0 if not known
}

// prober asks for the quality. now is CLOCK_REALTIME, ns.
type prober interface {
	probe(ctx context.Context, now int64) (quality, error)
	every() time.Duration
	String() string
}

// What is said of a clock that says nothing else.
const (
	// phi is how fast an unattended clock goes wrong (RFC 5905, section 7.2:
	// PHI), ns/s.
	phi = 15e3
	// limit is the distance beyond which no client takes a server (RFC 5905,
	// section 11.2.2: MAXDIST).
	limit = time.Second
	// maxWidth is the widest bracket of a reading of the clock that is used.
	maxWidth = time.Millisecond
	// stepped is a jump of the clock after which stamps do not compare.
	stepped = 10 * time.Millisecond
	// leapHold is the time before and after a leap second in which the clock is
	// not read but carried on: its labels are ambiguous then.
	leapHold = 2 * time.Second
	// rateSpan is the least time over which the clock's rate is measured.
	rateSpan = time.Second
	// rateMax is the longest.
	rateMax = 16 * time.Second
	// maxSlew is how fast a clock is slewed at most (chrony.conf, maxslewrate:
	// 83333.333 ppm; the kernel allows 10 %).
	maxSlew = 0.1
)

// Config is what a Source needs.
type Config struct {
	Path    string // of the snapshot to publish
	Chrony  string // chronyd's address, "127.0.0.1:323", or the path of its socket; empty: the kernel's word alone
	Stratum uint8  // of a clock that only the kernel vouches for, which does not know it
	RefID   [4]byte
	Log     *slog.Logger // nil: silent
}

// DefaultChrony is where chronyd answers everybody on the same machine.
const DefaultChrony = "127.0.0.1:323"

// DefaultStratum is what is told of a clock of which nobody knows how far it is
// from a reference: further away than any real server.
const DefaultStratum = 10

// DefaultRefID is the "local clock" of chronyd and ntpd, 127.127.1.1.
var DefaultRefID = [4]byte{127, 127, 1, 1}

// Source publishes snapshots of the system clock. It is a task: New creates the
// file, Run works until its context is done.
type Source struct {
	p     prober
	w     *status.Writer
	log   *slog.Logger
	line  line
	ready chan struct{}
	was   string
	count [numReasons]atomic.Uint64
	bound atomic.Uint64 // bits of a float64: s
}

// New creates the snapshot. Errors wrap what the system said.
func New(cfg Config) (*Source, error) {
	s := &Source{log: cfg.Log, ready: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.Chrony != "" {
		s.p, err = newChrony(cfg.Chrony)
	} else {
		s.p, err = newKernel(cfg)
	}
	if err != nil {
		return nil, err
	}
	if s.w, err = status.Create(cfg.Path); err != nil {
		return nil, err
	}
	s.line = line{table: tai.Builtin(), device: s.p.String()}
	return s, nil
}

// String names the task.
func (s *Source) String() string { return "source" }

// Ready is closed after the first reading, a bad one too.
func (s *Source) Ready() <-chan struct{} { return s.ready }

// Run reads the clock's quality and publishes it until ctx is done.
func (s *Source) Run(ctx context.Context) error {
	t := time.NewTicker(s.p.every())
	defer t.Stop()
	s.poll(ctx)
	close(s.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s.poll(ctx)
		}
	}
}

// Close closes the file, after Run. The last snapshot stays in it and ages.
func (s *Source) Close() error { return s.w.Close() }

func (s *Source) poll(ctx context.Context) {
	before := phc.MonoRaw()
	q, err := s.p.probe(ctx, time.Now().UnixNano())
	if ctx.Err() != nil {
		return
	}
	c := cross()
	snap := s.line.next(q, err, c, time.Duration(c.Mono-before))
	reason := Good
	if err != nil {
		reason = BadAnswer
		if e := (*Error)(nil); errors.As(err, &e) {
			reason = e.Reason
		}
	} else if c.Width > maxWidth {
		reason = ClockUnsettled
	}
	snap.Reason = reason.String()
	s.count[reason].Add(1)
	s.bound.Store(math.Float64bits(snap.BoundAt(c.Mono).Seconds()))
	s.w.Write(&snap)
	if is := snap.State.String() + " " + snap.Reason; is != s.was {
		s.was = is
		if snap.State == status.Locked {
			s.log.Info("clock source", "source", s.p.String(), "state", snap.State.String(), "stratum", snap.Stratum, "bound", snap.BoundAt(c.Mono))
		} else {
			s.log.Warn("clock source", "source", s.p.String(), "state", snap.State.String(), "reason", snap.Reason, "error", err)
		}
	}
}

// cross reads CLOCK_REALTIME between two readings of CLOCK_MONOTONIC_RAW, the
// narrowest of several brackets.
func cross() phc.Cross {
	var best phc.Cross
	for i := range 8 {
		a := phc.MonoRaw()
		real := time.Now().UnixNano()
		b := phc.MonoRaw()
		if w := time.Duration(b - a); i == 0 || w < best.Width {
			best = phc.Cross{Real: real, Mono: a + (b-a)/2, Width: w}
		}
	}
	return best
}

var (
	descReadings = prometheus.NewDesc("noonmark_source_readings_total", "Readings of the system clock's quality, by outcome.", []string{"source", "reason"}, nil)
	descBound    = prometheus.NewDesc("noonmark_source_bound_seconds", "Error bound of the system clock at the last reading.", []string{"source"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Source) Describe(ch chan<- *prometheus.Desc) { ch <- descReadings; ch <- descBound }

// Collect implements prometheus.Collector.
func (s *Source) Collect(ch chan<- prometheus.Metric) {
	for r := range s.count {
		ch <- prometheus.MustNewConstMetric(descReadings, prometheus.CounterValue, float64(s.count[r].Load()), s.p.String(), Reason(r).String())
	}
	ch <- prometheus.MustNewConstMetric(descBound, prometheus.GaugeValue, math.Float64frombits(s.bound.Load()), s.p.String())
}
