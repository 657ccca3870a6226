package refclock

import (
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

const (
	// edgeOff is how far from the second of a system clock that is kept an edge
	// must be to be taken for the other edge of the pulse. Who keeps it over a
	// network is nearer; pulses are 100 ms wide and more, or so narrow that nobody
	// confuses their edges.
	edgeOff = tai.Second / 20
	// soonest and latest are when the first message of a second comes after its
	// pulse, with some room: receivers need some 40 ms to compute a fix, and send
	// within 0.9 s.
	soonest = 30 * time.Millisecond
	latest  = 920 * time.Millisecond
	// proofSeconds is how many must speak against something, and how many for it again.
	proofSeconds = 3
	// proofEdges is by how many more messages must have come when they can only
	// belong to one edge.
	proofEdges = 8
)

// proof weighs, before the first lock, what else there is against the receiver's
// second and the pulse's edge than their own word:
//
//   - a system clock that others keep: its second, and where its seconds begin;
//   - UBX-TIM-TP, which names each pulse beforehand: messages that come a second
//     late name the pulses otherwise;
//   - when messages come: of two edges of which nobody told which is the right
//     one, it is not the one that messages come too soon or too late after.
//
// What nothing of this shows, as a receiver whose every word is a second late,
// is for a witness.
type proof struct {
	doubt string // empty, or why there is to be no lock
	edge  bool   // a kept system clock begins its seconds elsewhere

	grid atomic.Int64 // where in the clock's second that has its own, ns plus 1; 0 = not known

	last      tai.Time // the second named last
	against   int      // seconds in a row that a kept system clock shows otherwise
	otherwise int      // the same of TIM-TP

	next     tai.Time     // the second that TIM-TP gave to the next pulse,
	nextMono int64        // when
	name     tai.Time     // the one it gave to the last
	edgeMono int64        // of the last pulse
	begun    report.Label // the last second that a message named and a pulse began

	other time.Duration // after each edge the other comes, and nothing but this tells them apart; 0 = not so
	score int           // messages that fit this edge only, less those that fit both
	known bool          // which edge it is
}

// told hears that a doubt from outside has changed.
func (e *Engine) told(why string) {
	if e.outer == reason.WitnessAwaited.String() && why == "" {
		e.leap.WitnessesAgree(e.cfg.Mono())
	}
	e.outer = why
	e.judge()
}

// announce takes the name that UBX-TIM-TP gives to the next pulse.
func (p *proof) announce(m *gnss.Message) { p.next, p.nextMono = m.PulseTime, m.Mono }

// weighEdge takes an edge.
func (e *Engine) weighEdge(mono int64, other time.Duration) {
	p := &e.proof
	p.name = 0
	if age := mono - p.nextMono; p.next != 0 && age > 0 && age < pps.AnnounceMax {
		p.name = p.next
	}
	p.next, p.edgeMono = 0, mono
	if d := other - p.other; d.Abs() > 20*time.Millisecond {
		p.other, p.score, p.known = other, 0, false
	}
	p.edge = false
	if t, ok := e.kept(mono); ok {
		p.edge = max(t-t.Round(), t.Round()-t) > edgeOff
	}
	e.prove()
}

// weighSecond takes the second that a valid message names.
func (e *Engine) weighSecond(second tai.Time, mono int64) {
	p := &e.proof
	if second == p.last {
		return // of the same burst
	}
	p.last = second
	if t, ok := e.kept(mono); !ok {
		p.against = 0
	} else if in := t - t.Floor(); in > edgeOff && in < tai.Second-edgeOff {
		p.against = tally(p.against, t.Floor() != second)
	}
	after := time.Duration(mono - p.edgeMono)
	if p.edgeMono == 0 || after <= 0 || after >= time.Second {
		return
	}
	p.begun = report.Label{Time: second, Mono: p.edgeMono}
	// A name that is one too low is TIM-TP's own lateness.
	if p.name != 0 {
		p.otherwise = tally(p.otherwise, p.name != second && p.name != second-tai.Second)
	}
	if p.other != 0 && !p.known {
		since := after - p.other // the other edge
		if since < 0 {
			since += time.Second
		}
		switch fits := since >= soonest && since <= latest; {
		case fits:
			p.score = max(0, p.score-1)
		case after >= soonest && after <= latest:
			p.score++
		}
		p.known = p.score >= proofEdges
	}
	e.prove()
}

// tally counts what speaks against, up to twice what it takes.
func tally(n int, against bool) int {
	if against {
		return min(n+1, 2*proofSeconds)
	}
	return max(0, n-2)
}

// kept returns the time of a system clock that others keep, before there is a
// lock: afterwards the disciplined clock knows better.
func (e *Engine) kept(mono int64) (tai.Time, bool) {
	if !e.unproved() || e.cfg.RealKept == nil || !e.cfg.RealKept() {
		return 0, false
	}
	return e.systemTAI(mono)
}

// expect notes where a kept system clock has its seconds.
func (e *Engine) expect(now int64) {
	g := int64(0)
	if t, ok := e.kept(now); ok && e.loop.Clock.Known() {
		at := e.loop.Clock.At(now - int64(t-t.Floor()))
		g = int64(at-at.Floor()) + 1
	}
	e.proof.grid.Store(g)
}

// unproved reports whether there is no lock yet.
func (e *Engine) unproved() bool {
	s := e.loop.Control.Status().ServoState
	return s == status.Unlocked || s == status.Acquiring
}

// prove draws the consequences.
func (e *Engine) prove() {
	p := &e.proof
	var r reason.Code
	remedy := ""
	switch {
	case !e.unproved():
	case p.against >= proofSeconds || p.against > 0 && p.doubt == reason.SecondOpposed.String():
		r, remedy = reason.SecondOpposed, "the system clock is kept to 50 ms and shows another second than the receiver: find out by a third which is right"
	case p.otherwise >= proofSeconds || p.otherwise > 0 && p.doubt == reason.SecondNamed.String():
		r, remedy = reason.SecondNamed, "its messages come a second late: raise receiver.baud, or let it send fewer"
	case p.edge:
		r, remedy = reason.PulseAmbiguous, "the system clock's second is elsewhere: set pulse.width to what the receiver has, or pulse.edge to the other edge"
	case p.other != 0 && !p.known:
		r, remedy = reason.PulseAmbiguous, "the card stamps both edges: set pulse.width to what the receiver has"
	}
	was := p.doubt
	if p.doubt = ""; remedy != "" {
		p.doubt = r.String()
	}
	if p.doubt != was {
		if p.doubt != "" {
			e.refuse(r, nil, "remedy", remedy)
		}
		e.judge()
	}
}
