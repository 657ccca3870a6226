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
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
	"noonmark/server/nts"
	"noonmark/server/threads"
	"noonmark/server/transport/sockets"
)

// Endpoint is one address to answer on.
type Endpoint struct {
	Name   string // in metrics and logs; empty: its address, with "%" and its interface if it has one
	Socket sockets.Config
	Policy Policy // NoPlain, NoNTS or neither
	Smear  bool   // leap seconds are smeared (View.Smear)
}

// Config is what a Server needs.
type Config struct {
	Snapshot  string    // path of the published snapshot
	Ring      *nts.Ring // cookie keys; nil: no NTS. Whoever has it rotates it.
	Endpoints []Endpoint
	Access    *Access // nil: everybody
	Limit     LimitConfig
	BasicOnly bool // no interleaved mode
	// Priority of the workers' threads. High without the permission makes the
	// other threads of the process recede instead.
	Priority threads.Priority
	Log      *slog.Logger // nil: silent
}

// Server answers on all endpoints. It is a task: New opens the sockets, Run
// works until its context is done and closes them.
type Server struct {
	cfg       Config
	log       *slog.Logger
	endpoints []*endpoint
	precision int8
	floor     int64        // ns an answer takes to the wire at least
	stampCost [kinds]int64 // ns by which being stamped delays a departure
	access    atomic.Pointer[Access]
	synced    atomic.Bool
	ready     chan struct{}
}

type endpoint struct {
	name    string
	addr    netip.AddrPort
	workers []*worker
}

// maxWorkers bounds the sockets of an endpoint that leaves their number to us:
// one core answers more than a hundred thousand requests a second.
const maxWorkers = 8

// New opens the sockets. Errors say which endpoint, and wrap what the system
// said.
func New(cfg Config) (_ *Server, err error) {
	s := &Server{cfg: cfg, log: cfg.Log, precision: ClockPrecision(), ready: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.access.Store(cfg.Access)
	warm, cold := sockets.SendTime()
	s.floor = int64(warm.Least)
	for k := range s.stampCost {
		if s.stampCost[k] = int64(warm.Stamping); k&coldKind != 0 {
			s.stampCost[k] = int64(cold.Stamping)
		}
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	names := map[string]bool{}
	for _, ep := range cfg.Endpoints {
		sc := ep.Socket
		if sc.Sockets == 0 {
			sc.Sockets = min(runtime.GOMAXPROCS(0), maxWorkers)
		}
		conns, err := sockets.Listen(sc)
		if err != nil {
			return nil, err
		}
		e := &endpoint{name: ep.Name, addr: conns[0].Addr()}
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
		s.endpoints = append(s.endpoints, e)
		if names[e.name] {
			return nil, fmt.Errorf("two endpoints are named %s", e.name)
		}
		names[e.name] = true
		for _, card := range conns[0].Cards() {
			attrs := []any{"endpoint", e.name, "interface", card.Interface, "phc", card.PHC, "receive", card.Receive, "transmit", card.Transmit}
			if card.Receive {
				s.log.Info("hardware timestamps", attrs...)
			} else {
				s.log.Warn("no hardware receive timestamps though the interface has a clock", append(attrs, "error", card.Err)...)
			}
		}
		s.log.Info("listening", "endpoint", e.name, "address", e.addr.String(), "sockets", len(conns), "smear", ep.Smear)
	}
	return s, nil
}

// Addrs are the addresses of the endpoints, in their order.
func (s *Server) Addrs() []netip.AddrPort {
	var a []netip.AddrPort
	for _, e := range s.endpoints {
		a = append(a, e.addr)
	}
	return a
}

// Workers is how many sockets there are, each with a worker of its own.
func (s *Server) Workers() (n int) {
	for _, e := range s.endpoints {
		n += len(e.workers)
	}
	return n
}

// SetRing gives the server its cookie keys, for a program that can read them only
// after it has given up the rights that New needs. It comes before Run.
func (s *Server) SetRing(r *nts.Ring) { s.cfg.Ring = r }

// SetAccess replaces the access lists; nil allows everybody.
func (s *Server) SetAccess(a *Access) { s.access.Store(a) }

// Ready is closed once all workers receive.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Server) String() string { return "ntp" }

// Close closes the sockets of a Server that was never Run.
func (s *Server) Close() {
	for _, e := range s.endpoints {
		for _, w := range e.workers {
			w.conn.Close()
		}
	}
	s.endpoints = nil
}

// Run answers until ctx is done. A worker whose socket breaks ends it with an
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
	s.prefer(started)
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
		for _, w := range e.workers {
			w.conn.Close()
			if f := w.fresh.Swap(nil); f != nil {
				f.Close()
			}
		}
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// thread is one that a worker runs on.
type thread struct {
	id  int
	err error // why it is not preferred
}

// prefer waits until all workers have their threads, and has the others of the
// process recede if those could not be raised.
func (s *Server) prefer(started <-chan thread) {
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
		s.log.Info("workers are preferred to other threads", "priority", s.cfg.Priority.String())
	default:
		err := threads.Recede(ids)
		s.log.Warn("the threads that answer could not be preferred: the other threads of this process recede instead", "priority", s.cfg.Priority.String(),
			"want", "CAP_SYS_NICE, or LimitNICE= or LimitRTPRIO= of the unit", "error", errors.Join(refused, err))
	}
}

// watchEvery is how often the snapshot's file is looked at: a refclockd that
// was installed anew is followed within this time.
const watchEvery = time.Second

// linksEvery is after how many of those the speed of the links is asked for.
const linksEvery = 10

// watch follows the snapshot: it maps it anew for the workers when its file is
// replaced, and tells the log when clients begin and cease to be told that the
// clock is synchronised.
func (s *Server) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	var r *status.Reader
	defer func() {
		if r != nil {
			r.Close()
		}
	}()
	var was string
	var ticks uint
	for {
		if r != nil && r.Replaced() {
			r.Close()
			r = nil
		}
		if r == nil {
			var err error
			if r, err = status.Open(s.cfg.Snapshot); err != nil {
				r = nil
			} else {
				s.remap()
			}
		}
		if is, why := s.judge(r); is != was {
			level := slog.LevelInfo
			if !s.synced.Load() {
				level = slog.LevelWarn
			}
			s.log.Log(ctx, level, "clients are told "+is, "why", why, "snapshot", s.cfg.Snapshot)
			was = is
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if ticks++; ticks%linksEvery == 0 {
			for _, e := range s.endpoints {
				e.workers[0].conn.LookAtLinks() // the others of the endpoint share them
			}
		}
	}
}

// judge says what clients are told, and why.
func (s *Server) judge(r *status.Reader) (is, why string) {
	s.synced.Store(false)
	if r == nil {
		return "unsynchronised", status.ErrNone.Error()
	}
	var snap status.Snapshot
	if err := r.LoadAll(&snap); err != nil {
		return "unsynchronised", err.Error()
	}
	switch mono := phc.MonoRaw(); {
	case snap.Usable(mono):
		s.synced.Store(true)
		return fmt.Sprintf("synchronised, stratum %d, %s", snap.Stratum, snap.State), snap.Reason
	case snap.State == status.Locked || snap.State == status.Holdover:
		return "unsynchronised, " + snap.State.String(), fmt.Sprintf("the error bound has grown beyond %v; is refclockd running?", snap.Limit)
	}
	return "unsynchronised, " + snap.State.String(), snap.Reason
}

// remap gives each worker a mapping of its own of the snapshot, if there is one.
func (s *Server) remap() {
	for _, e := range s.endpoints {
		for _, w := range e.workers {
			r, err := status.Open(s.cfg.Snapshot)
			if err != nil {
				return
			}
			if old := w.fresh.Swap(r); old != nil {
				old.Close()
			}
		}
	}
}
