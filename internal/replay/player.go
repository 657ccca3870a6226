package replay

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/recording"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
)

// lateAfter is how long a message or an edge may have waited for the engine, ns. One
// that waited longer was not seen by the recorded engine, which had another decoder
// or filter.
const lateAfter = 100e6

// Player plays one run of a recording into an engine: in the order in which the
// recorded engine took its inputs, and at the same instants. An engine of the same
// version with the same configuration decides the same, to the bit, from the
// beginning of the run on. Any other sees the same receiver and the same pulses, and
// a clock with the same oscillator that obeys it. It is for one goroutine.
type Player struct {
	Head  recording.Header
	Site  *site.Site
	Gaps  int // stretches that are missing
	Begun bool

	clock     played
	witnesses *witnesses
	temp      struct {
		celsius float64
		mono    int64
	}
	missing     bool // a stretch before the next State
	port        bool // was started
	pulses      bool // were enabled
	slept       time.Duration
	disciplined bool
	messages    []*gnss.Message // not yet taken
	edges       []pps.Edge      // not yet taken
	configured  bool            // by Options.Configure, for the whole run
	free        int64           // mono at which the engine was done with the step before
	snap        status.Snapshot
	before      func(mono int64)
}

// Options of a Player.
type Options struct {
	// Configure changes the recorded configuration; nil: it stays. If it is set, reloaded
	// settings are not played.
	Configure func(*site.Config)
	// Before is called before anything happens at a new instant (CLOCK_MONOTONIC_RAW,
	// ns). May be nil.
	Before func(mono int64)
	// Publish is called for each snapshot; may be nil.
	Publish func(*status.Snapshot)
	// Log of the engine; nil: it is discarded.
	Log *slog.Logger
}

// NewPlayer returns a player of the run that begins with a header.
func NewPlayer(h *recording.Header, opt Options) (*Player, error) {
	p := &Player{Head: *h, slept: h.SleptFirst, before: opt.Before, configured: opt.Configure != nil}
	var cfg site.Config
	if err := json.Unmarshal(h.Site, &cfg); err != nil {
		return nil, fmt.Errorf("configuration in the recording: %w", err)
	}
	asked := len(cfg.Witnesses) > 0
	if opt.Configure != nil {
		opt.Configure(&cfg)
	}
	e := &cfg.Engine
	e.Log, cfg.Receiver.Log = opt.Log, opt.Log
	p.clock.system, p.clock.now = e.Kind == status.SystemClock, h.Mono
	e.Mono = func() int64 { return p.clock.now }
	e.Open = p.clock.open
	e.SystemDisciplined = func() bool { return p.disciplined }
	e.Publish = func(s *status.Snapshot) {
		p.snap = *s
		if opt.Publish != nil {
			opt.Publish(s)
		}
	}
	if h.Slept {
		e.Slept = func() time.Duration { return p.slept }
	}
	if h.Temperature {
		e.Temperature = func() (float64, int64) { return p.temp.celsius, p.temp.mono }
	}
	cfg.Receiver.Message = func(m *gnss.Message) { p.messages = append(p.messages, m) }
	cfg.Receiver.Conditions = func([]reason.Condition) {} // they come as inputs of the engine
	cfg.Edge = func(x pps.Edge) { p.edges = append(p.edges, x) }
	p.witnesses = newWitnesses(h, asked, &cfg, opt.Log)
	var err error
	if p.Site, err = site.New(cfg); err != nil {
		return nil, err
	}
	p.witnesses.count = p.Site.Engine.Count
	return p, nil
}

// Unheard returns the names of the configured witnesses of which the recording has no
// reading. For them no answer is played.
func (p *Player) Unheard() []string { return p.witnesses.unheard() }

// Snapshot returns what is published at present.
func (p *Player) Snapshot() *status.Snapshot { return &p.snap }

// Commands returns how many steps and corrections the engine gave the clock, and how
// many differ from those of the recorded one.
func (p *Player) Commands() (all, differ int) { return p.clock.commands, p.clock.differ }

// Play takes the next record of the run.
func (p *Player) Play(r recording.Record) {
	switch r := r.(type) {
	case *recording.State:
		if !p.Begun || p.missing {
			p.resume(r)
		}
	case *recording.Gap:
		p.Gaps++
		p.messages, p.edges, p.missing = nil, nil, true
	case *recording.PortStarted:
		p.port = true
		p.Site.Receiver.Start(r.Settable)
	case *recording.Octets:
		p.at(r.Mono)
		p.Site.Read(r.Data, r.Mono)
		p.Site.Receiver.Orders() // were carried out when it was recorded
	case *recording.PulseEnabled:
		p.pulses = true
		p.Site.EnablePulse(r.Grant)
	case *recording.Stamp:
		if !p.pulses {
			return
		}
		p.at(r.Event.Mono)
		x := r.Event
		x.Clock = tai.Time(p.clock.stamp(int64(x.Clock), false))
		p.Site.Stamp(x)
	case *recording.Edge:
		p.at(r.Edge.Mono)
		p.Site.Edge(p.shifted(r.Edge))
	case *witness.Reading:
		p.witnesses.reading(r)
	case *recording.Dropped:
		p.drop(r.Edge)
	case *recording.Step:
		p.at(r.Mono)
		p.step(r)
	}
}

// at lets time go on to an instant.
func (p *Player) at(mono int64) {
	p.Begun = true
	if p.before != nil {
		p.before(mono)
	}
}

// resume begins in the middle of a run, or goes on after a missing stretch.
func (p *Player) resume(s *recording.State) {
	p.slept, p.disciplined, p.temp.celsius, p.temp.mono = s.Slept, s.Disciplined, s.Celsius, s.CelsiusMono
	p.missing = false
	if s.Port != nil && !p.port {
		p.Play(&recording.PortStarted{Settable: *s.Port})
	}
	if s.Grant != nil && !p.pulses {
		p.Play(&recording.PulseEnabled{Grant: *s.Grant})
	}
	p.clock.resume(s.Clock)
	p.witnesses.resume(s)
}

// shifted is an edge by the clock here.
func (p *Player) shifted(x pps.Edge) pps.Edge {
	x.Stamp = p.clock.stamp(x.Stamp, x.Scale == pps.System)
	return x
}

// drop drops the oldest message or edge, as the recorded engine's queue did.
func (p *Player) drop(edge bool) {
	switch {
	case edge && len(p.edges) > 0:
		p.edges = p.edges[1:]
	case !edge && len(p.messages) > 0:
		p.messages = p.messages[1:]
	}
}

// step makes the engine take an input.
func (p *Player) step(s *recording.Step) {
	p.slept, p.disciplined = s.Slept, s.Disciplined
	if s.CelsiusMono != p.temp.mono {
		p.temp.celsius, p.temp.mono = s.Celsius, s.CelsiusMono
	}
	p.takeLate(s)
	p.clock.begin(s)
	e := p.Site.Engine
	switch {
	case s.TakesMessage:
		if len(p.messages) > 0 && p.messages[0].Mono == s.Of {
			e.Message(p.message())
		}
	case s.TakesEdge:
		if len(p.edges) > 0 && p.edges[0].Mono == s.Of {
			e.Edge(p.edge())
		}
	case s.Input.Compared != nil:
		x := *s.Input.Compared
		e.Compare(x.Index, p.shifted(x.Edge))
	case s.Input.Alarm != nil, s.Input.Confirmed != nil:
		p.conclude(p.witnesses.instead(s.Input.Alarm, s.Input.Confirmed))
	case s.Input.Settings != nil && p.configured:
	default:
		e.Take(s.Input)
	}
	p.clock.end()
	p.free = p.clock.now
	p.witnesses.published(e.Reference(), p.free)
}

// conclude makes the engine take conclusions; nil ones are none.
func (p *Player) conclude(alarm *integrity.Alarm, confirmed *time.Duration) {
	if alarm != nil {
		p.Site.Engine.Take(refclock.Input{Alarm: alarm})
	}
	if confirmed != nil {
		p.Site.Engine.Take(refclock.Input{Confirmed: confirmed})
	}
}

// takeLate gives the engine what the recorded one had not seen before s.
func (p *Player) takeLate(s *recording.Step) {
	late := func(mono int64, takes bool) bool {
		return takes && mono < s.Of || s.Mono-max(mono, p.free) > lateAfter
	}
	for len(p.messages) > 0 && late(p.messages[0].Mono, s.TakesMessage) {
		p.clock.now = s.Mono
		p.Site.Engine.Message(p.message())
	}
	for len(p.edges) > 0 && late(p.edges[0].Mono, s.TakesEdge) {
		p.clock.now = s.Mono
		p.Site.Engine.Edge(p.edge())
	}
	if w := p.witnesses; w.late(s.Mono) {
		p.clock.now = s.Mono
		p.conclude(w.alarm, w.confirmed)
		w.alarm, w.confirmed = nil, nil
	}
}

func (p *Player) message() *gnss.Message {
	m := p.messages[0]
	p.messages = p.messages[1:]
	return m
}

func (p *Player) edge() pps.Edge {
	x := p.edges[0]
	p.edges = p.edges[1:]
	return x
}
