package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

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
			{Name: "init", About: "make an authority in DIR", Args: "DIR", Prepare: prepareCAInit},
			{Name: "issue", About: "write server.pem and server.key, and show what server and clients need", Prepare: prepareCAIssue,
				Usage: []string{"DIR -out OUT [-host NAME]... [-ip ADDRESS]... [-days N]", "DIR -fleet NODE -out OUT [-host NAME]... [-ip ADDRESS]... [-days N]"}, Text: `
With -fleet the certificate is that of a node of a fleet, or of etcd itself, for clients
and servers: etcd takes NODE for the name of the user. "root" is the administrator.
`},
			{Name: "renew", About: "replace certificates of which a third of their life is left", Args: "DIR", Prepare: prepareCARenew, Text: `
Run it daily. It renews server.pem in -out, or in every directory that was issued to.
`},
			{Name: "show", About: "show the authority and what it issued", Args: "DIR", Prepare: prepareCAShow},
		},
		Manual: command.Manual{Examples: []command.Example{
			{For: "an authority for the names below lan", Line: "refclockctl ca init /etc/noonmark/ca -permit-name lan"},
			{For: "a certificate for a server", Line: "refclockctl ca issue /etc/noonmark/ca -out /etc/noonmark/tls -host time.lan -ip 192.168.1.2"},
		}},
	}
}

// prepareCAInit is the command ca init.
func prepareCAInit(fl *flag.FlagSet, c command.Console) func([]string) error {
	var names, nets []string
	cfg := certs.AuthorityConfig{}
	fl.StringVar(&cfg.Name, "name", "", "common `NAME` of the authority (default \"Noonmark time CA\" and the name of this machine)")
	command.Strings(fl, &names, "permit-name", "certificates only for this `DOMAIN` and those below it")
	command.Strings(fl, &nets, "permit-net", "certificates only for addresses of this `PREFIX`")
	life := daysOf(fl, certs.AuthorityLife)
	return func(args []string) (err error) {
		dir, err := command.OneArg(args, "DIR")
		if err != nil {
			return err
		}
		if cfg.Life, err = life(); err != nil {
			return err
		}
		cfg.PermitNames = names
		if cfg.Name == "" {
			host, _ := os.Hostname() // without it the name is shorter
			cfg.Name = strings.TrimSpace("Noonmark time CA " + host)
		}
		for _, n := range nets {
			p, err := netip.ParsePrefix(n)
			if err != nil {
				return fmt.Errorf("%q is no network; want one such as 192.168.0.0/16 or fd00::/8", n)
			}
			cfg.PermitNets = append(cfg.PermitNets, p)
		}
		a, err := certs.NewAuthority(cfg, time.Now())
		if err != nil {
			return err
		}
		if err := a.Save(dir); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; the authority that is there is kept: make certificates with refclockctl ca issue %s, or name another directory", err, dir)
		} else if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%s: %q until %s\n", filepath.Join(dir, certs.AuthorityCert), a.Cert.Subject.CommonName, day(a.Cert.NotAfter))
		fmt.Fprintf(c.Out, "%s: its key; whoever has it can pose as any of your time servers\n", filepath.Join(dir, certs.AuthorityKey))
		return nil
	}
}

// prepareCAIssue is the command ca issue.
func prepareCAIssue(fl *flag.FlagSet, c command.Console) func([]string) error {
	var names, outs []string
	command.Strings(fl, &names, "host", "DNS `NAME` that clients know the server by")
	command.Strings(fl, &names, "ip", "IP `ADDRESS` that clients know the server by")
	node := fl.String("fleet", "", "issue the certificate of this `NODE` of a fleet")
	fl.Func("out", "write server.pem and server.key to this `DIRECTORY`", func(s string) error { outs = append(outs, s); return nil })
	life := daysOf(fl, certs.ServerLife)
	return func(args []string) error {
		dir, err := command.OneArg(args, "DIR")
		switch {
		case err != nil:
			return err
		case len(names) == 0 && *node == "":
			return command.Usagef("there is no name in it; want -host or -ip for each name and address that clients know the server by")
		case len(outs) != 1:
			return command.Usagef("want one -out: the directory for server.pem and server.key")
		}
		days, err := life()
		if err != nil {
			return err
		}
		if *node != "" {
			return issueNode(c.Out, dir, outs[0], *node, names, days)
		}
		return issue(c.Out, dir, outs[0], names, days)
	}
}

// issue makes a certificate and says how servers and clients use it.
func issue(w io.Writer, dir, out string, names []string, life time.Duration) error {
	a, err := certs.OpenAuthority(dir)
	if err != nil {
		return err
	}
	l, err := a.Issue(names, life, nil, time.Now())
	if err != nil {
		return err
	}
	r, err := saveIssued(dir, out, l)
	if err != nil {
		return err
	}
	cert, key := filepath.Join(r.Out, certs.ServerCert), filepath.Join(r.Out, certs.ServerKey)
	fmt.Fprintf(w, "%s: for %s until %s\n", cert, strings.Join(r.Names, ", "), day(r.NotAfter))
	fmt.Fprintf(w, "%s: its key\n\n# ntsserve.toml; the key must belong to the user that ntsserve runs as: chown ntsserve %s\n[ke]\ncertificate = %q\nkey = %q\n", key, key, cert, key)
	printClients(w, dir, r.Names)
	return nil
}

// issueNode makes the certificate of a node of a fleet.
func issueNode(w io.Writer, dir, out, node string, hosts []string, life time.Duration) error {
	a, err := certs.OpenAuthority(dir)
	if err != nil {
		return err
	}
	l, err := a.NewNode(node, hosts, life, time.Now())
	if err != nil {
		return err
	}
	r, err := saveIssued(dir, out, l)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: of %s until %s\n%s: its key\n", filepath.Join(r.Out, certs.ServerCert), node, day(r.NotAfter), filepath.Join(r.Out, certs.ServerKey))
	return nil
}

// saveIssued writes a certificate and its key, and records them.
func saveIssued(dir, out string, l *certs.Leaf) (certs.Issued, error) {
	if err := l.Save(out); errors.Is(err, fs.ErrExist) {
		return certs.Issued{}, fmt.Errorf("%w; renew what is there with ca renew, or choose another -out", err)
	} else if err != nil {
		return certs.Issued{}, err
	}
	return certs.RecordIssued(dir, l, out)
}

// printClients prints what each client needs to trust the authority in dir for
// the server of these names.
func printClients(w io.Writer, dir string, names []string) {
	for _, x := range certs.Clients() {
		host, ok := x.Host(names)
		if !ok {
			fmt.Fprintf(w, "\n# %s: it cannot ask an IPv6 address for keys; issue the certificate for a name (-host)\n", x.Name)
			continue
		}
		fmt.Fprintf(w, "\n# %s: copy %s to %s, then in %s\n%s", x.Name, filepath.Join(dir, certs.AuthorityCert), x.CA, x.File, x.Lines(host, x.CA))
	}
}

// prepareCARenew is the command ca renew.
func prepareCARenew(fl *flag.FlagSet, c command.Console) func([]string) error {
	r := renewal{out: c.Out, now: time.Now()}
	var outs []string
	command.Strings(fl, &outs, "out", "renew the certificate in this `DIRECTORY`; default: all that were issued")
	life := daysOf(fl, certs.ServerLife)
	fl.BoolVar(&r.newKey, "new-key", false, "make a new key too")
	fl.BoolVar(&r.force, "force", false, "renew although it is not time yet")
	return func(args []string) (err error) {
		if r.dir, err = command.OneArg(args, "DIR"); err != nil {
			return err
		}
		if r.life, err = life(); err != nil {
			return err
		}
		return r.run(outs)
	}
}

// renewal renews the certificates of an authority.
type renewal struct {
	out           io.Writer
	now           time.Time
	dir           string
	life          time.Duration
	newKey, force bool
}

// run renews those in outs; none: all that were issued.
func (r *renewal) run(outs []string) error {
	a, err := certs.OpenAuthority(r.dir)
	if err != nil {
		return err
	}
	if len(outs) == 0 {
		all, err := certs.ReadIssued(r.dir)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return fmt.Errorf("%s: nothing was issued yet; use ca issue, or name a directory with -out", r.dir)
		}
		for _, x := range all {
			outs = append(outs, x.Out)
		}
	}
	var errs []error
	for _, out := range outs {
		errs = append(errs, r.one(a, out))
	}
	if a.Cert.NotAfter.Sub(r.now) < certs.ServerLife {
		fmt.Fprintf(r.out, "the authority itself ends on %s: make another in a new directory, and give its ca.pem to the clients before that day\n", day(a.Cert.NotAfter))
	}
	return errors.Join(errs...)
}

func (r *renewal) one(a *certs.Authority, out string) error {
	old, err := certs.OpenLeaf(out)
	if err != nil {
		return err
	}
	path := filepath.Join(out, certs.ServerCert)
	if !r.force && r.now.Before(old.RenewAt()) {
		fmt.Fprintf(r.out, "%s: good until %s, renewed from %s on\n", path, day(old.Cert.NotAfter), day(old.RenewAt()))
		return nil
	}
	l, err := a.Renew(out, r.life, r.newKey, r.now)
	if err != nil {
		return err
	}
	if _, err := certs.RecordIssued(r.dir, l, out); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "%s: renewed, good until %s; its running server loads it by itself\n", path, day(l.Cert.NotAfter))
	return nil
}

// authority is what ca show -json prints. Its JSON keys are a contract.
type authority struct {
	Name        string         `json:"name"`
	Fingerprint string         `json:"fingerprint_sha256"`
	NotBefore   time.Time      `json:"not_before"`
	NotAfter    time.Time      `json:"not_after"`
	PermitNames []string       `json:"permitted_names"` // with permitted_nets empty: no constraints
	PermitNets  []string       `json:"permitted_nets"`
	Issued      []certs.Issued `json:"issued"`
}

// prepareCAShow is the command ca show.
func prepareCAShow(fl *flag.FlagSet, c command.Console) func([]string) error {
	clients := fl.Bool("clients", false, "show what clients need in their configuration")
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func(args []string) error {
		dir, err := command.OneArg(args, "DIR")
		if err != nil {
			return err
		}
		a, err := certs.OpenAuthority(dir)
		if err != nil {
			return err
		}
		issued, err := certs.ReadIssued(dir)
		if err != nil {
			return err
		}
		x := authority{Name: a.Cert.Subject.CommonName, Fingerprint: fmt.Sprintf("%X", sha256.Sum256(a.Cert.Raw)), NotBefore: a.Cert.NotBefore.UTC(),
			NotAfter: a.Cert.NotAfter.UTC(), PermitNames: append([]string{}, a.Cert.PermittedDNSDomains...), PermitNets: []string{}, Issued: append([]certs.Issued{}, issued...)}
		for _, n := range a.Cert.PermittedIPRanges {
			x.PermitNets = append(x.PermitNets, n.String())
		}
		if *asJSON {
			return json.NewEncoder(c.Out).Encode(x)
		}
		x.print(c.Out, time.Now())
		if !*clients {
			return nil
		}
		if len(issued) == 0 {
			return fmt.Errorf("%s: nothing was issued yet, so there is no server to name; use ca issue", dir)
		}
		printClients(c.Out, dir, issued[len(issued)-1].Names)
		return nil
	}
}

func (x *authority) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "%s\n  SHA-256  %s\n  until    %s\n", x.Name, x.Fingerprint, day(x.NotAfter))
	if len(x.PermitNames)+len(x.PermitNets) > 0 {
		fmt.Fprintf(w, "  only for %s\n", strings.Join(append(x.PermitNames, x.PermitNets...), " "))
	}
	for _, r := range x.Issued {
		state := "until "
		if now.After(r.NotAfter) {
			state = "EXPIRED "
		}
		fmt.Fprintf(w, "%s\n  %s for %s\n", filepath.Join(r.Out, certs.ServerCert), state+day(r.NotAfter), strings.Join(r.Names, ", "))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
