// Package sysclock publishes a snapshot of the system clock on machines where
// another program than refclockd steers it: chronyd, or any that reports the
// clock's quality to the kernel. The server then answers with that clock's stratum
// and error bound.
//
// The snapshot is a file of the format that refclockd publishes, private to the
// server, so that all answers are made in the same way.
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

	"noonmark/internal/liveness"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// Reason is the outcome of one reading of the clock's quality. Its String is the
// label of the metric and the reason in the snapshot.
type Reason uint8

// The outcomes.
const (
	Good           Reason = iota
	NoAnswer              // nobody answers at the address
	BadAnswer             // an invalid answer
	Refused               // chronyd refuses the request
	NotSynced             // the clock is not synchronised, by chronyd or the kernel
	Unavailable           // the kernel refuses the request
	ClockUnsettled        // the bracket of the reading is too wide
	MachineSlept          // the machine slept, and the quality is from before that
	numReasons
)

var reasonText = [numReasons]string{"good", "no_answer", "bad_answer", "refused", "not_synchronised", "unavailable", "clock_unsettled", "machine_slept"}

// String returns the word for the reason.
func (r Reason) String() string {
	if int(r) < len(reasonText) {
		return reasonText[r]
	}
	return "unknown"
}

// Error is why there is no reading.
type Error struct {
	Reason Reason
	Err    error // of the system or of the answer; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason.String()
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// quality is what chronyd or the kernel reports of CLOCK_REALTIME at one instant.
type quality struct {
	stratum    uint8
	refID      [4]byte
	refTime    int64         // CLOCK_REALTIME of the last measurement, ns
	rootDelay  time.Duration // to the reference
	dispersion time.Duration // error bound of the clock without half of rootDelay
	rate       float64       // growth of the error bound, ns/s
	correction time.Duration // to add to CLOCK_REALTIME, + = it is slow
	slewing    bool          // the clock is corrected by changing its rate, which correction does not include
	leapSign   int8          // +1 inserted, -1 deleted, 0 none known
	leapAt     int64         // POSIX time of the second after it
	tai        int           // TAI - UTC in seconds, 0 = unknown
}

// prober asks for the quality. now is CLOCK_REALTIME, ns.
type prober interface {
	probe(ctx context.Context, now int64) (quality, error)
	every() time.Duration
	String() string
}

const (
	// phi is the frequency tolerance of a clock that nobody steers (RFC 5905,
	// section 7.2: PHI), ns/s.
	phi = 15e3
	// limit is the root distance beyond which clients ignore a server (RFC 5905,
	// section 11.2.2: MAXDIST).
	limit = time.Second
	// maxWidth is the widest bracket of a reading of the clock that is used.
	maxWidth = time.Millisecond
	// stepLimit is the least deviation from the prediction that is a step of the
	// clock.
	stepLimit = 10 * time.Millisecond
	// leapHold is the time before and after a leap second in which the clock is
	// predicted and not read: its labels are ambiguous.
	leapHold = 2 * time.Second
	// The rate of the clock is measured over rateSpan to rateMax.
	rateSpan = time.Second
	rateMax  = 16 * time.Second
	// maxSlew is how fast a clock is slewed at most (chrony.conf, maxslewrate:
	// 83333.333 ppm; the kernel allows 10 %).
	maxSlew = 0.1
)

// Config is what a Source needs.
type Config struct {
	Path    string       // of the snapshot to publish
	Chrony  string       // chronyd's address, "127.0.0.1:323", or the path of its socket; empty: ask the kernel
	Stratum uint8        // of a clock that the kernel reports: it does not know the stratum
	RefID   [4]byte      // likewise
	Log     *slog.Logger // nil: silent
}

// DefaultChrony is where chronyd answers all users of the machine.
const DefaultChrony = "127.0.0.1:323"

// DefaultStratum is the stratum of a clock whose distance from a reference is
// unknown: below any real server.
const DefaultStratum = 10

// DefaultRefID is the reference ID of the local clock in chronyd and ntpd,
// 127.127.1.1.
var DefaultRefID = [4]byte{127, 127, 1, 1}

// Source publishes snapshots of the system clock. It is a task: Run makes the file
// and works until its context is done.
type Source struct {
	path    string
	prober  prober
	log     *slog.Logger
	tracker tracker
	slept   func() time.Duration // how long the machine has slept in total
	ready   chan struct{}        // of the next or present run
	working liveness.Work
	waiting atomic.Pointer[error] // why the last reading failed; nil: it did not
	logged  string                // state and reason that were logged last
	count   [numReasons]atomic.Uint64
	bound   atomic.Uint64 // bits of a float64: s
}

// New returns a Source. Errors wrap the system's error.
func New(cfg Config) (*Source, error) {
	s := &Source{path: cfg.Path, log: cfg.Log, slept: phc.Slept}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.Chrony != "" {
		s.prober, err = newChrony(cfg.Chrony)
	} else {
		s.prober, err = newKernel(cfg)
	}
	if err != nil {
		return nil, err
	}
	s.tracker = tracker{table: tai.Builtin(), device: s.prober.String()}
	return s, nil
}

// String returns the name of the task.
func (s *Source) String() string { return "source" }

// Ready returns a channel that is closed after the first reading of the next run,
// also if it failed.
func (s *Source) Ready() <-chan struct{} {
	s.ready = make(chan struct{})
	return s.ready
}

// Waiting returns why the last reading failed. A clock that is not synchronised was
// read.
func (s *Source) Waiting() error {
	if err := s.waiting.Load(); err != nil {
		return *err
	}
	return nil
}

// noteWaiting notes the outcome of a reading for Waiting.
func (s *Source) noteWaiting(reason Reason, err error) {
	switch reason {
	case NoAnswer, BadAnswer, Refused, Unavailable:
		err = fmt.Errorf("%s: %w", s.prober, err)
		s.waiting.Store(&err)
	default:
		s.waiting.Store(nil)
	}
}

// stuckAfter is longer than a reading takes: chronyd has a second to answer.
const stuckAfter = time.Minute

// Stuck returns an error if a reading does not end.
func (s *Source) Stuck() error { return s.working.Stuck(stuckAfter) }

// Run reads the clock's quality and publishes it until ctx is done. It ends with
// an error if the file cannot be made or written. The last snapshot stays in the
// file and ages.
func (s *Source) Run(ctx context.Context) error {
	w, err := status.Create(s.path)
	if err != nil {
		return err
	}
	defer w.Close()
	t := time.NewTicker(s.prober.every())
	defer t.Stop()
	for first := true; ; first = false {
		s.working.Begin()
		err := s.poll(ctx, w)
		s.working.End()
		if err != nil {
			return err
		}
		if first {
			close(s.ready)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// poll reads the quality and the clock once, and publishes.
func (s *Source) poll(ctx context.Context, w *status.Writer) error {
	slept, before := s.slept(), phc.MonoRaw()
	q, err := s.prober.probe(ctx, time.Now().UnixNano())
	if ctx.Err() != nil {
		return nil
	}
	c := cross()
	now := s.slept()
	if err == nil && now-slept >= status.MinSleep {
		err = &Error{Reason: MachineSlept}
	}
	snap := s.tracker.next(q, err, c, time.Duration(c.Mono-before), now)
	reason := Good
	if err != nil {
		reason = BadAnswer
		if e := (*Error)(nil); errors.As(err, &e) {
			reason = e.Reason
		}
	} else if c.Width > maxWidth {
		reason = ClockUnsettled
	}
	s.noteWaiting(reason, err)
	snap.Reason = reason.String()
	s.count[reason].Add(1)
	s.bound.Store(math.Float64bits(snap.BoundAt(c.Mono).Seconds()))
	if err := w.Write(&snap); err != nil {
		return err
	}
	if is := snap.State.String() + " " + snap.Reason; is != s.logged {
		s.logged = is
		if snap.State == status.Locked {
			s.log.Info("clock source", "source", s.prober.String(), "state", snap.State.String(), "stratum", snap.Stratum, "bound", snap.BoundAt(c.Mono))
		} else {
			s.log.Warn("clock source", "source", s.prober.String(), "state", snap.State.String(), "reason", snap.Reason, "error", err)
		}
	}
	return nil
}

// cross reads CLOCK_REALTIME between two readings of CLOCK_MONOTONIC_RAW: the
// narrowest of eight brackets.
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
		ch <- prometheus.MustNewConstMetric(descReadings, prometheus.CounterValue, float64(s.count[r].Load()), s.prober.String(), Reason(r).String())
	}
	ch <- prometheus.MustNewConstMetric(descBound, prometheus.GaugeValue, math.Float64frombits(s.bound.Load()), s.prober.String())
}
