package server

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/server/ntp"
	"noonmark/server/transport/sockets"
)

// asked is an answer whose transmit stamp is expected.
type asked struct {
	id    uint32
	valid bool
	card  bool     // a hardware stamp would be of the served clock
	tx    tai.Time // the departure that the answer was dated with
	mono  int64    // the same instant of CLOCK_MONOTONIC_RAW, ns
	lead  int64    // ns that it was ahead of the clock's reading
	line  int64    // ns that the served clock may be off its line
	era   uint32   // of the served clock
	wall  wall
	saved ntp.Timestamp
	kind  uint8
	count uint8 // sent together
	place uint8 // among them
}

// sample asks for the transmit stamp of one answer of those sent together, if it
// is time for one, or little is known of such answers.
func (w *worker) sample(from, to, kind, count int, mono int64) {
	w.rotate++
	want, place := w.rotate%count, 0
	if mono < w.sampleAt && (w.mute > muteAfter || !w.toWire.young(kind, count, want)) {
		return
	}
	for i := from; i < to; i++ {
		if !w.drafts[i-from].Answered() {
			continue
		}
		if place == want {
			w.batch.Packets[i].Stamp = true
			break
		}
		place++
	}
	w.sampleAt = mono + samplePause
	if w.mute++; w.mute > muteAfter {
		w.sampleAt = mono + mutePause
	}
}

// remember notes which answers a transmit stamp is expected of.
func (w *worker) remember(from, to, kind, count int, mono int64) {
	place := -1
	for i := from; i < to; i++ {
		d, p := &w.drafts[i-from], &w.batch.Packets[i]
		if !d.Answered() {
			continue
		}
		place++
		if !p.Stamp {
			continue
		}
		v, lead := &w.resp.View, w.toWire.of(kind, count, place)
		left := w.active + lead
		w.asked[p.ID%askedLen] = asked{id: p.ID, valid: true, card: p.Transmits && v.Hard(p.PHC), tx: d.Left, saved: d.Saved,
			mono: left + int64(d.Left.Sub(v.at(left))), lead: lead, line: int64(v.snap.LineErr), era: w.era.n, wall: w.wall,
			kind: uint8(kind), count: uint8(count), place: uint8(place)}
		w.pending++
		w.deadline = mono + askedWait
	}
}

// departures takes the transmit stamps that have come.
func (w *worker) departures(real, mono int64) {
	var d [16]sockets.Departure
	for {
		n := w.conn.Departures(d[:])
		for i := range n {
			w.departed(&d[i], real, mono)
		}
		if n < len(d) {
			break
		}
	}
	if mono > w.deadline {
		w.pending = 0
	}
}

// departed takes one transmit stamp.
func (w *worker) departed(d *sockets.Departure, real, mono int64) {
	a := &w.asked[d.ID%askedLen]
	if !a.valid || a.id != d.ID {
		return
	}
	hard := d.Hard != 0 && a.card
	final := hard || !a.card // else the card's own is still to come
	if final {
		a.valid = false
		w.pending = max(0, w.pending-1)
	}
	late, ok := a.late(d, hard, real, mono)
	// What the card stamps is its clock: that must not have been moved.
	if !ok || hard && a.era != w.era.n {
		return
	}
	w.mute = 0
	if a.saved != 0 {
		w.resp.Sent.Correct(a.saved, w.resp.View.wire(a.tx.Add(-late)))
	}
	if !final {
		return
	}
	// Without the stamp it would have left the sooner.
	late += time.Duration(w.srv.stampCost[a.kind])
	w.toWire.learn(int(a.kind), int(a.count), int(a.place), a.lead-int64(late))
	w.late.learn(int64(late))
	w.stats.departed(late)
	w.stats.toWire.Store(w.toWire.of(0, 1, 0))
}

// late returns by how much the timestamp was later than the departure. A card's
// stamp is compared on the line that dated the answer; the kernel's by
// CLOCK_MONOTONIC_RAW, which no step moves. ok is false for a stamp that cannot
// be: of before the clock was read or of after now, real and mono; or the clock
// that it is of was set meanwhile.
func (a *asked) late(d *sockets.Departure, hard bool, real, mono int64) (late time.Duration, ok bool) {
	slack := wallSlack
	if hard {
		late = a.tx.Sub(tai.Time(d.Hard))
		slack += a.line
	} else {
		at, ok := softMono(d.Soft, real, mono)
		if !ok || !(wall{real - mono, mono}).since(a.wall) {
			return 0, false
		}
		late = time.Duration(a.mono - at)
	}
	return late, int64(late) <= a.lead+slack && int64(-late) <= mono-a.mono+slack
}
