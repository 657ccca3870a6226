// Package refclock turns a receiver's messages and pulses into a disciplined
// clock and publishes at every moment how good that clock is. The Engine owns the
// clock. It calls the rooms below and is the only one that counts, logs and
// publishes.
package refclock

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
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
	Mono    func() int64           `json:"-"` // CLOCK_MONOTONIC_RAW, ns
	Slept   func() time.Duration   `json:"-"` // how long the machine was suspended: CLOCK_BOOTTIME - CLOCK_MONOTONIC; nil: never
	Open    clock.Opener           `json:"-"` // called until it succeeds, and again after the clock vanished
	Publish func(*status.Snapshot) `json:"-"` // called by the engine's goroutine, at least four times a second
	Leaps   func(*tai.Table)       `json:"-"` // called when a receiver announced a leap second; may be nil
	Stepped func(time.Duration)    `json:"-"` // called after each step of the clock, ours or another's, + = forward (pps.ExtTS.Stepped); may be nil

	Kind       status.ClockKind
	ClockName  string // as configured, for people
	Pulse      string
	Receiver   string
	RefID      [4]byte
	Stratum    uint8 // while locked or in holdover; default 1
	Discipline discipline.Config
	Learned    discipline.Learned // of an earlier run, if OK
	Before     *status.Snapshot   // the last one of an earlier run, of the same clock and boot; nil: none
	BeforeLock report.LockDetails // of that run
	Settings   Settings
	Compare    []pps.CompareConfig     // pulses that are only compared
	Compared   <-chan pps.ComparedEdge `json:"-"` // their edges; may be nil

	// Temperature returns the latest reading of a sensor near the oscillator,
	// degrees Celsius, and the CLOCK_MONOTONIC_RAW (ns) at which it was taken, 0
	// before the first. It must not wait. nil: there is no sensor.
	Temperature func() (celsius float64, mono int64) `json:"-"`

	// Integrity says what raises an alarm against the reference. Its OwnCrystal
	// follows from Kind.
	Integrity integrity.Config
	// Proof says what evidence of the receiver's leap count the first lock waits for.
	Proof leap.Proof
	// SystemOwn: unless another program disciplines it, CLOCK_REALTIME may have been
	// set by this receiver, through us or a program that we feed, before this boot.
	// Then it confirms nothing.
	SystemOwn bool
	// SystemSet: this program sets CLOCK_REALTIME, itself or by another one that it
	// gives its time.
	SystemSet bool
	// Continued: an earlier run of this program was locked in this boot.
	Continued bool

	// SystemDisciplined reports whether another program disciplines CLOCK_REALTIME
	// to better than 50 ms. Then it may contradict a receiver by whole seconds, and a
	// pulse by its width, before the first lock. nil: not known.
	SystemDisciplined func() bool `json:"-"`

	// WanderPPB is what CLOCK_MONOTONIC_RAW may wander against the clock while
	// nobody compares them: it makes the bound grow when the daemon is gone.
	// Default 5 ppb.
	WanderPPB float64
	Log       *slog.Logger `json:"-"` // default: discards
	Recorder  Recorder     `json:"-"` // may be nil
}

// fill checks the configuration and fills in defaults.
func (cfg *Config) fill() error {
	if cfg.Mono == nil || cfg.Open == nil || cfg.Publish == nil {
		return errors.New("engine needs Mono, Open and Publish")
	}
	if err := cfg.Discipline.Check(); err != nil {
		return err
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
	if cfg.SystemDisciplined == nil {
		cfg.SystemDisciplined = func() bool { return false }
	}
	if cfg.Leaps == nil {
		cfg.Leaps = func(*tai.Table) {}
	}
	if cfg.Stepped == nil {
		cfg.Stepped = func(time.Duration) {}
	}
	// The system clock runs on the crystal of CLOCK_MONOTONIC_RAW. Stamps by
	// CLOCK_REALTIME are carried to raw over their age only, so a program that slews
	// it moves them by less than their noise.
	cfg.Integrity.OwnCrystal = cfg.Kind == status.PHCClock || cfg.Kind == status.SimClock
	return nil
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

// tick is how often the clock is read and a snapshot published at least. Readers
// add the bound's growth since the last snapshot.
const tick = 200 * time.Millisecond

// Engine owns one clock. Run is for one goroutine; Edge, Message, Compare and Tick
// are what it calls, and are for that goroutine or for a simulation's loop. Count
// and the methods of publisher and inbox are for any goroutine.
type Engine struct {
	*publisher
	inbox
	cfg    Config
	around *surroundings

	loop      *steer.Loop // the clock and its discipline
	leap      *leap.Authority
	integrity *integrity.Judge
	pulse     *pps.Correction
	compared  []*pps.Comparator // pulses that are only compared

	ambiguousAt atomic.Int64 // CLOCK_MONOTONIC_RAW at which the pulse's edges could not be distinguished; 0 = not since the last tick
	sensorMono  int64        // mono of the last temperature
}

// New returns an engine. Nothing is opened yet.
func New(cfg Config) (*Engine, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	around := &surroundings{read: cfg.Mono, openDevice: cfg.Open, disciplined: cfg.SystemDisciplined}
	around.advance()
	cfg.Mono, cfg.Open, cfg.SystemDisciplined = around.mono, around.open, around.systemDisciplined
	e := &Engine{
		cfg: cfg, around: around, publisher: newPublisher(&cfg), pulse: pps.NewCorrection(),
		leap: leap.New(cfg.Settings.tables(), cfg.Proof, leap.Earlier{Leaps: leapsBefore(cfg.Before), Applied: cfg.BeforeLock.AppliedS}), integrity: integrity.New(cfg.Integrity),
		inbox: newInbox(),
	}
	for _, c := range cfg.Compare {
		e.compared = append(e.compared, pps.NewComparator(c))
	}
	e.loop = steer.New(clock.Config{
		Mono: cfg.Mono, Suspended: cfg.Slept, Open: cfg.Open, System: cfg.Kind == status.SystemClock, Unsettled: e.publish, Before: BeforeOf(cfg.Before),
	}, cfg.Discipline, cfg.Learned)
	if h, ok := inherited(&cfg); ok {
		e.loop.Control.Inherit(h)
	}
	e.apply(cfg.Settings)
	around.recorder = cfg.Recorder
	return e, nil
}

// Count counts a reason on behalf of the receiver's port and the pulse reader.
func (e *Engine) Count(c reason.Code) {
	e.incidents.Count(c)
	if c == reason.PulseAmbiguous {
		e.ambiguousAt.Store(e.cfg.Mono())
	}
}

// String names the task in logs.
func (e *Engine) String() string { return "engine" }

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
			e.Edge(x)
		case x := <-e.cfg.Compared:
			e.Compare(x.Index, x.Edge)
		case m := <-msgs:
			e.Message(m)
		case s := <-e.settings:
			e.Take(Input{Settings: &s})
		case <-t.C:
			e.Tick()
		case a := <-e.alarms:
			e.Take(Input{Alarm: &a})
		case d := <-e.confirms:
			e.Take(Input{Confirmed: &d})
		case <-e.relocks:
			e.Take(Input{Relock: true})
		case c := <-e.port:
			e.Take(Input{Port: &c})
		}
	}
}

// Take takes an input of any kind.
func (e *Engine) Take(in Input) {
	switch {
	case in.Message != nil:
		e.Message(in.Message)
		return
	case in.Edge != nil:
		e.Edge(*in.Edge)
		return
	case in.Compared != nil:
		e.Compare(in.Compared.Index, in.Compared.Edge)
		return
	case in == Input{}:
		e.Tick()
		return
	}
	defer e.begin(in)()
	switch {
	case in.Settings != nil:
		e.apply(*in.Settings)
	case in.Alarm != nil:
		e.outside(*in.Alarm)
	case in.Confirmed != nil:
		e.loop.Control.Confirm(float64(*in.Confirmed), e.cfg.Mono())
	case in.Port != nil:
		e.conditions(*in.Port)
	case in.Relock:
		e.discarded()
		e.leap.Relock()
		e.loop.Control.Reset(e.cfg.Mono())
	}
}

// begin begins an input, and looks whether the machine was suspended. The input ends
// with a call of end.
func (e *Engine) begin(in Input) (end func()) {
	e.around.begin(&in)
	e.loop.Clock.CheckSuspend()
	e.happened(e.loop.Events())
	return e.around.end
}

// apply takes new settings.
func (e *Engine) apply(s Settings) {
	if grow := e.pulse.Set(s.Bias+s.Cable, s.NoSawtooth); grow != 0 {
		e.loop.Control.Shift(float64(grow), e.cfg.Mono())
		e.integrity.Break()
		e.cfg.Log.Info("pulse correction changed", "offsets_move_by", grow)
	}
	e.carryOut(e.leap.SetTables(s.tables(), e.clocks(e.cfg.Mono())))
}
