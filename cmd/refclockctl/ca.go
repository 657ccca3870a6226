package main

import (
	"bytes"
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

	"noonmark/server/certs"
)

// Further exit codes of sysexits.h.
const (
	exitDataErr    = 65
	exitCantCreate = 73
)

const caHelp = `usage: refclockctl ca init  DIR [-name NAME] [-days N] [-permit-name DOMAIN]... [-permit-net PREFIX]...
       refclockctl ca issue DIR -out OUT [-host NAME]... [-ip ADDRESS]... [-days N]
       refclockctl ca renew DIR [-out OUT]... [-days N] [-new-key] [-force]
       refclockctl ca show  DIR [-clients] [-json]

A private certificate authority for networks without a public one. init makes it
in DIR: ca.key, which should never leave this machine, and ca.pem, which clients
need. issue writes server.pem and server.key to OUT; renew replaces server.pem
when a third of its life is left (run it daily), in OUT or wherever certificates
were issued to. Nothing overwrites a key, but for renew -new-key.

`

const issuedFile = "issued.jsonl"

// issued is a line of the list of what an authority has issued.
type issued struct {
	Serial    string    `json:"serial"`
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Out       string    `json:"out"` // directory, absolute
}

// words is a flag that can be given several times.
type words []string

func (w *words) String() string { return strings.Join(*w, " ") }

func (w *words) Set(s string) error { *w = append(*w, s); return nil }

// parseMixed parses flags before, between and after other arguments.
func parseMixed(fl *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fl.Parse(args); err != nil {
			return nil, err
		}
		if fl.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, fl.Arg(0))
		args = fl.Args()[1:]
	}
}

// runCA is the ca command; it returns the exit code.
func runCA(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("ca", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, caHelp); fl.PrintDefaults() }
	c := caCommand{out: stdout, now: time.Now()}
	sub := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		sub, args = args[0], args[1:]
	}
	host, _ := os.Hostname()
	switch sub {
	case "init":
		fl.StringVar(&c.name, "name", strings.TrimSpace("Noonmark time CA "+host), "common `name` of the authority")
		fl.Var(&c.permitNames, "permit-name", "certificates only for this `domain` and those below it (several times)")
		fl.Var(&c.permitNets, "permit-net", "certificates only for addresses of this `prefix` (several times)")
		fl.IntVar(&c.days, "days", int(certs.AuthorityLife.Hours()/24), "life in `days`")
	case "issue":
		fl.Var(&c.outs, "out", "write server.pem and server.key to this `directory`")
		fl.Var(&c.names, "host", "DNS `name` that clients know the server by (several times)")
		fl.Var(&c.names, "ip", "IP `address` that clients know it by (several times)")
		fl.IntVar(&c.days, "days", int(certs.ServerLife.Hours()/24), "life in `days`")
	case "renew":
		fl.Var(&c.outs, "out", "renew the certificate in this `directory` (several times; default: all that were issued)")
		fl.IntVar(&c.days, "days", int(certs.ServerLife.Hours()/24), "life in `days`")
		fl.BoolVar(&c.newKey, "new-key", false, "make a new key too")
		fl.BoolVar(&c.force, "force", false, "renew although it is not time yet")
	case "show":
		fl.BoolVar(&c.clients, "clients", false, "show what clients need in their configuration")
		fl.BoolVar(&c.json, "json", false, "one JSON object")
	}
	rest, err := parseMixed(fl, args)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	run := map[string]func() error{"init": c.init, "issue": c.issue, "renew": c.renew, "show": c.show}[sub]
	if err != nil || run == nil || len(rest) != 1 || c.days < 0 || c.days > 100*365 || sub == "issue" && (len(c.outs) != 1 || len(c.names) == 0) {
		if err == nil {
			fl.Usage()
		}
		return exitUsage
	}
	c.dir = rest[0]
	if err := run(); err != nil {
		fmt.Fprintf(stderr, "refclockctl: ca %s: %v\n", sub, err)
		return caExit(err)
	}
	return exitOK
}

func caExit(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitNoPerm
	case errors.Is(err, fs.ErrExist):
		return exitCantCreate
	case errors.Is(err, fs.ErrNotExist):
		return exitNoInput
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return exitIO
	}
	return exitDataErr
}

// caCommand is a command with its options.
type caCommand struct {
	out                          io.Writer
	now                          time.Time
	dir, name                    string
	names, outs                  words
	permitNames, permitNets      words
	days                         int
	newKey, force, clients, json bool
}

func (c *caCommand) life() time.Duration { return time.Duration(c.days) * 24 * time.Hour }

func (c *caCommand) init() error {
	cfg := certs.AuthorityConfig{Name: c.name, Life: c.life(), PermitNames: c.permitNames}
	for _, n := range c.permitNets {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return fmt.Errorf("%q is no network; want one such as 192.168.0.0/16 or fd00::/8", n)
		}
		cfg.PermitNets = append(cfg.PermitNets, p)
	}
	a, err := certs.NewAuthority(cfg, c.now)
	if err != nil {
		return err
	}
	if err := a.Save(c.dir); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: %q until %s\n", filepath.Join(c.dir, certs.AuthorityCert), a.Cert.Subject.CommonName, day(a.Cert.NotAfter))
	fmt.Fprintf(c.out, "%s: its key; whoever has it can pose as any of your time servers\n", filepath.Join(c.dir, certs.AuthorityKey))
	return nil
}

func (c *caCommand) issue() error {
	a, err := certs.OpenAuthority(c.dir)
	if err != nil {
		return err
	}
	l, err := a.Issue(c.names, c.life(), nil, c.now)
	if err != nil {
		return err
	}
	if err := l.Save(c.outs[0]); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; renew what is there with ca renew, or choose another -out", err)
		}
		return err
	}
	rec, err := c.record(l, c.outs[0])
	if err != nil {
		return err
	}
	cert, key := filepath.Join(rec.Out, certs.ServerCert), filepath.Join(rec.Out, certs.ServerKey)
	fmt.Fprintf(c.out, "%s: for %s until %s\n", cert, strings.Join(rec.Names, ", "), day(rec.NotAfter))
	fmt.Fprintf(c.out, "%s: its key\n\n# ntsserve.toml; the key must belong to the user that ntsserve runs as: chown ntsserve %s\n[ke]\ncertificate = %q\nkey = %q\n", key, key, cert, key)
	c.snippets(rec.Names)
	return nil
}

// record appends to the list of what was issued.
func (c *caCommand) record(l *certs.Leaf, out string) (issued, error) {
	abs, err := filepath.Abs(out)
	if err != nil {
		return issued{}, err
	}
	rec := issued{Serial: fmt.Sprintf("%x", l.Cert.SerialNumber), NotBefore: l.Cert.NotBefore.UTC(), NotAfter: l.Cert.NotAfter.UTC(), Out: abs}
	rec.Names = append(rec.Names, l.Cert.DNSNames...)
	for _, ip := range l.Cert.IPAddresses {
		rec.Names = append(rec.Names, ip.String())
	}
	line, err := json.Marshal(rec)
	if err != nil {
		return rec, err
	}
	f, err := os.OpenFile(filepath.Join(c.dir, issuedFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return rec, err
	}
	_, err = f.Write(append(line, '\n'))
	return rec, errors.Join(err, f.Sync(), f.Close())
}

// list returns what was issued, only the newest for each directory. A line that
// a crash has cut off is passed over.
func (c *caCommand) list() ([]issued, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, issuedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var recs []issued
	at := map[string]int{}
	for line := range bytes.Lines(b) {
		var r issued
		if json.Unmarshal(line, &r) != nil {
			continue
		}
		if i, ok := at[r.Out]; ok {
			recs[i] = r
			continue
		}
		at[r.Out] = len(recs)
		recs = append(recs, r)
	}
	return recs, nil
}

func (c *caCommand) renew() error {
	a, err := certs.OpenAuthority(c.dir)
	if err != nil {
		return err
	}
	outs := c.outs
	if len(outs) == 0 {
		recs, err := c.list()
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			return fmt.Errorf("%s: nothing was issued yet; use ca issue, or name a directory with -out", c.dir)
		}
		for _, r := range recs {
			outs = append(outs, r.Out)
		}
	}
	var errs []error
	for _, out := range outs {
		errs = append(errs, c.renewOne(a, out))
	}
	if left := a.Cert.NotAfter.Sub(c.now); left < certs.ServerLife {
		fmt.Fprintf(c.out, "mind: the authority itself ends on %s; make another in a new directory and give its ca.pem to the clients before that\n", day(a.Cert.NotAfter))
	}
	return errors.Join(errs...)
}

func (c *caCommand) renewOne(a *certs.Authority, out string) error {
	old, err := certs.OpenLeaf(out)
	if err != nil {
		return err
	}
	path := filepath.Join(out, certs.ServerCert)
	if !c.force && c.now.Before(old.RenewAt()) {
		fmt.Fprintf(c.out, "%s: good until %s, renewed from %s on\n", path, day(old.Cert.NotAfter), day(old.RenewAt()))
		return nil
	}
	l, err := a.Renew(out, c.life(), c.newKey, c.now)
	if err != nil {
		return err
	}
	if _, err := c.record(l, out); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: renewed, good until %s; a running ntsserve takes it over by itself\n", path, day(l.Cert.NotAfter))
	return nil
}

// authority is what show prints. Its JSON keys are a contract.
type authority struct {
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint_sha256"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	PermitNames []string  `json:"permitted_names"` // empty with permitted_nets empty: no constraints
	PermitNets  []string  `json:"permitted_nets"`
	Issued      []issued  `json:"issued"`
}

func (c *caCommand) show() error {
	a, err := certs.OpenAuthority(c.dir)
	if err != nil {
		return err
	}
	recs, err := c.list()
	if err != nil {
		return err
	}
	x := authority{Name: a.Cert.Subject.CommonName, Fingerprint: fmt.Sprintf("%X", sha256.Sum256(a.Cert.Raw)), NotBefore: a.Cert.NotBefore.UTC(),
		NotAfter: a.Cert.NotAfter.UTC(), PermitNames: append([]string{}, a.Cert.PermittedDNSDomains...), PermitNets: []string{}, Issued: append([]issued{}, recs...)}
	for _, n := range a.Cert.PermittedIPRanges {
		x.PermitNets = append(x.PermitNets, n.String())
	}
	if c.json {
		return json.NewEncoder(c.out).Encode(x)
	}
	fmt.Fprintf(c.out, "%s\n  SHA-256  %s\n  until    %s\n", x.Name, x.Fingerprint, day(x.NotAfter))
	if len(x.PermitNames)+len(x.PermitNets) > 0 {
		fmt.Fprintf(c.out, "  only for %s\n", strings.Join(append(x.PermitNames, x.PermitNets...), " "))
	}
	for _, r := range x.Issued {
		state := "until " + day(r.NotAfter)
		if c.now.After(r.NotAfter) {
			state = "EXPIRED " + day(r.NotAfter)
		}
		fmt.Fprintf(c.out, "%s\n  %s for %s\n", filepath.Join(r.Out, certs.ServerCert), state, strings.Join(r.Names, ", "))
	}
	if c.clients {
		if len(recs) == 0 {
			return fmt.Errorf("%s: nothing was issued yet, so there is no server to name; use ca issue", c.dir)
		}
		c.snippets(recs[len(recs)-1].Names)
	}
	return nil
}

// clientFiles has for each client the file its lines belong to, where ca.pem
// should go, and the lines, in which HOST and CA are replaced.
var clientFiles = [...]struct {
	name, file, ca, lines string
	// only4: ntpd-rs 1.4 and NTPsec 1.2 take an IPv6 address in place of a name,
	// and then cannot look it up to ask it for keys.
	only4 bool
}{
	{"chrony", "/etc/chrony/conf.d/noonmark.conf", "/etc/chrony/noonmark-ca.pem",
		"ntstrustedcerts 1 CA\nserver HOST nts certset 1 iburst\n", false},
	{"ntpd-rs", "/etc/ntpd-rs/ntp.toml", "/etc/ntpd-rs/noonmark-ca.pem",
		"[[source]]\nmode = \"nts\"\naddress = \"HOST\"\ncertificate-authority = \"CA\"\n", true},
	{"NTPsec", "/etc/ntpsec/ntp.conf", "/etc/ntpsec/noonmark-ca.pem",
		"server HOST nts ca CA iburst\n", true},
}

// snippet is what a client needs to trust the authority for one server and no
// other.
func snippet(lines, host, ca string) string {
	return strings.NewReplacer("HOST", host, "CA", ca).Replace(lines)
}

// snippets prints what every client needs to find the server by one of the names
// of its certificate.
func (c *caCommand) snippets(names []string) {
	for _, x := range clientFiles {
		host := ""
		for _, n := range names {
			if a, err := netip.ParseAddr(n); host == "" && !(x.only4 && err == nil && a.Is6()) {
				host = strings.Replace(n, "*", "time", 1)
			}
		}
		if host == "" {
			fmt.Fprintf(c.out, "\n# %s: it cannot ask an IPv6 address for keys; issue the certificate for a name (-host)\n", x.name)
			continue
		}
		fmt.Fprintf(c.out, "\n# %s: copy %s to %s, then in %s\n%s", x.name, filepath.Join(c.dir, certs.AuthorityCert), x.ca, x.file, snippet(x.lines, host, x.ca))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
