package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/pps"
	"noonmark/refclock/receiver"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// run is the daemon; it returns the exit code.
func run(args []string, stderr io.Writer) int {
	opt, err := daemon.ParseOptions("refclockd", defaultConfig, args, stderr)
	if err != nil {
		return daemon.Exit(err)
	}
	s, err := load(opt.Config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return daemon.Exit(err)
	}
	if opt.Check {
		for _, w := range s.warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
		fmt.Fprintf(stderr, "%s: good\n", opt.Config)
		return exitcode.OK
	}
	log := daemon.New("refclockd", s.Log)
	if err := serve(context.Background(), opt.Config, s, log); err != nil {
		log.Error("refclockd ends", "error", err)
		return daemon.Exit(err)
	}
	return exitcode.OK
}

// queues: an engine that lives handles an edge or a message in microseconds;
// what piles up beyond a second's worth is old.
const (
	edgeQueue = 8
	msgQueue  = 128
)

// serve wires the parts and runs them until a signal.
func serve(ctx context.Context, path string, s *settings, log *slog.Logger) error {
	for _, w := range s.warnings {
		log.Warn(w)
	}
	snap := filepath.Join(s.RuntimeDir, "status")
	w, err := status.Create(snap)
	if err != nil {
		return fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	defer w.Close()

	edges, msgs := make(chan pps.Edge, edgeQueue), make(chan *gnss.Message, msgQueue)
	var tasks []daemon.Task
	var app *appliance
	if s.Clock.Source == "sim" {
		if app, err = newAppliance(s); err != nil {
			return err
		}
		defer app.close()
		tasks = append(tasks, app)
		if s.Sim.ReceiverPTY {
			s.Receiver.Device = app.pty.Name()
		}
	}
	port := &receiver.Port{
		Name: s.Receiver.Device, Mono: phc.MonoRaw, Out: msgs, Log: log,
		Decode: gnss.Config{NotBefore: s.Receiver.NotBefore.Time, Leaps: s.tables[0]},
		Open:   func() (io.ReadCloser, error) { return receiver.OpenSerial(s.Receiver.Device, s.rates[0]) },
		Rates:  s.rates, Setup: s.setup,
	}
	switch s.Receiver.Protocol { // UBX has no talker
	case "nmea":
		port.Accept = func(m *gnss.Message) bool { return m.Talker != "" }
	case "ubx":
		port.Accept = func(m *gnss.Message) bool { return m.Talker == "" }
	}
	state := s.learnedFile()
	sensor := oscillator.NewThermometer(s.Oscillator.Temperature, phc.MonoRaw, log)
	var src atomic.Pointer[counted] // the pulse source, nil while there is none
	compared := make(chan refclock.ComparedEdge, edgeQueue)
	eng, err := refclock.New(refclock.Config{
		Mono: phc.MonoRaw, Slept: phc.Slept, Publish: w.Write, Leaps: func(t *tai.Table) { s.inForce.Store(t); port.SetLeaps(t) }, Log: log,
		Open: s.openClock(app), Kind: s.kind, ClockName: s.clockName(), Pulse: s.pulseName(), Receiver: s.Receiver.Device,
		RefID: s.refid, Stratum: uint8(s.NTP.Stratum), Discipline: s.disc, Settings: s.live(), Learned: state.LoadLogged(log),
		Watch: s.watch, NotBefore: s.floor(), RefuseRollover: s.Receiver.Rollover == "refuse", Doubt: s.heldBack(),
		Stepped: func(d time.Duration) {
			if c := src.Load(); c != nil {
				if x, ok := (*c).(interface{ Stepped(time.Duration) }); ok {
					x.Stepped(d)
				}
			}
		},
		RealKept: s.realKept(), ProveLeap: s.Leap.Prove && s.Clock.Source != "sim", Compare: s.compared(), Compared: compared, Temperature: sensor.Celsius,
	})
	if err != nil {
		return err
	}
	port.Count = eng.Count
	for _, p := range s.comparePulses(compared, eng.Count, log) {
		tasks = append(tasks, p)
	}
	tasks = append(tasks, &details{path: detailsPath(s.RuntimeDir), mono: phc.MonoRaw, engine: eng, log: log})
	tasks = append(tasks, &engineTask{eng, edges, msgs}, port)
	col := &collector{engine: eng, port: port, mono: phc.MonoRaw}
	if s.Pulse.Source != "none" {
		p := &pps.Reader{Name: s.pulseName(), Out: edges, Log: log, Count: eng.Count, Open: func() (pps.Source, error) {
			x, err := s.openPulse(app, eng.Grid)
			src.Store(nil)
			if c, ok := x.(counted); ok && err == nil {
				src.Store(&c)
			}
			return x, err
		}}
		tasks = append(tasks, p)
		col.pulses, col.source = p, func() counted {
			if c := src.Load(); c != nil {
				return *c
			}
			return nil
		}
	}
	if sensor != nil {
		col.sensor = sensor
		tasks = append(tasks, sensor)
	}
	if state.Path != "" {
		tasks = append(tasks, oscillator.NewSaver(state, func() discipline.Learned { return eng.Stats().Learned }, log))
	}
	if err := s.connect(eng, col, &tasks, log); err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(col)
	tasks = append(tasks, daemon.NewMetrics(s.Metrics, reg))

	d := daemon.Daemon{
		Log:   log,
		Alive: func() error { return alive(eng) },
		Reload: func(context.Context) error {
			n, err := load(path)
			if err != nil {
				return err
			}
			for _, w := range n.warnings {
				log.Warn(w)
			}
			if err := daemon.SetLevel(log, n.Log); err != nil {
				return err
			}
			if a, b := n.fixed(), s.fixed(); !reflect.DeepEqual(a, b) {
				if b.Clock.Source == "sim" {
					b.Receiver.Device = a.Receiver.Device // the pseudo-terminal's
				}
				if !reflect.DeepEqual(a, b) {
					log.Warn("some changed settings take a restart; reloaded were log.level, leap.file, leap.zone, pulse.bias, pulse.cable, pulse.cable_length, pulse.velocity_factor, pulse.sawtooth")
				}
			}
			eng.Set(n.live())
			return nil
		},
	}
	return d.Run(ctx, tasks...)
}

// connect adds the tasks that live on the engine's snapshots.
func (s *settings) connect(eng *refclock.Engine, col *collector, tasks *[]daemon.Task, log *slog.Logger) error {
	snapshot := eng.Snapshot
	sys, err := phc.OpenSystem(func(int64) int { return 0 })
	if err != nil {
		if e := s.Export; e.ChronySock != "" || e.SHMUnit >= 0 || e.PTP4L != "" {
			return fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
		}
	} else {
		col.exports = newExports(s, snapshot, sys.Cross, log)
	}
	for _, t := range col.exports {
		*tasks = append(*tasks, t)
	}
	var kept []*oscillator.Saver
	if col.followers, kept, err = newFollowers(s, snapshot, log); err != nil {
		return err
	}
	for _, f := range col.followers {
		*tasks = append(*tasks, f)
	}
	for _, m := range kept {
		*tasks = append(*tasks, m)
	}
	if col.witnesses, err = newWitnesses(s, eng, log); err != nil {
		return err
	}
	if col.witnesses != nil {
		*tasks = append(*tasks, col.witnesses)
	}
	return nil
}

// floor is not_before as an instant.
func (s *settings) floor() tai.Time {
	unix := s.Receiver.NotBefore.Unix()
	return tai.FromUnix(unix, 0, s.table.OffsetUTC(unix))
}

// stuck is how old the engine's last snapshot may be before the watchdog is
// told: it publishes four times a second.
const stuck = 5 * time.Second

func alive(e *refclock.Engine) error {
	if age := time.Duration(phc.MonoRaw() - e.Stats().Snapshot.Mono); age > stuck {
		return fmt.Errorf("engine has published nothing for %v", age.Round(time.Second))
	}
	return nil
}

// engineTask is the engine with its channels.
type engineTask struct {
	*refclock.Engine
	edges <-chan pps.Edge
	msgs  <-chan *gnss.Message
}

// Run disciplines until ctx ends.
func (t *engineTask) Run(ctx context.Context) error { return t.Engine.Run(ctx, t.edges, t.msgs) }

// learnedFile is where the oscillator's learned state is kept. A simulated clock
// is another one each time, and "none" is only watched: neither has a file.
func (s *settings) learnedFile() oscillator.File {
	if s.Clock.Source != "phc" && s.Clock.Source != "system" {
		return oscillator.File{}
	}
	return oscillator.ReferenceFile(s.StateDir, s.clockName())
}

func (s *settings) clockName() string {
	if s.Clock.Source == "phc" {
		return s.Clock.Device
	}
	return s.Clock.Source
}

func (s *settings) pulseName() string {
	switch s.Pulse.Source {
	case "kernel":
		return s.Pulse.Device
	case "extts":
		return fmt.Sprintf("extts %s channel %d", s.Clock.Device, s.Pulse.Channel)
	}
	return s.Pulse.Source
}

// openClock returns the engine's opener.
func (s *settings) openClock(app *appliance) func() (clock.Device, error) {
	offset := s.inForce.offset
	switch s.Clock.Source {
	case "phc":
		return openPHC(s.Clock.Device, s.Clock.StepPPB)
	case "system":
		return func() (clock.Device, error) { return opened(phc.OpenSystem(offset)) }
	case "sim":
		return func() (clock.Device, error) { return app.Clock, nil }
	}
	return func() (clock.Device, error) {
		c, err := phc.OpenSystem(offset)
		if err != nil {
			return nil, err
		}
		return clock.NewSoft(c.Cross), nil
	}
}

// openPHC returns an opener of a card's clock, whose driver may hang and whose
// frequency may have coarser steps than it says.
func openPHC(device string, stepPPB float64) func() (clock.Device, error) {
	open := clock.WithFreqStep(func() (clock.Device, error) { return opened(phc.Open(device)) }, stepPPB)
	return clock.WithTimeout(open, clock.CallTimeout)
}

// opened keeps a nil pointer out of the interface.
func opened[T clock.Device](c T, err error) (clock.Device, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// quiet is how long a pulse source may deliver nothing before it says so.
const quiet = 10 * time.Second

// realKept asks the kernel whether others keep the system clock; nil where that
// says nothing, as beside a simulation.
func (s *settings) realKept() func() bool {
	if s.Clock.Source != "phc" {
		return nil
	}
	return clock.Synchronised(phc.Kernel{})
}

func (s *settings) openPulse(app *appliance, grid func() (time.Duration, bool)) (pps.Source, error) {
	switch s.Pulse.Source {
	case "kernel":
		return source(pps.OpenKernel(s.Pulse.Device, pps.KernelOptions{Edge: s.kedge, Timeout: quiet}))
	case "sim":
		return app.source, nil
	}
	return openExtTS(s.Clock.Device, pps.ExtTSOptions{Channel: s.Pulse.Channel, Pin: s.Pulse.Pin, Edge: s.edge, Width: s.Pulse.Width.Duration, Timeout: quiet, Grid: grid})
}

func source[T pps.Source](x T, err error) (pps.Source, error) {
	if err != nil {
		return nil, err
	}
	return x, nil
}

// extts is external timestamps with a descriptor of their own.
type extts struct {
	*pps.ExtTS
	dev *phc.Device
}

// Close ends the stamping, then closes the device.
func (x *extts) Close() error { return errors.Join(x.ExtTS.Close(), x.dev.Close()) }

// appliance is the virtual one, in real time.
type appliance struct {
	*sim.Appliance
	source *sim.Source
	pty    *sim.PTY
	w      io.Writer
}

// truth is what sim-truth.json holds: true TAI at an instant of
// CLOCK_MONOTONIC_RAW, both in ns. They run at the same rate for ever.
type truth struct {
	Mono0 int64  `json:"mono0"`
	TAI0  int64  `json:"tai0"`
	Seed  uint64 `json:"seed"`
}

// newAppliance makes the virtual appliance and writes down its truth.
func newAppliance(s *settings) (*appliance, error) {
	c := s.appliance()
	mono, now := phc.MonoRaw(), time.Now()
	c.Clock.Mono0 = mono - int64(now.Nanosecond()) // when that second began
	if !s.simStart.IsZero() {
		now = s.simStart
	}
	unix := now.Unix()
	c.Clock.Truth = tai.FromUnix(unix, 0, s.table.OffsetUTC(unix))
	c.Clock.TAIOffset = s.table.OffsetUTC(unix)
	a := &appliance{source: sim.NewSource(), w: io.Discard}
	var err error
	if a.Appliance, err = sim.New(phc.MonoRaw, c); err != nil {
		return nil, err
	}
	if s.Sim.ReceiverPTY {
		if a.pty, err = sim.OpenPTY(); err != nil {
			return nil, err
		}
		a.w = a.pty
	}
	b, err := json.Marshal(truth{Mono0: c.Clock.Mono0, TAI0: int64(c.Clock.Truth), Seed: s.Sim.Seed})
	if err == nil {
		err = writeFile(filepath.Join(s.RuntimeDir, "sim-truth.json"), append(b, '\n'))
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("write truth: %w", err)
	}
	return a, nil
}

// writeFile replaces a file at once.
func writeFile(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (a *appliance) close() {
	if a.pty != nil {
		a.pty.Close()
	}
}

// Run plays the appliance.
func (a *appliance) Run(ctx context.Context) error {
	return a.Play(ctx, phc.MonoRaw, a.w, a.source)
}

// Ready says that it plays at once.
func (a *appliance) Ready() <-chan struct{} { return nil }

// String names the task.
func (a *appliance) String() string { return "virtual appliance" }
