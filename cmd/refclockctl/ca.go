package main

import (
	"encoding/json"
	"flag"
	"time"

	"noonmark/internal/authority"
	"noonmark/internal/command"
	"noonmark/server/certs"
)

// maxDays is the longest life of a certificate: a hundred years.
const maxDays = 100 * 365

// daysOf declares the flag -days; its value is that of the function returned.
func daysOf(fl *flag.FlagSet, life time.Duration) func() (time.Duration, error) {
	days := fl.Int("days", int(life.Hours()/24), "life in `DAYS`")
	return func() (time.Duration, error) {
		if *days < 0 || *days > maxDays {
			return 0, command.Usagef("-days %d is out of range; want 0 to %d", *days, maxDays)
		}
		return time.Duration(*days) * 24 * time.Hour, nil
	}
}

func caCommand() command.Command {
	return command.Command{
		Name: "ca", About: "make and renew certificates for a private network", Code: command.FileCode,
		Text: `
A private certificate authority for networks without a public one. DIR has ca.key,
which should never leave this machine, and ca.pem, which clients need. No command
overwrites a key, except renew -new-key.
`,
		Commands: []command.Command{
			{Name: "init", About: "make an authority in DIR", Args: "DIR", Prepare: command.OneArg("DIR", prepareCAInit)},
			{Name: "issue", About: "write server.pem and server.key, and show what server and clients need",
				Prepare: command.OneArg("DIR", prepareCAIssue),
				Usage:   []string{"DIR -out OUT [-host NAME]... [-ip ADDRESS]... [-days N]", "DIR -fleet NODE -out OUT [-host NAME]... [-ip ADDRESS]... [-days N]"}, Text: `
With -fleet the certificate is that of a node of a fleet, or of etcd itself, for clients
and servers: etcd takes NODE for the name of the user. "root" is the administrator.
`},
			{Name: "renew", About: "replace certificates of which a third of their life is left", Args: "DIR",
				Prepare: command.OneArg("DIR", prepareCARenew), Text: `
Run it daily. It renews server.pem in -out, or in every directory that was issued to.
`},
			{Name: "show", About: "show the authority and what it issued", Args: "DIR", Prepare: command.OneArg("DIR", prepareCAShow)},
		},
		Manual: command.Manual{Examples: []command.Example{
			{For: "an authority for the names below lan", Line: "refclockctl ca init /etc/noonmark/ca -permit-name lan"},
			{For: "a certificate for a server", Line: "refclockctl ca issue /etc/noonmark/ca -out /etc/noonmark/tls -host time.lan -ip 192.168.1.2"},
		}},
	}
}

// prepareCAInit is the command ca init.
func prepareCAInit(fl *flag.FlagSet, c command.Console) func(string) error {
	var nets []string
	cfg := certs.AuthorityConfig{}
	fl.StringVar(&cfg.Name, "name", "", "common `NAME` of the authority (default \"Noonmark time CA\" and the name of this machine)")
	command.Strings(fl, &cfg.PermitNames, "permit-name", "certificates only for this `DOMAIN` and those below it")
	command.Strings(fl, &nets, "permit-net", "certificates only for addresses of this `PREFIX`")
	life := daysOf(fl, certs.AuthorityLife)
	return func(dir string) (err error) {
		if cfg.Life, err = life(); err != nil {
			return err
		}
		if cfg.PermitNets, err = authority.Networks(nets); err != nil {
			return err
		}
		return authority.Create(c.Out, dir, cfg, time.Now())
	}
}

// prepareCAIssue is the command ca issue.
func prepareCAIssue(fl *flag.FlagSet, c command.Console) func(string) error {
	var r authority.Request
	var outs []string
	command.Strings(fl, &r.Names, "host", "DNS `NAME` that clients know the server by")
	command.Strings(fl, &r.Names, "ip", "IP `ADDRESS` that clients know the server by")
	fl.StringVar(&r.Node, "fleet", "", "issue the certificate of this `NODE` of a fleet")
	fl.Func("out", "write server.pem and server.key to this `DIRECTORY`", func(s string) error { outs = append(outs, s); return nil })
	life := daysOf(fl, certs.ServerLife)
	return func(dir string) (err error) {
		switch {
		case len(r.Names) == 0 && r.Node == "":
			return command.Usagef("there is no name in it; want -host or -ip for each name and address that clients know the server by")
		case len(outs) != 1:
			return command.Usagef("want one -out: the directory for server.pem and server.key")
		}
		r.Dir, r.Out = dir, outs[0]
		if r.Life, err = life(); err != nil {
			return err
		}
		return r.Issue(c.Out, time.Now())
	}
}

// prepareCARenew is the command ca renew.
func prepareCARenew(fl *flag.FlagSet, c command.Console) func(string) error {
	var r authority.Renewal
	var outs []string
	command.Strings(fl, &outs, "out", "renew the certificate in this `DIRECTORY`; default: all that were issued")
	life := daysOf(fl, certs.ServerLife)
	fl.BoolVar(&r.NewKey, "new-key", false, "make a new key too")
	fl.BoolVar(&r.Force, "force", false, "renew although it is not time yet")
	return func(dir string) (err error) {
		r.Dir = dir
		if r.Life, err = life(); err != nil {
			return err
		}
		return r.Renew(c.Out, outs, time.Now())
	}
}

// prepareCAShow is the command ca show.
func prepareCAShow(fl *flag.FlagSet, c command.Console) func(string) error {
	clients := fl.Bool("clients", false, "show what clients need in their configuration")
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func(dir string) error {
		x, err := authority.Describe(dir)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return json.NewEncoder(c.Out).Encode(x)
		}
		x.WriteText(c.Out, time.Now())
		if *clients {
			return x.WriteClients(c.Out)
		}
		return nil
	}
}
