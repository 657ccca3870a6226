package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"noonmark/internal/cardsetup"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/cookiekeys"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/keyexchange"
	"noonmark/internal/observe"
	"noonmark/internal/privileges"
	"noonmark/internal/servedclock"
	"noonmark/internal/symmetrickeys"
	"noonmark/phc"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/network"
	"noonmark/server/sysclock"
	"noonmark/server/threads"
	"noonmark/server/transport/sockets"
)

// service is the assembled daemon.
type service struct {
	path     string             // of the configuration
	settings *ntsserve.Settings // as started
	last     *ntsserve.Settings // as reloaded last
	log      *slog.Logger

	ntp    *server.Server
	keys   *cookiekeys.Keeper // nil without NTS
	macs   *symmetrickeys.Keeper
	certs  *certs.Source        // nil without NTS-KE
	ke     *keyexchange.Process // nil without NTS-KE
	listen *net.TCPListener     // of NTS-KE; nil: it waits for its address
	clock  *sysclock.Source     // nil: refclockd's snapshot is served
	cards  *cardsetup.Helper    // nil: what is set up stays as it is

	access  atomic.Pointer[keyexchange.State] // what NTS-KE takes over of the configuration
	tasks   []daemon.Task
	states  daemon.States
	settled func() error // gives up what only the start needs
	running bool
}

// assemble opens what the settings name: first what needs privileges, then, as
// the user that the daemon becomes, its files. Nothing is answered yet.
func assemble(ctx context.Context, path string, s *ntsserve.Settings, plan *privileges.Plan, log *slog.Logger) (*service, error) {
	d := &service{path: path, settings: s, last: s, log: log}
	d.setAccess(s)
	d.raise()
	d.startCardSetup(plan)
	for _, step := range [...]func() error{
		func() error { return d.bind(ctx) }, plan.BecomeUser, plan.KeepFromChildren, d.openKeys, d.openMACs, d.openKE, d.openClock,
	} {
		if err := step(); err != nil {
			d.close()
			return nil, err
		}
	}
	d.tasks, d.settled = d.newTasks(), plan.Drop
	return d, nil
}

// raise gives this process its priority, before it gives up the right to. The NTS-KE
// process lowers its own.
func (d *service) raise() {
	p := d.settings.ThreadPriority
	switch err := threads.Raise(p); {
	case err != nil:
		d.log.Warn("cannot raise the priority of this process", "priority", p.String(), "want", "CAP_SYS_NICE, or LimitNICE=-10 of the unit", "error", err)
	case p != threads.Normal:
		d.log.Info("raised the priority of this process", "priority", p.String())
	}
}

// startCardSetup starts the processes that keep the right to set up cards, if this one
// has it and will give it up.
func (d *service) startCardSetup(plan *privileges.Plan) {
	wanted := func(e server.Endpoint) bool {
		return e.Socket.Stamps == sockets.Auto || e.Socket.Stamps == sockets.Hardware
	}
	if plan == nil || !privileges.Has(privileges.NetAdmin) || !slices.ContainsFunc(d.settings.Endpoints, wanted) {
		return
	}
	h, err := cardsetup.Start(plan.User)
	if h == nil {
		return // this system has no such cards
	}
	d.cards = h
	for i := range d.settings.Endpoints {
		d.settings.Endpoints[i].Socket.Widen = h.Widen
	}
	if err != nil {
		d.log.Warn("timestamps of cards are set up now, but not again if a card comes back", "error", err)
		return
	}
	d.log.Info("processes of their own keep CAP_NET_ADMIN to set up cards again", "pid", h.PID())
}

// bind opens the sockets. What cannot be had yet is tried again by its task.
func (d *service) bind(ctx context.Context) (err error) {
	s := d.settings
	if s.ServesKE {
		if _, err := d.listenKE(ctx); err != nil {
			d.log.Warn("nts-ke waits for its address", "error", err)
		}
	}
	d.ntp, err = server.New(server.Config{
		Snapshot: s.Source.Path, Endpoints: s.Endpoints, Access: s.AccessList, Limit: s.RateLimit, Priority: s.ThreadPriority, Clients: s.Clients == "prefixes", Log: d.log,
	})
	return err
}

// listenKE opens the address of NTS-KE, once. Exchanges end within seconds. Keep-alive
// would cost four system calls for each, without use.
func (d *service) listenKE(ctx context.Context) (*net.TCPListener, error) {
	if d.listen != nil {
		return d.listen, nil
	}
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", d.settings.KE.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.settings.Place("ke.listen"), network.ExplainBind(err, "tcp", d.settings.KE.Listen.Port()))
	}
	d.listen = l.(*net.TCPListener)
	d.log.Info("listening", "nts-ke", l.Addr().String())
	return d.listen, nil
}

// stateKE returns what the NTS-KE process needs now.
func (d *service) stateKE() (s keyexchange.State, err error) {
	s = *d.access.Load()
	if s.Certificates, err = keyexchange.Certificates(d.certs.InUse()); err != nil {
		return s, err
	}
	if err := d.keys.Missing(); err != nil {
		return s, err
	}
	s.Secrets, err = d.keys.Ring().Export()
	return s, err
}

func (d *service) setAccess(s *ntsserve.Settings) {
	allow, deny, ntsOnly := s.AccessPrefixes()
	d.access.Store(&keyexchange.State{Allow: allow, Deny: deny, NTSOnly: ntsOnly, Log: s.Log})
}

// keTask is NTS-KE. It waits while there is no certificate, and while there are no
// cookie keys.
type keTask struct {
	*keyexchange.Process
	keys     *cookiekeys.Keeper
	certs    *certs.Source
	settings *ntsserve.Settings
}

// Run serves until ctx ends. Without cookie keys it fails, and nobody listens.
func (k keTask) Run(ctx context.Context) error {
	if err := k.keys.Missing(); err != nil {
		return fmt.Errorf("no cookies can be made: %w", err)
	}
	return k.Process.Run(ctx)
}

// Retry receives when there are cookie keys.
func (k keTask) Retry() <-chan struct{} { return k.keys.Opened() }

// Waiting returns why no exchange can succeed.
func (k keTask) Waiting() error {
	err := k.certs.Missing()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w; %s", k.settings.Place(k.settings.CertificateKey(err)), err, ntsserve.CertificateRemedy(err))
}

// openKeys opens the cookie keys. A file that cannot be used is opened again later, by
// the task: time is served without NTS, and nobody listens for NTS-KE. A connection
// that nobody accepts would only take memory.
func (d *service) openKeys() error {
	s := d.settings
	if !s.OpensCookies {
		return nil
	}
	d.keys = cookiekeys.NewKeeper(cookiekeys.Config{
		Path: s.Keys.File, Place: s.Place("keys.file"), Ring: s.KeyRing, Opened: d.ntp.SetRing,
		Trust: func() error { return servedclock.Confirm(s.Source.Path) }, Log: d.log,
	})
	if d.keys.Open(time.Now()) != nil && d.listen != nil {
		d.listen.Close()
		d.listen = nil
	}
	return nil
}

// openMACs reads the symmetric keys. A file that cannot be used is read again
// later: time is served without its keys.
func (d *service) openMACs() error {
	d.macs = symmetrickeys.New(d.settings.SymmetricKeys, d.ntp.SetMACs, d.log)
	d.macs.Load()
	return nil
}

// openKE opens the certificates and makes the NTS-KE server. Files that cannot be
// used are read again until they can.
func (d *service) openKE() (err error) {
	s := d.settings
	if !s.ServesKE {
		return nil
	}
	cfg := s.Certificates
	cfg.Event = daemon.CertificateEvents(d.log, "no NTS client gets keys", ntsserve.CertificateRemedy)
	if d.certs, err = certs.New(cfg); err != nil {
		return d.configError("ke", err)
	}
	d.ke, err = keyexchange.New(keyexchange.Config{
		Settings: keyexchange.Settings{
			NTPServer: s.KE.Server, NTPPort: s.NTPPort,
			Timeout: s.KE.Timeout.Duration, MaxConnections: s.KE.MaxConnections, MaxPerAddress: s.KE.MaxPerAddress,
			Rate: s.KE.Rate, RatePerAddress: s.KE.RatePerAddress, Prefix4: s.Access.Prefix4, Prefix6: s.Access.Prefix6, KeyRing: s.KeyRing,
		},
		State: d.stateKE, Listen: d.listenKE, Log: d.log,
	})
	if err != nil {
		return d.configError("ke", err)
	}
	return nil
}

// openClock makes the snapshot of a clock that another program disciplines.
func (d *service) openClock() (err error) {
	if d.settings.ExternalClock == nil {
		return nil
	}
	cfg := *d.settings.ExternalClock
	cfg.Log = d.log
	d.clock, err = sysclock.New(cfg)
	return err
}

// newTasks makes the tasks.
func (d *service) newTasks() []daemon.Task {
	reg := prometheus.NewRegistry()
	nts := observe.NTS{Certificates: d.certs}
	if d.keys != nil {
		nts.Ring = d.keys.Ring
	}
	if d.ke != nil {
		nts.KE = d.ke
	}
	reg.MustRegister(d.ntp, &d.states, observe.NewNTSMetrics(nts), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	tasks := []daemon.Task{daemon.Vital(d.ntp), daemon.NewMetrics(d.settings.Metrics, d.settings.Place, reg)}
	tasks = append(tasks, d.macs)
	if path := daemon.RuntimeFile(observe.ServingName); path != "" {
		tasks = append(tasks, observe.NewServingTask(path, d.ntp, nts, phc.MonoRaw, d.log))
	}
	if d.cards != nil {
		tasks = append(tasks, d.cards)
	}
	if d.clock != nil {
		reg.MustRegister(d.clock)
		tasks = append(tasks, d.clock)
	}
	if d.keys != nil {
		tasks = append(tasks, d.keys)
	}
	if d.ke != nil {
		tasks = append(tasks, d.certs, keTask{d.ke, d.keys, d.certs, d.settings})
	}
	return tasks
}

// run answers until a signal or ctx ends it.
func (d *service) run(ctx context.Context) error {
	tuneRuntime(d.ntp.Workers())
	d.running = true
	return (&daemon.Daemon{Log: d.log, Reload: d.reload, Settled: d.settled, States: &d.states, StateFile: daemon.RuntimeFile(daemon.StateFileName)}).Run(ctx, d.tasks...)
}

// close closes what assemble opened.
func (d *service) close() {
	if d.ntp != nil && !d.running {
		d.ntp.Close()
	}
	if d.listen != nil {
		d.listen.Close()
	}
	if d.cards != nil {
		d.cards.Close()
	}
}

// tuneRuntime gives the Go scheduler a processor of its own for every worker. A
// worker is nearly always in a system call. With no processor to spare, the
// runtime takes the worker's away after 20 us, and a packet's wake-up has to get
// it back, perhaps behind a TLS handshake. The kernel divides the real ones.
// Measured on one core: 12 % less CPU per answer in a flood, 25 % less at
// 10,000/s. GOMAXPROCS in the environment takes precedence.
func tuneRuntime(workers int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + workers + 1)
	}
}

// configError is an error of the configuration at a key. What depends on files, discs or
// the network is none: its task waits.
func (d *service) configError(key string, err error) error {
	return exitcode.With(exitcode.ErrConfig, fmt.Errorf("%s: %w", d.settings.Place(key), err))
}

// updateWait is how long a reload waits for the NTS-KE process, which is done with it
// within milliseconds unless the machine is very busy.
const updateWait = 10 * time.Second

// reload reads the configuration again and takes over access lists, log level
// and the files that it names.
func (d *service) reload(ctx context.Context) error {
	s, err := ntsserve.Load(d.path)
	if err != nil {
		return err
	}
	// Each part is taken over on its own: a certificate that does not fit its key
	// keeps no access list from coming into force.
	d.ntp.SetAccess(s.AccessList)
	d.setAccess(s)
	d.macs.Replace(s.SymmetricKeys)
	errs := []error{daemon.SetLevel(d.log, s.Log)}
	if d.certs != nil {
		errs = append(errs, d.certs.Reload())
	}
	if d.keys != nil {
		errs = append(errs, d.keys.Reload(time.Now()))
	}
	if d.ke != nil {
		ctx, cancel := context.WithTimeout(ctx, updateWait)
		defer cancel()
		errs = append(errs, d.ke.Update(ctx))
	}
	s.Changes(d.settings).Since(s.Changes(d.last)).Logged(d.log)
	d.last = s
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("access lists and log level are in force; not in force: %w", err)
	}
	return nil
}
