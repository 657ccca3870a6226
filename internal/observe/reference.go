package observe

import (
	"noonmark/internal/witnesses"
	"noonmark/refclock/export"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/pps"
	"noonmark/refclock/receiver"
	"noonmark/refclock/recording"
	"noonmark/refclock/report"
	"noonmark/refclock/witness"
)

// Reference is the state of refclockd at one instant: the engine's report, and
// what the parts around the engine count. Every view of refclockd is a projection
// of it.
type Reference struct {
	Mono      int64 // CLOCK_MONOTONIC_RAW, ns
	Report    *report.Report
	Events    []Count // of the parts around the engine, by reason
	Opened    []Count // devices, by part
	Sensor    bool    // there is a temperature sensor
	Exports   []Count // by target and result
	Followers []Follower
	Witnesses []integrity.WitnessStatus
	Fleet     *witnesses.FleetState // nil: the configuration names no file of a fleet
	Recording []Count               // frames, by result
	History   []Count               // minutes and events, by result
}

// Count is how often something happened in a part.
type Count struct {
	Part string
	What string // a reason or a result; empty for devices that were opened
	N    uint64
}

// Follower is a clock that follows.
type Follower struct {
	Name string
	follow.Stats
}

// Sources are the parts of refclockd whose state is read. Those that are not
// configured are nil.
type Sources struct {
	Mono      func() int64 // CLOCK_MONOTONIC_RAW, ns
	Report    func() *report.Report
	Receiver  *receiver.Port
	Pulses    *pps.Reader
	Sensor    *oscillator.Thermometer
	Exports   []*export.Task
	Followers []*follow.Follower
	Witnesses *witness.Task
	Fleet     *witnesses.Fleet
	Recording *recording.Store
	History   *History
	// Undelivered returns the counter of edges that the open pulse source did not
	// deliver; nil while there is none.
	Undelivered func() func(pps.Discard) uint64
}

// Read reads the state now.
func (s *Sources) Read() *Reference {
	r := &Reference{Mono: s.Mono(), Report: s.Report(), Sensor: s.Sensor != nil}
	s.readInputs(r)
	for _, x := range s.Exports {
		for e := range export.Result(export.NumResults) {
			r.Exports = append(r.Exports, Count{x.Name(), e.String(), x.Count(e)})
		}
	}
	s.readClocks(r)
	if x := s.Recording; x != nil {
		r.Recording = []Count{{What: "written", N: x.Written()}, {What: "lost", N: x.Lost()}}
	}
	if s.History != nil {
		r.History = s.History.counts()
	}
	return r
}

// Brief reads the state without the counters of parts. It costs little.
func (s *Sources) Brief() *Reference {
	r := &Reference{Mono: s.Mono(), Report: s.Report(), Sensor: s.Sensor != nil}
	s.readClocks(r)
	return r
}

// readClocks reads the other clocks: followers and witnesses.
func (s *Sources) readClocks(r *Reference) {
	for _, f := range s.Followers {
		r.Followers = append(r.Followers, Follower{f.Name(), *f.Stats()})
	}
	if s.Witnesses != nil {
		r.Witnesses = s.Witnesses.Status()
	}
	if r.Fleet = s.Fleet.State(); r.Fleet != nil {
		r.Witnesses = append(r.Witnesses, r.Fleet.Witnesses...)
	}
}

// readInputs reads the counters of receiver, pulse and sensor.
func (s *Sources) readInputs(r *Reference) {
	event := func(part, what string, n uint64) { r.Events = append(r.Events, Count{part, what, n}) }
	if s.Receiver != nil {
		r.Opened = append(r.Opened, Count{Part: "receiver", N: s.Receiver.Opened()})
		if c := s.Receiver.Counters(); c != nil {
			for _, e := range gnss.Defects() {
				event("receiver", e.String(), c.Of(e))
			}
		}
	}
	if s.Pulses != nil {
		r.Opened = append(r.Opened, Count{Part: "pulse", N: s.Pulses.Opened()})
		if count := s.Undelivered(); count != nil {
			for _, e := range pps.Discards() {
				event("pulse", e.String(), count(e))
			}
		}
	}
	if s.Sensor != nil {
		for e := oscillator.SensorGood + 1; int(e) < oscillator.NumSensorReasons; e++ {
			event("sensor", e.String(), s.Sensor.Failed(e))
		}
	}
}
