// Command noonmark-fleet keeps the cookie secrets of several ntsserve in etcd, so that
// they answer behind one name: the agent of each node, and the operator's commands.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/access"
	"noonmark/fleet/certs"
	"noonmark/fleet/identity"
	"noonmark/fleet/manager"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
)

func main() {
	ctx, stop := command.Interruptible()
	code := run(ctx, os.Args[1:], command.Standard())
	stop()
	os.Exit(code)
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, c command.Console) int {
	p := commandLine(ctx)
	// Names and reasons in etcd are written by other machines.
	return p.Main(args, command.Console{In: c.In, Out: printable.Writer{To: c.Out}, Err: printable.Writer{To: c.Err}})
}

func commandLine(ctx context.Context) command.Command {
	o := &operator{ctx: ctx}
	return command.Command{
		Name: "noonmark-fleet", About: "keep the cookie secrets and the configuration of several ntsserve in etcd", Code: exitCode,
		Text: `
Several ntsserve behind one name or one anycast address must open each other's NTS cookies.
noonmark-fleet keeps their root secrets in etcd, sealed to each node. Its agent, the command run,
writes the key file of ntsserve, which itself never asks etcd. It can also give all nodes the same
access lists and limits, and one certificate.

The first node runs init, which also makes it the manager: it has the authority that certifies
nodes. Each further node runs join with a token that the manager made.
`,
		Commands: []command.Command{
			{Name: "init", About: "make a fleet, with this machine as its first node and manager", Prepare: command.NoArgs(o.prepareInit), Text: `
With -embedded this node runs an etcd of its own. Else -etcd names an existing one, which must
demand client certificates of the authority in -authority. The roots of the key file that ntsserve
has already are taken over, so that its clients keep their cookies.
`},
			{Name: "restore", About: "make this machine the manager in the place of a lost one", Prepare: command.NoArgs(o.prepareRestore), Text: `
The folder manager of the lost machine must be here, from the copy. This machine needs its address, at
which the nodes renew their certificates. The lost node is removed and its certificates are revoked.
Whoever has its disc has the authority: if it was stolen, make a new fleet instead, with init -fresh.
`},
			{Name: "token", About: "invite a node; print the token with which it joins once", Args: "NODE", Prepare: command.OneArg("NODE", o.prepareToken)},
			{Name: "join", About: "make this machine a node of a fleet", Args: "TOKEN", Prepare: command.OneArg("TOKEN", o.prepareJoin), Text: `
TOKEN is what "noonmark-fleet token" printed on the manager; "-" reads it from standard input.
`},
			{Name: "run", About: "run the agent of this node", Prepare: command.NoArgs(o.prepareRun), Text: `
It runs in the foreground, under systemd as a service of type notify. The log goes to standard
error, or to the journal.

-http and -dns are for the certificate of the fleet, see the command certificate. The program of -dns
runs as "PROGRAM set NAME VALUE" and "PROGRAM clear NAME", for TXT records. It returns when all servers
of the zone have the record, and may run within the limits of the service only.
`},
			{Name: "status", About: "show the fleet: nodes, roots, and what this node would do without etcd", Prepare: command.NoArgs(o.prepareStatus)},
			{Name: "rotate", About: "begin new roots before the schedule ends, without a refused cookie", Prepare: command.NoArgs(o.prepareRotate),
				Usage: []string{"[-wait TIME]", "-end"}, Text: `
New roots are drawn. They begin an hour (the lead of the fleet) after all nodes have them on their discs
and know of it; the roots that would have begun later are replaced. Cookies stay good for their life.
A node that is away may serve by the plan that it has, so it counts too, unless it has read before
that it is drained. The order is refused while nodes are away; with -wait it waits for them, up to the
renewal interval. Against a stolen secret, use revoke.
`},
			{Name: "revoke", About: "shut out a stolen node and replace all roots, or replace some roots", Prepare: o.prepareRevoke,
				Usage: []string{"NODE", "-root ID...", "-all"}, Text: `
Clients with cookies of a replaced root repeat the key exchange. A stolen node loses its rights
in etcd at once; its name cannot be used again. A node that is cut off from etcd goes on with
the old roots until it is back.
`},
			{Name: "remove", About: "remove a node that is retired and whose disc was erased", Args: "NODE", Prepare: command.OneArg("NODE", o.prepareRemove)},
			{Name: "drain", About: "say that a node shall not serve", Args: "NODE", Prepare: command.OneArg("NODE", o.prepareDrain)},
			{Name: "undrain", About: "let a node serve again", Args: "NODE", Prepare: command.OneArg("NODE", o.prepareUndrain)},
			{Name: "diff", About: "show what a configuration changes on the nodes", Args: "FILE", Prepare: command.OneArg("FILE", o.prepareDiff), Text: `
FILE has a table [ntsserve] with the keys of ntsserve.toml that a fleet may set: access lists and
limits. [node.NAME.ntsserve] has keys of one node, which replace the same keys of all. Lines with
"-" are what the fleet has, with "+" what it would get.
`},
			{Name: "apply", About: "give the nodes a configuration: one first, then the others, and back if one is not healthy", Args: "FILE",
				Prepare: command.OneArg("FILE", o.prepareApply), Text: `
FILE is the whole configuration: keys that it does not name are those of the nodes again. Each
node merges it with its ntsserve.local.toml, which wins, lets ntsserve check the result, and only
then replaces ntsserve.toml. A node without ntsserve.local.toml is left alone. A node that
refuses the result, or that is not healthy with it, takes all nodes back. It needs the manager.
`},
			{Name: "undo", About: "take the last configuration back", Prepare: command.NoArgs(o.prepareUndo), Text: `
While nodes take a configuration, all return at once to the one before. Afterwards the one before
is applied as a new rollout, with the same order. A second undo brings back what was undone.
`},
			{Name: "certificate", About: "let the fleet order the certificate of its name by ACME", Prepare: command.NoArgs(o.prepareCertificate),
				Usage: []string{"-name NAME... -accept-terms [-replace]", "-off"}, Text: `
One node at a time orders it, the next one goes on where that node ends, and all nodes get it. A node
takes part if ke.certificate and ke.key of its ntsserve.toml both name a file fleet.pem, which its agent
writes. Each call sets all settings anew, and ends the wait after orders that failed. It needs the
manager.

With http-01 every node answers challenges at port 80, only while an order is open. That needs the
drop-in noonmark-fleet-http.conf. With dns-01 the nodes that run with -dns order it; the others take it.

After the theft of a node, first revoke it, then set the certificate again with -replace.
`},
			{Name: "audit", About: "show who did what", Prepare: command.NoArgs(o.prepareAudit)},
		},
		Manual: command.Manual{
			Section: 8,
			Examples: []command.Example{
				{For: "make a fleet with an etcd of its own", Line: "noonmark-fleet init -embedded -node a -address 192.0.2.1"},
				{For: "invite a second node that runs a member of etcd", Line: "noonmark-fleet token b -member -address 192.0.2.2"},
				{For: "all nodes at a glance", Line: "noonmark-fleet status"},
				{For: "new roots for all nodes, although one comes back only tomorrow", Line: "noonmark-fleet rotate -wait 36h"},
				{For: "one certificate for all nodes", Line: "noonmark-fleet certificate -name time.example.org -accept-terms"},
				{For: "the same access list on all nodes, on node b first", Line: "noonmark-fleet apply access.toml -canary b"},
			},
			Exits: []command.Exit{
				{Code: exitcode.OK},
				{Code: exitcode.Usage},
				{Code: exitcode.DataErr, When: "what is in the folder or in etcd is damaged, or the name or token is not possible, or there is nothing to apply or to undo"},
				{Code: exitcode.Unavailable, When: "etcd, the manager or an address cannot be reached, no node can take a configuration first, or not all nodes can confirm a rotation"},
				{Code: exitcode.TempFail, When: "nodes take another configuration, or a rotation or revocation is in progress"},
				{Code: exitcode.CantCreate, When: "there is such a fleet or node already"},
				{Code: exitcode.Protocol, When: "the fleet refuses the token, or another machine answers"},
				{Code: exitcode.Permission, When: "this node may not do it, or a file cannot be read"},
				{Code: exitcode.Config, When: "this machine is in no fleet, or a configuration is refused"},
			},
			Files: []command.File{
				{Path: identity.DefaultDir, Text: "keys, certificates, the copy of the secrets, and on some nodes the data of etcd"},
				{Path: ntsserve.DefaultPath, Text: "keys.file, keys.rotate, keys.keep, ke.certificate, ke.key and source.path are read from here"},
				{Path: rollout.LocalPath(ntsserve.DefaultPath), Text: "if it exists, ntsserve.toml is written from it and from what apply sets; what it names wins"},
			},
			SeeAlso: []string{"ntsserve(8)", "ntsserve.toml(5)", "refclockctl(1)"},
		},
	}
}

// exitCode returns the exit code of an error.
func exitCode(err error) int {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case is(roots.ErrOrderTime):
		return exitcode.Usage
	case is(identity.ErrNotJoined, identity.ErrCopied):
		return exitcode.Config
	case is(identity.ErrNoManager), denied(err):
		return exitcode.Permission
	case is(identity.ErrJoined, store.ErrExists, store.ErrNameTaken):
		return exitcode.CantCreate
	case is(manager.ErrPin, manager.ErrRefused):
		return exitcode.Protocol
	case is(rollout.ErrBusy, roots.ErrRotating, roots.ErrRevoking, roots.ErrRoom):
		return exitcode.TempFail
	case is(rollout.ErrNoCanary, errAbsent, roots.ErrNotBegun, roots.ErrNotMember, roots.ErrUntrusted, roots.ErrDisagrees, roots.ErrBackwards):
		return exitcode.Unavailable
	case is(rollout.ErrNoFile, certs.ErrConfig):
		return exitcode.Config
	case is(roots.ErrNotRotating, certs.ErrOff, rollout.ErrIdle, rollout.ErrSame, rollout.ErrSet, store.ErrName, store.ErrNoNode, store.ErrNoFleet, store.ErrToken, manager.ErrTokenText, manager.ErrMembers, roots.ErrParams, roots.ErrPlan, roots.ErrUnknownRoot, identity.ErrNode, manager.ErrNoEtcd):
		return exitcode.DataErr
	case is(context.DeadlineExceeded), unavailable(err):
		return exitcode.Unavailable
	}
	return exitcode.Of(err)
}

// operator is what the commands share.
type operator struct {
	ctx   context.Context
	state string
	limit time.Duration
}

// flags declares the flags of every command that talks to etcd.
func (o *operator) flags(fl *flag.FlagSet) { o.flagsFor(fl, 15*time.Second) }

func (o *operator) flagsFor(fl *flag.FlagSet, limit time.Duration) {
	o.stateFlag(fl)
	fl.DurationVar(&o.limit, "timeout", limit, "give up after this time")
}

func (o *operator) stateFlag(fl *flag.FlagSet) {
	fl.StringVar(&o.state, "state", identity.DefaultDir, "the folder of this node: a `DIR`")
}

func (o *operator) dir() identity.Dir { return identity.Dir(o.state) }

// fleet is a connection to etcd.
type fleet struct {
	node  identity.Node
	etcd  *clientv3.Client
	store *store.Store
	as    string // for the audit record
}

// open connects with the rights of this node.
func (o *operator) open() (*fleet, error) { return o.connect(o.dir().TLS, "") }

// openManager connects with the rights of the administrator.
func (o *operator) openManager() (*fleet, *manager.Manager, error) {
	f, err := o.connect(o.dir().AdminTLS, identity.Admin)
	if err != nil {
		return nil, nil, err
	}
	m, err := manager.Open(o.dir(), f.etcd, time.Now)
	if err != nil {
		f.etcd.Close()
		return nil, nil, err
	}
	return f, m, nil
}

func (o *operator) connect(settings func() (*tls.Config, error), as string) (*fleet, error) {
	n, err := o.dir().Load()
	if err != nil {
		return nil, err
	}
	t, err := settings()
	if err != nil {
		return nil, err
	}
	if as == "" {
		as = n.Name
	}
	c, err := access.Connect(n.Endpoints, t)
	if err != nil {
		return nil, err
	}
	s, err := store.New(c, n.Fleet)
	if err != nil {
		c.Close()
		return nil, err
	}
	return &fleet{node: n, etcd: c, store: s, as: as}, nil
}

func (f *fleet) entry(action, detail string) store.Entry {
	return store.Entry{Time: time.Now(), Node: f.as, Action: action, Detail: detail}
}

// within returns a context with the limit of the command.
func (o *operator) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(o.ctx, o.limit)
}

// withManager runs a command of the manager.
func (o *operator) withManager(do func(context.Context, *fleet, *manager.Manager) error) error {
	f, m, err := o.openManager()
	if err != nil {
		return err
	}
	defer f.etcd.Close()
	ctx, stop := o.within()
	defer stop()
	return do(ctx, f, m)
}

// withFleet runs a command of any node.
func (o *operator) withFleet(do func(context.Context, *fleet) error) error {
	f, err := o.open()
	if err != nil {
		return err
	}
	defer f.etcd.Close()
	ctx, stop := o.within()
	defer stop()
	return do(ctx, f)
}

func printf(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(w, format, args...)
	return command.Written(err)
}
