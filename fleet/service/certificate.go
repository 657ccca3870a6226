package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"noonmark/fleet/certs"
	"noonmark/internal/retry"
	pairs "noonmark/server/certs"
)

const (
	// settingsEvery is the time between two looks at settings that are missing or wrong.
	settingsEvery = 10 * time.Second
	// resignLimit is how long the end of the task may take: the lease is given back.
	resignLimit = 2 * time.Second
)

// fleetPEM is the file of the fleet's certificate; empty: ntsserve reads none.
func fleetPEM(list []pairs.Pair) string {
	for _, p := range list {
		if p.Cert == p.Key && filepath.Base(p.Cert) == certs.PEMName {
			return p.Cert
		}
	}
	return ""
}

var (
	// errNoPEM says that the node takes no part.
	errNoPEM = fmt.Errorf("left alone: ntsserve reads no %s; want ke.certificate and ke.key of ntsserve.toml to be /var/lib/ntsserve/%[1]s, and a restart of ntsserve and of this agent", certs.PEMName)
	// errNoCommand says that the node takes the certificate and orders none.
	errNoCommand = errors.New("this node orders no certificate: it has no command for dns-01; want run -dns")
)

// certTask keeps the certificate of the fleet on this node. Whatever happens to it, the agent
// goes on: then ntsserve keeps the certificate that it has.
type certTask struct {
	*Service
	clock func() (time.Time, error)
	every time.Duration // between two looks at settings that are missing or wrong
	ttl   time.Duration // of the lease; 0: the default

	mu       sync.Mutex // guards what Waiting and the metrics show
	settings *certs.Settings
	last     certs.Result
	wrong    error
	keeper   *certs.Keeper // that answers challenges; nil: none
	answered uint64        // by the keepers before
	refused  uint64

	// Of Run.
	log                          observer
	set, disc, server, challenge string // as they were logged last
	holder                       bool
	shown                        string // the reason why there is no keeper, as the others see it
}

func newCertTask(s *Service) *certTask {
	return &certTask{Service: s, clock: s.clock, every: settingsEvery, log: observer{log: s.cfg.Log, now: time.Now}}
}

func (c *certTask) String() string { return "certificate" }

// Waiting says why the node has not the certificate of the fleet, or why none is ordered.
func (c *certTask) Waiting() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// Run follows the settings until ctx ends.
func (c *certTask) Run(ctx context.Context) (err error) {
	defer func() { // a fault here must not end the process that keeps the key file
		if p := recover(); p != nil {
			c.cfg.Log.Error("fault in the upkeep of the fleet's certificate", "fault", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	of := certs.Of(c.own)
	var failed retry.Backoff
	for ctx.Err() == nil {
		limited, stop := context.WithTimeout(ctx, patience)
		s, err := of.Settings(limited)
		stop()
		if err != nil && !errors.Is(err, certs.ErrConfig) { // the agent reports an etcd that is gone
			c.cfg.Log.Debug("the settings of the certificate are not read", "error", err)
			retry.Sleep(ctx, failed.Next())
			continue
		}
		failed.Reset()
		if s == nil {
			c.follow(nil, nil)
			c.shown = ""
			retry.Sleep(ctx, c.every)
			continue
		}
		var k *certs.Keeper
		if err == nil {
			k, err = c.open(*s)
		}
		c.follow(s, err)
		if err != nil {
			c.show(ctx, of, certs.Report{Why: err.Error(), Alone: errors.Is(err, errNoPEM)})
			retry.Sleep(ctx, c.every)
			continue
		}
		c.shown = ""
		if err := c.keep(ctx, k); !errors.Is(err, certs.ErrSettings) {
			return err
		}
	}
	return ctx.Err()
}

// open returns the keeper for settings.
func (c *certTask) open(s certs.Settings) (*certs.Keeper, error) {
	if c.cfg.Server.PEM == "" {
		return nil, errNoPEM
	}
	a, err := s.ACME(c.cfg.Certificate)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	return certs.New(c.own, certs.Config{
		Node: c.node.Name, Key: c.key, Names: s.Names, ACME: a, Settings: s.Revision, Epoch: s.Epoch, PEM: c.cfg.Server.PEM,
		Clock: c.clock, Mono: func() time.Duration { return time.Since(begun) }, TTL: c.ttl, Connections: &c.conns.challenges,
	})
}

// keep runs a keeper to its end.
func (c *certTask) keep(ctx context.Context, k *certs.Keeper) error {
	c.mu.Lock()
	c.keeper = k
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		answered, refused := k.Responder().Counts()
		c.keeper, c.answered, c.refused = nil, c.answered+answered, c.refused+refused
		c.mu.Unlock()
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), resignLimit)
		defer stop()
		if err := k.Close(end); err != nil { // it ends by itself
			c.cfg.Log.Debug("the lease of the certificate is not given back", "error", err)
		}
	}()
	return k.Run(ctx, c.observe)
}

// show lets the others see why this node has no keeper.
func (c *certTask) show(ctx context.Context, of *certs.Fleet, p certs.Report) {
	if p.Why == c.shown {
		return
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if of.Show(ctx, c.node.Name, p) == nil { // else the next look does it
		c.shown = p.Why
	}
}

// follow takes settings over; nil: there are none. wrong is why this node cannot follow them.
func (c *certTask) follow(s *certs.Settings, wrong error) {
	c.mu.Lock()
	was := c.settings
	c.settings, c.wrong, c.last = s, wrong, certs.Result{}
	c.mu.Unlock()
	c.log.changed(&c.set, wrong, "the certificate of the fleet is not kept", "the settings of the certificate can be followed")
	switch {
	case s == nil && was != nil:
		c.cfg.Log.Info("the fleet orders no certificate any more; the last one stays in place")
	case s != nil && wrong == nil && (was == nil || was.Revision != s.Revision):
		c.cfg.Log.Info("the certificate of the fleet is kept", "settings", s.String(), "file", c.cfg.Server.PEM)
	}
}

// observe logs what changes. That etcd does not answer, the agent says.
func (c *certTask) observe(r certs.Result, err error) {
	log := c.cfg.Log
	if err != nil {
		log.Debug("the certificate is not compared with etcd", "error", err)
		return
	}
	c.mu.Lock()
	was := c.last
	c.last, c.wrong = r, c.judge(r)
	c.mu.Unlock()
	c.log.changed(&c.disc, r.Disc, "the certificate of the fleet was not written", "the certificate of the fleet is written")
	c.log.changed(&c.server, r.Server, "the ACME server did not do what it was asked for, it is tried again", "the ACME server does what it is asked for")
	c.log.changed(&c.challenge, r.Challenges, "this node does not answer challenges", "this node answers challenges")
	if r.Holder != c.holder {
		c.holder = r.Holder
		if r.Holder {
			log.Info("this node orders the certificate of the fleet")
		} else {
			log.Info("this node orders no certificate now")
		}
	}
	if g := r.Report.Generation; g > 0 && g != was.Report.Generation {
		log.Info("the certificate of the fleet is in place", "generation", g, "expires", time.Unix(r.Report.NotAfter, 0).UTC().Format(time.RFC3339))
	}
	if r.State.Failures > was.State.Failures {
		log.Warn("an order of the certificate has failed", "failures", r.State.Failures, "why", r.State.Why, "next", time.Unix(r.State.NotBefore, 0).UTC().Format(time.RFC3339))
	}
}

// judge returns what an operator must know, the nearest to this node first.
func (c *certTask) judge(r certs.Result) error {
	s := r.State
	switch {
	case r.Disc != nil:
		return fmt.Errorf("the certificate of the fleet was not written: %w", r.Disc)
	case r.Challenges != nil:
		return r.Challenges
	case r.Server != nil:
		return fmt.Errorf("ACME server: %w", r.Server)
	case s.Failures > 0:
		return fmt.Errorf("no certificate after %d orders: %s", s.Failures, s.Why)
	case s.Generation == 0 && c.settings.Challenge == certs.DNS01 && c.cfg.Certificate.DNS == "":
		return errNoCommand
	case s.Generation == 0:
		return errors.New("the fleet has no certificate yet")
	}
	return nil
}
