package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"noonmark/fleet/certs"
	"noonmark/fleet/manager"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/service"
	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/internal/fleetview"
	"noonmark/internal/observe"
	"noonmark/internal/privileges"
	"noonmark/server/nts"
)

// denied reports whether etcd has refused for lack of rights.
func denied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }

// unavailable reports whether etcd cannot do now what it was asked for.
func unavailable(err error) bool {
	var e rpctypes.EtcdError
	return errors.As(err, &e) && e.Code() == codes.Unavailable
}

func serverFlag(fl *flag.FlagSet) *string {
	return fl.String("ntsserve", ntsserve.DefaultPath, "the configuration of ntsserve: a `FILE`")
}

// managerFlags declares what init and restore have in common: the fleet, and where its manager is.
func managerFlags(fl *flag.FlagSet, fleet *string, port *int, addresses *[]string) {
	fl.StringVar(fleet, "fleet", "noonmark", "the `NAME` of the fleet")
	fl.IntVar(port, "port", manager.DefaultPort, "the first of three `PORTS`: etcd for agents, etcd for members, the manager")
	command.Strings(fl, addresses, "address", "an IP `ADDRESS` or name at which the others reach this node, the first one for etcd and the manager")
}

// durations declares the durations of a fleet.
func durations(fl *flag.FlagSet, p *roots.Params) {
	fl.DurationVar(&p.Renew, "renew", p.Renew, "how long a root seals cookies")
	fl.DurationVar(&p.Horizon, "horizon", p.Horizon, "how far ahead roots are planned: a node without etcd serves so long")
	fl.DurationVar(&p.Lead, "lead", p.Lead, "the least time between the publication of a beginning and the beginning")
	fl.DurationVar(&p.Ack, "ack", p.Ack, "how long a node may take to acknowledge a root before it is drained")
	fl.DurationVar(&p.Tolerance, "tolerance", p.Tolerance, "the largest difference between clocks that agree")
}

func (o *operator) prepareInit(fl *flag.FlagSet, c command.Console) func() error {
	f := manager.Founding{Params: roots.Defaults()}
	o.flagsFor(fl, time.Minute)
	embedded := fl.Bool("embedded", false, "run an etcd in this node")
	fresh := fl.Bool("fresh", false, "do not take over the roots of the key file; clients repeat the key exchange")
	managerFlags(fl, &f.Fleet, &f.Port, &f.Addresses)
	fl.StringVar(&f.Node, "node", "", "the `NAME` of this node")
	command.Strings(fl, &f.Endpoints, "etcd", "the `URL` of an existing etcd")
	server := serverFlag(fl)
	durations(fl, &f.Params)
	return func() error {
		if *embedded == (len(f.Endpoints) > 0) {
			return command.Usagef("want either -embedded or -etcd URL")
		}
		if f.Node == "" || len(f.Addresses) == 0 {
			return command.Usagef("want -node NAME and -address ADDRESS of this machine")
		}
		s, err := service.LoadServer(*server)
		if err != nil {
			return err
		}
		f.Params.Rotate, f.Params.Keep = s.Rotate, s.Keep
		if !*fresh {
			if f.TakeOver, err = nts.ReadKeyFile(s.KeyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		ctx, stop := o.within()
		defer stop()
		n, err := manager.Found(ctx, o.dir(), f, time.Now())
		if err != nil {
			return err
		}
		return printf(c.Out, `fleet %s: node %s is its first node and its manager; %d roots taken over
%s: the authority; whoever has it can join. Keep a copy of it in a safe place

start it:         systemctl enable --now noonmark-fleet
invite the next:  noonmark-fleet token NODE
`, n.Fleet, n.Name, len(f.TakeOver), o.dir().ManagerDir())
	}
}

func (o *operator) prepareRestore(fl *flag.FlagSet, c command.Console) func() error {
	var r manager.Restoring
	o.flagsFor(fl, time.Minute)
	managerFlags(fl, &r.Fleet, &r.Port, &r.Addresses)
	fl.StringVar(&r.Node, "node", "", "the `NAME` of the lost node, which this one gets")
	command.Strings(fl, &r.Endpoints, "etcd", "the `URL` of a member of etcd that is left, such as https://192.0.2.2:2379")
	server := serverFlag(fl)
	return func() error {
		if r.Node == "" || len(r.Addresses) == 0 || len(r.Endpoints) == 0 {
			return command.Usagef("want -node NAME and -address ADDRESS of the lost manager, and -etcd URL of a member that is left")
		}
		if _, err := service.LoadServer(*server); err != nil { // before the lost node is removed
			return err
		}
		ctx, stop := o.within()
		defer stop()
		n, err := manager.Restore(ctx, o.dir(), r, time.Now())
		if err != nil {
			return err
		}
		return printf(c.Out, "fleet %s: this machine is node %s and the manager\nstart it:  systemctl enable --now noonmark-fleet\n", n.Fleet, n.Name)
	}
}

func (o *operator) prepareToken(fl *flag.FlagSet, c command.Console) func(string) error {
	var i manager.Invitation
	o.flags(fl)
	fl.BoolVar(&i.Member, "member", false, "the node runs a member of the embedded etcd; want one fleet with one or three")
	fl.IntVar(&i.Port, "port", manager.DefaultPort, "the first of the `PORTS` of the member")
	fl.DurationVar(&i.Life, "life", manager.TokenLife, "how long the token is valid")
	command.Strings(fl, &i.Addresses, "address", "an IP `ADDRESS` or name of the node; its certificate is then valid from there only")
	return func(node string) error {
		i.Node = node
		return o.withManager(func(ctx context.Context, _ *fleet, m *manager.Manager) error {
			t, err := m.Invite(ctx, i)
			if err != nil {
				return err
			}
			return printf(c.Out, "%s\n", t)
		})
	}
}

// maxTokenText limits what is read of standard input, octets.
const maxTokenText = 4 << 10

func (o *operator) prepareJoin(fl *flag.FlagSet, c command.Console) func(string) error {
	o.flagsFor(fl, time.Minute)
	server := serverFlag(fl)
	return func(text string) error {
		if text == "-" {
			b, err := io.ReadAll(io.LimitReader(c.In, maxTokenText))
			if err != nil {
				return err
			}
			text = string(b)
		}
		t, err := manager.ParseToken(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		if _, err := service.LoadServer(*server); err != nil { // before the token is used up
			return err
		}
		ctx, stop := o.within()
		defer stop()
		n, err := manager.Join(ctx, o.dir(), t)
		if err != nil {
			return err
		}
		return printf(c.Out, "fleet %s: this machine is node %s\nstart it:  systemctl enable --now noonmark-fleet\n", n.Fleet, n.Name)
	}
}

func (o *operator) prepareRun(fl *flag.FlagSet, _ command.Console) func() error {
	o.stateFlag(fl)
	server := serverFlag(fl)
	health := service.Health{Listen: service.DefaultHealth()}
	fl.Var(listenFlag{&health.Listen}, "health", "say at this `ADDRESS` whether the node shall be announced; off: nowhere")
	fl.StringVar(&health.Counters, "counters", observe.DefaultServing, "the `FILE` that ntsserve writes, for -health and for the trial of a configuration")
	command.Strings(fl, &health.Targets, "target", "a `HOST:PORT` where Prometheus reads metrics of this node, for the list of all nodes")
	var witness service.Witness
	fl.StringVar(&witness.Host, "witness", "", "the `HOST` at which other nodes reach ntsserve of this node, to compare the time; off: none. Default: the address that leads to etcd")
	authority := fl.String("witness-ca", "", "the `FILE` with an authority of their certificates, besides those of the system")
	local := certs.Local{HTTP: ":80"}
	fl.StringVar(&local.HTTP, "http", local.HTTP, "answer http-01 challenges at this `ADDRESS`, to which port 80 of the machine leads")
	clock := fl.String("refclockd", refclockd.DefaultPath, "the configuration `FILE` of refclockd; the node takes witnesses from the fleet if its key fleet names the file in -fragments")
	fragments := fl.String("fragments", fleetview.FragmentDir, "the `FOLDER` for what the fleet sets for refclockd and alerts")
	alerts := fl.String("alert", fleetview.DefaultAlert, "the `FILE` in which refclockctl alert says what it takes from the fleet")
	wanted := fl.String("wanted", fleetview.DefaultWanted, "the `FILE` that refclockweb writes while somebody looks at the fleet: only then are all nodes read for it")
	fl.StringVar(&local.DNS, "dns", "", "the `PROGRAM` that sets and clears records for dns-01")
	settings := service.LogSettings()
	fl.StringVar(&settings.Level, "log-level", settings.Level, "the least `LEVEL` of messages: debug, info, warn, error")
	fl.StringVar(&settings.Format, "log-format", settings.Format, "the `FORMAT` of the log: text or json")
	return func() error {
		for _, t := range health.Targets {
			if _, port, err := net.SplitHostPort(t); err != nil || port == "" {
				return command.Usagef("-target %q: want HOST:PORT", t)
			}
		}
		if _, port, err := net.SplitHostPort(local.HTTP); err != nil || port == "" {
			return command.Usagef("-http %q: want ADDRESS:PORT, such as :80", local.HTTP)
		}
		if local.DNS != "" && !filepath.IsAbs(local.DNS) {
			return command.Usagef("-dns %q: want the full path of a program", local.DNS)
		}
		log := daemon.New("noonmark-fleet", settings)
		err := func() error {
			if err := privileges.ForbidDumps(); err != nil {
				log.Warn("secrets can get into core dumps", "error", err)
			}
			s, err := service.LoadServer(*server)
			if err != nil {
				return err
			}
			c := service.Config{
				Dir: o.dir(), Server: s, Log: log,
				Certificate: local, View: service.View{Path: daemon.RuntimeFile(fleetview.FileName), Wanted: *wanted, Server: *server},
				Config: service.Configuration{
					File: service.ServerFile(*server), Counters: health.Counters,
					Fragments: []rollout.File{service.ClockFile(*clock, *fragments), service.AlertFile(*fragments, *alerts)},
				},
			}
			if health.Listen.IsValid() {
				c.Health = &health
			}
			if *authority != "" {
				if witness.CAs, err = service.ReadCAs(*authority); err != nil {
					return exitcode.With(exitcode.ErrConfig, fmt.Errorf("-witness-ca: %w", err))
				}
			}
			if witness.Host != off {
				c.Witness = &witness
			}
			x, err := service.New(c)
			if err != nil {
				return err
			}
			defer x.Close()
			return x.Run(context.Background()) // it takes the signals itself
		}()
		if err != nil {
			log.Error("noonmark-fleet ends", "error", err)
			return &command.ExitError{Code: exitcode.Of(err)}
		}
		return nil
	}
}

// listenFlag is an address to listen on, or off.
type listenFlag struct{ to *netip.AddrPort }

// off is the word for no address.
const off = "off"

func (f listenFlag) String() string {
	if f.to == nil || !f.to.IsValid() {
		return off
	}
	return f.to.String()
}

func (f listenFlag) Set(text string) error {
	if text == off {
		*f.to = netip.AddrPort{}
		return nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 {
		return fmt.Errorf("%q is no address to listen on; want ADDRESS:PORT, such as 127.0.0.1:2382, or off", text)
	}
	*f.to = a
	return nil
}
