package main

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// openClock returns the opener of the clock that is steered.
func (p *parts) openClock(leaps *leapTable) func() (clock.Device, error) {
	s := p.settings
	switch s.Clock.Source {
	case "phc":
		return openPHC(s.Clock.Device, s.Clock.FreqStepPPB)
	case "system":
		return p.realtime.Open
	case "sim":
		return func() (clock.Device, error) { return p.virtual.Clock, nil }
	}
	return func() (clock.Device, error) {
		c, err := phc.OpenSystem(leaps.offset)
		if err != nil {
			return nil, err
		}
		return clock.NewSoft(c.Cross), nil
	}
}

// newRealtime makes the system clock as the one that is steered, and the function that
// publishes and reports to the kernel.
func newRealtime(leaps *leapTable, before *status.Snapshot, publish func(*status.Snapshot)) (*clock.Realtime, func(*status.Snapshot), error) {
	sys, err := phc.OpenSystem(leaps.offset)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	r := clock.NewRealtime(clock.NewSystem(sys, phc.Kernel{}, phc.MonoRaw, clock.Rivals), leaps.at, refclock.BeforeOf(before))
	return r, func(s *status.Snapshot) {
		publish(s)
		r.Report(s)
	}, nil
}

// openPHC returns the opener of a card's clock. Its driver may hang, and its
// frequency may have coarser steps than the driver reports.
func openPHC(device string, stepPPB float64) func() (clock.Device, error) {
	open := clock.WithFreqStep(func() (clock.Device, error) { return clockOrError(phc.Open(device)) }, stepPPB)
	return clock.WithTimeout(open, clock.CallTimeout)
}

// clockOrError keeps a nil pointer out of the interface.
func clockOrError[T clock.Device](c T, err error) (clock.Device, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// systemClockKept asks the kernel whether another program disciplines the system
// clock; nil where that is meaningless, such as beside a simulation.
func systemClockKept(s *refclockd.Settings) func() bool {
	if s.Clock.Source != "phc" {
		return nil
	}
	return clock.Synchronised(phc.Kernel{})
}

// newPulses makes the task that reads the pulse which steers the clock; nil
// without one.
func (p *parts) newPulses(out chan<- pps.Edge, source *pulseSource, count func(reason.Code)) *pps.Reader {
	if p.settings.Pulse.Source == "none" {
		return nil
	}
	return &pps.Reader{Name: p.settings.PulseName(), Out: out, Log: p.log, Count: count, Open: func() (pps.Source, error) {
		x, err := source.opened(p.openPulse())
		if err == nil && p.settings.Pulse.Source != "extts" {
			x = p.site.Unfiltered(x)
		}
		return x, err
	}}
}

// openPulse opens the pulse that steers the clock.
func (p *parts) openPulse() (pps.Source, error) {
	if p.settings.Pulse.Source == "sim" {
		return p.virtual.Pulse, nil
	}
	return openInput(&p.settings.Pulse.PulseInput, p.settings.Clock.Device, p.site.PulseOptions())
}

// openInput opens a pulse of the kernel, or one that a card stamps as opt says.
func openInput(in *refclockd.PulseInput, card string, opt pps.ExtTSOptions) (pps.Source, error) {
	if in.Source == "kernel" {
		k, err := pps.OpenKernel(in.Device, in.KernelOptions())
		if err != nil {
			return nil, err
		}
		return k, nil
	}
	x, err := pps.OpenCard(card, opt)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// pulseSource is the source of the steering pulse while one is open. The reader
// opens it; site and metrics use it from their own goroutines.
type pulseSource struct {
	atomic.Pointer[pps.Source]
	site *site.Site
}

// opened notes the result of an attempt to open the source, and returns it.
func (p *pulseSource) opened(x pps.Source, err error) (pps.Source, error) {
	p.Store(nil)
	p.site.SetPulse(nil)
	if err == nil {
		p.Store(&x)
		p.site.SetPulse(x)
	}
	return x, err
}

// undelivered returns the counter of edges that the source did not deliver, nil
// if there is none.
func (p *pulseSource) undelivered() func(pps.Discard) uint64 {
	if x := p.Load(); x != nil {
		if c, ok := (*x).(interface{ Count(pps.Discard) uint64 }); ok {
			return c.Count
		}
	}
	return nil
}

// newCompared makes the tasks that read pulses which are only compared.
func newCompared(s *refclockd.Settings, out chan<- pps.ComparedEdge, count func(reason.Code), log *slog.Logger) (tasks []*pps.Reader) {
	for i := range s.Pulse.Compare {
		c := &s.Pulse.Compare[i]
		tasks = append(tasks, &pps.Reader{
			Name: c.Name, Log: log,
			Open: func() (pps.Source, error) { return openInput(&c.PulseInput, s.Clock.Device, c.TimestampOptions()) },
			Hand: func(x pps.Edge) bool {
				select {
				case out <- pps.ComparedEdge{Index: i, Edge: x}:
				default:
					count(reason.CompareSkipped)
				}
				return true
			},
			Count: func(r reason.Code) {
				if r == reason.PulseAmbiguous { // only the steering pulse has that reason
					r = reason.PulseSilent
				}
				count(r)
			},
		})
	}
	return tasks
}
