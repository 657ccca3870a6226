package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/daemon"
	"noonmark/internal/doctor"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/version"
	"noonmark/internal/witnesses"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/export"
	"noonmark/refclock/gnss"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/recording"
	"noonmark/refclock/report"
	"noonmark/refclock/sim"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
)

// Queue lengths. The engine handles an edge or a message in microseconds; what
// waits longer than about a second is too old to be of use.
const (
	edgeQueue    = 8
	messageQueue = 128
)

// parts is the assembled daemon.
type parts struct {
	settings *refclockd.Settings // as started
	last     *refclockd.Settings // as reloaded last
	log      *slog.Logger
	earlier  report.Earlier
	site     *site.Site
	engine   *refclock.Engine // of the site
	virtual  *sim.Live        // nil: real hardware
	realtime *clock.Realtime  // nil: another clock is steered
	tasks    []daemon.Task
	states   daemon.States
	history  *observe.History
}

// assemble makes all parts from the settings. Nothing runs yet, and no device
// is open but the pseudo-terminal of a simulation.
func assemble(s *refclockd.Settings, publish func(*status.Snapshot), earlier report.Earlier, log *slog.Logger) (*parts, error) {
	p := &parts{settings: s, last: s, log: log, earlier: earlier}
	device := s.Receiver.Device
	if s.Clock.Source == "sim" {
		var err error
		if p.virtual, err = newVirtual(s, &p.earlier); err != nil {
			return nil, err
		}
		p.tasks = append(p.tasks, daemon.Vital(p.virtual))
		if d := p.virtual.Device(); d != "" {
			device = d
		}
	}
	if err := p.connect(device, publish); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// connect makes the engine, its inputs, and what works from its snapshots.
func (p *parts) connect(device string, publish func(*status.Snapshot)) error {
	s, log := p.settings, p.log
	edges, messages, compared := make(chan pps.Edge, edgeQueue), make(chan *gnss.Message, messageQueue), make(chan pps.ComparedEdge, edgeQueue)
	leaps := newLeapTable(s.LeapTables[0])
	state := learnedFile(s)
	learned, sensor := state.LoadLogged(log), oscillator.NewThermometer(s.Oscillator.Temperature, phc.MonoRaw, log)

	cfg := s.SiteConfig(device)
	rx, e := &cfg.Receiver, &cfg.Engine
	rx.Log, rx.Message = log, receiver.Queue(messages, func() { p.site.Count(reason.MessageQueue) })
	refclockd.Continue(e, s, learned, p.earlier)
	if s.Clock.Source == "system" {
		var err error
		if p.realtime, publish, err = newRealtime(leaps, e.Before, publish); err != nil {
			return err
		}
	}
	e.Mono, e.Slept, e.Open, e.Log = phc.MonoRaw, phc.Slept, p.openClock(leaps), log
	e.Publish = func(s *status.Snapshot) { publish(s); p.history.Published(s) }
	e.Leaps = func(t *tai.Table) { leaps.Store(t) }
	e.Compared, e.Temperature, e.SystemDisciplined = compared, sensor.Celsius, systemClockKept(s)
	store := newStore(s, log)
	if store != nil {
		cfg.Recorder = recording.NewRecorder(store, version.Text("refclockd"))
	}
	var err error
	if p.site, err = site.New(cfg); err != nil {
		return err
	}
	p.engine = p.site.Engine
	eng, source := p.engine, &pulseSource{site: p.site}
	port := &receiver.Port{
		Session: p.site.Receiver, Mono: phc.MonoRaw,
		Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(device, rx.Rates[0]) },
		Users: func() (u receiver.Users) {
			u.Programs, u.Console = doctor.PortUsers(device)
			return u
		},
	}
	pulses := p.newPulses(edges, source, p.site.Count)
	exports, err := newExports(s, eng.Snapshot, log)
	if err != nil {
		return err
	}
	followers, savers, err := newFollowers(s, eng.Snapshot, leaps, log)
	if err != nil {
		return err
	}
	asking := witness.Config{Engine: eng, Mono: phc.MonoRaw, Slept: phc.Slept, Log: log}
	if store != nil {
		asking.Tap = cfg.Recorder
	}
	asked, err := newWitnesses(s, asking)
	if err != nil {
		return err
	}
	fleet := newFleet(s, asking)
	watched := &observe.Sources{
		Mono: phc.MonoRaw, Report: eng.Report, Receiver: port, Pulses: pulses, Undelivered: source.undelivered, Sensor: sensor,
		Exports: exports, Followers: followers, Witnesses: asked, Fleet: fleet, Recording: store,
	}
	if p.history, err = newHistory(s, watched, &p.states, log); err != nil {
		return err
	}
	watched.History = p.history
	reg := prometheus.NewRegistry()
	reg.MustRegister(&p.states, observe.NewReferenceMetrics(watched))

	p.tasks = append(p.tasks, daemon.Vital(&engineTask{eng, edges, messages}), port, daemon.OnSignal("relock", syscall.SIGUSR1, eng.Relock))
	p.tasks = appendIf(p.tasks, pulses != nil, pulses)
	p.tasks = appendAll(p.tasks, newCompared(s, compared, eng.Count, log))
	p.tasks = appendIf(p.tasks, sensor != nil, sensor)
	p.tasks = appendIf(p.tasks, state.Path != "", oscillator.NewSaver(state, func() discipline.Learned { return eng.Report().Learned }, log))
	p.tasks = appendAll(p.tasks, exports)
	p.tasks = appendAll(p.tasks, followers)
	p.tasks = appendAll(p.tasks, savers)
	p.tasks = appendIf(p.tasks, asked != nil, asked)
	p.tasks = appendIf(p.tasks, fleet != nil, fleet)
	p.tasks = appendIf(p.tasks, store != nil, store)
	p.tasks = append(p.tasks, observe.NewDetails(s.RuntimeDir, watched.Read, log), p.history, daemon.NewMetrics(s.Metrics, s.Place, reg))
	return nil
}

// newHistory makes the task that keeps measurements and events.
func newHistory(s *refclockd.Settings, watched *observe.Sources, states *daemon.States, log *slog.Logger) (*observe.History, error) {
	c := observe.HistoryConfig{
		MaxSize: int64(s.History.MaxSize) << 20, Program: version.Text("refclockd"), Report: watched.Report, Read: watched.Brief,
		Tasks: states.List, Mono: watched.Mono, Now: time.Now, Log: log,
		Serving: observe.DefaultServing,
	}
	c.Dir, c.Memory = s.HistoryDir()
	for _, w := range s.Servers {
		c.Witnesses = append(c.Witnesses, w.Name)
	}
	for _, f := range watched.Followers {
		c.Followers = append(c.Followers, f.Name())
	}
	for _, x := range s.CompareConfigs() {
		c.Compared = append(c.Compared, x.Name)
	}
	return observe.NewHistory(c)
}

// newStore makes the task that writes the recording; nil without one.
func newStore(s *refclockd.Settings, log *slog.Logger) *recording.Store {
	if s.Record == "" {
		return nil
	}
	return recording.NewStore(recording.Options{Dir: s.Record, Limit: int64(s.RecordLimit) << 20, Log: log})
}

// newWitnesses makes the task that asks other time servers; nil without any.
func newWitnesses(s *refclockd.Settings, c witness.Config) (*witness.Task, error) {
	servers, err := witnesses.New(s.Servers)
	if len(servers) == 0 || err != nil {
		return nil, err
	}
	return witness.New(c, servers), nil
}

// newFleet makes the task of what a fleet sets; nil without a file of it.
func newFleet(s *refclockd.Settings, c witness.Config) *witnesses.Fleet {
	if s.Fleet == "" {
		return nil
	}
	return witnesses.NewFleet(witnesses.FleetConfig{Path: s.Fleet, Local: len(s.Witness) > 0, Of: c.Engine, Mono: c.Mono, Slept: c.Slept, Tap: c.Tap, Log: c.Log})
}

// appendIf appends a task that may not be configured.
func appendIf(tasks []daemon.Task, configured bool, t daemon.Task) []daemon.Task {
	if configured {
		tasks = append(tasks, t)
	}
	return tasks
}

// appendAll appends tasks of one kind.
func appendAll[T daemon.Task](tasks []daemon.Task, more []T) []daemon.Task {
	for _, t := range more {
		tasks = append(tasks, t)
	}
	return tasks
}

// newExports makes the tasks that hand the clock to other programs.
func newExports(s *refclockd.Settings, snapshot func() *status.Snapshot, log *slog.Logger) ([]*export.Task, error) {
	x := s.Export
	if !x.Any() {
		return nil, nil
	}
	sys, err := phc.OpenSystem(func(int64) int { return 0 })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	return export.Tasks(
		export.Targets{ChronySock: x.ChronySock, SHMUnit: x.SHMUnit, PTP4L: export.PTP4LConfig{
			Path: x.PTP4L, Dir: s.RuntimeDir, Domain: uint8(x.PTP4LDomain), TransportSpecific: x.TransportSpecific, HoldoverClass: uint8(x.HoldoverClass),
		}},
		export.Source{Snapshot: snapshot, Cross: sys.Cross, Mono: phc.MonoRaw}, log), nil
}

// close ends what assemble opened.
func (p *parts) close() {
	if p.virtual != nil {
		p.virtual.Close()
	}
}

// reload reads the file again and takes over what a running daemon can.
func (p *parts) reload(path string) error {
	err := p.takeOver(path)
	p.history.Reloaded(err)
	return err
}

func (p *parts) takeOver(path string) error {
	n, err := refclockd.Load(path)
	if err != nil {
		return err
	}
	for _, w := range n.Warnings {
		p.log.Warn(w)
	}
	if err := daemon.SetLevel(p.log, n.Log); err != nil {
		return err
	}
	refclockd.KeepTables(n, p.last)
	p.engine.Set(n.EngineSettings())
	n.Changes(p.settings).Since(n.Changes(p.last)).Logged(p.log)
	p.last = n
	return nil
}

// stuckAfter is the age of the engine's last snapshot beyond which the watchdog
// is not fed: the engine publishes four times a second.
const stuckAfter = 5 * time.Second

// alive reports an engine that publishes nothing.
func (p *parts) alive() error {
	if age := time.Duration(phc.MonoRaw() - p.engine.Report().Snapshot.Mono); age > stuckAfter {
		return fmt.Errorf("engine has published nothing for %v", age.Round(time.Second))
	}
	return nil
}

// describe describes the clock for the service manager's status line.
func (p *parts) describe() string { return report.Headline(&p.engine.Report().Snapshot, phc.MonoRaw()) }

// learnedFile is where the oscillator's learned state is kept. A simulated clock
// is another one each time, and "none" is only watched: neither has a file.
func learnedFile(s *refclockd.Settings) oscillator.File {
	if s.Clock.Source != "phc" && s.Clock.Source != "system" {
		return oscillator.File{}
	}
	return oscillator.ReferenceFile(s.StateDir, s.ClockName())
}

// engineTask is the engine with its channels.
type engineTask struct {
	*refclock.Engine
	edges    <-chan pps.Edge
	messages <-chan *gnss.Message
}

// Run disciplines until ctx ends.
func (t *engineTask) Run(ctx context.Context) error { return t.Engine.Run(ctx, t.edges, t.messages) }

// leapTable is the table of leap seconds in force.
type leapTable struct{ atomic.Pointer[tai.Table] }

func newLeapTable(t *tai.Table) *leapTable {
	l := new(leapTable)
	l.Store(t)
	return l
}

// at returns TAI - UTC in s at an instant.
func (l *leapTable) at(t tai.Time) int { return l.Load().Offset(t) }

// offset returns TAI - UTC in s for a reading of CLOCK_REALTIME in ns.
func (l *leapTable) offset(real int64) int { return l.Load().OffsetUTC(real / 1e9) }
