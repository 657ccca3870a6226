package keyexchange

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"noonmark/server/threads"
)

// ProcessName is the name of the process in lists of processes.
const ProcessName = "ntsserve-ke"

// Main is the process: it returns the exit code. It ends with its standard input.
func Main(name string) int {
	// Signals to the whole group are for the other side, which says when to stop.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	c, err := begin(name, os.Stdin, os.Stdout)
	if err == nil {
		err = c.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+": nts-ke process:", err)
		return exitcode.Of(err)
	}
	return exitcode.OK
}

// child is the process.
type child struct {
	orders *json.Decoder
	ring   *nts.Ring
	server *ntske.Server
	log    *slog.Logger
	limit  *daemon.Limited
	access atomic.Pointer[server.Access]
	certs  atomic.Pointer[[]*tls.Certificate]

	mu      sync.Mutex // of reports
	out     *json.Encoder
	number  uint64 // of the last state
	refused string
}

// begin reads settings and first state, and gives up what the process does not need.
func begin(name string, in io.Reader, out io.Writer) (*child, error) {
	c := &child{orders: json.NewDecoder(in), out: json.NewEncoder(out)}
	var first, second order
	if err := errors.Join(c.orders.Decode(&first), c.orders.Decode(&second)); err != nil {
		return nil, err
	}
	if first.Settings == nil || second.State == nil {
		return nil, errors.New("there are no settings")
	}
	settings, state := first.Settings, second.State
	c.log = daemon.New(name, state.Log)
	c.limit = daemon.NewLimited(c.log, time.Minute, 5)
	// The first to go when memory is short, and behind those that answer NTP.
	if err := errors.Join(threads.LowerAll(), privileges.PreferForOOM(ProcessName), privileges.ForbidDumps()); err != nil {
		c.log.Warn("nts-ke process has more rights or priority than it needs", "error", err)
	}
	if err := (&privileges.Plan{Log: slog.New(slog.DiscardHandler)}).Drop(); err != nil {
		return nil, err
	}
	limitMemory(settings.MaxConnections)
	var err error
	if c.ring, err = nts.ImportRing(state.Secrets, settings.KeyRing, time.Now()); err != nil {
		return nil, err
	}
	if err := c.apply(state); err != nil {
		return nil, err
	}
	c.number = second.Number
	cfg := settings.server()
	cfg.TLS, cfg.Ring, cfg.Denied, cfg.Done = &tls.Config{GetCertificate: c.certificate}, c.ring, c.denied, c.exchanged
	c.server, err = ntske.NewServer(cfg)
	return c, err
}

// limitMemory sets the memory that the process may have. An exchange allocates 50 kB.
// With a heap of a few megabytes a collection would come every 40 exchanges and take a
// fifth of their processor time, so the heap may first grow to some tens of megabytes.
func limitMemory(connections int) {
	daemon.LimitHeap(800, ntske.BaseMemory+int64(connections)*ntske.ConnMemory)
}

// serve serves until the other side says stop or is gone.
func (c *child) serve() error {
	l, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := make(chan error, 1)
	served := make(chan error, 1)
	go func() { gone <- c.obey(cancel) }()
	go func() { served <- c.server.Serve(ctx, l) }()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		if err := c.report(); err != nil {
			return nil // nobody reads
		}
		select {
		case err := <-served:
			c.limit.Flush()
			return errors.Join(err, c.report())
		case err := <-gone:
			return err
		case <-tick.C:
			c.ring.Rotate(time.Now())
		}
	}
}

// obey takes orders until there are no more. An order to stop is no end: exchanges that
// have begun go on.
func (c *child) obey(stop func()) error {
	for {
		var o order
		if err := c.orders.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if o.State != nil {
			err := c.apply(o.State)
			c.mu.Lock()
			c.number, c.refused = o.Number, ""
			if err != nil {
				c.refused = err.Error()
			}
			c.mu.Unlock()
			if c.report() != nil {
				return nil
			}
		}
		if o.Stop {
			stop()
		}
	}
}

// apply takes over a state, each part on its own.
func (c *child) apply(s *State) error {
	var errs []error
	list, err := certificates(s.Certificates)
	if err == nil {
		c.certs.Store(&list)
	}
	errs = append(errs, err)
	access, err := server.NewAccess(s.Allow, s.Deny, s.NTSOnly)
	if err == nil {
		c.access.Store(access)
	}
	return errors.Join(append(errs, err, c.ring.Import(s.Secrets, time.Now()), daemon.SetLevel(c.log, s.Log))...)
}

func (c *child) report() error {
	x := report{Exchanges: c.server.Counters().Snapshot(), Open: c.server.Counters().Open()}
	if err := c.server.Stuck(); err != nil {
		x.Stuck = err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x.Number, x.Refused = c.number, c.refused
	return c.out.Encode(&x)
}

func (c *child) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return certs.Select(hello, *c.certs.Load(), time.Now())
}

// denied reports whether the access lists deny an address.
func (c *child) denied(ip netip.Addr) bool { return c.access.Load().Check(ip) == server.Deny }

// exchanged logs how an exchange ended.
func (c *child) exchanged(from netip.AddrPort, r ntske.Reason, why error) {
	switch {
	case r == ntske.InternalError:
		c.limit.Log(slog.LevelError, r.String(), "nts-ke exchange failed", "from", from.String(), "reason", r.String(), "error", why)
	case r != ntske.Served:
		c.limit.Log(slog.LevelDebug, r.String(), "nts-ke exchange refused", "from", from.String(), "reason", r.String(), "error", why)
	}
}
