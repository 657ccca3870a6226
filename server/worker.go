package server

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"noonmark/refclock/status"
	"noonmark/server/threads"
	"noonmark/server/transport/sockets"
)

// worker answers what comes to one socket. All it touches per packet is its
// own; what others change it loads once per batch.
type worker struct {
	srv    *Server
	conn   *sockets.Conn
	policy Policy
	batch  *sockets.Batch
	resp   Responder
	stats  *stats

	reader *status.Reader
	fresh  atomic.Pointer[status.Reader] // a new mapping of the snapshot, from the server's watch
	snap   status.Snapshot
	seen   bool // snap has been published
	// retryAt is when to read the snapshot again after a writer that died while
	// writing: finding that out takes long.
	retryAt int64

	clock   *hostClock
	era     era  // of the clock that is told
	wall    wall // of the batch at hand
	even    bool // CLOCK_REALTIME was not set since the batch before
	toWire  latency
	late    overshoot
	finish  [kinds][sendLen]leastOf // ns from reading the clock to sending
	active  int64                   // CLOCK_MONOTONIC_RAW when answers were dated last, ns
	yieldAt int64                   // CLOCK_MONOTONIC_RAW of the next yield, ns
	before  int64                   // active, of the batch before
	pace    int64                   // ns from one request to the next, smoothed

	// Of the batch at hand.
	drafts [sendLen]Draft // those sent together
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

	_ [64]byte // no cache line is another's too
}

const (
	// yieldEvery keeps the Go runtime's monitor asleep. A goroutine that the
	// scheduler has not seen for 10 ms loses its processor in the next system
	// call, even if nobody waits for one, and each such loss makes the monitor
	// wake every 20 us for a while (retake and sysmon, runtime/proc.go): 5 us of
	// CPU per answer at 10,000 a second, of which a yield every 8 ms costs 0.1.
	yieldEvery = int64(8 * time.Millisecond)
	// The processor comes back by way of another thread, which nobody prefers: on
	// a machine that has too much to do that took up to 0.1 s. Where a yield takes
	// longer than yieldSlow, the next is not tried before yieldPause.
	yieldSlow  = int64(500 * time.Microsecond)
	yieldPause = int64(10 * time.Second)
	// At lingerPace ns a request and faster, being woken for each costs more than
	// answering it. The worker then lets them gather for lingerFor, as a network
	// card moderates its interrupts. No timestamp knows of it: the time that a
	// request waits lies between its receive and its transmit timestamp. At 100
	// ppm, a bad crystal, the client's clock errs by 40 ns in that time.
	lingerPace  = int64(200 * time.Microsecond)
	lingerFor   = 400 * time.Microsecond
	busyPause   = int64(100 * time.Millisecond)
	askedLen    = 128 // more than two batches
	askedWait   = int64(time.Second)
	samplePause = int64(10 * time.Millisecond) // 100 samples a second cost nothing
	mutePause   = int64(10 * time.Second)      // where stamps don't come
	muteAfter   = 10
	maxTries    = 3   // of dating answers
	finishSlack = 300 // ns beyond twice the least that dating and sealing may take
)

func newWorker(s *Server, c *sockets.Conn, policy Policy) *worker {
	w := &worker{
		srv: s, conn: c, policy: policy, batch: sockets.NewBatch(), stats: new(stats),
		clock: newHostClock(),
	}
	w.resp.Limit = NewLimiter(s.cfg.Limit)
	if !s.cfg.BasicOnly {
		w.resp.Sent = NewSent()
	}
	w.toWire.floor = s.floor
	real, mono := w.clock.now()
	w.wall = wall{real - mono, mono}
	w.pace = lingerPace * 8
	return w
}

// maxErrors is how many receive calls in a row may fail before the worker
// gives up: a broken socket must not become a busy loop.
const maxErrors = 100

// run answers until the socket is stopped. raised is told the thread that it
// does so on, once, and why the thread is not preferred if it should be.
func (w *worker) run(raised func(thread int, err error)) error {
	defer w.closeReader()
	runtime.LockOSThread() // and never unlocked: the thread ends with the worker
	raised(threads.Raise(w.srv.cfg.Priority))
	for errs := 0; ; {
		err := w.step()
		if errors.Is(err, sockets.ErrClosed) {
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
	}
}

// step waits for requests and answers one batch of them.
func (w *worker) step() error {
	n, err := w.conn.Recv(w.batch)
	if err != nil {
		return err
	}
	w.serve(n)
	if w.busy(n) {
		w.conn.Linger(lingerFor)
	}
	if mono := w.clock.mono(); mono > w.yieldAt {
		runtime.Gosched()
		w.yieldAt = mono + nextYield(w.clock.mono()-mono)
	}
	return nil
}

// nextYield is how long to wait with the next yield after one that took so long,
// in ns.
func nextYield(took int64) int64 {
	if took > yieldSlow {
		return yieldPause
	}
	return yieldEvery
}

// busy reports, after a batch of n, whether requests come so fast that it saves
// processor time to let some gather.
func (w *worker) busy(n int) bool {
	each := (w.active - w.before) / int64(n) // ns from one to the next
	w.before = w.active
	w.pace += (min(each, lingerPace*8) - w.pace) / 8
	return w.pace < lingerPace && n < sockets.BatchLen
}

// serve answers one batch.
func (w *worker) serve(n int) {
	real, mono := w.look()
	if w.pending > 0 {
		w.departures(real, mono)
	}
	for from := 0; from < n; from += sendLen {
		to := min(from+sendLen, n)
		w.together(from, to, real, mono)
	}
	w.flush(n)
}

// together answers the packets from to to-1: prepares all, dates all by one
// reading of the clock, and sends all with one system call. Nothing that takes
// its time lies between reading and sending but the sealing of what is dated.
func (w *worker) together(from, to int, real, mono int64) {
	b := w.batch
	count, kind := 0, 0
	for i := from; i < to; i++ {
		d := &w.drafts[i-from]
		w.count[w.packet(d, &b.Packets[i], real, mono)]++
		if d.Answered() {
			count++
			if d.Secure() {
				kind |= secureKind
			}
		}
	}
	if count == 0 {
		return
	}
	// A collection of garbage or the kernel may take the processor away between
	// the reading of the clock and the system call. Then all are dated anew.
	for try := 1; ; try++ {
		now := w.clock.mono()
		if try == 1 && now-w.active > coldAfter {
			kind |= coldKind
		}
		w.active = now
		place := 0
		for i := from; i < to; i++ {
			d, p := &w.drafts[i-from], &b.Packets[i]
			if !d.Answered() {
				continue
			}
			p.Out = p.Out[:w.resp.Finish(d, p.Out[:cap(p.Out)], now+w.toWire.of(kind, count, place))]
			place++
		}
		if try == 1 {
			w.sample(from, to, kind, count, mono)
			w.conn.Compose(b, from, to)
		}
		spent, least := w.clock.mono()-now, &w.finish[kind][count-1]
		usual := !least.known || spent <= 2*least.least()+finishSlack
		least.add(spent)
		if usual || try == maxTries {
			break
		}
		bump(&w.stats.redated, 1)
	}
	if sent, _ := w.conn.Transmit(b); sent < count {
		bump(&w.stats.refused, uint64(count-sent))
	}
	w.remember(from, to, kind, count, mono)
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
	w.tell(real, mono)
	if w.srv.cfg.Ring != nil {
		w.resp.Keys = w.srv.cfg.Ring.Load()
	}
	return real, mono
}

// tell derives what the answers of a batch tell of the clock.
func (w *worker) tell(real, mono int64) {
	now := wall{real - mono, mono}
	w.even, w.wall = now.since(w.wall), now
	w.resp.Mono = mono
	w.resp.View.Slack = time.Duration(w.late)
	if w.seen {
		w.resp.View.Set(&w.snap, real, mono, w.srv.precision)
	} else {
		w.resp.View.SetNone(real, mono, w.srv.precision)
	}
	if w.era.next(&w.resp.View, mono) && w.resp.Sent != nil {
		w.resp.Sent.Forget()
	}
}

func (w *worker) closeReader() {
	if w.reader != nil {
		w.reader.Close() // unmapping cannot fail usefully
		w.reader = nil
	}
}

// packet prepares the answer to one datagram.
func (w *worker) packet(d *Draft, p *sockets.Packet, real, mono int64) Reason {
	d.n = 0
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
	w.resp.From = p.Src
	why := w.resp.Prepare(d, p.Out[:cap(p.Out)], p.Req, w.stamp(p, real, mono), policy)
	p.Stamp = d.Saved != 0
	return why
}

// stamp dates the arrival of a datagram with the best that is known of it.
func (w *worker) stamp(p *sockets.Packet, real, mono int64) Stamp {
	soft, ok := softMono(p.Soft, real, mono)
	ok = ok && w.even
	if p.Hard != 0 && w.resp.View.Hard(p.PHC) {
		last, oldest := mono, hardAge
		if ok {
			last, oldest = soft, hardLag
		}
		if at, ok := hardTime(p.Hard, w.resp.View.at(last), oldest); ok {
			w.hard++
			return Stamp{Hard: at}
		}
	}
	if ok {
		w.soft++
		return Stamp{Mono: soft}
	}
	w.bare++
	return Stamp{Mono: mono}
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
