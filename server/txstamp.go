package server

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/server/ntp"
	"noonmark/server/transport"
)

// txStampQueue holds the answers whose transmit timestamp is expected.
type txStampQueue struct {
	entries  [queueLen]pendingStamp // by identifier, modulo queueLen
	pending  int                    // number of expected timestamps
	deadline int64                  // CLOCK_MONOTONIC_RAW, ns, after which they are no longer expected
	sampleAt int64                  // CLOCK_MONOTONIC_RAW, ns, of the next sample of the latency
	missing  int                    // samples in a row without a timestamp
	rotate   int                    // selects the answer that is the next sample
	drained  [16]transport.TxStamp
}

const (
	queueLen    = 128 // more than the answers of two batches
	stampWait   = int64(time.Second)
	samplePause = int64(10 * time.Millisecond) // a hundred samples a second have no measurable cost
	// After maxMissing samples without a timestamp, the next sample waits for
	// missingPause.
	maxMissing   = 10
	missingPause = int64(10 * time.Second)
)

// pendingStamp is an answer whose transmit timestamp is expected.
type pendingStamp struct {
	id         uint32
	valid      bool
	phc        bool     // a hardware timestamp is a reading of the served clock
	departure  tai.Time // predicted; the transmit timestamp follows from it
	mono       int64    // CLOCK_MONOTONIC_RAW of the predicted departure, ns
	lead       int64    // ns from the reading of the clock to the predicted departure
	lineError  int64    // error of the snapshot's line, ns
	generation uint32   // of the served clock
	realtime   realtimeOffset
	saved      ntp.Timestamp // key in Sent, or 0
	place      groupPlace
}

// requestStamp requests the transmit timestamp of one answer of a group, if the
// next sample is due or such groups are little known.
func (w *worker) requestStamp(g group, mono int64) {
	q := &w.stamps
	q.rotate++
	want, p := uint8(q.rotate%int(g.count)), g.first()
	wanted := p
	wanted.index = want
	if mono < q.sampleAt && (q.missing > maxMissing || !w.timing.toWire.young(wanted)) {
		return
	}
	for i := g.from; i < g.to; i++ {
		if !w.drafts[i-g.from].Answered() {
			continue
		}
		if p.index == want {
			w.batch[i].WantStamp = true
			break
		}
		p.index++
	}
	q.sampleAt = mono + samplePause
	if q.missing++; q.missing > maxMissing {
		q.sampleAt = mono + missingPause
	}
}

// recordStamps enters the answers of a group whose transmit timestamp is
// expected.
func (w *worker) recordStamps(g group, mono int64) {
	q, v, p := &w.stamps, &w.resp.View, g.first()
	for i := g.from; i < g.to; i++ {
		d, packet := &w.drafts[i-g.from], &w.batch[i]
		if !d.Answered() {
			continue
		}
		if packet.WantStamp {
			lead := w.timing.toWire.of(p)
			predicted := w.timing.read + lead
			q.entries[packet.ID%queueLen] = pendingStamp{
				id: packet.ID, valid: true, phc: packet.StampsTx && v.IsPHC(packet.PHC),
				departure: d.Departure, mono: predicted + int64(d.Departure.Sub(v.clockAt(predicted))), lead: lead,
				lineError: int64(v.snap.LineErr), generation: w.generation.count, realtime: w.realtime,
				saved: d.Saved, place: p,
			}
			q.pending++
			q.deadline = mono + stampWait
		}
		p.index++
	}
}

// takeStamps processes the transmit timestamps that have come.
func (w *worker) takeStamps(real, mono int64) {
	stamps := w.stamps.drained[:]
	for {
		n := w.conn.TxStamps(stamps)
		for i := range n {
			w.takeStamp(&stamps[i], real, mono)
		}
		if n < len(stamps) {
			break
		}
	}
	if mono > w.stamps.deadline {
		w.stamps.pending = 0
	}
}

// takeStamp processes one transmit timestamp: it corrects what the next
// interleaved answer reports, and learns the latency.
func (w *worker) takeStamp(s *transport.TxStamp, real, mono int64) {
	e := &w.stamps.entries[s.ID%queueLen]
	if !e.valid || e.id != s.ID {
		return
	}
	hard := s.Hard != 0 && e.phc
	final := hard || !e.phc // else the hardware timestamp is still to come
	if final {
		e.valid = false
		w.stamps.pending = max(0, w.stamps.pending-1)
	}
	late, ok := e.lateness(s, hard, newRealtimeOffset(real, mono))
	// A hardware timestamp is comparable only if its clock was not moved since.
	if !ok || hard && e.generation != w.generation.count {
		return
	}
	w.stamps.missing = 0
	if e.saved != 0 {
		w.resp.Sent.Correct(e.saved, w.resp.View.timestamp(e.departure.Add(-late)))
	}
	if !final {
		return
	}
	// Without the timestamp the answer would have left earlier.
	late += time.Duration(w.srv.sendCost.stamping[e.place.kind])
	w.timing.toWire.learn(e.place, e.lead-int64(late))
	w.timing.late.learn(int64(late))
	w.metrics.addTxError(late)
	w.metrics.toWire.Store(w.timing.toWire.of(groupPlace{count: 1}))
}

// lateness returns by how much the transmit timestamp of the answer was later
// than its departure, - = earlier. A hardware timestamp is compared by the
// served clock, a kernel timestamp by CLOCK_MONOTONIC_RAW, which is never
// stepped. ok is false if the timestamp is impossible, because it is before the
// reading of the clock or after now, or if CLOCK_REALTIME was set in between.
func (e *pendingStamp) lateness(s *transport.TxStamp, hard bool, now realtimeOffset) (late time.Duration, ok bool) {
	slack := compareSlack
	if hard {
		late = e.departure.Sub(tai.Time(s.Hard))
		slack += e.lineError
	} else {
		at, ok := realtimeToMono(s.Soft, now.offset+now.mono, now.mono)
		if !ok || !now.steadySince(e.realtime) {
			return 0, false
		}
		late = time.Duration(e.mono - at)
	}
	return late, int64(late) <= e.lead+slack && int64(-late) <= now.mono-e.mono+slack
}
