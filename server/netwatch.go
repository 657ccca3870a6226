package server

import (
	"context"
	"log/slog"
	"time"

	"noonmark/internal/liveness"
	"noonmark/internal/retry"
	"noonmark/server/network"
	"noonmark/server/transport/sockets"
)

const (
	// lookEvery is how often the cards are looked at although nothing has changed: a
	// change of their filters by another program sends no message.
	lookEvery = 10 * time.Second
	// lookPause is the time between two looks at a network that changes all the time.
	lookPause = time.Second
)

// netWatch compares endpoints with the network.
type netWatch struct {
	endpoints []*endpoint
	open      func() (changes, error)
	read      func() (network.Links, error)
	kernel    changes // nil: none yet
	log       *slog.Logger
	turning   liveness.Work // a turn of run, which waits only for a limited time
}

// changes is what the kernel reports of the network: a network.Watch.
type changes interface {
	Wait(ctx context.Context, limit time.Duration) error
	Close() error
}

// newNetWatch begins to watch the network namespace of this thread.
func newNetWatch(log *slog.Logger) *netWatch {
	w := &netWatch{log: log, read: network.Read, open: func() (changes, error) { return network.NewWatch() }}
	if k, err := w.open(); err == nil { // otherwise run tries again
		w.kernel = k
	}
	return w
}

func (w *netWatch) close() {
	if w.kernel != nil {
		w.kernel.Close()
		w.kernel = nil
	}
}

// run compares at each change and every lookEvery, until ctx is done.
func (w *netWatch) run(ctx context.Context) {
	defer w.turning.End()
	defer w.close()
	var back retry.Backoff
	for ctx.Err() == nil {
		w.turning.Begin()
		links, err := w.awaitChange(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // the endpoints go on; a change is noticed at the next look
			if n, log := back.Failed(); log {
				w.log.Warn("network interfaces are not watched", "error", err, "attempt", n)
			}
			retry.Sleep(ctx, lookEvery)
		} else {
			back.Reset()
		}
		for _, e := range w.endpoints {
			w.inspect(ctx, e, links)
		}
		retry.Sleep(ctx, lookPause)
	}
}

// awaitChange waits until the network has changed, or until it is time to look anyway,
// and reads the interfaces.
func (w *netWatch) awaitChange(ctx context.Context) (network.Links, error) {
	if w.kernel == nil {
		k, err := w.open()
		if err != nil {
			links, _ := w.read()
			return links, err
		}
		w.kernel = k
	} else if err := w.kernel.Wait(ctx, lookEvery); err != nil {
		w.close()
		return nil, err
	}
	return w.read()
}

// inspect compares an endpoint with the interfaces that exist; links nil: they are
// unknown.
func (w *netWatch) inspect(ctx context.Context, e *endpoint, links network.Links) {
	o, cards := e.outside()
	if cards == nil { // it is not open
		e.wake()
		return
	}
	for _, event := range cards.Look(links) {
		e.cardEvents[event.Kind].Add(1)
		logCard(ctx, w.log, e.name, event)
	}
	if links == nil {
		return
	}
	o.stamps = cards.Problem()
	lack, why, again := o.judge(links)
	if again {
		e.interrupt(why)
		return
	}
	switch news := e.lacks(lack, why); {
	case news && why != nil:
		w.log.Warn("endpoint cannot serve as configured", "endpoint", e.name, "lack", lack.String(), "error", why)
	case news:
		w.log.Info("endpoint serves as configured again", "endpoint", e.name)
	}
}

// logCard logs what has happened to a card.
func logCard(ctx context.Context, log *slog.Logger, endpoint string, event sockets.CardEvent) {
	card := event.Card
	attrs := []any{"endpoint", endpoint, "interface", card.Interface, "phc", card.PHC, "receive", card.Receive, "transmit", card.Transmit}
	level, text := slog.LevelInfo, "hardware timestamps"
	switch {
	case event.Kind == sockets.CardLost:
		level, text = slog.LevelWarn, "card is gone, and its hardware timestamps with it"
	case event.Kind == sockets.CardFails:
		level, text = slog.LevelError, "hardware timestamps were switched off and cannot be switched on again: end the other program, and give ntsserve CAP_NET_ADMIN (ntsserve-hardware-stamps.conf)"
	case !card.Receive:
		level, text = slog.LevelWarn, "no hardware receive timestamps though the interface has a clock"
	case event.Kind == sockets.CardReset:
		level, text = slog.LevelWarn, "hardware timestamps were switched off, they are switched on again"
	}
	if !card.Receive && card.Err != nil {
		attrs = append(attrs, "error", card.Err)
	}
	log.Log(ctx, level, text, attrs...)
}
