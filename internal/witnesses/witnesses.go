// Package witnesses asks time servers for refclock/witness, which must not depend on the client
// of the server side.
package witnesses

import (
	"context"
	"errors"
	"fmt"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock/integrity"
	"noonmark/refclock/witness"
	"noonmark/server/certs/cafile"
	"noonmark/server/ntsclient"
)

// New returns the servers of a configuration, as refclock/witness asks them. Nothing is asked
// yet. Without servers there are none.
func New(configured []refclockd.WitnessServer) ([]witness.Server, error) {
	if len(configured) == 0 {
		return nil, nil
	}
	sys, err := phc.OpenSystem(func(int64) int { return 0 })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	var servers []witness.Server
	for _, c := range configured {
		x := &asked{cfg: ntsclient.Config{Host: c.Host, Port: c.Port, Plain: !c.NTS}, ca: c.CA, cross: sys.Cross}
		if err := x.open(); err != nil && c.CA == "" {
			return nil, err
		}
		servers = append(servers, witness.Server{
			WitnessConfig: c.Config(), Ask: x.ask,
		})
	}
	return servers, nil
}

// asked is a witness. It is for one goroutine.
type asked struct {
	cfg    ntsclient.Config
	ca     string            // file of authorities; empty: the system's
	client *ntsclient.Client // nil: that file could not be used yet
	cross  func() (phc.Cross, error)
}

// open makes the client.
func (s *asked) open() (err error) {
	if s.cfg.RootCAs, err = cafile.Read(s.ca); err == nil {
		s.client, err = ntsclient.New(s.cfg)
	}
	return err
}

// ask asks the server. A file of authorities that could not be used is read again first.
func (s *asked) ask(ctx context.Context) (integrity.Answer, error) {
	if s.client == nil {
		if err := s.open(); err != nil {
			return integrity.Answer{}, err
		}
	}
	return ask(ctx, s.client, s.cross)
}

// errStepped: the system clock, by which the answer was measured, was stepped
// meanwhile.
var errStepped = errors.New("system clock was stepped while the witness was asked")

// ask asks a server and expresses its answer on CLOCK_MONOTONIC_RAW.
func ask(ctx context.Context, cl *ntsclient.Client, cross func() (phc.Cross, error)) (integrity.Answer, error) {
	before, err := cross()
	if err != nil {
		return integrity.Answer{}, err
	}
	r, err := cl.Query(ctx)
	if err != nil {
		return integrity.Answer{}, err
	}
	x, err := cross()
	if err != nil {
		return integrity.Answer{}, err
	}
	// A slew of 500 ppm over a query of a few seconds stays well below this.
	if moved := time.Duration((x.Real - before.Real) - (x.Mono - before.Mono)); moved.Abs() > 10*time.Millisecond {
		return integrity.Answer{}, errStepped
	}
	return integrity.Answer{Mono: x.Mono, UTC: x.Real - int64(r.Offset), Error: r.RootDistance()}, nil
}
