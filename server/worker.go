package server

import (
	"errors"
	"runtime"
	"time"

	"noonmark/internal/liveness"
	"noonmark/server/threads"
	"noonmark/server/transport"
)

// packetConn is a worker's path to the network: a kernel socket, or in tests the
// server's end of transport.NewPair. Stop may be called from any goroutine, the
// other methods only from the worker's. None of them allocates.
type packetConn interface {
	// Receive waits for at least one datagram and fills p with those that have
	// come. With gather > 0 it may first let datagrams gather for so long. After
	// Stop it returns transport.ErrClosed.
	Receive(p []transport.Packet, gather time.Duration) (n int, err error)
	// Compose prepares the answers of the packets from to to-1 of the last batch,
	// so that Transmit takes as little time as possible. The octets of an answer
	// may change until Transmit, its length may not.
	Compose(from, to int)
	// Transmit sends what was composed and returns how many answers were sent.
	Transmit() (sent int, err error)
	// TxStamps moves transmit timestamps that have come to dst, without waiting.
	TxStamps(dst []transport.TxStamp) int
	// Stop makes Receive return transport.ErrClosed, now and always.
	Stop()
}

// clock reads CLOCK_REALTIME and CLOCK_MONOTONIC_RAW, both in ns.
type clock interface {
	now() (real, mono int64) // both at one instant
	mono() int64
}

// worker answers what one socket receives. What it touches for each packet is
// its own; what others change it loads once per batch.
type worker struct {
	srv     *Server
	conn    packetConn
	clock   clock
	policy  Policy
	resp    Responder
	metrics *workerMetrics
	working liveness.Work // on a batch, not while it waits for one

	feed       feed
	generation generation     // of the served clock
	realtime   realtimeOffset // at the current batch
	steady     bool           // CLOCK_REALTIME was not set since the batch before
	timing     txTiming
	stamps     txStampQueue
	pace       pace
	yieldAt    int64         // CLOCK_MONOTONIC_RAW of the next yield, ns
	gather     time.Duration // for the next Receive

	// The current batch.
	batch  [transport.BatchLen]transport.Packet
	drafts [groupLen]Draft // of the answers that are sent together
	tally  tally

	_ [64]byte // no other worker's data on the last cache line
}

const (
	// yieldEvery keeps the Go runtime's monitor thread asleep. The monitor takes
	// the processor (P) from a goroutine that the scheduler has not seen for 10 ms
	// at its next system call, even if nobody waits for it, and then wakes every
	// 20 us for a while (retake and sysmon, runtime/proc.go). At 10,000 requests a
	// second that costs 5 us of CPU per answer, a yield every 8 ms costs 0.1 us.
	yieldEvery = int64(8 * time.Millisecond)
	// After a yield a goroutine that is locked to a real-time thread continues via
	// another one, of a lower priority: on an overloaded machine that took up to 0.1 s.
	// After a yield that takes such a worker longer than yieldSlow, the next one waits
	// for yieldPause. Others lose no more than at any moment when another program gets
	// the processor.
	yieldSlow  = int64(500 * time.Microsecond)
	yieldPause = int64(10 * time.Second)
	// maxTries limits how often an interrupted group is timestamped again.
	maxTries = 3
)

func newWorker(s *Server, c packetConn, policy Policy) *worker {
	w := &worker{srv: s, conn: c, policy: policy, metrics: new(workerMetrics), clock: newHostClock()}
	w.resp.Limit = s.limit
	if !s.cfg.BasicOnly {
		w.resp.Sent = NewSent()
	}
	w.timing.toWire.floor = s.sendCost.least
	w.realtime = newRealtimeOffset(w.clock.now())
	w.pace.interval = idleInterval
	return w
}

// maxErrors is how many receive calls in a row may fail before the endpoint is
// opened again. The pause between them grows by errorPause, so that a broken socket
// is no busy loop.
const (
	maxErrors  = 100
	errorPause = 100 * time.Microsecond
)

// run answers until the transport is stopped. Only a real-time worker has a thread of
// its own: the Go scheduler stops a goroutine that it has not seen for 10 ms, also one
// that has just received a request after a long wait. One that is locked to a thread
// then goes on only after two changes of threads, others at once.
func (w *worker) run(started func()) error {
	defer w.feed.close()
	if w.srv.cfg.Priority == threads.Realtime {
		runtime.LockOSThread() // and never unlocked: the thread ends with the worker
		w.srv.realtime()
	}
	started()
	for failed := 0; ; {
		err := w.step()
		if errors.Is(err, transport.ErrClosed) {
			return nil
		}
		if err != nil {
			bump(&w.metrics.failed, 1)
			if failed++; failed == maxErrors {
				return err
			}
			time.Sleep(time.Duration(failed) * errorPause)
			continue
		}
		failed = 0
	}
}

// step waits for requests and answers one batch of them.
func (w *worker) step() error {
	gather := w.gather
	w.gather = 0
	n, err := w.conn.Receive(w.batch[:], gather)
	if err != nil {
		return err
	}
	answers, began := w.serve(n)
	w.gather = w.pace.gather(n, answers, began)
	if mono := w.clock.mono(); mono > w.yieldAt {
		runtime.Gosched()
		w.yieldAt = mono + nextYield(w.clock.mono()-mono, w.srv.cfg.Priority)
	}
	w.working.End()
	return nil
}

// nextYield returns the time in ns until the next yield after one that took so
// many ns.
func nextYield(took int64, priority threads.Priority) int64 {
	if took > yieldSlow && priority == threads.Realtime {
		return yieldPause
	}
	return yieldEvery
}

// serve answers one batch of n. It returns the number of answers and when the batch began,
// CLOCK_MONOTONIC_RAW in ns.
func (w *worker) serve(n int) (answers int, began int64) {
	real, mono := w.load()
	if w.stamps.pending > 0 {
		w.takeStamps(real, mono)
	}
	for from := 0; from < n; from += groupLen {
		answers += w.answerGroup(from, min(from+groupLen, n), real, mono)
	}
	w.tally.flush(w.metrics, n)
	return answers, mono
}

// group is the packets from to to-1 of a batch, whose answers are sent together.
type group struct {
	from, to int
	kind     uint8 // secureKind, coldKind
	count    uint8 // number of answers
}

// answerGroup answers the packets from to to-1. It prepares all answers, takes
// one reading of the clock for all transmit timestamps, and sends all with one
// system call. Only sealing lies between the reading and the system call. It returns the
// number of answers.
func (w *worker) answerGroup(from, to int, real, mono int64) (answers int) {
	g := group{from: from, to: to}
	for i := from; i < to; i++ {
		d := &w.drafts[i-from]
		w.tally.reasons[w.prepare(d, &w.batch[i], real, mono)]++
		if d.Answered() {
			g.count++
			if d.Secure() {
				g.kind |= secureKind
			}
			w.metrics.clients.note(w.batch[i].Src.Addr(), d.Secure(), mono)
		}
	}
	if g.count == 0 {
		return 0
	}
	// A garbage collection or the kernel may take the processor away between the
	// reading and the system call. Then all answers get new timestamps.
	for try := 1; ; try++ {
		now := w.clock.mono()
		if try == 1 && now-w.timing.read > coldAfter {
			g.kind |= coldKind
		}
		w.timing.read = now
		w.finish(g)
		if try == 1 {
			w.requestStamp(g, mono)
			w.conn.Compose(from, to)
		}
		if !w.timing.interrupted(g, w.clock.mono()-now) || try == maxTries {
			break
		}
		bump(&w.metrics.redated, 1)
	}
	if sent, _ := w.conn.Transmit(); sent < int(g.count) {
		bump(&w.metrics.refused, uint64(int(g.count)-sent))
	}
	w.recordStamps(g, mono)
	return int(g.count)
}

// finish completes the answers of a group, with the transmit timestamps that
// follow from the last reading of the clock.
func (w *worker) finish(g group) {
	p := g.first()
	for i := g.from; i < g.to; i++ {
		d, packet := &w.drafts[i-g.from], &w.batch[i]
		if !d.Answered() {
			continue
		}
		n := w.resp.Finish(d, packet.Out[:cap(packet.Out)], w.timing.read+w.timing.toWire.of(p))
		packet.Out = packet.Out[:n]
		p.index++
	}
}

// load reads what others publish, the snapshot and the keys, and returns
// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW in ns.
func (w *worker) load() (real, mono int64) {
	real, mono = w.clock.now()
	w.working.BeginAt(mono)
	w.feed.swap()
	w.feed.load(real, mono, w.pace.fast())
	w.setView(real, mono)
	if ring := w.srv.ring.Load(); ring != nil {
		w.resp.Keys = ring.Load()
	}
	w.resp.MACs = w.srv.macs.Load()
	return real, mono
}

// setView derives from the snapshot what the answers of a batch say of the clock.
func (w *worker) setView(real, mono int64) {
	now := newRealtimeOffset(real, mono)
	w.steady, w.realtime = now.steadySince(w.realtime), now
	w.resp.Mono = mono
	w.resp.View.Slack = time.Duration(w.timing.late)
	if w.feed.valid {
		w.resp.View.Set(&w.feed.snap, real, mono, w.srv.precision)
	} else {
		w.resp.View.SetNone(real, mono, w.srv.precision)
	}
	if w.generation.update(&w.resp.View, mono) && w.resp.Sent != nil {
		w.resp.Sent.Clear()
	}
}

// prepare prepares the answer to one datagram.
func (w *worker) prepare(d *Draft, p *transport.Packet, real, mono int64) Reason {
	d.len = 0
	w.tally.octets += uint64(len(p.Req))
	switch {
	case p.NotToUs:
		return NotToUs
	case p.Truncated:
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
	why := w.resp.Prepare(d, p.Out[:cap(p.Out)], p.Req, w.arrival(p, real, mono), policy)
	p.WantStamp = d.Saved != 0
	return why
}
