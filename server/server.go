package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"noonmark/refclock/status"
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
	// Priority of the workers' threads. If High is not permitted, the server lowers
	// the priority of the other threads of the process.
	Priority threads.Priority
	Log      *slog.Logger // nil: silent
}

// Server answers on all endpoints. It is a task: New opens the sockets, Run
// works until its context is done and closes them.
type Server struct {
	cfg       Config
	log       *slog.Logger
	endpoints []*endpoint
	precision int8 // of reading the clock, log2 of seconds
	sendCost  sendCost
	access    atomic.Pointer[Access]
	synced    atomic.Bool // answers report a synchronised clock
	ready     chan struct{}
}

// sendCost is what sending costs on this machine, in ns.
type sendCost struct {
	least    int64        // from reading the clock to the departure, at least
	stamping [kinds]int64 // delay that a transmit timestamp adds to the departure
}

type endpoint struct {
	name    string
	addr    netip.AddrPort
	sockets []*sockets.Conn
	workers []*worker // one a socket
}

// maxWorkers limits the default number of sockets of an endpoint: one core
// answers more than a hundred thousand requests a second.
const maxWorkers = 8

// New opens the sockets. Errors name the endpoint and wrap the system's error.
func New(cfg Config) (_ *Server, err error) {
	s := &Server{cfg: cfg, log: cfg.Log, precision: ClockPrecision(), sendCost: measureSend(), ready: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.access.Store(cfg.Access)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	names := map[string]bool{}
	for _, ep := range cfg.Endpoints {
		e, err := s.open(ep)
		if err != nil {
			return nil, err
		}
		s.endpoints = append(s.endpoints, e)
		if names[e.name] {
			return nil, fmt.Errorf("two endpoints have the name %s", e.name)
		}
		names[e.name] = true
	}
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

// open opens the sockets of an endpoint.
func (s *Server) open(ep Endpoint) (*endpoint, error) {
	sc := ep.Socket
	if sc.Sockets == 0 {
		sc.Sockets = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	conns, err := sockets.Listen(sc)
	if err != nil {
		return nil, err
	}
	e := &endpoint{name: ep.Name, addr: conns[0].Addr(), sockets: conns}
	if e.name == "" {
		if e.name = e.addr.String(); sc.Interface != "" { // other interfaces may have the same
			e.name += "%" + sc.Interface
		}
	}
	for _, c := range conns {
		w := newWorker(s, c, ep.Policy)
		w.resp.View.Smear = ep.Smear
		e.workers = append(e.workers, w)
	}
	for _, card := range conns[0].Cards() {
		attrs := []any{"endpoint", e.name, "interface", card.Interface, "phc", card.PHC, "receive", card.Receive, "transmit", card.Transmit}
		if card.Receive {
			s.log.Info("hardware timestamps", attrs...)
		} else {
			s.log.Warn("no hardware receive timestamps though the interface has a clock", append(attrs, "error", card.Err)...)
		}
	}
	s.log.Info("listening", "endpoint", e.name, "address", e.addr.String(), "sockets", len(conns), "smear", ep.Smear)
	return e, nil
}

// Addrs returns the addresses of the endpoints, in their order.
func (s *Server) Addrs() []netip.AddrPort {
	var a []netip.AddrPort
	for _, e := range s.endpoints {
		a = append(a, e.addr)
	}
	return a
}

// Workers returns the number of sockets, each of which has its own worker.
func (s *Server) Workers() (n int) {
	for _, e := range s.endpoints {
		n += len(e.workers)
	}
	return n
}

// SetRing sets the cookie keys, for a program that can read them only after it
// has dropped the privileges that New needs. Call it before Run.
func (s *Server) SetRing(r *nts.Ring) { s.cfg.Ring = r }

// SetAccess replaces the access lists; nil allows everybody.
func (s *Server) SetAccess(a *Access) { s.access.Store(a) }

// Ready returns a channel that is closed when all workers receive.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// String returns the name of the task.
func (s *Server) String() string { return "ntp" }

// Close closes the sockets of a Server that was never Run.
func (s *Server) Close() {
	for _, e := range s.endpoints {
		for _, c := range e.sockets {
			c.Close()
		}
	}
	s.endpoints = nil
}

// Run answers until ctx is done. If a worker's socket fails, Run ends with an
// error.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	s.remap() // before the first packet
	started := make(chan thread, s.Workers())
	for _, e := range s.endpoints {
		for _, w := range e.workers {
			wg.Go(func() {
				if err := w.run(func(id int, err error) { started <- thread{id, err} }); err != nil {
					cancel(fmt.Errorf("endpoint %s: %w", e.name, err))
				}
			})
		}
	}
	s.prioritise(started)
	wg.Go(func() { s.watch(ctx) })
	close(s.ready)
	<-ctx.Done()
	for _, e := range s.endpoints {
		for _, w := range e.workers {
			w.conn.Stop()
		}
	}
	wg.Wait()
	for _, e := range s.endpoints {
		for _, c := range e.sockets {
			c.Close()
		}
		for _, w := range e.workers {
			w.feed.offer(nil)
		}
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// remap gives each worker its own mapping of the snapshot, if there is one.
func (s *Server) remap() {
	for _, e := range s.endpoints {
		for _, w := range e.workers {
			r, err := status.Open(s.cfg.Snapshot)
			if err != nil {
				return
			}
			w.feed.offer(r)
		}
	}
}

// thread is the thread of a worker.
type thread struct {
	id  int
	err error // why it has not the configured priority
}

// prioritise waits until all workers have started. If their threads could not be
// raised, it lowers the priority of the others of the process.
func (s *Server) prioritise(started <-chan thread) {
	var ids []int
	var refused error
	for range s.Workers() {
		t := <-started
		if ids = append(ids, t.id); refused == nil {
			refused = t.err
		}
	}
	switch {
	case s.cfg.Priority == threads.Normal:
	case refused == nil:
		s.log.Info("raised the priority of the answering threads", "priority", s.cfg.Priority.String())
	default:
		err := threads.LowerOthers(ids)
		s.log.Warn("cannot raise the priority of the answering threads; lowered that of all other threads of this process", "priority", s.cfg.Priority.String(),
			"want", "CAP_SYS_NICE, or LimitNICE= or LimitRTPRIO= of the unit", "error", errors.Join(refused, err))
	}
}
