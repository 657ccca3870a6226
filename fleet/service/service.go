// Package service is the agent of a node as a service: the member of etcd if the node has
// one, the agent that keeps the key file of ntsserve, the keepers of its configuration and of
// the certificate of the shared name, the upkeep of certificates and addresses, the health endpoint, and on the node that manages
// the fleet the admission of others.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/access"
	"noonmark/fleet/agent"
	"noonmark/fleet/certs"
	"noonmark/fleet/identity"
	"noonmark/fleet/manager"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/retry"
	"noonmark/internal/servedclock"
	"noonmark/server/nts"
)

const (
	// upkeepEvery is the time between two looks at addresses, revocations and
	// certificates; of the first ones, upkeepFirst: a fleet that is being made gets its
	// members one after the other, and a node must know more than the first.
	upkeepEvery = time.Minute
	upkeepFirst = 5 * time.Second
	upkeepFast  = 12 // looks
	// closedEvery is the time between two looks at whether etcd authenticates.
	closedEvery = time.Hour
	// promoteEvery is the time between two looks at members that do not vote yet.
	promoteEvery = 2 * time.Second
	// patience limits a request of the upkeep.
	patience = 10 * time.Second
	// startLimit limits the start of the member of etcd; it waits for the others.
	startLimit = time.Minute
)

// Server is what the agent needs of ntsserve's configuration.
type Server struct {
	KeyFile string         // keys.file
	Clock   string         // source.path, the snapshot of the clock
	NTP     netip.AddrPort // where this machine gets plain NTP; not valid: nowhere
	PEM     string         // where ntsserve reads the certificate of the fleet; empty: nowhere
	Rotate  time.Duration
	Keep    int
	Answers Answers
}

// LoadServer reads ntsserve's configuration and refuses one with which ntsserve would
// replace the secrets of the fleet by its own. Errors name file, line and remedy.
func LoadServer(path string) (*Server, error) {
	s, err := ntsserve.Load(path)
	if err != nil {
		return nil, err
	}
	if !s.OpensCookies {
		return nil, exitcode.With(exitcode.ErrConfig, fmt.Errorf("%s: ntsserve has no cookie keys; want ke.certificate and ke.key, or keys.file", path))
	}
	if s.KeyRing.Renew != nts.NeverRenew {
		return nil, exitcode.With(exitcode.ErrConfig, fmt.Errorf("%s: the fleet replaces the secrets, not ntsserve; want renew = \"never\"", s.Place("keys.renew")))
	}
	return &Server{KeyFile: s.Keys.File, Clock: s.Source.Path, NTP: plain(s.Endpoints), PEM: fleetPEM(s.Pairs()), Rotate: s.KeyRing.Rotate, Keep: s.KeyRing.Keep, Answers: answers(s)}, nil
}

// Config is one node.
type Config struct {
	Dir         identity.Dir
	Server      *Server
	Health      *Health  // nil: the node has no health endpoint
	Witness     *Witness // nil, or without Health: its time is not compared
	Config      Configuration
	Certificate certs.Local
	View        View
	Log         *slog.Logger
}

// Service is the agent as a service.
type Service struct {
	cfg     Config
	node    identity.Node
	etcd    *clientv3.Client
	own     *store.Store
	key     *seal.Private
	manages bool // it admits nodes
	agt     *agent.Agent
	seen    atomic.Pointer[seen] // of the last round of the agent

	conns connections // of all listeners
}

// New reads the membership of the node and writes the key file of ntsserve from the disc,
// without etcd. The caller closes the result.
func New(c Config) (*Service, error) {
	s := &Service{cfg: c}
	var err error
	if s.node, err = c.Dir.Load(); err != nil {
		return nil, unusable(err)
	}
	settings, err := c.Dir.TLS()
	if err != nil {
		return nil, unusable(err)
	}
	if s.key, err = c.Dir.SealKey(); err != nil {
		return nil, unusable(err)
	}
	if s.manages, err = c.Dir.Manages(); err != nil {
		return nil, unusable(err)
	}
	if s.etcd, err = access.Connect(s.node.Endpoints, settings); err != nil {
		return nil, err
	}
	if s.own, err = store.New(s.etcd, s.node.Fleet); err != nil {
		s.etcd.Close()
		return nil, err
	}
	s.agt, err = agent.New(s.own, agent.Config{
		Node: s.node.Name, Key: s.key, Copy: c.Dir.Copy(), KeyFile: c.Server.KeyFile, Rotate: c.Server.Rotate, Keep: c.Server.Keep,
		Clock: s.clock,
	})
	if err != nil {
		s.etcd.Close()
		return nil, err
	}
	return s, nil
}

// unusable gives exit code 78 to a membership that is missing or damaged. A file that is there
// and could not be read, as of a disc that fails, may be good: then the service is started
// again.
func unusable(err error) error {
	var system syscall.Errno
	if errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return exitcode.With(exitcode.ErrConfig, err)
}

// remedied adds what to do to an error of listening at an address of the membership; other errors
// stay as they are.
func remedied(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		return err
	}
	port := uint16(0)
	if a, ok := op.Addr.(*net.TCPAddr); ok {
		port = uint16(a.Port)
	}
	return fmt.Errorf("%w; %s", err, daemon.ListenRemedy(err, port, "the address is that of init or join: this machine must have it"))
}

// clock is that of the system, with why it may be wrong.
func (s *Service) clock() (time.Time, error) {
	return time.Now(), servedclock.Confirm(s.cfg.Server.Clock)
}

// Close ends the connection to etcd.
func (s *Service) Close() { s.etcd.Close() }

// Run runs until a signal or ctx ends it.
func (s *Service) Run(ctx context.Context) error {
	configuration, certificate := newConfigTask(s), newCertTask(s)
	tasks := []daemon.Task{&agentTask{Service: s}, daemon.Func("upkeep", s.upkeep), configuration, certificate}
	if s.node.Member != nil {
		tasks = append(tasks, &memberTask{Service: s})
	}
	var health *healthTask
	if s.cfg.Health != nil {
		health = newHealthTask(s, certificate, &s.conns)
		if s.cfg.Witness != nil {
			w := newWitnessTask(s)
			health.metrics, health.witness = append(health.metrics, w), w
			tasks = append(tasks, w)
		}
		tasks = append(tasks, health)
	}
	if s.cfg.View.Path != "" {
		tasks = append(tasks, newViewTask(s, health, configuration, certificate))
	}
	if s.manages {
		tasks = append(tasks, daemon.Func("admission", s.admit))
	}
	return (&daemon.Daemon{Log: s.cfg.Log, StateFile: daemon.RuntimeFile(daemon.StateFileName), Describe: func() string { return s.agt.Readiness().String() }}).Run(ctx, tasks...)
}

// memberTask is the member of etcd.
type memberTask struct {
	*Service
	ready chan struct{}
}

func (m *memberTask) String() string { return "etcd" }

// Ready is closed at once: a member that waits for the others does all it can.
func (m *memberTask) Ready() <-chan struct{} {
	m.ready = make(chan struct{})
	close(m.ready)
	return m.ready
}

func (m *memberTask) Run(ctx context.Context) error {
	limited, stop := context.WithTimeout(ctx, startLimit)
	defer stop()
	e, err := manager.StartMember(limited, m.cfg.Dir, m.node, etcdLog(ctx, m.cfg.Log))
	if err != nil {
		return remedied(err)
	}
	defer e.Close()
	m.cfg.Log.Info("etcd serves", "agents", m.node.Member.Client, "members", m.node.Member.Peer)
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return fmt.Errorf("etcd: %w", err)
	}
}

// agentTask is the agent.
type agentTask struct{ *Service }

func (a *agentTask) String() string { return "agent" }

// Waiting says why the node does not serve.
func (a *agentTask) Waiting() error {
	if r := a.agt.Readiness(); r != roots.Serves {
		return errors.New(r.String())
	}
	return nil
}

func (a *agentTask) Run(ctx context.Context) error {
	if err := a.closed(ctx); err != nil {
		return err
	}
	o := observer{log: a.cfg.Log, now: time.Now}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := time.Now().Add(closedEvery)
	err := a.agt.Run(ctx, func(r agent.Report, err error) {
		a.seen.Store(&seen{r, err})
		o.observe(r, err)
		if time.Now().After(next) {
			next = time.Now().Add(closedEvery)
			if err := a.closed(ctx); errors.Is(err, access.ErrOpen) {
				stop(err)
			}
		}
	})
	if cause := context.Cause(ctx); errors.Is(cause, access.ErrOpen) {
		return cause
	}
	return err
}

// closed refuses an etcd that lets everybody in: whoever writes to it gets the secrets.
// One that does not answer is examined by the requests of the rounds.
func (a *agentTask) closed(ctx context.Context) error {
	limited, stop := context.WithTimeout(ctx, patience)
	defer stop()
	err := access.CheckClosed(limited, a.etcd)
	if errors.Is(err, access.ErrOpen) {
		return err
	}
	return nil
}

// upkeep keeps what changes slowly.
func (s *Service) upkeep(ctx context.Context) error {
	node := s.node // of this goroutine
	for n := 0; ctx.Err() == nil; n++ {
		if err := s.look(ctx, &node); err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("upkeep is repeated", "error", err) // the agent reports an etcd that is gone
		}
		wait := upkeepEvery
		if n < upkeepFast {
			wait = upkeepFirst
		}
		retry.Sleep(ctx, wait)
	}
	return nil
}

func (s *Service) look(ctx context.Context, n *identity.Node) error {
	ctx, stop := context.WithTimeout(ctx, 4*patience)
	defer stop()
	return errors.Join(s.addresses(ctx, n), s.revoked(ctx), s.renew(ctx))
}

// addresses keeps where the members of the embedded etcd are.
func (s *Service) addresses(ctx context.Context, n *identity.Node) error {
	if n.Member == nil && !s.embedded(ctx) {
		return nil
	}
	if err := s.etcd.Sync(ctx); err != nil {
		return err
	}
	found := s.etcd.Endpoints()
	slices.Sort(found)
	if len(found) == 0 || slices.Equal(found, n.Endpoints) {
		return nil
	}
	n.Endpoints = found
	s.cfg.Log.Info("etcd has other members", "endpoints", found)
	return s.cfg.Dir.Save(*n)
}

// embedded reports whether the members of etcd are nodes of the fleet: only those know
// addresses at which all nodes reach them.
func (s *Service) embedded(ctx context.Context) bool {
	r, err := s.etcd.MemberList(ctx)
	if err != nil {
		return false
	}
	var names []string
	for _, m := range r.Members {
		if m.Name != "" {
			names = append(names, m.Name)
		}
	}
	all, err := s.own.Registered(ctx, names)
	return err == nil && all
}

// revoked keeps the revocation list.
func (s *Service) revoked(ctx context.Context) error {
	list, _, err := s.own.Revoked(ctx)
	if err != nil || list == nil {
		return err
	}
	changed, err := s.cfg.Dir.TakeRevoked(list)
	if changed {
		s.cfg.Log.Info("certificates were revoked")
	}
	return err
}

// renew keeps the certificates.
func (s *Service) renew(ctx context.Context) error {
	if done, err := manager.Renew(ctx, s.cfg.Dir, s.node, time.Now()); err != nil {
		s.cfg.Log.Warn("certificate not renewed, the present one stays in use", "error", err)
	} else if done {
		s.cfg.Log.Info("certificate renewed")
	}
	if !s.manages {
		return nil
	}
	return manager.RenewAdmin(s.cfg.Dir, time.Now())
}

// admit admits nodes and lets members of etcd vote.
func (s *Service) admit(ctx context.Context) error {
	settings, err := s.cfg.Dir.AdminTLS()
	if err != nil {
		return err
	}
	etcd, err := access.Connect(s.node.Endpoints, settings)
	if err != nil {
		return err
	}
	defer etcd.Close()
	m, err := manager.Open(s.cfg.Dir, etcd, time.Now)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.node.Manager)
	if err != nil {
		return fmt.Errorf("admit nodes: %w", remedied(err))
	}
	ctx, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { s.promote(ctx, m) })
	others.Go(func() { s.rights(ctx, m) })
	others.Go(func() { s.keepAudit(ctx, m) })
	err = m.Serve(ctx, manager.Admission{Listener: l, Dir: s.cfg.Dir, Counts: &s.conns.admission, Log: s.cfg.Log})
	stop()
	others.Wait()
	return err
}

// rights brings the rights of all nodes up to date once, as soon as etcd answers: the
// fleet may have been made by an older version.
func (s *Service) rights(ctx context.Context, m *manager.Manager) {
	var failed retry.Backoff
	for ctx.Err() == nil {
		limited, stop := context.WithTimeout(ctx, startLimit)
		changed, err := m.UpdateRights(limited)
		stop()
		if len(changed) > 0 {
			s.cfg.Log.Info("rights in etcd brought up to date", "nodes", changed)
		}
		if err == nil {
			return
		}
		if n, log := failed.Failed(); log && ctx.Err() == nil {
			s.cfg.Log.Warn("rights in etcd are not up to date, it is tried again", "error", err, "attempt", n)
		}
		retry.Sleep(ctx, failed.Next())
	}
}

// keepAudit copies the audit record while etcd answers.
func (s *Service) keepAudit(ctx context.Context, m *manager.Manager) {
	var failed retry.Backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := m.KeepAudit(ctx)
		if time.Since(began) > retry.Max {
			failed.Reset()
		}
		if n, log := failed.Failed(); log && ctx.Err() == nil {
			s.cfg.Log.Warn("the audit record is not copied, it is tried again", "error", err, "attempt", n)
		}
		retry.Sleep(ctx, failed.Next())
	}
}

func (s *Service) promote(ctx context.Context, m *manager.Manager) {
	t := time.NewTicker(promoteEvery)
	defer t.Stop()
	before := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		limited, stop := context.WithTimeout(ctx, patience)
		done, err := m.Promote(limited)
		stop()
		if err != nil {
			continue // etcd is away: the agent reports it
		}
		if done && !before {
			s.cfg.Log.Info("all members of etcd vote")
		}
		before = done
	}
}

// LogSettings are those of a service without a file of its own.
func LogSettings() config.Log { return config.Log{Level: "info", Format: "text"} }
