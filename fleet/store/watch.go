package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watch notices changes of the plan, of the seals of one node and of its drain. It stays
// open from one Wait to the next. It is for one goroutine; the caller closes it.
type Watch struct {
	store *Store
	node  string

	stop                context.CancelFunc // nil: it is not open
	plan, seals, drains clientv3.WatchChan
}

// NewWatch returns the watch of a node.
func (s *Store) NewWatch(node string) *Watch { return &Watch{store: s, node: node} }

// Wait returns when something has changed after a revision, or when etcd cannot know,
// because that revision is compacted: the caller reads again in either case. The error is
// that of ctx or of the connection; then nothing is known.
func (w *Watch) Wait(ctx context.Context, revision int64) error {
	if w.stop == nil && !w.open(ctx, revision) {
		return fmt.Errorf("watch fleet: %w", ctx.Err())
	}
	for {
		var r clientv3.WatchResponse
		var ok bool
		select {
		case r, ok = <-w.plan:
		case r, ok = <-w.seals:
		case r, ok = <-w.drains:
		case <-ctx.Done():
			return fmt.Errorf("watch fleet: %w", ctx.Err())
		}
		if err := r.Err(); err != nil || !ok {
			w.Close()
			switch {
			case errors.Is(err, rpctypes.ErrCompacted):
				return nil
			case err == nil:
				err = errors.New("etcd has ended the watch")
			}
			return fmt.Errorf("watch fleet: %w", err)
		}
		if slices.ContainsFunc(r.Events, func(e *clientv3.Event) bool { return e.Kv.ModRevision > revision }) {
			return nil
		}
	}
}

// open begins after a revision. Without etcd it takes until limit ends, and reports that.
// A member of etcd that has lost the others ends the watch.
func (w *Watch) open(limit context.Context, revision int64) bool {
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
	w.stop = stop
	intime := context.AfterFunc(limit, stop)
	from, s := clientv3.WithRev(revision+1), w.store
	w.plan = s.etcd.Watch(ctx, s.key("plan"), from)
	w.seals = s.etcd.Watch(ctx, s.key("seal", w.node, ""), clientv3.WithPrefix(), from)
	w.drains = s.etcd.Watch(ctx, s.key("drain", w.node), from)
	if !intime() {
		w.Close()
		return false
	}
	return true
}

// Close ends the watch. The next Wait opens it again.
func (w *Watch) Close() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}
