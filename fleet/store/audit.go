package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Entry is a line of the audit record.
type Entry struct {
	Time   time.Time `json:"time"` // of the node's clock
	Node   string    `json:"node"` // who did it
	Action string    `json:"action"`
	Detail string    `json:"detail,omitempty"`

	// Erased: the node has removed the line since; the manager's copy is shown.
	Erased bool `json:"erased,omitempty"`
}

// audit returns the operation that appends an entry, and the condition that it
// replaces none. A node may write only below its own name, so it removes no line of
// others. Its own it can remove: KeepAudit has a copy.
func (s *Store) audit(e Entry) (clientv3.Cmp, clientv3.Op) {
	key := s.key("audit", e.Node, fmt.Sprintf("%020d-%s", e.Time.UnixNano(), rand.Text()[:8]))
	return absent(key), clientv3.OpPut(key, encode(e))
}

// line is a line of the record or of the copy.
type line struct {
	name     string // NODE/TIME-SEQUENCE
	revision int64  // with which it came
	entry    Entry
	err      error // the value is refused
}

// lastLines asks for the last lines below a prefix, the newest first.
func lastLines(prefix string, n int) clientv3.Op {
	return clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithLimit(int64(n)), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend))
}

// lines returns the lines of an answer, the oldest first.
func lines(prefix string, kvs []*mvccpb.KeyValue) (all []line) {
	for _, kv := range slices.Backward(kvs) {
		l := line{name: strings.TrimPrefix(string(kv.Key), prefix), revision: kv.CreateRevision}
		l.err = decode(kv.Value, &l.entry)
		l.entry.Node, _, _ = strings.Cut(l.name, "/") // not what it says of itself
		l.entry.Erased = false
		all = append(all, l)
	}
	return all
}

// Audit returns the last entries of the audit record in the order in which etcd has
// got them, the oldest first.
func (s *Store) Audit(ctx context.Context, n int) (list []Entry, bad []Bad, err error) {
	open := s.key("audit", "")
	r, err := s.etcd.Do(ctx, lastLines(open, n))
	if err != nil {
		return nil, nil, fmt.Errorf("read audit record: %w", err)
	}
	list, bad = s.entries(lines(open, r.Get().Kvs))
	return list, bad, nil
}

func (s *Store) entries(all []line) (list []Entry, bad []Bad) {
	for _, l := range all {
		if l.err != nil {
			bad = append(bad, Bad{s.key("audit", l.name), l.err})
			continue
		}
		list = append(list, l.entry)
	}
	return list, bad
}

// AuditWithCopy is Audit with what nodes have removed since. Only the administrator reads
// the copy.
func (s *Store) AuditWithCopy(ctx context.Context, n int) (list []Entry, bad []Bad, err error) {
	open, closed := s.key("audit", ""), s.closedKey("audit", "")
	r, err := s.etcd.Txn(ctx).Then(lastLines(closed, n), lastLines(open, n), clientv3.OpGet(s.audited())).Commit()
	if err != nil {
		return nil, nil, fmt.Errorf("read audit record: %w", err)
	}
	part := func(i int) []*mvccpb.KeyValue { return r.Responses[i].GetResponseRange().Kvs }
	copied, err := parseRevision(part(2))
	if err != nil {
		return nil, nil, fmt.Errorf("read audit record: %w", err)
	}
	all := lines(closed, part(0))
	if err := s.findErased(ctx, all); err != nil {
		return nil, nil, fmt.Errorf("read audit record: %w", err)
	}
	for _, l := range lines(open, part(1)) {
		if l.revision > copied && !slices.ContainsFunc(all, func(c line) bool { return c.name == l.name }) {
			all = append(all, l)
		}
	}
	list, bad = s.entries(all[max(len(all)-n, 0):])
	return list, bad, nil
}

// findErased finds which lines of the copy are not in the record any more. The
// administrator writes some into the copy only.
func (s *Store) findErased(ctx context.Context, all []line) error {
	for part := range slices.Chunk(all, maxOps) {
		ops := make([]clientv3.Op, len(part))
		for i := range part {
			ops[i] = clientv3.OpGet(s.key("audit", part[i].name), clientv3.WithCountOnly())
		}
		r, err := s.etcd.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return err
		}
		for i := range part {
			part[i].entry.Erased = part[i].entry.Node != administrator && r.Responses[i].GetResponseRange().Count == 0
		}
	}
	return nil
}

// audited is the key with the revision up to which lines were copied.
func (s *Store) audited() string { return s.closedKey("audited", "revision") }

// parseRevision returns 0 if there is none.
func parseRevision(kvs []*mvccpb.KeyValue) (int64, error) {
	if len(kvs) == 0 {
		return 0, nil
	}
	return strconv.ParseInt(string(kvs[0].Value), 10, 64)
}

// KeepAudit copies the audit record to where only the administrator writes, until ctx ends
// or etcd does not answer: a node that was stolen could remove its lines. It goes on where
// it ended; what etcd has forgotten meanwhile, if it was away for long, is named in a line.
func (s *Store) KeepAudit(ctx context.Context) error {
	fail := func(err error) error { return fmt.Errorf("copy audit record: %w", err) }
	r, err := s.etcd.Get(ctx, s.audited())
	if err != nil {
		return fail(err)
	}
	revision, err := parseRevision(r.Kvs)
	if err != nil {
		return fail(err)
	}
	if revision == 0 {
		if revision, err = s.copyAudit(ctx, time.Time{}); err != nil {
			return fail(err)
		}
	}
	for {
		err := s.followAudit(ctx, &revision)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, rpctypes.ErrCompacted):
			if revision, err = s.copyAudit(ctx, time.Now()); err != nil {
				return fail(err)
			}
		default:
			return fail(cmp.Or(err, errors.New("etcd has ended the watch")))
		}
	}
}

// copyAudit copies what there is and returns its revision. gap is when it was found that
// lines may be missing; zero: none are.
func (s *Store) copyAudit(ctx context.Context, gap time.Time) (revision int64, err error) {
	r, err := s.etcd.Get(ctx, s.key("audit", ""), clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return 0, err
	}
	if !gap.IsZero() {
		e := Entry{Time: gap, Node: administrator, Action: "audit", Detail: "the copy was interrupted; a node may have removed lines before they were copied"}
		if _, err := s.etcd.Put(ctx, s.closedKey("audit", fmt.Sprintf("%s/%020d-copy", administrator, gap.UnixNano())), encode(e)); err != nil {
			return 0, err
		}
	}
	return r.Header.Revision, s.copyLines(ctx, r.Kvs, r.Header.Revision)
}

// followAudit copies lines as they come, from after a revision on, which it moves.
func (s *Store) followAudit(ctx context.Context, revision *int64) error {
	watching, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	for r := range s.etcd.Watch(watching, s.key("audit", ""), clientv3.WithPrefix(), clientv3.WithRev(*revision+1), clientv3.WithFilterDelete(), clientv3.WithProgressNotify()) {
		if err := r.Err(); err != nil {
			return err
		}
		// The header of a notification of progress says up to where everything was sent. That
		// of events is ahead of them while a watch catches up.
		upTo := r.Header.Revision
		var lines []*mvccpb.KeyValue
		for _, e := range r.Events {
			lines, upTo = append(lines, e.Kv), e.Kv.ModRevision
		}
		if err := s.copyLines(ctx, lines, upTo); err != nil {
			return err
		}
		*revision = upTo
	}
	return nil
}

// copyLines copies lines that are not there yet, one by one so that they keep their order,
// and notes up to which revision.
func (s *Store) copyLines(ctx context.Context, lines []*mvccpb.KeyValue, revision int64) error {
	for _, kv := range lines {
		if len(kv.Key)+len(kv.Value) > maxValue {
			continue // no agent writes such a line, and etcd might refuse the copy for ever
		}
		to := s.closedKey("audit", strings.TrimPrefix(string(kv.Key), s.key("audit", "")))
		if _, err := s.etcd.Txn(ctx).If(absent(to)).Then(clientv3.OpPut(to, string(kv.Value))).Commit(); err != nil {
			return err
		}
	}
	_, err := s.etcd.Put(ctx, s.audited(), strconv.FormatInt(revision, 10))
	return err
}
