package server

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/hwts"
	"noonmark/server/ntp"
)

// worker answers what comes to one socket. All it touches per packet is its
// own; what others change it loads once per batch.
type worker struct {
	srv    *Server
	conn   *hwts.Conn
	policy Policy
	batch  *hwts.Batch
	resp   Responder
	limit  *Limiter
	stats  *stats

	reader *status.Reader
	fresh  atomic.Pointer[status.Reader] // a new mapping of the snapshot, from the server's watch
	snap   status.Snapshot
	seen   bool // snap has been published
	// retryAt is when to read the snapshot again after a writer that died while
	// writing: finding that out takes long.
	retryAt int64

	clock  *hostClock
	toWire latency
	lead   int64 // what the answer at hand is stamped ahead of now, ns

	// Of the batch at hand.
	saved  [hwts.BatchLen]ntp.Timestamp // keys in Sent
	left   [hwts.BatchLen]tai.Time      // transmit timestamps
	count  [numReasons]uint64
	hard   uint64
	soft   uint64
	bare   uint64
	octets uint64

	// Transmit stamps asked for and not yet come.
	asked    [askedLen]asked
	pending  int
	deadline int64 // CLOCK_MONOTONIC_RAW after which they are given up
	sampleAt int64 // when the next answer is stamped to learn the latency
	mute     int   // samples in a row that gave no stamp
	rotate   int   // which packet is the sample
}

type asked struct {
	id    uint32
	valid bool
	card  bool     // a hardware stamp would be of the served clock
	hard  bool     // a hardware stamp has come
	tx    tai.Time // the transmit timestamp
	saved ntp.Timestamp
	count uint8 // sent together
	place uint8 // among them
}

const (
	busyPause   = int64(100 * time.Millisecond)
	askedLen    = 128 // more than two batches
	askedWait   = int64(time.Second)
	samplePause = int64(10 * time.Millisecond) // 100 samples a second cost nothing
	mutePause   = int64(10 * time.Second)      // where stamps don't come
	muteAfter   = 10
	maxDelay    = 100 * time.Millisecond // a later departure is no departure of this answer
)

func newWorker(s *Server, c *hwts.Conn, policy Policy) *worker {
	w := &worker{
		srv: s, conn: c, policy: policy, batch: hwts.NewBatch(), stats: new(stats),
		limit: NewLimiter(s.cfg.Limit), clock: newHostClock(),
	}
	if !s.cfg.BasicOnly {
		w.resp.Sent = NewSent()
	}
	w.resp.Now = func() int64 { return w.clock.mono() + w.lead }
	return w
}

// maxErrors is how many receive calls in a row may fail before the worker
// gives up: a broken socket must not become a busy loop.
const maxErrors = 100

// run answers until the socket is stopped.
func (w *worker) run() error {
	runtime.LockOSThread() // the thread that blocks in recvmmsg is the one that wakes
	defer w.closeReader()
	for errs := 0; ; {
		n, err := w.conn.Recv(w.batch)
		if errors.Is(err, hwts.ErrClosed) {
			return nil
		}
		if err != nil {
			bump(&w.stats.failed, 1)
			if errs++; errs == maxErrors {
				return err
			}
			continue
		}
		errs = 0
		w.serve(n)
	}
}

// serve answers one batch.
func (w *worker) serve(n int) {
	b := w.batch
	real, mono := w.look()
	if w.pending > 0 {
		w.departures(real, mono)
	}
	for from := 0; from < n; from += sendLen {
		to := min(from+sendLen, n)
		answers := 0
		for i := from; i < to; i++ {
			p := &b.Packets[i]
			w.lead = w.toWire.of(to-from, i-from)
			why := w.packet(p, real, mono)
			w.count[why]++
			w.saved[i], w.left[i] = w.resp.Saved, w.resp.Left
			if len(p.Out) > 0 {
				answers++
			}
		}
		w.sample(from, to, mono)
		if sent, _ := w.conn.Send(b, from, to); sent < answers {
			bump(&w.stats.refused, uint64(answers-sent))
		}
		w.remember(from, to, mono)
	}
	w.flush(n)
}

// look loads what others publish: the snapshot, the cookie keys. It returns
// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW in ns.
func (w *worker) look() (real, mono int64) {
	if f := w.fresh.Load(); f != nil && w.fresh.CompareAndSwap(f, nil) {
		w.closeReader()
		w.reader, w.seen = f, false
	}
	real, mono = w.clock.now()
	if w.reader != nil && mono >= w.retryAt {
		switch err := w.reader.Load(&w.snap); err {
		case nil:
			w.seen = true
		case status.ErrBusy: // the last one ages
			w.retryAt = mono + busyPause
		default:
			w.seen = false
		}
	}
	if w.seen {
		w.resp.View.Set(&w.snap, real, mono, w.srv.precision)
	} else {
		w.resp.View.SetNone(real, mono, w.srv.precision)
	}
	if w.srv.cfg.Ring != nil {
		w.resp.Keys = w.srv.cfg.Ring.Load()
	}
	return real, mono
}

func (w *worker) closeReader() {
	if w.reader != nil {
		w.reader.Close() // unmapping cannot fail usefully
		w.reader = nil
	}
}

// minNTS is the length in octets of the shortest NTS request: header, unique
// identifier, cookie of AEAD 30, authenticator.
const minNTS = ntp.HeaderLen + 36 + 72 + 36

// packet answers one datagram into its Out.
func (w *worker) packet(p *hwts.Packet, real, mono int64) Reason {
	w.octets += uint64(len(p.Req))
	if p.Truncated {
		return TooLong
	}
	policy := w.policy
	if a := w.srv.access.Load(); a != nil {
		switch a.Check(p.Src.Addr()) {
		case Deny:
			return Denied
		case NTSOnly:
			policy |= NoPlain
		}
	}
	if w.limit != nil && !w.limit.Allow(p.Src.Addr(), len(p.Req) >= minNTS, mono) {
		if !w.limit.Kiss(mono) {
			return RateLimited
		}
		policy |= Kiss
	}
	n, why := w.resp.Respond(p.Out[:cap(p.Out)], p.Req, w.stamp(p, real, mono), policy)
	p.Out = p.Out[:n]
	if w.resp.Saved != 0 {
		p.Stamp = true
	}
	return why
}

// stamp dates the arrival of a datagram with the best that is known of it.
func (w *worker) stamp(p *hwts.Packet, real, mono int64) Stamp {
	if p.Hard != 0 && w.resp.View.Hard(p.PHC) {
		if at, ok := hardTime(p.Hard, w.resp.View.at(mono)); ok {
			w.hard++
			return Stamp{Hard: at}
		}
	}
	if at, ok := softMono(p.Soft, real, mono); ok {
		w.soft++
		return Stamp{Mono: at}
	}
	w.bare++
	return Stamp{Mono: mono}
}

// sample asks for the transmit stamp of one answer of those sent together, if it
// is time for one.
func (w *worker) sample(from, to int, mono int64) {
	if mono < w.sampleAt {
		return
	}
	w.rotate++
	if p := &w.batch.Packets[from+w.rotate%(to-from)]; len(p.Out) > 0 {
		p.Stamp = true
		w.sampleAt = mono + samplePause
		if w.mute++; w.mute > muteAfter {
			w.sampleAt = mono + mutePause
		}
	}
}

// remember notes which answers a transmit stamp is expected of.
func (w *worker) remember(from, to int, mono int64) {
	for i := from; i < to; i++ {
		p := &w.batch.Packets[i]
		if !p.Stamp || len(p.Out) == 0 {
			continue
		}
		w.asked[p.ID%askedLen] = asked{id: p.ID, valid: true, card: w.resp.View.Hard(p.PHC),
			tx: w.left[i], saved: w.saved[i], count: uint8(to - from), place: uint8(i - from)}
		w.pending++
		w.deadline = mono + askedWait
	}
}

// departures takes the transmit stamps that have come.
func (w *worker) departures(real, mono int64) {
	var d [16]hwts.Departure
	v := &w.resp.View
	for {
		n := w.conn.Departures(d[:])
		for i := range n {
			a := &w.asked[d[i].ID%askedLen]
			if !a.valid || a.id != d[i].ID {
				continue
			}
			var at tai.Time
			hard := d[i].Hard != 0 && a.card
			if hard {
				at = tai.Time(d[i].Hard)
			} else if m, ok := softMono(d[i].Soft, real, mono); ok && !a.hard {
				at = v.at(m)
			} else {
				continue
			}
			// The stamp is later than the timestamp by what was not learned yet.
			residue := at.Sub(a.tx)
			if residue < -maxDelay || residue > maxDelay {
				continue
			}
			a.hard = a.hard || hard
			w.mute = 0
			if a.saved != 0 {
				w.resp.Sent.Correct(a.saved, v.wire(at))
			}
			if hard || !a.card {
				w.toWire.learn(int(a.count), int(a.place), int64(residue))
				w.stats.delay.add(residue)
				w.stats.toWire.Store(w.toWire.of(1, 0))
			}
			w.pending = max(0, w.pending-1)
		}
		if n < len(d) {
			break
		}
	}
	if mono > w.deadline {
		w.pending = 0
	}
}

// flush publishes the counts of a batch of n.
func (w *worker) flush(n int) {
	s := w.stats
	bump(&s.received, uint64(n))
	bump(&s.octetsIn, w.octets)
	for r, c := range w.count {
		if c != 0 {
			bump(&s.reasons[r], c)
			w.count[r] = 0
		}
	}
	bump(&s.soft, w.soft)
	bump(&s.hard, w.hard)
	bump(&s.unstamp, w.bare)
	w.octets, w.soft, w.hard, w.bare = 0, 0, 0, 0
}
