package refclock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Steps says when a Follower may step its clock.
type Steps uint8

// The policies.
const (
	StepAcquiring Steps = iota // whenever it has to find the clock anew
	StepStart                  // only until it was locked for the first time
	StepNever
)

// UnmarshalText accepts acquiring, start and never.
func (s *Steps) UnmarshalText(b []byte) error {
	for i, n := range [...]string{"acquiring", "start", "never"} {
		if n == string(b) {
			*s = Steps(i)
			return nil
		}
	}
	return fmt.Errorf("%q: use acquiring, start or never", b)
}

// ErrStepPolicy is wrapped where a step was needed and is not allowed.
var ErrStepPolicy = errors.New("a step is needed that the configuration does not allow")

// FollowerConfig describes a Follower. Mono, Open and Reference are required.
type FollowerConfig struct {
	Name      string
	Kind      status.ClockKind
	Mono      func() int64            // CLOCK_MONOTONIC_RAW, ns
	Slept     func() time.Duration    // how long the machine has slept; nil: it never does
	Open      func() (Clock, error)   // called until it succeeds, and again after the clock vanished
	Reference func() *status.Snapshot // the clock to be followed; what it returns is not changed any more
	Observe   bool                    // only compare, steer nothing
	Guard     *Guard                  // for the system clock; Open is not used then
	Steps     Steps

	// Discipline: StepOver is what is stepped instead of slewed where a step is
	// allowed; zero fields have defaults that suit the kind of clock.
	Discipline discipline.Config
	Learned    discipline.Learned // of an earlier run, if OK
	Log        *slog.Logger
}

// Follower makes another clock of the machine follow the disciplined one. It
// is an Engine whose pulses and labels are the full seconds of the published
// line, so that it measures, gates, steps and says how good it is as the first
// one does. Tick is for one goroutine; Stats for anybody.
type Follower struct {
	cfg     FollowerConfig
	eng     *Engine
	sec     tai.Time // last second fed
	epoch   uint32
	begun   bool // the reference was usable once
	locked  bool // the clock was locked once
	toldAt  int64
	clock   Clock // in Observe
	retryAt int64
	stats   atomic.Pointer[FollowerStats]
}

// FollowerStats is a copy of a Follower's state.
type FollowerStats struct {
	Stats              // of its engine
	OffsetNS   float64 // clock - reference now, + = clock fast
	Compared   bool    // OffsetNS means something
	Bound      time.Duration
	Observed   bool // nothing is steered: the engine's state says nothing
	Contested  bool
	ToldKernel uint64 // how often the kernel was told the quality
}

// NewFollower returns a Follower. Nothing is opened yet.
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	if cfg.Mono == nil || cfg.Reference == nil || cfg.Open == nil && cfg.Guard == nil {
		return nil, errors.New("follower needs Mono, Open and Reference")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("follower", cfg.Name)
	d := &cfg.Discipline
	if cfg.Kind == status.SystemClock && d.StepOver == 0 {
		d.StepOver = time.Millisecond
	}
	if cfg.Kind == status.SystemClock && d.Systematic == 0 {
		d.Systematic = 100 * time.Nanosecond // reading it: an interrupt shifts both ends of a bracket
	}
	if cfg.Steps == StepNever {
		d.StepOver = 499 * time.Millisecond // whole seconds cannot be slewed
	}
	if d.SlewWithin == 0 {
		d.SlewWithin = max(10*d.StepOver, time.Millisecond)
	}
	if d.MaxSlewPPB == 0 {
		d.MaxSlewPPB = 400e3
	}
	if d.Limit == 0 {
		d.Limit = 10 * time.Millisecond // beyond it the kernel is told "not synchronised"
	}
	f := &Follower{cfg: cfg}
	var err error
	f.eng, err = New(Config{
		Mono: cfg.Mono, Slept: cfg.Slept, Open: f.open, Publish: func(*status.Snapshot) {}, Kind: cfg.Kind, ClockName: cfg.Name, Pulse: "phc", Receiver: "phc",
		Discipline: cfg.Discipline, Learned: cfg.Learned, Log: cfg.Log, said: "follower state",
	})
	f.stats.Store(&FollowerStats{})
	return f, err
}

// Name returns the clock's name as configured.
func (f *Follower) Name() string { return f.cfg.Name }

// Stats returns the latest state.
func (f *Follower) Stats() *FollowerStats { return f.stats.Load() }

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	defer f.close()
	for {
		f.Tick()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Ready says that it is ready at once: a missing clock is no reason not to
// start.
func (f *Follower) Ready() <-chan struct{} { return nil }

// String names the task in logs.
func (f *Follower) String() string { return "follower " + f.cfg.Name }

// Tick does what is due. It is to be called four times a second.
func (f *Follower) Tick() {
	s, now := f.cfg.Reference(), f.cfg.Mono()
	usable := s.Usable(now)
	if f.cfg.Observe {
		f.observe(s, now, usable)
		return
	}
	if !f.begun && !usable {
		return // nothing to follow yet: the clock is not touched
	}
	if f.begun && f.epoch != s.Epoch && f.eng.ctl != nil {
		f.eng.ctl.Reset(now) // the reference was stepped
		f.eng.doubted = ""
	}
	f.begun, f.epoch = true, s.Epoch
	f.doubt(usable)
	f.eng.Tick()
	if sec := s.ClockAt(now).Floor(); usable && sec > f.sec && f.eng.clock != nil {
		d := float64(s.ClockAt(now) - sec)
		f.sec = sec
		f.eng.Second(sec, now-int64(math.Round(d/(1+s.RatePPB*1e-9))), 2*s.LineErr)
	}
	f.publish(s)
	if f.cfg.Guard != nil && f.eng.clock != nil && now-f.toldAt >= int64(time.Second)-int64(tick)/2 {
		f.toldAt = now
		f.tell(s)
	}
}

// doubt passes on that the reference may not be used.
func (f *Follower) doubt(usable bool) {
	why := ""
	if !usable {
		why = reason.ReferenceUnusable.String()
	}
	if f.eng.outer != why {
		f.eng.outer = why
		if why != "" {
			f.eng.refuse(reason.ReferenceUnusable, nil)
		}
	}
}

// publish makes the state of now.
func (f *Follower) publish(s *status.Snapshot) {
	now := f.cfg.Mono()
	st := &FollowerStats{Stats: *f.eng.Stats(), ToldKernel: f.stats.Load().ToldKernel}
	own := &st.Snapshot
	f.locked = f.locked || own.State == status.Locked
	st.Contested = f.eng.clock == nil && f.eng.away == reason.ClockContested
	st.Bound = math.MaxInt64
	if f.eng.clock != nil && f.eng.line.ok && s.Usable(now) {
		st.OffsetNS, st.Compared = float64(own.ClockAt(now)-s.ClockAt(now)), true
	}
	if f.eng.clock != nil {
		st.Bound = sum(own.BoundAt(now), s.BoundAt(now))
	}
	f.stats.Store(st)
}

// tell tells the kernel of the system clock's quality.
func (f *Follower) tell(s *status.Snapshot) {
	now, st := f.cfg.Mono(), f.stats.Load()
	own := &st.Snapshot
	t := s.ClockAt(now)
	q := phc.Quality{MaxError: st.Bound, EstError: time.Duration(own.NoiseNS), Leap: s.LeapIndicator(t), TAI: s.OffsetAt(t)}
	q.Synced = (own.State == status.Locked || own.State == status.Holdover) && st.Bound <= own.Limit
	if s.NearLeap(t, 2*time.Second) || s.RefTime == 0 {
		q.TAI = 0 // the kernel changes it itself when it inserts the second
	}
	switch err := f.cfg.Guard.Tell(q); {
	case err == nil:
		st.ToldKernel++
	case gone(err):
		f.eng.lose(err)
	default:
		f.eng.refuse(reason.ClockDenied, err)
	}
}

// open opens the clock for the engine.
func (f *Follower) open() (Clock, error) {
	if f.cfg.Guard == nil {
		c, err := f.cfg.Open()
		if err != nil {
			return nil, err
		}
		return &gated{c, f}, nil
	}
	ok, err := f.cfg.Guard.Calm()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errWatching
	}
	s := f.cfg.Reference()
	if !s.Usable(f.cfg.Mono()) {
		return nil, errWatching
	}
	if err := f.cfg.Guard.Own(s.OffsetAt(s.ClockAt(f.cfg.Mono()))); err != nil {
		return nil, err
	}
	return &gated{f.cfg.Guard, f}, nil
}

// errWatching says that a clock is not opened yet, without any trouble.
var errWatching = errors.New("watching the clock before it is steered")

// gated is a clock that may be stepped only as the policy allows.
type gated struct {
	Clock
	f *Follower
}

// Step steps if it may.
func (g *gated) Step(d time.Duration) error {
	if p := g.f.cfg.Steps; p == StepNever || p == StepStart && g.f.locked {
		return fmt.Errorf("%w: %v", ErrStepPolicy, d)
	}
	return g.Clock.Step(d)
}

// Close closes the clock, but not the guarded one, which is never closed.
func (g *gated) Close() error {
	closeClock(g.Clock)
	return nil
}

// observe compares without steering.
func (f *Follower) observe(s *status.Snapshot, now int64, usable bool) {
	if f.clock == nil {
		if now < f.retryAt {
			return
		}
		c, err := f.cfg.Open()
		if err != nil {
			f.retryAt = now + int64(15*time.Second)
			f.eng.refuse(reason.ClockMissing, err)
			return
		}
		f.clock = c
	}
	st := &FollowerStats{Bound: math.MaxInt64, Observed: true}
	x, err := f.clock.Cross()
	switch {
	case err != nil:
		f.eng.refuse(reason.ClockRead, err)
		if gone(err) {
			f.close()
			f.retryAt = now + int64(time.Second)
		}
	case usable:
		st.OffsetNS, st.Compared = float64(x.Clock-s.ClockAt(x.Mono)), true
		st.Bound = sum(time.Duration(math.Abs(st.OffsetNS))+x.Width/2, s.BoundAt(x.Mono))
	}
	st.Stats = *f.eng.Stats()
	for i := range st.Counts {
		st.Counts[i] = f.eng.counts[i].Load()
	}
	f.stats.Store(st)
}

func (f *Follower) close() {
	f.eng.close()
	if f.clock != nil {
		closeClock(f.clock)
		f.clock = nil
	}
}

// sum adds bounds, of which any may be "nothing is claimed".
func sum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
