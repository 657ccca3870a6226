package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"noonmark/internal/config"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"noonmark/server/sysclock"
	"noonmark/server/transport/sockets"
)

// run is the whole program: command line, configuration, service, exit code.
func run(args []string, stderr io.Writer) int {
	opt, err := daemon.ParseOptions("ntsserve", defaultConfig, args, stderr)
	if err != nil {
		return exit(err)
	}
	s, err := load(opt.Config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exit(err)
	}
	if opt.Check {
		for _, w := range s.warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
		fmt.Fprintf(stderr, "%s: good\n", opt.Config)
		return exitcode.OK
	}
	log := daemon.New("ntsserve", s.Log)
	if err := keepSecret(); err != nil {
		log.Warn("keys may get into core dumps", "error", err)
	}
	d := &service{path: opt.Config, s: s, log: log, rights: &rights{user: s.user, lowly: s.lowly(), log: log}}
	if err := d.serve(context.Background()); err != nil {
		err = explain(err)
		log.Error("ntsserve ends", "error", err)
		return exit(err)
	}
	return exitcode.OK
}

func exit(err error) int {
	if errors.Is(err, daemon.ErrDone) {
		return exitcode.OK
	}
	return daemon.Exit(err)
}

// explain says what to do about what the system refuses most often.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; ports below 1024 need the right to bind them: run under the systemd unit, or setcap cap_net_bind_service+ep on the program", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another time server has it: stop it (chronyd, ntpd, ntpsec, systemd-timesyncd do not share a port), or choose another port", err)
	}
	return err
}

// lowly reports whether ports that need a right may be bound later.
func (s *settings) lowly() bool {
	for _, a := range [...]config.AddrPort{s.ACME.HTTP, s.ACME.TLS} {
		if a.IsValid() && privileged(a.Port()) {
			return true
		}
	}
	return false
}

// service is the running daemon.
type service struct {
	path string
	log  *slog.Logger
	s    *settings // as started; a reload changes what it can elsewhere

	rights *rights // nil: it keeps them all

	ntp   *server.Server
	certs *certs.Source // nil without NTS-KE
	ring  *nts.Ring     // nil without NTS

	started func(*service, net.Addr) // told in tests when the sockets are open
}

// serve opens what the settings name and works until a signal or ctx ends it.
func (d *service) serve(ctx context.Context) (err error) {
	s := d.s
	for _, w := range s.warnings {
		d.log.Warn(w)
	}
	limited := daemon.NewLimited(d.log, time.Minute, 5)
	defer limited.Flush()

	// What needs rights comes first; then they go.
	var ln net.Listener
	if s.useKE {
		// Exchanges end within seconds: to keep connections alive would be four
		// system calls for nothing.
		if ln, err = (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", s.KE.Listen.String()); err != nil {
			return err
		}
		defer ln.Close()
		d.log.Info("listening", "nts-ke", ln.Addr().String())
	}
	if d.ntp, err = server.New(server.Config{
		Snapshot: s.Source.Path, Endpoints: s.endpoints, Access: s.access, Limit: s.limit, Priority: s.priority, Log: d.log,
	}); errors.Is(err, sockets.ErrNoHardware) {
		return fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	} else if err != nil {
		return err
	}
	running := false
	defer func() {
		if !running {
			d.ntp.Close()
		}
	}()
	if err := d.rights.afterBinding(); err != nil {
		return err
	}

	if s.useNTS {
		if d.ring, err = nts.OpenRing(s.Keys.File, s.ring, time.Now()); err != nil {
			return dress(d.path, "keys.file", err)
		}
		d.ntp.SetRing(d.ring)
	}
	var ke *ntske.Server
	if s.useKE {
		cfg := s.certs
		cfg.Event = d.certificateEvent
		if d.certs, err = certs.New(cfg); err != nil {
			return dress(d.path, s.certificateKey(err), err)
		}
		ke, err = ntske.NewServer(ntske.Config{
			TLS: &tls.Config{GetCertificate: d.certs.Get}, Ring: d.ring, NTPServer: s.KE.Server, NTPPort: s.ntpPort,
			Timeout: s.KE.Timeout.Duration, MaxConns: s.KE.MaxConnections, MaxPerAddr: s.KE.MaxPerAddress,
			Rate: s.KE.Rate, RatePerIP: s.KE.RatePerAddress,
			Done: func(from net.Addr, r ntske.Reason, why error) {
				switch {
				case r == ntske.InternalError:
					limited.Log(slog.LevelError, r.String(), "nts-ke exchange failed", "from", from.String(), "reason", r.String(), "error", why)
				case r != ntske.Served:
					limited.Log(slog.LevelDebug, r.String(), "nts-ke exchange refused", "from", from.String(), "reason", r.String(), "error", why)
				}
			},
		})
		if err != nil {
			return dress(d.path, "ke", err)
		}
	}

	var src *sysclock.Source
	if s.source != nil {
		cfg := *s.source
		cfg.Log = d.log
		if src, err = sysclock.New(cfg); err != nil {
			return err
		}
		defer src.Close()
	}
	makeRoom(d.ntp.Workers())
	reg := prometheus.NewRegistry()
	reg.MustRegister(d.ntp, collector{ke, d.certs, d.ring}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	tasks := []daemon.Task{d.ntp, daemon.NewMetrics(s.Metrics, reg), daemon.Func("keeper", d.keep)}
	if src != nil {
		reg.MustRegister(src)
		tasks = append(tasks, src)
	}
	if ke != nil {
		tasks = append(tasks, d.certs, daemon.Func("nts-ke", func(ctx context.Context) error { return ke.Serve(ctx, ln) }))
	}
	tasks = append(tasks, d.rights.task(tasks[:len(tasks):len(tasks)]))
	running = true
	if d.started != nil {
		var at net.Addr
		if ln != nil {
			at = ln.Addr()
		}
		d.started(d, at)
	}
	return (&daemon.Daemon{Log: d.log, Reload: d.reload}).Run(ctx, tasks...)
}

// makeRoom gives the Go scheduler a processor of its own for every worker. A
// worker sits in system calls nearly always; with no processor to spare, the
// runtime takes away its own after 20 us, and a packet's wake-up has to get it
// back, behind a TLS handshake if need be. The kernel divides the real ones.
// Measured on one core: 12 % less CPU per answer in a flood, 25 % less at
// 10,000/s. GOMAXPROCS in the environment has precedence.
//
// Answers to NTP make no garbage, an NTS-KE exchange 50 kB, and nothing that
// lives grows with them: with a heap of a few megabytes a collection would come
// every 40 exchanges and take a fifth of their processor time. It may grow to
// some tens of megabytes before. GOGC has precedence.
func makeRoom(workers int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + workers + 1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
}

// dress makes the trouble with a file that the configuration names an error of
// the configuration. A missing permission stays one.
func dress(path, key string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %s: %w; it must belong to the user that ntsserve runs as", path, key, err)
	}
	var f file
	cf, e := config.Load(path, &f)
	if e != nil {
		return err // the file has changed under us
	}
	return cf.Errorf(key, "%w; want a file that can be used", err)
}

// keepEvery is how often cookie keys are looked after.
const keepEvery = 10 * time.Second

// keep rotates cookie keys, and takes the key ring from its file when that
// changes.
func (d *service) keep(ctx context.Context) error {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	keys := newFingerprint(d.s.Keys.File)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now := time.Now()
		if d.ring != nil {
			if keys.changed() {
				if err := d.ring.Reload(now); err != nil {
					d.log.Error("cookie keys not reloaded, those before stay in use", "error", err)
				} else {
					d.log.Info("cookie keys reloaded", "ring", d.ring.String())
				}
			}
			if d.ring.Rotate(now) {
				d.log.Info("cookie keys rotated", "ring", d.ring.String(), "next", d.ring.NextRotation(now).Format(time.RFC3339))
			}
		}
	}
}

// certificateEvent logs what happens to certificates. Strangers cannot cause it.
func (d *service) certificateEvent(e certs.Event) {
	expires := e.NotAfter.UTC().Format(time.RFC3339)
	switch e.Kind {
	case certs.Loaded:
		d.log.Info("certificate in use", "certificate", e.From, "names", e.Names, "expires", expires)
	case certs.Refused:
		d.log.Error("certificate not taken, the one before stays in use", "certificate", e.From, "reason", e.Reason.String(), "error", e.Err)
	case certs.Exposed:
		d.log.Warn("every user of this machine can read the key of the certificate: chmod 600", "key", e.From)
	case certs.Expiring:
		d.log.Warn("the certificate expires soon", "certificate", e.From, "expires", expires)
	case certs.Lapsed:
		d.log.Error("the certificate has expired: no NTS client will get keys", "certificate", e.From, "expired", expires)
	case certs.Registered:
		d.log.Info("acme account made, its terms of service accepted as configured", "directory", e.From, "terms", e.Terms)
	case certs.OrderFailed:
		d.log.Error("no certificate by acme", "directory", e.From, "names", e.Names, "reason", e.Reason.String(), "error", e.Err, "next", e.Next.UTC().Format(time.RFC3339))
	}
}

// certificateKey names the key of the configuration that a source of
// certificates complains about.
func (s *settings) certificateKey(err error) string {
	var e *certs.Error
	if errors.As(err, &e) {
		for i, c := range s.Certificate {
			if c.File == e.From {
				return fmt.Sprintf("certificate[%d].file", i)
			}
		}
		if e.From == s.KE.Certificate {
			return "ke.certificate"
		}
		return "acme.state_dir"
	}
	return "ke"
}

// reload takes a new configuration file: access lists and the log level at
// once, files that it names again. The rest needs a restart and is told.
func (d *service) reload(context.Context) error {
	s, err := load(d.path)
	if err != nil {
		return err
	}
	now := time.Now()
	if d.certs != nil {
		if err := d.certs.Reload(); err != nil {
			return err
		}
	}
	if d.ring != nil {
		if err := d.ring.Reload(now); err != nil {
			return err
		}
	}
	if err := daemon.SetLevel(d.log, s.Log); err != nil {
		return err
	}
	d.ntp.SetAccess(s.access)
	if s.frozen() != d.s.frozen() {
		d.log.Warn("something else than [access] lists and log.level has changed: restart ntsserve for it")
	}
	return nil
}

// fingerprint tells whether files have changed, by their times, sizes and
// inodes: they may be replaced by rename, or written in place.
type fingerprint struct {
	paths []string
	last  string
}

func newFingerprint(paths ...string) *fingerprint {
	f := &fingerprint{paths: paths}
	f.changed()
	return f
}

// changed reports whether anything is other than at the last call.
func (f *fingerprint) changed() bool {
	var now string
	for _, p := range f.paths {
		fi, err := os.Stat(p)
		if err != nil {
			now += "missing;"
			continue
		}
		now += fmt.Sprintf("%d %d %d;", fi.ModTime().UnixNano(), fi.Size(), inode(fi))
	}
	was := f.last
	f.last = now
	return was != now
}

func inode(fi os.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
