package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"noonmark/fleet/store"
	"noonmark/internal/durable"
	"noonmark/internal/retry"
)

// Config is one node.
type Config struct {
	Node  string
	State string // file that keeps what is applied, mode 0600
	Files []File

	// Health returns why the node is not healthy; nothing: it is. OnTrial adds what counts
	// only while a configuration of these programs is on trial, because it need not be the
	// configuration's fault later; nil: nothing.
	Health  func() []string
	OnTrial func(of []Program) []string
	// Generated returns fragments that this node makes itself: its witnesses. They are
	// weaker than those of the fleet. nil: none.
	Generated func() map[Program]string

	// Timeout limits what waits for etcd in a round; 0 = 5 s. A node without etcd has
	// files to keep.
	Timeout time.Duration

	Every time.Duration // between two rounds of Run; 0 = 10 s
	TTL   time.Duration // of the lease with which one node takes a rollout on; 0 = 60 s

	Mono func() time.Duration // a monotonic clock
	Now  func() time.Time     // for the audit record
}

// Keeper keeps the configuration of one node. It is for one goroutine.
type Keeper struct {
	cfg    Config
	fleet  *Fleet
	lease  *store.Lease
	holder *store.Holder
	kept   Kept
	trial  Trial

	seen  int64 // revision of the rollout, and since when it is that
	since time.Duration
	shown *Report // that etcd has
	tried map[Program]string
	files map[Program]string
	over  map[Program][]Override

	unmanaged []Program // of the last round
}

// Result is what one round did.
type Result struct {
	Report  Report
	Act     Act
	Err     error // why a file was not written
	Phase   Phase // after the round, empty: not known
	Decided bool  // this node has changed the rollout
	Bad     []store.Bad
}

// maxState limits what is read of the state, octets: the texts of two versions.
const maxState = 4 * 3 * MaxFragment

// ErrState is wrapped by the error of a state that cannot be read.
var ErrState = errors.New("state of the configuration is damaged; remove it, and the agent begins with the local files")

// New returns the keeper of a node, with what is on its disc.
func New(f *Fleet, c Config) (*Keeper, error) {
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	if c.TTL == 0 {
		c.TTL = time.Minute
	}
	lease := f.store.NewLease(c.TTL)
	k := &Keeper{cfg: c, fleet: f, lease: lease, holder: f.part.NewHolder("holder", c.Node, lease), tried: map[Program]string{}, files: map[Program]string{}, over: map[Program][]Override{}}
	b, _, err := durable.ReadFile(c.State, maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(b, &k.kept); err != nil {
		return nil, fmt.Errorf("%s: %w", c.State, ErrState)
	}
	return k, nil
}

// Run makes rounds until ctx ends. observe gets each result. Without etcd it goes on: a
// trial ends by the clock, and local files change.
func (k *Keeper) Run(ctx context.Context, observe func(Result, error)) error {
	retry.Stagger(ctx)
	wait := retry.Jitter(k.cfg.Every) // nodes that started at once do not go on at once
	for ctx.Err() == nil {
		r, err := k.Round(ctx)
		observe(r, err)
		retry.Sleep(ctx, wait)
		wait = k.cfg.Every
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), resignLimit)
	defer stop()
	k.holder.Give(last) // else the others wait for the end of its lease
	return ctx.Err()
}

// resignLimit is how long the end of Run may take to let another node take the rollout on.
const resignLimit = 2 * time.Second

// Round makes one round: it reads etcd, writes the files of this node, reports, and
// takes the rollout one step on. The error is that of etcd; a node without it goes on
// with a trial and with changes of its local files.
func (k *Keeper) Round(ctx context.Context) (Result, error) {
	r, revision, by, err := k.read(ctx)
	res := Result{}
	reasons := k.cfg.Health()
	if k.kept.Trial && k.cfg.OnTrial != nil {
		reasons = append(reasons, k.cfg.OnTrial(k.kept.Params.programs())...)
	}
	if k.unmanaged = k.findUnmanaged(); k.alone() {
		k.trial = Trial{} // one that was interrupted begins again
	} else {
		var id ID
		res.Act, id = k.kept.Next(k.cfg.Node, r, err == nil, len(reasons) == 0, &k.trial, k.cfg.Mono())
		res.Err = k.act(ctx, res.Act, id, r, reasons)
	}
	if kept := k.refresh(ctx); res.Err == nil {
		res.Err = kept
	}
	res.Report = k.report(reasons)
	if err != nil {
		return res, err
	}
	ctx, stop := context.WithTimeout(ctx, k.cfg.Timeout)
	defer stop()
	if k.shown == nil || !reflect.DeepEqual(*k.shown, res.Report) {
		if err := k.fleet.show(ctx, k.cfg.Node, res.Report); err != nil {
			return res, err
		}
		k.shown = &res.Report
	}
	if k.seen != revision {
		k.seen, k.since = revision, k.cfg.Mono()
	}
	res.Phase = r.Phase
	conducts, err := k.take(ctx, r, by)
	if err != nil || !conducts {
		return res, err
	}
	s, err := k.fleet.Read(ctx)
	if err != nil || s.Revision != revision {
		return res, err // it has gone on; the next round sees it
	}
	res.Bad = s.Bad
	res.Phase, res.Decided, err = k.conduct(ctx, s, res.Report)
	return res, err
}

func (k *Keeper) read(ctx context.Context) (Rollout, int64, store.Held, error) {
	ctx, stop := context.WithTimeout(ctx, k.cfg.Timeout)
	defer stop()
	return k.fleet.current(ctx, k.holder)
}

// take reports whether this node takes the rollout on: one at a time does, while there is
// one, because it reads what all nodes show.
func (k *Keeper) take(ctx context.Context, r Rollout, by store.Held) (bool, error) {
	switch {
	case !r.Running() && k.holder.Mine(by):
		return false, k.holder.Give(ctx)
	case !r.Running():
		return false, nil
	case k.holder.Mine(by):
		return true, k.lease.Keep(ctx)
	case !k.holder.Free(by):
		return false, nil
	}
	err := k.holder.Take(ctx, by)
	switch {
	case errors.Is(err, store.ErrPartConflict):
		return false, nil // another node was faster
	case errors.Is(err, rpctypes.ErrPermissionDenied): // the manager is of a version without this key: all do, as they did
		return true, nil
	}
	return err == nil, err
}

// findUnmanaged returns the programs whose file is left alone.
func (k *Keeper) findUnmanaged() (list []Program) {
	for _, f := range k.cfg.Files {
		if f.unmanaged() {
			list = append(list, f.Program)
		}
	}
	return list
}

// alone reports whether the node takes nothing from the fleet.
func (k *Keeper) alone() bool { return len(k.unmanaged) == len(k.cfg.Files) }

func (k *Keeper) report(reasons []string) Report {
	p := k.kept.report()
	if k.alone() {
		p.Unmanaged = k.unmanaged
		p.Applied, p.Rollout, p.Trial, p.Unjudged = "", 0, false, false // what the files have is not known
	} else {
		k.share(&p)
	}
	p.Healthy, p.Reasons = len(reasons) == 0, reasons
	for _, f := range k.cfg.Files {
		p.Overrides = append(p.Overrides, k.over[f.Program]...)
		if why := k.files[f.Program]; why != "" {
			if p.Files == nil {
				p.Files = map[Program]string{}
			}
			p.Files[f.Program] = short(why)
		}
	}
	p.Why = short(p.Why)
	return p
}

// share adds for which programs the node takes its part.
func (k *Keeper) share(p *Report) {
	for _, f := range k.cfg.Files {
		switch {
		case !slices.Contains(k.unmanaged, f.Program):
			p.Managed = append(p.Managed, f.Program)
		case len(k.kept.Fragments[f.Program]) > 0:
			p.Skipped = append(p.Skipped, f.Program)
		}
	}
}

func short(s string) string { return oneLine(s[:min(len(s), maxOutput)]) }

// act does what Next decided.
func (k *Keeper) act(ctx context.Context, act Act, id ID, r Rollout, reasons []string) error {
	switch act {
	case Take:
		read, stop := context.WithTimeout(ctx, k.cfg.Timeout)
		f, err := k.fleet.ForNode(read, id, k.cfg.Node)
		stop()
		if err != nil && !errors.Is(err, ErrSet) {
			return err // etcd; the next round tries again
		}
		if err == nil {
			err = k.write(ctx, f)
		}
		if err != nil {
			if k.kept.Refused == r.Number && id != r.Target {
				return err // the way back: it is tried again
			}
			return errors.Join(err, k.keep(k.kept.refused(r, short(err.Error()))))
		}
		return k.keep(k.kept.took(id, r, f, len(reasons) == 0))
	case Confirm:
		next := k.kept
		next.Trial = false
		return k.keep(next)
	case Return:
		if err := k.write(ctx, k.kept.Earlier); err != nil {
			return fmt.Errorf("return to the configuration before: %w", err)
		}
		return k.keep(k.kept.returned(reasons))
	}
	return nil
}

// keep brings the state to the disc. A node that loses it begins with its local files.
func (k *Keeper) keep(next Kept) error {
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	k.kept, k.trial = next, Trial{}
	if err := durable.WriteFile(k.cfg.State, append(b, '\n'), 0o600, true); err != nil {
		return fmt.Errorf("keep %s: %w", filepath.Base(k.cfg.State), err)
	}
	return nil
}

// fragments adds what this node generates.
func (k *Keeper) fragments(p Program, of map[Program][]Fragment) []Fragment {
	list := of[p]
	if k.cfg.Generated != nil {
		if text := k.cfg.Generated()[p]; text != "" {
			list = append(list[:len(list):len(list)], Fragment{Registry, text})
		}
	}
	return list
}

// write checks the files that fragments make, and replaces all of them or none. The error
// wraps ErrNoFile for a program whose file the node does not keep.
func (k *Keeper) write(ctx context.Context, of map[Program][]Fragment) error {
	for p := range of {
		if !slices.ContainsFunc(k.cfg.Files, func(f File) bool { return f.Program == p }) {
			return fmt.Errorf("%s: %w", p, ErrNoFile)
		}
	}
	var list []*change
	for _, f := range k.cfg.Files {
		c, over, err := f.plan(k.fragments(f.Program, of))
		if err != nil {
			return err
		}
		k.over[f.Program] = over
		if c != nil {
			list = append(list, c)
		}
	}
	for _, c := range list {
		if err := c.check(ctx); err != nil {
			return err
		}
	}
	for i, c := range list {
		if err := c.write(ctx); err != nil {
			for _, u := range list[:i+1] {
				err = errors.Join(err, u.undo(ctx))
			}
			return err
		}
		delete(k.tried, c.file.Program)
	}
	return nil
}

// refresh writes the files again whose local file or generated fragments have changed.
// One that its program refuses is not tried again before it changes.
func (k *Keeper) refresh(ctx context.Context) error {
	var errs []error
	for _, f := range k.cfg.Files {
		c, over, err := f.plan(k.fragments(f.Program, k.kept.Fragments))
		switch {
		case err != nil:
		case c == nil:
			k.over[f.Program] = over
			delete(k.tried, f.Program)
		case k.tried[f.Program] == c.text:
			continue
		default:
			if err = c.check(ctx); err == nil {
				if err = c.write(ctx); err != nil {
					err = errors.Join(err, c.undo(ctx))
				}
			}
			if err != nil {
				if !errors.Is(err, ErrOwner) { // an operator repairs it outside the file
					k.tried[f.Program] = c.text
				}
				break
			}
			k.over[f.Program] = over
		}
		if err != nil {
			k.files[f.Program] = err.Error()
			errs = append(errs, err)
			continue
		}
		delete(k.files, f.Program)
	}
	return errors.Join(errs...)
}

// conduct takes the rollout one step on, if what etcd shows is enough.
func (k *Keeper) conduct(ctx context.Context, s *State, own Report) (Phase, bool, error) {
	for i := range s.Nodes {
		if s.Nodes[i].Name == k.cfg.Node {
			s.Nodes[i].Report = own
		}
	}
	next := Step(s.Rollout, s.Nodes, k.cfg.Mono()-k.since)
	if next.Phase == s.Rollout.Phase && len(next.Granted) == len(s.Rollout.Granted) {
		return next.Phase, false, nil
	}
	e := store.Entry{Time: k.cfg.Now(), Node: k.cfg.Node, Action: "rollout " + string(next.Phase), Detail: fmt.Sprintf("%d: %d granted", next.Number, len(next.Granted))}
	if next.Why != "" {
		e.Detail = fmt.Sprintf("%d: %s", next.Number, short(next.Why))
	}
	err := k.fleet.commit(ctx, s.Revision, next, e)
	if errors.Is(err, store.ErrPartConflict) {
		return s.Rollout.Phase, false, nil // another node was faster
	}
	return next.Phase, err == nil, err
}
