package web

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"

	"noonmark/internal/config/refclockweb"
	"noonmark/internal/daemon"
	"noonmark/internal/doctor"
	"noonmark/internal/fleetview"
	"noonmark/phc"
	"noonmark/server/certs"

	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Load reads the configuration of the program.
func Load(path string) (*daemon.Loaded, error) {
	s, err := refclockweb.LoadWithoutToken(path)
	if err != nil {
		return nil, err
	}
	if _, err := readToken(path, s); err != nil {
		s.Warnings = append(s.Warnings, err.Error())
	}
	return &daemon.Loaded{Warnings: s.Warnings, Log: s.Log, Serve: func(ctx context.Context, log *slog.Logger) error { return serve(ctx, path, s, log) }}, nil
}

// readToken reads the token that the configuration at path names; nil: none. A file that
// cannot be used now makes the page wait.
func readToken(path string, s *refclockweb.Settings) (*[sha256.Size]byte, error) {
	if s.TokenFile == "" {
		return nil, nil
	}
	token, err := refclockweb.ReadToken(s.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("%s: token_file: %w; until then no page is served", path, err)
	}
	return token, nil
}

// Limits of what the program takes. Answers about a day are made and dropped: the heap may grow by a quarter,
// and from memoryLimit, octets, on the collector of garbage works harder. The limit is on what the runtime has
// taken from the system, of which a part is not resident: 16 pages at once have 7 MB resident, 8 MB over TLS.
// The pages of the program's file are up to 12 MB more. All of it stays below 20 MB
// (TestSixteenPagesTakeLessThan20MB).
const (
	memoryLimit = 10 << 20
	gcPercent   = 25
	processors  = 1 // one answer about history is computed at a time, and the daemons need the others
)

// serve runs the program until a signal or ctx ends it.
func serve(ctx context.Context, path string, s *refclockweb.Settings, log *slog.Logger) error {
	daemon.LimitHeap(gcPercent, memoryLimit)
	daemon.LimitProcessors(processors)
	cfg := Config{
		Listen: s.Listen.AddrPort, Names: s.Names, MaxConns: s.MaxConnections, MaxStreams: s.MaxStreams,
		Refclockd: s.Refclockd.Config, Ntsserve: s.Ntsserve.Config, Snapshot: s.Refclockd.Snapshot, Serving: s.Ntsserve.Counters, Fleet: s.Fleet.File, Wanted: daemon.RuntimeFile(fleetview.WantedName), History: s.Refclockd.History, Mono: phc.MonoRaw, Log: log,
		ReadToken: func() (*[sha256.Size]byte, error) { return readToken(path, s) },
		Examine: func(ctx context.Context) []doctor.Finding {
			return doctor.Findings(doctor.ThisHost(s.Refclockd.User).Examine(ctx, doctor.Options{Refclockd: s.Refclockd.Config, Ntsserve: s.Ntsserve.Config, Observer: true}))
		},
	}
	var tasks []daemon.Task
	var source *certs.Source
	if len(s.Pairs) > 0 || s.Order != nil {
		var err error
		if source, err = certs.New(certs.Config{Pairs: s.Pairs, ACME: s.Order, Event: daemon.CertificateEvents(log, "no browser accepts it", nil)}); err != nil {
			return fmt.Errorf("%s: certificate: %w", path, err)
		}
		cfg.Certificates = source.Status
		cfg.TLS = &tls.Config{GetCertificate: source.Get, MinVersion: tls.VersionTLS13}
		tasks = append(tasks, source)
	}
	web, last := New(cfg), s
	var states daemon.States
	web.Registry().MustRegister(&states, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d := daemon.Daemon{Log: log, States: &states, StateFile: daemon.RuntimeFile(daemon.StateFileName), Reload: func(context.Context) error {
		n, err := refclockweb.LoadWithoutToken(path)
		if err != nil {
			return err
		}
		n.Changes(s).Since(n.Changes(last)).Logged(log)
		last = n
		if source != nil {
			if err := source.Reload(); err != nil {
				return err
			}
		}
		return daemon.SetLevel(log, n.Log)
	}}
	return d.Run(ctx, append(tasks, web)...)
}
