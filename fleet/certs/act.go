package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/crypto/acme"

	"noonmark/fleet/roots"
	"noonmark/fleet/store"
)

// serverError is an error of the ACME server, or on the way to it.
type serverError struct{ error }

func (e serverError) Unwrap() error { return e.error }

func isServer(err error) bool {
	var e serverError
	return errors.As(err, &e)
}

// act does one act. Each that writes the state does so only with the lease.
func (k *Keeper) act(ctx context.Context, w *world, a Act, now time.Time) error {
	switch a {
	case Campaign:
		wait, stop := context.WithTimeout(ctx, etcdTimeout)
		defer stop()
		return k.holder.Take(wait, w.held)
	case Resign:
		wait, stop := context.WithTimeout(ctx, etcdTimeout)
		defer stop()
		return k.lease.End(wait)
	case Register, Begin:
		return k.draw(ctx, w, a, now)
	case Open:
		return k.openOrder(ctx, w, now)
	case Authorize:
		return k.authorize(ctx, w, now)
	case Finalize, Fetch:
		return k.issue(ctx, w, a, now)
	case Abandon:
		return k.abandon(ctx, w, k.whyInvalid(ctx, w), now)
	}
	return nil
}

// commit writes the state if it is the one that was read, and this node has the lease.
func (k *Keeper) commit(ctx context.Context, w *world, next State, e store.Entry, more ...clientv3.Op) error {
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	same := clientv3.Compare(clientv3.ModRevision(k.part.Key("state")), "=", w.revision)
	return k.part.Commit(ctx, e, append(k.holder.Still(w.held), same), append(more, clientv3.OpPut(k.part.Key("state"), string(b)))...)
}

func (k *Keeper) entry(now time.Time, action, detail string) store.Entry {
	return store.Entry{Time: now, Node: k.cfg.Node, Action: action, Detail: detail}
}

// draw draws the secret of an account or of a certificate, seals it to every node, and
// then writes that it is in use.
func (k *Keeper) draw(ctx context.Context, w *world, a Act, now time.Time) error {
	s, id := draw()
	wait, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	if err := k.sealTo(wait, w.nodes, id, &s); err != nil {
		return err
	}
	next := w.state
	if a == Register {
		detail := id.String() + k.deactivate(ctx, w)
		k.pause(a)
		next.Account, next.AccountEpoch = id, k.cfg.Epoch
		return k.commit(ctx, w, next, k.entry(now, "acme account", detail))
	}
	k.pause(a)
	next = next.began(k.cfg.Node, k.cfg.ACME.Directory, k.cfg.Epoch, k.cfg.Names, id, now)
	return k.commit(ctx, w, next, k.entry(now, "certificate order", fmt.Sprintf("%d for %v", next.Order.Generation, k.cfg.Names)))
}

// deactivate ends the account that is replaced, so that whoever has its key orders nothing more.
// It returns what the audit record says about it.
func (k *Keeper) deactivate(ctx context.Context, w *world) string {
	if w.state.Account == (roots.ID{}) {
		return ""
	}
	err := func() error {
		c, err := k.server(ctx, w)
		if err != nil {
			return err
		}
		ask, stop := context.WithTimeout(ctx, acmeTimeout)
		defer stop()
		return c.DeactivateReg(ask)
	}()
	if err != nil { // it may be of another directory, or be gone
		text := err.Error()
		return fmt.Sprintf("; %v is replaced, and was not deactivated: %s", w.state.Account, text[:min(len(text), 1<<10)])
	}
	return fmt.Sprintf("; %v is replaced and deactivated", w.state.Account)
}

// revoke revokes the certificate before, whose key is replaced.
func (k *Keeper) revoke(ctx context.Context, w *world, c *acme.Client) error {
	err := func() error {
		s, err := k.open(ctx, w.state.Key)
		if err != nil {
			return err
		}
		key, err := derive(&s, useCertificate)
		if err != nil {
			return err
		}
		leaf, err := belong(w.state.Chain, key)
		if err != nil {
			return err
		}
		return c.RevokeCert(ctx, key, leaf.Raw, acme.CRLReasonKeyCompromise)
	}()
	if err != nil {
		return serverError{fmt.Errorf("the replaced certificate was not revoked, revoke it at its authority: %w", err)}
	}
	return nil
}

// openOrder opens an order at the server. If its URL cannot be written, it is never
// finalized.
func (k *Keeper) openOrder(ctx context.Context, w *world, now time.Time) error {
	c, err := k.server(ctx, w)
	if err != nil {
		return err
	}
	ask, stop := context.WithTimeout(ctx, acmeTimeout)
	defer stop()
	o, err := c.AuthorizeOrder(ask, identifiers(w.state.Order.Names))
	if err != nil {
		return serverError{fmt.Errorf("open order: %w", err)}
	}
	k.pause(Open)
	return k.commit(ctx, w, w.state.opened(o.URI), k.entry(now, "certificate order opened", o.URI))
}

// authorize publishes the answers to challenges. When all live nodes answer them, or
// after ackTime, it asks the server to check.
func (k *Keeper) authorize(ctx context.Context, w *world, now time.Time) error {
	c, err := k.server(ctx, w)
	if err != nil {
		return err
	}
	ask, stop := context.WithTimeout(ctx, acmeTimeout)
	defer stop()
	list, _, err := k.cfg.ACME.challenges(ask, c, w.order)
	if err != nil {
		return serverError{err}
	}
	published := true
	for _, ch := range list {
		at, ok := k.asked[ch.token]
		if !ok {
			if err := k.publish(ctx, w, ch, now); err != nil {
				return err
			}
			k.asked[ch.token], published = k.cfg.Mono(), false
			continue
		}
		published = published && (k.cfg.Mono()-at >= ackTime || k.answered(w, ch))
	}
	if !published {
		return nil
	}
	k.pause(Authorize)
	for _, ch := range list {
		if _, err := c.Accept(ask, ch.of); err != nil {
			return serverError{fmt.Errorf("challenge of %s: %w", ch.name, err)}
		}
	}
	return nil
}

// answered reports whether every live node that takes part and is not drained answers a
// challenge.
func (k *Keeper) answered(w *world, ch challenge) bool {
	if len(k.cfg.ACME.DNS) > 0 {
		return true
	}
	if w.tokens[ch.token] != ch.value {
		return false
	}
	for _, n := range w.nodes {
		p := w.reports[n.Name]
		if n.Live && n.Drain == "" && !p.Alone && p.Serves != tokenSet(w.tokens) {
			return false
		}
	}
	return true
}

// publish lets all nodes answer a challenge, or sets the record.
func (k *Keeper) publish(ctx context.Context, w *world, ch challenge, now time.Time) error {
	if len(k.cfg.ACME.DNS) > 0 {
		if err := k.cfg.ACME.record(ctx, "set", recordName(ch.name), ch.value); err != nil {
			return serverError{err}
		}
		return nil
	}
	put := clientv3.OpPut(k.part.Key("token", ch.token), ch.value)
	ctx, stop := context.WithTimeout(ctx, etcdTimeout)
	defer stop()
	return k.part.Commit(ctx, k.entry(now, "certificate challenge", ch.name), k.holder.Still(w.held), put)
}

// issue gets the certificate of the order, and makes it that of the fleet.
func (k *Keeper) issue(ctx context.Context, w *world, a Act, now time.Time) error {
	c, err := k.server(ctx, w)
	if err != nil {
		return err
	}
	s, err := k.open(ctx, w.state.Order.Key)
	if err != nil {
		return err
	}
	key, err := derive(&s, useCertificate)
	if err != nil {
		return err
	}
	ask, stop := context.WithTimeout(ctx, acmeTimeout)
	defer stop()
	var chain [][]byte
	if a == Finalize {
		csr, err := request(w.state.Order.Names, key)
		if err != nil {
			return err
		}
		if chain, _, err = c.CreateCertFromOrder(ask, w.order, csr, true); err != nil {
			return serverError{fmt.Errorf("finalize order: %w", err)}
		}
	} else if chain, err = c.FetchCert(ask, w.order.CertURL, true); err != nil {
		return serverError{fmt.Errorf("fetch certificate: %w", err)}
	}
	k.pause(a)
	text := encodeChain(chain)
	leaf, err := belong(text, key)
	if err != nil {
		return k.abandon(ctx, w, err.Error(), now)
	}
	next := w.state.issued(text)
	e := k.entry(now, "certificate", fmt.Sprintf("%d until %s", next.Generation, leaf.NotAfter.UTC().Format(time.RFC3339)))
	more := k.cleanup()
	if w.state.Generation > 0 {
		more = append(more, clientv3.OpDelete(k.part.Key("seal", w.state.Key.String(), ""), clientv3.WithPrefix()))
	}
	if err := k.commit(ctx, w, next, e, more...); err != nil {
		return err
	}
	err = k.clear(ctx, w)
	if w.state.Generation > 0 && w.state.Epoch < next.Epoch {
		err = errors.Join(err, k.revoke(ask, w, c))
	}
	return err
}

// cleanup forgets the challenges of an order.
func (k *Keeper) cleanup() []clientv3.Op {
	clear(k.asked)
	return []clientv3.Op{clientv3.OpDelete(k.part.Key("token", ""), clientv3.WithPrefix())}
}

// clear removes the records of dns-01, also those that another holder has set.
func (k *Keeper) clear(ctx context.Context, w *world) (err error) {
	if len(k.cfg.ACME.DNS) == 0 {
		return nil
	}
	for _, n := range w.state.Order.Names {
		err = errors.Join(err, k.cfg.ACME.record(ctx, "clear", recordName(n)))
	}
	return err
}

func (k *Keeper) abandon(ctx context.Context, w *world, why string, now time.Time) error {
	more := append(k.cleanup(), clientv3.OpDelete(k.part.Key("seal", w.state.Order.Key.String(), ""), clientv3.WithPrefix()))
	next := w.state.failed(why[:min(len(why), 1<<10)], k.cfg.Settings, now)
	if err := k.commit(ctx, w, next, k.entry(now, "certificate order failed", next.Why), more...); err != nil {
		return err
	}
	return k.clear(ctx, w)
}

// whyInvalid is why the server has ended an order.
func (k *Keeper) whyInvalid(ctx context.Context, w *world) string {
	if w.order == nil {
		return "the order could not be finished: its key is lost, or names or directory have changed"
	}
	if c, err := k.server(ctx, w); err == nil {
		if _, failed, _ := k.cfg.ACME.challenges(ctx, c, w.order); failed != nil {
			return failed.Error()
		}
	}
	if w.order.Error != nil {
		return w.order.Error.Error()
	}
	return "the server has ended the order"
}

// settle decides what an error of the server means. What it refuses for good ends the
// order, and the next one waits; anything else is tried again. An order that may have a
// certificate is never given up because of an error.
func (k *Keeper) settle(ctx context.Context, w *world, err error, now time.Time) error {
	var ae *acme.Error
	o := w.state.Order
	if o == nil || !errors.As(err, &ae) || ae.StatusCode < 400 || ae.StatusCode >= 500 {
		return nil
	}
	limited := ae.StatusCode == http.StatusTooManyRequests
	switch {
	case o.URL == "": // it is not open
	case w.order == nil && ae.StatusCode != http.StatusNotFound:
		return nil
	case w.order != nil && (limited || w.order.Status != acme.StatusPending):
		return nil
	}
	if e := k.abandon(ctx, w, err.Error(), now); !errors.Is(e, store.ErrPartConflict) {
		return e
	}
	return nil
}
