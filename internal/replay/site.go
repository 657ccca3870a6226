package replay

import (
	"fmt"
	"time"

	"noonmark/internal/simulate"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/leap"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Site is the virtual site around the receiver, and the settings of the engine.
type Site struct {
	System    time.Duration // system clock minus true UTC at the start
	SystemPPM float64       // by which it is fast
	NoRTC     bool          // the system clock is 40 years behind instead
	Kept      bool          // another program disciplines the system clock
	Steered   bool          // the system clock is the clock to be disciplined; the kernel stamps the pulses
	Prove     bool          // leap.ProofAlways
	NotBefore time.Time     // the earliest possible date; zero: see EarliestOf

	TimeScale   gnss.TimeScale // of the receiver's labels
	LabelOffset time.Duration  // added to every label

	Pulse struct {
		Absent     []Span
		Shifts     []Shift
		Drifts     []Shift       // NS is by how much the pulses get later in a second
		BothEdges  bool          // the card stamps both edges, and does not say so
		Width      time.Duration // 0: 100 ms
		WidthKnown bool          // the engine's configuration has the width
	}

	LeapAt    time.Time // a leap second at the end of this day, the last of a month; zero: none
	LeapKnown bool      // the engine's tables have it

	Restarts []time.Duration // when the daemon is restarted, in order

	For  time.Duration // length; 0: Tail after the last event
	Seed uint64        // of clock, pulses and receiver; 0: 1
}

// Tail is how long a run lasts after the last event, by default.
const Tail = 20 * time.Second

// Span is a stretch of time since the start, without its end.
type Span struct{ From, To time.Duration }

// Shift is a displacement of the pulses.
type Shift struct {
	At, For time.Duration
	NS      float64 // + = late
}

// noRTC is how far behind true UTC a system clock without a battery starts.
const noRTC = -40 * 8766 * time.Hour

// EarliestOf returns the default of Site.NotBefore: the build date of a program
// that can have been there, 2026-11-01 or 30 days before the start.
func EarliestOf(start time.Time) time.Time {
	build := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if d := start.AddDate(0, 0, -30); d.Before(build) {
		return d
	}
	return build
}

// Run returns the simulation of the site with the events. Clock, pulses and receiver
// have the seeds 3n+1, 3n+2 and 3n+3 of Seed n.
func (s *Site) Run(e *Events) (simulate.Run, error) {
	sc, err := s.scenario(e)
	r := simulate.Run{Scenario: sc, Seed: max(s.Seed, 1)}
	if s.For == 0 {
		r.InputEnds = e.End()
	}
	return r, err
}

// scenario returns the site with the events as a scenario.
func (s *Site) scenario(e *Events) (sim.Scenario, error) {
	sc, err := s.Scenario(e.Name, e.Start)
	if err != nil {
		return sc, err
	}
	c := &sc.Config
	c.Script = make([]sim.Chunk, 0, len(e.Sent))
	for _, x := range e.Sent {
		c.Script = append(c.Script, sim.Chunk{At: c.Clock.Truth.Add(x.At), Data: x.Data})
	}
	if sc.Duration == 0 {
		sc.Duration = e.End() + Tail
	}
	return sc, nil
}

// Scenario returns the site without what its receiver sends, from a UTC on that is a
// whole second.
func (s *Site) Scenario(name string, start time.Time) (sim.Scenario, error) {
	if w := s.Pulse.Width; w < 0 || w >= time.Second {
		return sim.Scenario{}, fmt.Errorf("pulse width %v: want more than 0 and less than 1 s", w)
	}
	known, truth := tai.Builtin(), tai.Builtin()
	if !s.LeapAt.IsZero() {
		y, m, d := s.LeapAt.AddDate(0, 0, 1).Date()
		if d != 1 {
			return sim.Scenario{}, fmt.Errorf("leap second on %s: want the last day of a month", s.LeapAt.Format(time.DateOnly))
		}
		utc := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
		truth = truth.With(tai.Leap{UTC: utc, Offset: truth.OffsetUTC(utc) + 1})
		if s.LeapKnown {
			known = truth
		}
	}
	c, _ := sim.Kind("tcxo")
	c.Clock.Truth = tai.FromUnix(start.Unix(), 0, truth.OffsetUTC(start.Unix()))
	c.Clock.TAIOffset = truth.OffsetUTC(start.Unix())
	c.Clock.System, c.Clock.SystemNoise.OffsetPPB = s.System, s.SystemPPM*1000
	if s.NoRTC {
		c.Clock.System = noRTC
	}
	if s.Kept || s.Steered {
		c.Clock.Leaps = truth // it is set right over a leap second
	}
	if s.Steered {
		c.Clock.IsSystem, c.Clock.Start, c.Pulse.System = true, c.Clock.System, true
	}
	c.Receiver.Table = truth
	s.pulses(&c.Pulse)
	notBefore := s.NotBefore
	if notBefore.IsZero() {
		notBefore = EarliestOf(start)
	}
	c.Decode = gnss.Config{NotBefore: notBefore, TimeScale: s.TimeScale, LabelOffset: s.LabelOffset}

	sc := sim.Scenario{Name: name, Duration: s.For, Config: c}
	for _, at := range s.Restarts {
		sc.Actions = append(sc.Actions, sim.Action{At: at, Do: func(l *sim.Loop) { l.Restart() }})
	}
	sc.Engine.Settings.Table = known
	if s.Prove {
		sc.Engine.Proof = leap.ProofAlways
	}
	sc.Engine.Integrity.NotBefore = tai.FromUnix(notBefore.Unix(), 0, known.OffsetUTC(notBefore.Unix()))
	if s.Steered {
		sc.Engine.Kind, sc.Engine.SystemSet = status.SystemClock, true
	} else if s.Kept {
		sc.Engine.SystemDisciplined = func() bool { return true }
	}
	if s.Pulse.WidthKnown {
		sc.Engine.Discipline.PulseWidth = c.Pulse.Width
	}
	return sc, nil
}

// pulses sets what the site says of its pulses.
func (s *Site) pulses(p *sim.PulseConfig) {
	p.SawtoothNS = 7.86
	p.Width = s.Pulse.Width
	if p.Width == 0 {
		p.Width = 100 * time.Millisecond
	}
	p.Unknown = !s.Pulse.WidthKnown
	if s.Pulse.BothEdges {
		p.AnyEdge = true
		p.Faults = append(p.Faults, sim.Fault{Kind: sim.BothEdges})
	}
	for _, x := range s.Pulse.Absent {
		p.Faults = append(p.Faults, sim.Fault{Kind: sim.NoPulse, At: x.From, For: x.To - x.From})
	}
	for _, x := range s.Pulse.Shifts {
		p.Faults = append(p.Faults, sim.Fault{Kind: sim.PulseJump, At: x.At, For: x.For, Amount: x.NS})
	}
	for _, x := range s.Pulse.Drifts {
		p.Faults = append(p.Faults, sim.Fault{Kind: sim.PulseDrift, At: x.At, For: x.For, Amount: x.NS})
	}
}
