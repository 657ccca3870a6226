package refclockd

import (
	"time"

	"noonmark/refclock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/report"
	"noonmark/refclock/site"
)

// pulseTimeout is how long a pulse source waits before it reports that there is no
// pulse.
const pulseTimeout = 10 * time.Second

// SiteConfig is what the engine, the receiver's session and the pulse filter are
// made from: the data of it, without functions. device names the receiver's port.
func (s *Settings) SiteConfig(device string) site.Config {
	r, leaps := &s.Receiver, s.LatestLeapTable()
	c := site.Config{
		Engine: refclock.Config{
			Kind: s.ClockKind(), ClockName: s.ClockName(), Pulse: s.PulseName(), Receiver: device, RefID: s.NTP.ID(), Stratum: uint8(s.NTP.Stratum),
			Discipline: s.DisciplineConfig(), Settings: s.EngineSettings(), Compare: s.CompareConfigs(),
			Integrity: integrity.Config{Receiver: s.watchConfig(), NotBefore: r.earliest(leaps), NotAfter: r.latest(leaps), RefuseRollover: s.Receiver.Rollover == "refuse"},
			Proof:     s.LeapProof(),
		},
		Receiver: receiver.Config{Name: device, Decode: s.decodeConfig(), Rates: s.Receiver.Rates()},
		Setup:    s.receiverSetup(),
		Pulse:    s.Pulse.TimestampOptions(),
	}
	for i := range s.Servers {
		c.Witnesses = append(c.Witnesses, s.Servers[i].Config())
	}
	if s.RequiresWitness() {
		c.Engine.Integrity.Outside.Code = reason.WitnessAwaited
	}
	if only := s.Receiver.Protocol; only != "auto" {
		c.Receiver.Protocol = only
	}
	return c
}

// Continue sets in e what an engine knows from before its start: what was learned of the
// oscillator, and what an earlier run of this boot published.
func Continue(e *refclock.Config, s *Settings, learned discipline.Learned, earlier report.Earlier) {
	e.Learned = learned
	e.Before, e.BeforeLock = refclock.Inherit(earlier.Last, e), earlier.Lock
	e.SystemSet, e.Continued = s.SetsSystemClock(), earlier.Locked()
	e.SystemOwn = e.SystemSet && learned.OK && !e.Continued
}

// TimestampOptions is how a card is to stamp the pulse.
func (in *PulseInput) TimestampOptions() pps.ExtTSOptions {
	return pps.ExtTSOptions{Channel: in.Channel, Pin: in.Pin, Edge: in.timestampEdge(), Width: in.Width.Duration, Timeout: pulseTimeout}
}

// KernelOptions is how the kernel is to stamp the pulse.
func (in *PulseInput) KernelOptions() pps.KernelOptions {
	return pps.KernelOptions{Edge: in.Edge, Timeout: pulseTimeout}
}
