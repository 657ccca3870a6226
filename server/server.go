package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"noonmark/internal/liveness"
	"noonmark/server/mac"
	"noonmark/server/nts"
	"noonmark/server/threads"
	"noonmark/server/transport/sockets"
)

// Endpoint is one address to answer on.
type Endpoint struct {
	Name   string // in metrics and logs; empty: the address, with "%" and the interface if there is one
	Socket sockets.Config
	Policy Policy // NoPlain, NoNTS or neither
	Smear  bool   // leap seconds are smeared (View.Smear)
}

// Config is what a Server needs.
type Config struct {
	Snapshot  string    // path of the published snapshot
	Ring      *nts.Ring // cookie keys, rotated by their owner; nil: no NTS
	Endpoints []Endpoint
	Access    *Access // nil: everybody
	Limit     LimitConfig
	BasicOnly bool // no interleaved mode
	Clients   bool // count the networks that are answered
	// Priority is that of the workers if it is Realtime. Another one is that of the
	// process, and its own concern (threads.Raise).
	Priority threads.Priority
	Log      *slog.Logger // nil: silent
}

// Server answers on all endpoints. It is a task: New opens the sockets, Run
// works until its context is done and closes them. An endpoint that cannot be had
// takes no other with it.
type Server struct {
	cfg       Config
	log       *slog.Logger
	endpoints []*endpoint
	network   *netWatch
	watching  liveness.Work // the snapshot
	precision int8          // of reading the clock, log2 of seconds
	sendCost  sendCost
	limit     *Limiter // of all workers; nil: no limit
	access    atomic.Pointer[Access]
	macs      atomic.Pointer[mac.Keys]
	ring      atomic.Pointer[nts.Ring] // nil: no NTS
	synced    atomic.Bool              // answers report a synchronised clock
	stratum   atomic.Uint32            // that they report then
	ready     chan struct{}
	refused   sync.Once // the log says that real-time threads are
}

// sendCost is what sending costs on this machine, in ns.
type sendCost struct {
	least    int64        // from reading the clock to the departure, at least
	stamping [kinds]int64 // delay that a transmit timestamp adds to the departure
}

// maxWorkers limits the default number of sockets of an endpoint: one core
// answers more than a hundred thousand requests a second.
const maxWorkers = 8

// New opens the sockets of the endpoints. Run opens those that cannot be had yet.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, precision: ClockPrecision(), sendCost: measureSend(), limit: NewLimiter(cfg.Limit), ready: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.access.Store(cfg.Access)
	s.ring.Store(cfg.Ring)
	s.network = newNetWatch(s.log)
	names := map[string]bool{}
	for _, ep := range cfg.Endpoints {
		e := newEndpoint(ep)
		if cfg.Clients {
			for _, m := range e.metrics {
				m.clients = newClientTable()
			}
		}
		s.endpoints = append(s.endpoints, e)
		s.open(e) // Run tries again
		if names[e.name] {
			s.Close()
			return nil, fmt.Errorf("two endpoints have the name %s", e.name)
		}
		names[e.name] = true
	}
	s.network.endpoints = s.endpoints
	return s, nil
}

func measureSend() sendCost {
	warm, cold := sockets.MeasureSend()
	c := sendCost{least: int64(warm.Least)}
	for kind := range c.stamping {
		if c.stamping[kind] = int64(warm.Stamping); kind&coldKind != 0 {
			c.stamping[kind] = int64(cold.Stamping)
		}
	}
	return c
}

// Addrs returns the addresses of the endpoints that are open, in their order.
func (s *Server) Addrs() []netip.AddrPort {
	var a []netip.AddrPort
	for _, e := range s.endpoints {
		if at, ok := e.address(); ok {
			a = append(a, at)
		}
	}
	return a
}

// Workers returns the number of sockets, each of which has its own worker, when all
// endpoints are open.
func (s *Server) Workers() (n int) {
	for _, e := range s.endpoints {
		n += len(e.metrics)
	}
	return n
}

// SetRing sets the cookie keys, for a program that can read them only later. Until
// then, requests with NTS are refused as NTSOff.
func (s *Server) SetRing(r *nts.Ring) { s.ring.Store(r) }

// SetAccess replaces the access lists; nil allows everybody.
func (s *Server) SetAccess(a *Access) { s.access.Store(a) }

// SetMACs replaces the symmetric keys; nil: none.
func (s *Server) SetMACs(k *mac.Keys) { s.macs.Store(k) }

// Ready returns a channel that is closed when each endpoint receives, or waits for
// what it lacks.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Waiting returns what endpoints lack; nil if all serve as configured.
func (s *Server) Waiting() error {
	var errs []error
	for _, e := range s.endpoints {
		if _, err := e.problem(); err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s: %w", e.name, err))
		}
	}
	return errors.Join(errs...)
}

// stuckAfter is longer than any piece of work: a worker answers a batch within
// milliseconds, the watches read a file or ask the kernel. The longest wait within a
// turn of the network's watch is lookEvery.
const stuckAfter = time.Minute

// Stuck returns an error if a worker, the watch of the snapshot or that of the network
// hangs. It takes no lock that one of them holds while it works.
func (s *Server) Stuck() error {
	var errs []error
	for _, e := range s.endpoints {
		errs = append(errs, e.stuck())
	}
	if err := s.watching.Stuck(stuckAfter); err != nil {
		errs = append(errs, fmt.Errorf("watch of the snapshot: %w", err))
	}
	if err := s.network.turning.Stuck(stuckAfter); err != nil {
		errs = append(errs, fmt.Errorf("watch of the network: %w", err))
	}
	return errors.Join(errs...)
}

// String returns the name of the task.
func (s *Server) String() string { return "ntp" }

// Close closes the sockets of a Server that was never Run.
func (s *Server) Close() {
	for _, e := range s.endpoints {
		e.shut()
	}
	s.network.close()
}

// Run answers until ctx is done. An endpoint that cannot be opened, or whose socket
// fails, is opened again with back-off; the others go on.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	settled := make(chan struct{}, len(s.endpoints))
	for _, e := range s.endpoints {
		wg.Go(func() { s.keep(ctx, e, sync.OnceFunc(func() { settled <- struct{}{} })) })
	}
	for range s.endpoints {
		<-settled
	}
	close(s.ready)
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.network.run(ctx) })
	wg.Wait()
	return nil
}

// realtime makes the calling thread real-time. The first refusal is logged.
func (s *Server) realtime() {
	if err := threads.RaiseThread(); err != nil {
		s.refused.Do(func() {
			s.log.Warn("cannot raise the priority of the answering threads", "priority", s.cfg.Priority.String(), "want", "CAP_SYS_NICE, or LimitRTPRIO=1 of the unit", "error", err)
		})
	}
}
