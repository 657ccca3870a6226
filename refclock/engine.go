// Package refclock turns a receiver's messages and pulses into a disciplined
// clock and says at every moment how good that clock is. The Engine is the one
// owner of the clock; Port and Pulses bring it what the hardware says.
package refclock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/incident"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/refclock/steer"
)

// Config describes an Engine. Mono, Open and Publish are required.
type Config struct {
	Mono    func() int64           // CLOCK_MONOTONIC_RAW, ns
	Slept   func() time.Duration   // how long the machine has slept: CLOCK_BOOTTIME - CLOCK_MONOTONIC; nil: it never does
	Open    clock.Opener           // called until it succeeds, and again after the clock vanished
	Publish func(*status.Snapshot) // called by the engine's goroutine, at least four times a second
	Leaps   func(*tai.Table)       // called when a receiver announced a leap second; may be nil
	Stepped func(time.Duration)    // called after each step of the clock, ours or another's, + = forward (pps.ExtTS.Stepped); may be nil

	Kind       status.ClockKind
	ClockName  string // as configured, for people
	Pulse      string
	Receiver   string
	RefID      [4]byte
	Stratum    uint8 // told while locked or in holdover; default 1
	Discipline discipline.Config
	Learned    discipline.Learned // of an earlier run, if OK
	Settings   Settings
	Compare    []pps.CompareConfig     // pulses that are only compared
	Compared   <-chan pps.ComparedEdge // their edges; may be nil

	// Temperature returns the latest reading of a sensor near the oscillator,
	// degrees Celsius, and the CLOCK_MONOTONIC_RAW (ns) at which it was taken, 0
	// before the first. It must not wait. nil: there is no sensor.
	Temperature func() (celsius float64, mono int64)

	// Integrity says what speaks against the reference. Its OwnCrystal follows from
	// Kind.
	Integrity integrity.Config
	// ProveLeap: the first lock on a receiver that labels UTC without announcing its
	// leap count, as plain NMEA does, waits until other evidence confirms the second,
	// for 13 min at most: by then it must have received the count. Else only a
	// receiver waits that had no fix when it was first heard, or that a disciplined
	// system clock contradicts.
	ProveLeap bool

	// SystemDisciplined reports whether another program disciplines CLOCK_REALTIME
	// to better than 50 ms. Then it may contradict a receiver by whole seconds, and a
	// pulse by its width, before the first lock. nil: not known.
	SystemDisciplined func() bool

	// WanderPPB is what CLOCK_MONOTONIC_RAW may wander against the clock while
	// nobody compares them: it makes the bound grow when the daemon is gone.
	// Default 5 ppb.
	WanderPPB float64
	Log       *slog.Logger // default: discards
}

// Settings are what can be changed while the engine runs.
type Settings struct {
	Table      *tai.Table    // leap seconds; default tai.Builtin
	Tables     []*tai.Table  // further tables of them, in order of trust
	Bias       time.Duration // lateness of the pulses: interrupt, receiver
	Cable      time.Duration // delay of the antenna cable
	NoSawtooth bool          // announced quantisation errors are not applied
}

// tables returns the tables of leap seconds in their order of trust.
func (s *Settings) tables() []*tai.Table {
	if s.Table == nil {
		return append([]*tai.Table{tai.Builtin()}, s.Tables...)
	}
	return append([]*tai.Table{s.Table}, s.Tables...)
}

// tick is how often the clock is read and a snapshot published at least. A reader
// counts with the bound's growth since: what is promised hangs on it.
const tick = 200 * time.Millisecond

// learnEvery is how often what was learned is copied for those who keep it.
const learnEvery = time.Second

// Engine owns one clock. Run is for one goroutine; Edge, Message and Tick are
// what it calls, and are for that goroutine or a simulation's loop. Report may
// be called by anybody.
type Engine struct {
	cfg  Config
	set  Settings
	log  *slog.Logger
	loop *steer.Loop // the clock and its discipline

	state     status.State
	reason    string
	stated    bool // state and reason were logged
	quant     pps.Quantisation
	quantSign float64

	leap      *leap.Authority
	integrity *integrity.Judge
	grid      atomic.Int64      // where in the clock's second a disciplined system clock's begins, ns plus 1; 0 = not known
	halfAt    atomic.Int64      // mono at which the pulse's edges could not be told apart, 0 = never
	compare   []*pps.Comparator // pulses that are only compared

	msgs, badMsgs uint64
	msgMono       int64
	label         integrity.Label // the latest valid one
	recv          report.Receiver
	learned       discipline.Learned
	learnedAt     int64
	warmAt        int64 // mono of the last temperature
	incidents     *incident.Log
	snap          status.Snapshot
	report        atomic.Pointer[report.Report]
	settings      chan Settings
	alarms        chan integrity.Alarm
	ready         chan struct{}
}

// New returns an engine. Nothing is opened yet.
func New(cfg Config) (*Engine, error) {
	if cfg.Mono == nil || cfg.Open == nil || cfg.Publish == nil {
		return nil, errors.New("engine needs Mono, Open and Publish")
	}
	if err := cfg.Discipline.Check(); err != nil {
		return nil, err
	}
	if cfg.Stratum == 0 {
		cfg.Stratum = 1
	}
	if cfg.WanderPPB == 0 {
		cfg.WanderPPB = 5
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, log: cfg.Log, settings: make(chan Settings, 1), alarms: make(chan integrity.Alarm, 1), ready: make(chan struct{}), quantSign: 1, leap: leap.New(cfg.Settings.tables(), cfg.ProveLeap)}
	// The system clock runs on the crystal of CLOCK_MONOTONIC_RAW. Stamps by
	// CLOCK_REALTIME are carried to raw over their age only, so a program that slews
	// it moves them by less than their noise.
	cfg.Integrity.OwnCrystal = cfg.Kind == status.PHCClock || cfg.Kind == status.SimClock
	e.integrity = integrity.New(cfg.Integrity)
	for _, c := range cfg.Compare {
		e.compare = append(e.compare, pps.NewComparator(c))
	}
	e.incidents = incident.New(cfg.Mono, cfg.Log)
	e.loop = steer.New(clock.Config{
		Mono: cfg.Mono, Suspended: cfg.Slept, Open: cfg.Open, System: cfg.Kind == status.SystemClock, Unsettled: e.publish,
	}, cfg.Discipline, cfg.Learned)
	e.apply(cfg.Settings)
	e.report.Store(&report.Report{})
	return e, nil
}

func (e *Engine) apply(s Settings) {
	// Later pulses were taken for earlier by the old corrections.
	if d := e.set.Bias + e.set.Cable - s.Bias - s.Cable; d != 0 {
		e.loop.Control.Shift(float64(d), e.cfg.Mono())
		e.integrity.Break()
		e.log.Info("pulse correction changed", "offsets_move_by", d)
	}
	e.set = s
	e.changed(e.leap.SetTables(s.tables(), e.clocks(e.cfg.Mono())))
}

// Set changes the settings while Run runs. The latest wins.
func (e *Engine) Set(s Settings) {
	for {
		select {
		case e.settings <- s:
			return
		default:
		}
		select {
		case <-e.settings:
		default:
		}
	}
}

// Alarm reports from outside that the reference is not to be trusted, and why;
// the zero value ends it. The latest wins.
func (e *Engine) Alarm(a integrity.Alarm) {
	for {
		select {
		case e.alarms <- a:
			return
		default:
		}
		select {
		case <-e.alarms:
		default:
		}
	}
}

// Reference returns what witnesses are compared with.
func (e *Engine) Reference() integrity.Reference {
	r := e.Report()
	return integrity.Reference{Snapshot: &r.Snapshot, Label: r.Label, Begun: r.Begun, Table: r.Table}
}

// Report returns the latest state.
func (e *Engine) Report() *report.Report { return e.report.Load() }

// Snapshot returns the latest snapshot. Between a sleep of the machine and the
// engine's noticing it, that is one of no use. It is not changed any more.
func (e *Engine) Snapshot() *status.Snapshot {
	s := &e.Report().Snapshot
	if e.cfg.Slept == nil || !s.Outslept(e.cfg.Slept()) {
		return s
	}
	t := *s
	t.State, t.Reason, t.Stratum, t.Bound = status.Unlocked, reason.ClockSlept.String(), 16, math.MaxInt64
	return &t
}

// Grid tells pps.ExtTS where in the clock's second the pulse is expected: at its
// beginning, while the clock is known to be right; before that, where a system
// clock that others keep has it.
func (e *Engine) Grid() (phase time.Duration, ok bool) {
	if e.Snapshot().Usable(e.cfg.Mono()) {
		return 0, true
	}
	g := e.grid.Load()
	return time.Duration(g - 1), g != 0
}

// Ready is closed when the first snapshot has been published.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// String names the task in logs.
func (e *Engine) String() string { return "engine" }

// Count counts a Reason on behalf of Port and Pulses.
func (e *Engine) Count(r reason.Code) {
	e.incidents.Count(r)
	if r == reason.PulseAmbiguous {
		e.halfAt.Store(e.cfg.Mono())
	}
}

// Run disciplines the clock until ctx ends. The channels may be nil: then
// nothing comes from there.
func (e *Engine) Run(ctx context.Context, edges <-chan pps.Edge, msgs <-chan *gnss.Message) error {
	defer e.loop.Clock.Close()
	t := time.NewTicker(tick)
	defer t.Stop()
	e.Tick()
	close(e.ready)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case x := <-edges:
			e.wake()
			e.Edge(x)
		case x := <-e.cfg.Compared:
			e.wake()
			e.Compare(x.Index, x.Edge)
		case m := <-msgs:
			e.wake()
			e.Message(m)
		case s := <-e.settings:
			e.apply(s)
		case a := <-e.alarms:
			e.outside(a)
		case <-t.C:
			e.Tick()
		}
	}
}

// Tick reads the clock, lets the discipline notice what did not come, and
// publishes. It opens the clock where there is none.
func (e *Engine) Tick() {
	e.wake()
	now := e.cfg.Mono()
	e.loop.Clock.Maintain(now)
	e.happened(e.loop.Events())
	select {
	case a := <-e.alarms: // in a simulation Run does not listen
		e.outside(a)
	default:
	}
	e.changed(e.leap.Tick(e.clocks(now)))
	e.judge()
	if e.loop.Clock.Available() {
		_, ok := e.loop.Clock.Read()
		e.happened(e.loop.Events())
		if ok {
			now = max(now, e.loop.Clock.Anchor())
			e.warm()
			e.act(e.loop.Control.Tick(now, e.loop.Clock.At(now)))
			if now-e.learnedAt >= int64(learnEvery) && e.loop.Control.Status().ServoState == status.Locked {
				e.learned, e.learnedAt = e.loop.Control.Export(), now
			}
		}
	}
	e.publish()
}

// wake looks whether the machine was suspended.
func (e *Engine) wake() {
	e.loop.Clock.CheckSuspend()
	e.happened(e.loop.Events())
}

// warm hands a new reading of the oscillator's temperature to the discipline.
func (e *Engine) warm() {
	if e.cfg.Temperature == nil {
		return
	}
	if c, mono := e.cfg.Temperature(); mono > e.warmAt {
		e.warmAt = mono
		e.loop.Control.Temperature(c, mono)
	}
}

var _ fmt.Stringer = (*Engine)(nil)
