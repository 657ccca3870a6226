package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/crypto/acme"

	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/durable"
	"noonmark/internal/retry"
	"noonmark/server/crowd"
)

// PartName is the part of the keys of a fleet that this package keeps.
//
//	cert/settings     Settings
//	cert/state        State
//	cert/holder       name of the node that orders, under its lease
//	cert/seal/ID/NODE secret of a private key, sealed to a node
//	cert/token/TOKEN  answer to an http-01 challenge
//	cert/at/NODE      Report of a node
//	cert/want/NODE    exists while the node lacks a key that is in use
const PartName = "cert"

const (
	defaultTTL  = time.Minute
	etcdTimeout = 5 * time.Second
	acmeTimeout = 2 * time.Minute
	// ackTime is how long the holder waits until every live node answers a challenge.
	ackTime   = 30 * time.Second
	maxValue  = 96 << 10 // of state and settings, octets
	maxReport = 16 << 10 // octets; with the names of all tokens
	maxTokens = maxNames
)

// Config is one node.
type Config struct {
	Node  string
	Key   *seal.Private
	Names []string // of the certificate: DNS names and addresses
	ACME  ACME

	// Settings is the revision of etcd at which these settings were read; 0: there are none in
	// etcd. The keeper ends when they change.
	Settings int64
	Epoch    uint64 // as Settings.Epoch

	PEM string // file that ntsserve reads as certificate and as key, mode 0600

	Clock func() (time.Time, error) // as agent.Config.Clock
	Mono  func() time.Duration      // a monotonic clock
	TTL   time.Duration             // of the lease; 0 = 60 s

	Connections *crowd.Counts // to the listener of challenges; nil: nobody reads them
}

// Report is what a node shows of the certificate.
type Report struct {
	Generation uint64 `json:"generation"` // on its disc
	NotAfter   int64  `json:"not_after"`  // POSIX seconds
	Serves     string `json:"serves,omitempty"`
	Why        string `json:"why,omitempty"`   // it has not the one of the fleet
	Alone      bool   `json:"alone,omitempty"` // it takes no part, and answers no challenge
}

// Keeper keeps the certificate of one node. It is for one goroutine.
type Keeper struct {
	cfg       Config
	store     *store.Store
	part      *store.Part
	responder *Responder

	lease   *store.Lease
	holder  *store.Holder
	secrets map[roots.ID]secret
	asked   map[string]time.Duration // when a token was published
	client  *acme.Client
	account roots.ID // of client
	shown   *Report

	pause func(Act) // for tests: between an act at the server and its transaction
}

// Result is what one round did.
type Result struct {
	Report Report
	Act    Act
	Holder bool
	State  State
	Disc   error // why the PEM file was not written
	Server error // of the ACME server

	Challenges error // why this node does not answer them
}

// New returns the keeper of a node. Its error wraps ErrConfig.
func New(s *store.Store, c Config) (*Keeper, error) {
	if err := c.ACME.Check(c.Names); err != nil {
		return nil, err
	}
	if c.TTL == 0 {
		c.TTL = defaultTTL
	}
	part, lease := s.Part(PartName), s.NewLease(c.TTL)
	return &Keeper{
		cfg: c, store: s, part: part, responder: NewResponder(c.ACME.HTTP, c.Connections), lease: lease, holder: part.NewHolder("holder", c.Node, lease),
		secrets: map[roots.ID]secret{}, asked: map[string]time.Duration{}, pause: func(Act) {},
	}, nil
}

// Close stops answering challenges and gives the lease back.
func (k *Keeper) Close(ctx context.Context) error {
	k.responder.Close()
	return k.lease.End(ctx)
}

// Intervals of Run.
const (
	whileIdle  = 10 * time.Second
	whileOrder = time.Second // an order is open: every node answers its challenges soon
)

// ErrSettings is wrapped by the error of a round that found other settings in etcd.
var ErrSettings = errors.New("the settings of the certificate have changed")

// Run makes rounds until ctx ends or the settings change: its error then wraps ErrSettings.
// observe gets each other result. It repeats at once while an order goes on, and with growing
// delays after an error.
func (k *Keeper) Run(ctx context.Context, observe func(Result, error)) error {
	var failed retry.Backoff
	for ctx.Err() == nil {
		r, err := k.Round(ctx)
		if errors.Is(err, ErrSettings) {
			return err
		}
		observe(r, err)
		if err != nil || r.Server != nil {
			retry.Sleep(ctx, retry.Jitter(failed.Next()))
			continue
		}
		failed.Reset()
		retry.Sleep(ctx, r.wait())
	}
	return ctx.Err()
}

// wait is the time until the next round.
func (r Result) wait() time.Duration {
	switch {
	case r.Act == Authorize, r.Act == Rest && r.State.Order != nil:
		return whileOrder
	case r.Act == Rest:
		return whileIdle
	}
	return 0
}

// Responder answers challenges of this node.
func (k *Keeper) Responder() *Responder { return k.responder }

// world is what one round has read.
type world struct {
	state    State
	revision int64 // of the state
	held     store.Held
	tokens   map[string]string
	wants    []string // nodes that lack a key
	order    *acme.Order

	// Of all nodes. Only the holder reads them, because they are many.
	reports map[string]Report
	nodes   []store.Node
}

// Round reads etcd once, brings the certificate to the disc, and does one act of an
// order. The caller repeats it at once while Act is neither Rest nor Authorize.
func (k *Keeper) Round(ctx context.Context) (Result, error) {
	now, untrusted := k.cfg.Clock()
	w, err := k.read(ctx)
	if err != nil {
		return Result{}, err
	}
	res := Result{State: w.state}
	var serving error
	if k.cfg.ACME.HTTP != "" {
		serving = k.responder.Set(w.tokens)
	}
	res.Report, res.Disc = k.keep(ctx, w)
	if serving == nil {
		res.Report.Serves = tokenSet(w.tokens)
	} else {
		res.Challenges = fmt.Errorf("challenges are not answered: %w; %s", serving, listenRemedy(serving))
		res.Report.Why = res.Challenges.Error()
	}
	if err := k.show(ctx, res.Report); err != nil {
		return res, err
	}
	if err := errors.Join(k.want(ctx, w), k.sealMissing(ctx, w)); err != nil {
		return res, err
	}
	if k.holder.Mine(w.held) {
		if err := k.readNodes(ctx, w); err != nil {
			return res, err
		}
		w.reports[k.cfg.Node] = res.Report
	}
	v, err := k.view(ctx, w, now, untrusted == nil)
	res.Holder, res.Server = v.Holder, err
	if err != nil && v.Status == Unknown && v.Holder {
		return res, k.settle(ctx, w, err, now)
	}
	res.Act = w.state.Next(v)
	err = k.act(ctx, w, res.Act, now)
	if errors.Is(err, store.ErrPartConflict) {
		return res, nil // another node has the lease, or has gone on; the next round sees it
	}
	if isServer(err) {
		res.Server = err
		return res, k.settle(ctx, w, err, now)
	}
	return res, err
}

func (k *Keeper) read(ctx context.Context) (*world, error) {
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	r, err := k.part.Client().Txn(ctx).Then(
		clientv3.OpGet(k.part.Key("state")), k.holder.Get(),
		clientv3.OpGet(k.part.Key("token", ""), clientv3.WithPrefix(), clientv3.WithLimit(maxTokens)),
		clientv3.OpGet(k.part.Key("want", ""), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(maxWants)),
		clientv3.OpGet(k.part.Key("settings"), clientv3.WithKeysOnly()),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	revision := int64(0)
	if kvs := r.Responses[4].GetResponseRange().Kvs; len(kvs) > 0 {
		revision = kvs[0].ModRevision
	}
	if revision != k.cfg.Settings {
		return nil, fmt.Errorf("read certificate: %w", ErrSettings)
	}
	w := &world{held: store.HeldBy(r.Responses[1].GetResponseRange().Kvs), tokens: map[string]string{}, reports: map[string]Report{}}
	if kvs := r.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		w.revision = kvs[0].ModRevision
		if w.state, err = decodeState(kvs[0].Value); err != nil {
			return nil, err
		}
	}
	for _, kv := range r.Responses[2].GetResponseRange().Kvs {
		if len(kv.Value) < 1<<10 {
			w.tokens[strings.TrimPrefix(string(kv.Key), k.part.Key("token", ""))] = string(kv.Value)
		}
	}
	for _, kv := range r.Responses[3].GetResponseRange().Kvs {
		w.wants = append(w.wants, strings.TrimPrefix(string(kv.Key), k.part.Key("want", "")))
	}
	return w, nil
}

// readNodes reads what all nodes show.
func (k *Keeper) readNodes(ctx context.Context, w *world) error {
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	snap, err := k.store.Read(ctx)
	if err != nil {
		return err
	}
	w.nodes = snap.Nodes
	r, err := k.part.Client().Get(ctx, k.part.Key("at", ""), clientv3.WithPrefix(), clientv3.WithLimit(store.MaxNodes))
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	for _, kv := range r.Kvs {
		if p, err := decodeReport(kv.Value); err == nil { // one that is damaged serves nothing
			w.reports[strings.TrimPrefix(string(kv.Key), k.part.Key("at", ""))] = p
		}
	}
	return nil
}

// open returns a secret that was sealed to this node.
func (k *Keeper) open(ctx context.Context, id roots.ID) (secret, error) {
	if s, ok := k.secrets[id]; ok {
		return s, nil
	}
	r, err := k.part.Client().Get(ctx, k.part.Key("seal", id.String(), k.cfg.Node))
	if err != nil {
		return secret{}, fmt.Errorf("read seal: %w", err)
	}
	if len(r.Kvs) == 0 {
		return secret{}, fmt.Errorf("%w: key %v is not sealed to this node yet: %w", ErrChain, id, errUnsealed)
	}
	s, err := k.cfg.Key.Open(id, r.Kvs[0].Value)
	if err != nil {
		// It is for the node that had this name before. The others seal it anew.
		key := string(r.Kvs[0].Key)
		same := clientv3.Compare(clientv3.ModRevision(key), "=", r.Kvs[0].ModRevision)
		return s, errors.Join(err, k.part.Commit(ctx, store.Entry{}, []clientv3.Cmp{same}, clientv3.OpDelete(key)))
	}
	k.secrets[id] = s
	return s, nil
}

// keep brings the certificate of the fleet to the disc.
func (k *Keeper) keep(ctx context.Context, w *world) (p Report, err error) {
	if w.state.Generation == 0 {
		return Report{}, nil
	}
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	fail := func(err error) (Report, error) { return Report{Why: err.Error()}, err }
	s, err := k.open(ctx, w.state.Key)
	if err != nil {
		return fail(err)
	}
	key, err := derive(&s, useCertificate)
	if err != nil {
		return fail(err)
	}
	leaf, err := belong(w.state.Chain, key)
	if err != nil {
		return fail(err)
	}
	text, err := pemFile(w.state.Chain, key)
	if err != nil {
		return fail(err)
	}
	if has, mode, err := durable.ReadFile(k.cfg.PEM, maxPEM); err != nil || mode.Perm() != 0o600 || !bytes.Equal(has, text) {
		if err := durable.WriteFile(k.cfg.PEM, text, 0o600, true); err != nil {
			return fail(err)
		}
	}
	return Report{Generation: w.state.Generation, NotAfter: leaf.NotAfter.Unix()}, nil
}

func (k *Keeper) show(ctx context.Context, p Report) error {
	if k.shown != nil && reflect.DeepEqual(*k.shown, p) {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	if err := Of(k.store).Show(ctx, k.cfg.Node, p); err != nil {
		return err
	}
	k.shown = &p
	return nil
}

// tokenSet names a set of tokens.
func tokenSet(tokens map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(tokens)), " ")
}

// keys are the fingerprints of the secrets that are in use.
func (s State) keys() (list []roots.ID) {
	if s.Account != (roots.ID{}) {
		list = append(list, s.Account)
	}
	if s.Generation > 0 {
		list = append(list, s.Key)
	}
	if s.Order != nil {
		list = append(list, s.Order.Key)
	}
	return list
}

// maxWants limits how many nodes get their seals in one round.
const maxWants = 20

// errUnsealed says that there is no seal for this node.
var errUnsealed = errors.New("another node that has it seals it")

// want asks the others for the keys that are in use and not sealed to this node, because
// it has joined later. So nobody needs to compare the seals with the nodes.
func (k *Keeper) want(ctx context.Context, w *world) error {
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	lacks := false
	for _, id := range w.state.keys() {
		_, err := k.open(ctx, id)
		lacks = lacks || errors.Is(err, errUnsealed)
	}
	if !lacks || slices.Contains(w.wants, k.cfg.Node) {
		return nil
	}
	return k.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(k.part.Key("want", k.cfg.Node), ""))
}

// sealMissing seals what this node can open to those that ask. The first of the nodes
// that see the wish fulfils it.
func (k *Keeper) sealMissing(ctx context.Context, w *world) error {
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	for _, name := range w.wants {
		if name == k.cfg.Node {
			continue
		}
		if err := k.sealAll(ctx, w, name); err != nil && !errors.Is(err, store.ErrPartConflict) {
			return err
		}
	}
	return nil
}

// sealAll seals to one node the keys that it lacks, and ends its wish.
func (k *Keeper) sealAll(ctx context.Context, w *world, name string) error {
	key := k.part.Key("want", name)
	n, err := k.store.ReadOwn(ctx, name)
	if errors.Is(err, store.ErrNoNode) || errors.Is(err, store.ErrName) {
		return k.part.Commit(ctx, store.Entry{}, nil, clientv3.OpDelete(key)) // it was removed
	}
	if err != nil {
		return err
	}
	conditions := []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(key), ">", 0),
		clientv3.Compare(clientv3.ModRevision(k.part.Key("state")), "=", w.revision), // the keys are those in use
	}
	ops := []clientv3.Op{clientv3.OpDelete(key)}
	for _, id := range w.state.keys() {
		s, err := k.open(ctx, id)
		if err != nil {
			return nil // another node has all
		}
		box, err := seal.Seal(n.Node.Key, &s)
		if err != nil {
			return err
		}
		ops = append(ops, clientv3.OpPut(k.part.Key("seal", id.String(), name), string(box)))
	}
	return k.part.Commit(ctx, store.Entry{}, conditions, ops...)
}

func (k *Keeper) sealTo(ctx context.Context, nodes []store.Node, id roots.ID, s *secret) error {
	for part := range slices.Chunk(nodes, 100) {
		var ops []clientv3.Op
		for _, n := range part {
			box, err := seal.Seal(n.Key, s)
			if err != nil {
				return err
			}
			ops = append(ops, clientv3.OpPut(k.part.Key("seal", id.String(), n.Name), string(box)))
		}
		if err := k.part.Commit(ctx, store.Entry{}, nil, ops...); err != nil {
			return err
		}
	}
	return nil
}

// view is what this node knows. The error is that of the ACME server.
func (k *Keeper) view(ctx context.Context, w *world, now time.Time, trusted bool) (View, error) {
	v := View{Now: now, Trusted: trusted && !k.cfg.ACME.TakesOnly, Names: k.cfg.Names, Directory: k.cfg.ACME.Directory, Settings: k.cfg.Settings, Epoch: k.cfg.Epoch, Held: w.held.Node != "", Holder: k.holder.Mine(w.held)}
	if leaf, err := parseChain(w.state.Chain); err == nil {
		v.NotAfter, v.Life, v.Covers = leaf.NotAfter, leaf.NotAfter.Sub(leaf.NotBefore), covers(leaf, k.cfg.Names)
	}
	if v.Holder { // a lease that was lost is another one now
		v.Holder = k.lease.Keep(ctx) == nil && k.holder.Mine(w.held)
	}
	_, err := k.open(ctx, w.state.Account)
	v.HasAccount = err == nil
	o := w.state.Order
	if o == nil {
		return v, nil
	}
	_, err = k.open(ctx, o.Key)
	v.HasKey = err == nil
	if !v.Holder || o.URL == "" || !v.HasAccount {
		return v, nil
	}
	c, err := k.server(ctx, w)
	if err != nil {
		return v, err
	}
	ctx, stop := context.WithTimeout(ctx, acmeTimeout)
	defer stop()
	if w.order, err = c.GetOrder(ctx, o.URL); err != nil {
		return v, serverError{fmt.Errorf("read order: %w", err)}
	}
	v.Status = statusOf(w.order)
	return v, nil
}

// server returns the client of the fleet's account.
func (k *Keeper) server(ctx context.Context, w *world) (*acme.Client, error) {
	if k.client != nil && k.account == w.state.Account {
		return k.client, nil
	}
	s, err := k.open(ctx, w.state.Account)
	if err != nil {
		return nil, err
	}
	key, err := derive(&s, useAccount)
	if err != nil {
		return nil, err
	}
	c := k.cfg.ACME.client(key)
	ctx, stop := context.WithTimeout(ctx, acmeTimeout)
	defer stop()
	if err := k.cfg.ACME.register(ctx, c); err != nil {
		return nil, serverError{err}
	}
	k.client, k.account = c, w.state.Account
	return c, nil
}
