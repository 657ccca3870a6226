// Package site connects an engine with what feeds it: the session of a receiver and
// the filter of a card's timestamps. Daemon, simulation and replay connect them
// here, so that each of them runs the same.
package site

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/recording"
)

// Config describes a Site. What is not data, such as a function, has no place in
// its JSON.
type Config struct {
	// Engine.Leaps and Engine.Stepped are called after the site's own parts know.
	Engine refclock.Config
	// Receiver.Decode.Leaps defaults to the engine's table. Receiver.Message defaults
	// to the engine, at once; a function of its own may take a message for later.
	Receiver receiver.Config
	// Setup is what the receiver is to be set to; nil leaves it as it is.
	Setup *ubx.Setup
	// Pulse is how a card's timestamps are filtered. Its Grid is the engine's.
	Pulse pps.ExtTSOptions
	// Witnesses are judged beside the site, by package witness. A replay judges them anew.
	Witnesses []integrity.WitnessConfig
	// Edge takes edges that were filtered by Stamp; default the engine, at once.
	Edge func(pps.Edge) `json:"-"`
	// Recorder records everything; nil: nothing is.
	Recorder *recording.Recorder `json:"-"`
}

// Site is an engine and what feeds it. Read, EnablePulse, Stamp and Edge are for
// the goroutine that calls the engine. Where receiver and pulse have goroutines of
// their own, those use Receiver and the source that SetPulse was given.
type Site struct {
	Engine   *refclock.Engine
	Receiver *receiver.Session

	pulse    pps.ExtTSOptions
	edge     func(pps.Edge)
	recorder *recording.Recorder // may be nil
	filter   *pps.Filter         // of Stamp
	source   atomic.Pointer[stepper]
}

// stepper is a pulse source that is to know of steps.
type stepper interface{ Stepped(time.Duration) }

// New returns a site. Nothing is open yet.
func New(cfg Config) (*Site, error) {
	if cfg.Pulse.Edge == 0 {
		cfg.Pulse.Edge = phc.Rising
	}
	if cfg.Receiver.Decode.Leaps == nil {
		cfg.Receiver.Decode.Leaps = cfg.Engine.Settings.Table
	}
	s := &Site{pulse: cfg.Pulse, edge: cfg.Edge, recorder: cfg.Recorder}
	eng, rx := cfg.Engine, cfg.Receiver
	leaps, stepped := eng.Leaps, eng.Stepped
	eng.Leaps = func(t *tai.Table) {
		s.Receiver.SetLeaps(t)
		if leaps != nil {
			leaps(t)
		}
	}
	eng.Stepped = func(by time.Duration) {
		if p := s.source.Load(); p != nil {
			(*p).Stepped(by)
		}
		if stepped != nil {
			stepped(by)
		}
	}
	if rx.Message == nil {
		rx.Message = func(m *gnss.Message) { s.Engine.Message(m) }
	}
	if rx.Count == nil {
		rx.Count = func(c reason.Code) { s.Engine.Count(c) }
	}
	if rx.Conditions == nil {
		rx.Conditions = func(c []reason.Condition) { s.Engine.PortConditions(c) }
	}
	if cfg.Setup != nil {
		rx.Configure = func(rates []int) receiver.Configurator { return ubx.NewConfigurator(*cfg.Setup, rates) }
	}
	if s.edge == nil {
		s.edge = func(x pps.Edge) { s.Engine.Edge(x) }
	}
	if r := cfg.Recorder; r != nil {
		setup, err := json.Marshal(&cfg)
		if err != nil {
			return nil, fmt.Errorf("record the settings: %w", err)
		}
		r.Attach(&eng, setup)
		rx.Tap, s.pulse.Tap = r, r
	}
	s.Receiver = receiver.NewSession(rx)
	var err error
	if s.Engine, err = refclock.New(eng); err != nil {
		return nil, err
	}
	s.pulse.Grid = s.Engine.Grid
	return s, nil
}

// PulseOptions is how a card's timestamps are filtered.
func (s *Site) PulseOptions() pps.ExtTSOptions { return s.pulse }

// SetPulse says which source of pulses is open, nil for none. One that has a method
// Stepped(time.Duration) learns of each step of the clock. It is for any goroutine.
func (s *Site) SetPulse(source any) {
	s.source.Store(nil)
	if p, ok := source.(stepper); ok {
		s.source.Store(&p)
	}
}

// Read takes the octets of one read of the receiver's port at mono
// (CLOCK_MONOTONIC_RAW, ns).
func (s *Site) Read(b []byte, mono int64) { s.Receiver.Read(b, mono) }

// EnablePulse begins with the timestamps of a card that granted g.
func (s *Site) EnablePulse(g phc.ExtTSGrant) {
	s.filter = pps.NewFilter(s.pulse, g)
	s.SetPulse(s.filter)
}

// Stamp takes one timestamp of the card, after EnablePulse.
func (s *Site) Stamp(ev phc.ExtTSEvent) {
	switch x, ok, err := s.filter.Push(ev); {
	case ok:
		s.edge(x)
	case err != nil:
		s.Engine.Count(reason.PulseAmbiguous)
	}
}

// Count counts a reason on behalf of the receiver's port and the pulse reader. It is
// for any goroutine.
func (s *Site) Count(c reason.Code) {
	if s.recorder != nil && (c == reason.MessageQueue || c == reason.EdgeQueueFull) {
		s.recorder.Dropped(c == reason.EdgeQueueFull)
	}
	s.Engine.Count(c)
}

// Edge takes an edge that needs no filter, as the kernel's.
func (s *Site) Edge(x pps.Edge) {
	if s.recorder != nil {
		s.recorder.Edge(x)
	}
	s.edge(x)
}

// Unfiltered returns a source of edges that need no filter, such that they are
// recorded.
func (s *Site) Unfiltered(source pps.Source) pps.Source {
	if s.recorder == nil {
		return source
	}
	return &recorded{source, s.recorder}
}

// recorded is a source whose edges are recorded.
type recorded struct {
	pps.Source
	recorder *recording.Recorder
}

// Next waits for the next edge.
func (r *recorded) Next(ctx context.Context) (pps.Edge, error) {
	x, err := r.Source.Next(ctx)
	if err == nil {
		r.recorder.Edge(x)
	}
	return x, err
}
