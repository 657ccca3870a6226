package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/privileges"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"noonmark/server/sysclock"
)

// service is the assembled daemon.
type service struct {
	path     string             // of the configuration
	settings *ntsserve.Settings // as started
	log      *slog.Logger
	limited  *daemon.Limited // for lines that remote peers can cause

	ntp    *server.Server
	ring   *nts.Ring // nil without NTS
	macs   *symmetricKeys
	certs  *certs.Source    // nil without NTS-KE
	ke     *ntske.Server    // nil without NTS-KE
	listen net.Listener     // of NTS-KE
	served bool             // and its task has closed it
	clock  *sysclock.Source // nil: refclockd's snapshot is served

	tasks   []daemon.Task
	states  daemon.States
	settled func() error // gives up what only the start needs
	running bool
}

// assemble opens what the settings name: first what needs privileges, then, as
// the user that the daemon becomes, its files. Nothing is answered yet.
func assemble(ctx context.Context, path string, s *ntsserve.Settings, plan *privileges.Plan, log *slog.Logger) (*service, error) {
	d := &service{path: path, settings: s, log: log, limited: daemon.NewLimited(log, time.Minute, 5)}
	for _, step := range [...]func() error{
		func() error { return d.bind(ctx) }, plan.BecomeUser, d.openKeys, d.openMACs, d.openKE, d.openClock,
	} {
		if err := step(); err != nil {
			d.close()
			return nil, err
		}
	}
	d.tasks, d.settled = d.newTasks(), plan.Drop
	return d, nil
}

// bind opens the sockets. What cannot be had yet is tried again by its task.
func (d *service) bind(ctx context.Context) (err error) {
	s := d.settings
	if s.ServesKE {
		if err := d.listenKE(ctx); err != nil {
			d.log.Warn("nts-ke waits for its address", "error", err)
		}
	}
	d.ntp, err = server.New(server.Config{
		Snapshot: s.Source.Path, Endpoints: s.Endpoints, Access: s.AccessList, Limit: s.RateLimit, Priority: s.ThreadPriority, Log: d.log,
	})
	return err
}

// listenKE opens the address of NTS-KE. Exchanges end within seconds. Keep-alive
// would cost four system calls for each, without use.
func (d *service) listenKE(ctx context.Context) error {
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", d.settings.KE.Listen.String())
	if err != nil {
		return fmt.Errorf("ke.listen: %w", err)
	}
	d.listen = l
	d.log.Info("listening", "nts-ke", l.Addr().String())
	return nil
}

// keTask is NTS-KE. It waits while there is no certificate.
type keTask struct{ *service }

// Run answers until ctx is done.
func (k keTask) Run(ctx context.Context) error {
	if k.listen == nil || k.served {
		if err := k.listenKE(ctx); err != nil {
			return err
		}
	}
	k.served = true
	defer k.listen.Close()
	return k.ke.Serve(ctx, k.listen)
}

// Waiting returns why no exchange can succeed.
func (k keTask) Waiting() error { return k.certs.Missing() }

// String names the task in logs.
func (k keTask) String() string { return "nts-ke" }

// openKeys opens the cookie keys.
func (d *service) openKeys() (err error) {
	if !d.settings.OpensCookies {
		return nil
	}
	if d.ring, err = nts.OpenRing(d.settings.Keys.File, d.settings.KeyRing, time.Now()); err != nil {
		return d.configError("keys.file", err)
	}
	d.ntp.SetRing(d.ring)
	return nil
}

// openMACs reads the symmetric keys. A file that cannot be used is read again
// later: time is served without its keys.
func (d *service) openMACs() error {
	d.macs = newSymmetricKeys(d.settings.SymmetricKeys, d.ntp.SetMACs, d.log)
	d.macs.load()
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
	cfg.Event = d.certificateEvent
	if d.certs, err = certs.New(cfg); err != nil {
		return d.configError(s.CertificateKey(err), err)
	}
	d.ke, err = ntske.NewServer(ntske.Config{
		TLS: &tls.Config{GetCertificate: d.certs.Get}, Ring: d.ring, NTPServer: s.KE.Server, NTPPort: s.NTPPort,
		Timeout: s.KE.Timeout.Duration, MaxConns: s.KE.MaxConnections, MaxPerAddr: s.KE.MaxPerAddress,
		Rate: s.KE.Rate, RatePerIP: s.KE.RatePerAddress, Done: d.exchanged,
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
	reg.MustRegister(d.ntp, &d.states, observe.NewNTSMetrics(observe.NTS{KE: d.ke, Certificates: d.certs, Ring: d.ring}), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	tasks := []daemon.Task{daemon.Vital(d.ntp), daemon.NewMetrics(d.settings.Metrics, reg)}
	tasks = append(tasks, d.macs)
	if d.clock != nil {
		reg.MustRegister(d.clock)
		tasks = append(tasks, d.clock)
	}
	if d.ring != nil {
		tasks = append(tasks, newKeyKeeper(d.ring, d.settings.Keys.File, func() error { return trustServed(d.settings.Source.Path) }, d.log))
	}
	if d.ke != nil {
		tasks = append(tasks, d.certs, keTask{d})
	}
	return tasks
}

// run answers until a signal or ctx ends it.
func (d *service) run(ctx context.Context) error {
	tuneRuntime(d.ntp.Workers())
	d.running = true
	return (&daemon.Daemon{Log: d.log, Reload: d.reload, Settled: d.settled, States: &d.states, StateFile: stateFile()}).Run(ctx, d.tasks...)
}

// stateFile is where the states of the tasks are written: in the folder that the
// service manager makes for the daemon, or nowhere.
func stateFile() string {
	dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, daemon.StateFileName)
}

// close closes what assemble opened.
func (d *service) close() {
	if d.ntp != nil && !d.running {
		d.ntp.Close()
	}
	if d.listen != nil {
		d.listen.Close()
	}
	d.limited.Flush()
}

// tuneRuntime gives the Go scheduler a processor of its own for every worker. A
// worker is nearly always in a system call. With no processor to spare, the
// runtime takes the worker's away after 20 us, and a packet's wake-up has to get
// it back, perhaps behind a TLS handshake. The kernel divides the real ones.
// Measured on one core: 12 % less CPU per answer in a flood, 25 % less at
// 10,000/s. GOMAXPROCS in the environment takes precedence.
//
// Answers to NTP allocate nothing, an NTS-KE exchange 50 kB, and nothing that
// stays grows with them. With a heap of a few megabytes a collection would come
// every 40 exchanges and take a fifth of their processor time, so the heap may
// grow to some tens of megabytes first. GOGC takes precedence.
func tuneRuntime(workers int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + workers + 1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
}

// configError turns a problem with a file that the configuration names into an
// error of the configuration. A denied access stays one.
func (d *service) configError(key string, err error) error {
	if !errors.Is(err, nts.ErrRingFile) && !errors.Is(err, fs.ErrPermission) && exitcode.Of(err) == exitcode.Unavailable {
		return fmt.Errorf("%s: %s: %w", d.path, key, err) // the system's fault, which can pass
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %s: %w; it must belong to the user that ntsserve runs as", d.path, key, err)
	}
	var f ntsserve.File
	cf, e := config.Load(d.path, &f)
	if e != nil {
		return err // the file has changed since it was read
	}
	return cf.Errorf(key, "%w; want a file that can be used", err)
}

// reload reads the configuration again and takes over access lists, log level
// and the files that it names.
func (d *service) reload(context.Context) error {
	s, err := ntsserve.Load(d.path)
	if err != nil {
		return err
	}
	// Each part is taken over on its own: a certificate that does not fit its key
	// keeps no access list from coming into force.
	d.ntp.SetAccess(s.AccessList)
	d.macs.replace(s.SymmetricKeys)
	errs := []error{daemon.SetLevel(d.log, s.Log)}
	if d.certs != nil {
		errs = append(errs, d.certs.Reload())
	}
	if d.ring != nil {
		errs = append(errs, d.ring.Reload(time.Now()))
	}
	if s.NeedsRestart(d.settings) {
		d.log.Warn("some changed settings need a restart", "reloaded", ntsserve.ReloadedKeys())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("access lists and log level are in force; not in force: %w", err)
	}
	return nil
}

// exchanged logs how an NTS-KE exchange ended.
func (d *service) exchanged(from net.Addr, r ntske.Reason, why error) {
	switch {
	case r == ntske.InternalError:
		d.limited.Log(slog.LevelError, r.String(), "nts-ke exchange failed", "from", from.String(), "reason", r.String(), "error", why)
	case r != ntske.Served:
		d.limited.Log(slog.LevelDebug, r.String(), "nts-ke exchange refused", "from", from.String(), "reason", r.String(), "error", why)
	}
}

// certificateEvent logs what happens to certificates. Remote peers cannot cause them.
func (d *service) certificateEvent(e certs.Event) {
	expires := e.NotAfter.UTC().Format(time.RFC3339)
	switch e.Kind {
	case certs.Loaded:
		d.log.Info("certificate in use", "certificate", e.From, "names", e.Names, "expires", expires)
	case certs.Refused:
		d.log.Error("certificate refused, the previous one stays in use if there is one", "certificate", e.From, "reason", e.Reason.String(), "error", e.Err)
	case certs.Exposed:
		d.log.Warn("every user of this machine can read the key of the certificate: chmod 600", "key", e.From)
	case certs.Expiring:
		d.log.Warn("certificate expires soon", "certificate", e.From, "expires", expires)
	case certs.Lapsed:
		d.log.Error("certificate has expired, no NTS client gets keys", "certificate", e.From, "expired", expires)
	case certs.Registered:
		d.log.Info("acme account created, terms of service accepted as configured", "directory", e.From, "terms", e.Terms)
	case certs.NotStored:
		d.log.Error("acme certificate is in use but only in memory: a restart before it is written orders another one", "directory", e.From, "reason", e.Reason.String(), "error", e.Err, "next", e.Next.UTC().Format(time.RFC3339))
	case certs.Stored:
		d.log.Info("acme certificate written", "directory", e.From)
	case certs.OrderFailed:
		d.log.Error("acme order failed", "directory", e.From, "names", e.Names, "reason", e.Reason.String(), "error", e.Err, "next", e.Next.UTC().Format(time.RFC3339))
	}
}
