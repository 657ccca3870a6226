package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/store"
)

// PartName is the part of the keys of a fleet that this package keeps.
//
//	config/rollout          the last Rollout
//	config/list/ID          manifest of a Set, never changed
//	config/text/FINGERPRINT text of a fragment, never changed
//	config/at/NODE          Report of a node
//	config/holder           name of the node that takes the rollout on, under its lease
const PartName = "config"

// maxOps is below etcd's limit of 128 operations a transaction.
const maxOps = 100

// maxReport limits what is read of a report, octets.
const maxReport = 16 << 10

// Fleet is the configuration of a fleet in etcd. Its methods may be called from any
// goroutine, and take as long as ctx allows.
type Fleet struct {
	store *store.Store
	part  *store.Part
}

// Of returns the configuration of a fleet.
func Of(s *store.Store) *Fleet { return &Fleet{s, s.Part(PartName)} }

// State is the rollout and the nodes at one revision of etcd.
type State struct {
	Rollout  Rollout
	Nodes    []NodeView // registered ones, by name
	Revision int64      // of the rollout; 0: there was none yet
	Bad      []store.Bad
}

// Read returns the present state.
func (f *Fleet) Read(ctx context.Context) (*State, error) {
	snap, err := f.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	r, err := f.part.Client().Txn(ctx).Then(
		clientv3.OpGet(f.part.Key("rollout")),
		clientv3.OpGet(f.part.Key("at", ""), clientv3.WithPrefix(), clientv3.WithLimit(store.MaxNodes)),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	s := &State{}
	if s.Rollout, s.Revision, err = parseRollout(r.Responses[0].GetResponseRange().Kvs); err != nil {
		return nil, err
	}
	reports := map[string]Report{}
	for _, kv := range r.Responses[1].GetResponseRange().Kvs {
		name := string(kv.Key[len(f.part.Key("at", "")):])
		var p Report
		err := json.Unmarshal(kv.Value, &p)
		if err == nil && len(kv.Value) > maxReport {
			err = fmt.Errorf("%w: report of %d octets", ErrSet, len(kv.Value))
		}
		if err != nil { // a node whose report is damaged has confirmed nothing
			s.Bad = append(s.Bad, store.Bad{Key: string(kv.Key), Err: err})
			continue
		}
		reports[name] = p
	}
	for _, n := range snap.Nodes {
		s.Nodes = append(s.Nodes, NodeView{Name: n.Name, Live: n.Live, Drained: n.Drain != "", Report: reports[n.Name]})
	}
	return s, nil
}

// current returns the rollout, and who takes it on, without the nodes.
func (f *Fleet) current(ctx context.Context, h *store.Holder) (r Rollout, revision int64, by store.Held, err error) {
	got, err := f.part.Client().Txn(ctx).Then(clientv3.OpGet(f.part.Key("rollout")), h.Get()).Commit()
	if err != nil {
		return r, 0, by, fmt.Errorf("read configuration: %w", err)
	}
	r, revision, err = parseRollout(got.Responses[0].GetResponseRange().Kvs)
	return r, revision, store.HeldBy(got.Responses[1].GetResponseRange().Kvs), err
}

func parseRollout(kvs []*mvccpb.KeyValue) (r Rollout, revision int64, err error) {
	if len(kvs) == 0 {
		return r, 0, nil
	}
	if err := json.Unmarshal(kvs[0].Value, &r); err != nil || len(kvs[0].Value) > maxManifest {
		return Rollout{}, 0, fmt.Errorf("read configuration: %w: rollout: %w", ErrSet, err)
	}
	slices.Sort(r.Granted)
	return r, kvs[0].ModRevision, nil
}

// Put writes a set, which may exist. Nothing refers to it yet.
func (f *Fleet) Put(ctx context.Context, s Set) (ID, error) {
	list, texts := s.encode()
	if len(list) > maxManifest {
		return "", fmt.Errorf("write configuration: %w: %d overlays", ErrTooLong, len(s.Nodes))
	}
	names := slices.Sorted(maps.Keys(texts))
	for part := range slices.Chunk(names, maxOps/10) { // etcd limits the octets of a request, too
		ops := make([]clientv3.Op, len(part))
		for i, n := range part {
			ops[i] = clientv3.OpPut(f.part.Key("text", n), texts[n])
		}
		if err := f.part.Commit(ctx, store.Entry{}, nil, ops...); err != nil {
			return "", err
		}
	}
	id := s.ID()
	return id, f.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(f.part.Key("list", string(id)), string(list)))
}

// Get reads a set. The empty ID is the empty set. The error wraps ErrSet if it is
// damaged or missing.
func (f *Fleet) Get(ctx context.Context, id ID) (Set, error) {
	s := Set{All: Fragments{}, Nodes: map[string]Fragments{}}
	m, err := f.manifest(ctx, id)
	if err != nil {
		return s, err
	}
	if s.All, err = f.texts(ctx, m.All); err != nil {
		return s, err
	}
	for n, of := range m.Nodes {
		if s.Nodes[n], err = f.texts(ctx, of); err != nil {
			return s, err
		}
	}
	return s, nil
}

// ForNode returns the fragments of a set for one node, the stronger one first.
func (f *Fleet) ForNode(ctx context.Context, id ID, node string) (map[Program][]Fragment, error) {
	m, err := f.manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	list := map[Program][]Fragment{}
	for _, x := range []struct {
		from  string
		texts map[Program]string
	}{{"overlay", m.Nodes[node]}, {"fleet", m.All}} {
		texts, err := f.texts(ctx, x.texts)
		if err != nil {
			return nil, err
		}
		for p, text := range texts {
			if _, err := parse(p, text, false); err != nil {
				return nil, err
			}
			list[p] = append(list[p], Fragment{x.from, text})
		}
	}
	return list, nil
}

func (f *Fleet) manifest(ctx context.Context, id ID) (manifest, error) {
	if id == "" {
		return manifest{}, nil
	}
	b, err := f.get(ctx, f.part.Key("list", string(id)))
	if err != nil {
		return manifest{}, err
	}
	return decodeManifest(id, b)
}

func (f *Fleet) texts(ctx context.Context, of map[Program]string) (Fragments, error) {
	list := Fragments{}
	for p, sum := range of {
		b, err := f.get(ctx, f.part.Key("text", sum))
		if err != nil {
			return nil, err
		}
		if len(b) > MaxFragment || fingerprint(string(b)) != sum {
			return nil, fmt.Errorf("%w: fragment %.40q has another content than its name says", ErrSet, sum)
		}
		list[p] = string(b)
	}
	return list, nil
}

func (f *Fleet) get(ctx context.Context, key string) ([]byte, error) {
	r, err := f.part.Client().Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(r.Kvs) == 0 {
		return nil, fmt.Errorf("%w: %s is missing", ErrSet, key)
	}
	return r.Kvs[0].Value, nil
}

// Apply begins the rollout of a set. It needs the rights of the administrator, because it
// writes texts. The error wraps store.ErrNoNode for an overlay, or is of Start; then
// nothing is written.
func (f *Fleet) Apply(ctx context.Context, s Set, p Params, e store.Entry) (Rollout, error) {
	now, err := f.Read(ctx)
	if err != nil {
		return Rollout{}, err
	}
	if err := s.knows(now.Nodes); err != nil {
		return now.Rollout, err
	}
	base, err := f.Get(ctx, now.Rollout.InForce())
	if err != nil && !errors.Is(err, ErrSet) { // a damaged base is replaced
		return Rollout{}, err
	}
	p.Programs = changed(base, s)
	if _, err := Start(now.Rollout, s.ID(), p, now.Nodes); err != nil { // before texts are written
		return now.Rollout, err
	}
	id, err := f.Put(ctx, s)
	if err != nil {
		return Rollout{}, err
	}
	return f.change(ctx, e, func(s *State) (Rollout, error) { return Start(s.Rollout, id, p, s.Nodes) })
}

// knows refuses overlays of nodes that are not there.
func (s Set) knows(nodes []NodeView) error {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("node.%s: %w: %s", name, store.ErrNoNode, strings.Join(names, ", "))
		}
	}
	return nil
}

// Undo takes the last rollout back; see the function Undo. A node has the rights for it:
// the texts are in etcd.
func (f *Fleet) Undo(ctx context.Context, why string, e store.Entry) (Rollout, error) {
	return f.change(ctx, e, func(s *State) (Rollout, error) { return Undo(s.Rollout, why, s.Nodes) })
}

// change writes what decide makes of the present state, again if another node was
// faster.
func (f *Fleet) change(ctx context.Context, e store.Entry, decide func(*State) (Rollout, error)) (Rollout, error) {
	for {
		s, err := f.Read(ctx)
		if err != nil {
			return Rollout{}, err
		}
		next, err := decide(s)
		if err != nil {
			return next, err
		}
		e.Detail = fmt.Sprintf("rollout %d: %s", next.Number, next.Target.Word())
		if next.Why != "" {
			e.Detail += ": " + short(next.Why)
		}
		if err = f.commit(ctx, s.Revision, next, e); !errors.Is(err, store.ErrPartConflict) {
			return next, err
		}
	}
}

func (f *Fleet) commit(ctx context.Context, revision int64, r Rollout, e store.Entry) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	key := f.part.Key("rollout")
	same := clientv3.Compare(clientv3.ModRevision(key), "=", revision)
	return f.part.Commit(ctx, e, []clientv3.Cmp{same}, clientv3.OpPut(key, string(b)))
}

// show writes the report of a node.
func (f *Fleet) show(ctx context.Context, node string, p Report) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return f.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(f.part.Key("at", node), string(b)))
}

// Diff returns what a set changes of what the fleet has.
func (f *Fleet) Diff(ctx context.Context, s Set) (string, error) {
	now, err := f.Read(ctx)
	if err != nil {
		return "", err
	}
	has, err := f.Get(ctx, now.Rollout.InForce())
	if err != nil {
		return "", err
	}
	return Diff(has, s), nil
}
