package witnesses

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/internal/retry"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/witness"
)

// lookEvery is how often the file of a fleet is looked at.
const lookEvery = 5 * time.Second

// Fleet is the task that asks the witnesses which a fleet has set in a file of its agent,
// and reads the file again when it changes. Their answers never reach the clock: they are
// no evidence for the lock or for the bound, they only raise an alarm. A file that is
// refused counts as none.
type Fleet struct {
	cfg   FleetConfig
	watch *durable.Watch

	asked    *witness.Task // nil: none
	failed   retry.Backoff // reads that were refused
	refusals uint64
	now      atomic.Pointer[FleetState]
}

// FleetConfig is what a Fleet needs.
type FleetConfig struct {
	Path  string         // file of the agent
	Local bool           // the operator's file names [[witness]], which win
	Of    witness.Engine // only its Reference and Count are used
	Mono  func() int64   // CLOCK_MONOTONIC_RAW, ns
	Slept func() time.Duration
	Tap   witness.Tap                                               // may be nil
	New   func([]refclockd.WitnessServer) ([]witness.Server, error) // nil: New of this package
	Log   *slog.Logger
}

// FleetState is what is known of the file of a fleet and of its witnesses.
type FleetState struct {
	report.FragmentDetail
	Code      reason.Code // why the file is refused; None: it is not
	Witnesses []integrity.WitnessStatus
}

// NewFleet returns the task, with the file as it is now.
func NewFleet(c FleetConfig) *Fleet {
	if c.New == nil {
		c.New = New
	}
	f := &Fleet{cfg: c, watch: durable.NewWatch(c.Path)}
	f.read()
	return f
}

// State returns what is known now. It is for any goroutine; nil has none.
func (f *Fleet) State() *FleetState {
	if f == nil {
		return nil
	}
	return f.now.Load()
}

// String names the task in logs.
func (f *Fleet) String() string { return "fleet" }

// Waiting says why the file is refused.
func (f *Fleet) Waiting() error {
	if why := f.State().Refused; why != "" {
		return errors.New(why)
	}
	return nil
}

// Run asks the witnesses and follows the file until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last := f.cfg.Mono()
	for {
		if now := f.cfg.Mono(); now-last >= int64(lookEvery) {
			last = now
			f.look()
		}
		if f.asked != nil {
			f.asked.Tick(ctx)
			f.publish(*f.State())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// look reads the file again if it has changed.
func (f *Fleet) look() {
	if f.watch.Changed() {
		f.read()
	}
}

// read takes the file over, or refuses it.
func (f *Fleet) read() {
	s := FleetState{FragmentDetail: report.FragmentDetail{Path: f.cfg.Path, Refusals: f.refusals}}
	servers, content, err := refclockd.LoadFleet(f.cfg.Path)
	var list []witness.Server
	if err == nil && !f.cfg.Local {
		list, err = f.cfg.New(servers)
	}
	f.asked = nil
	if err != nil {
		s.Code, s.Refused = codeOf(err), config.FragmentRefusal(err)
		f.cfg.Of.Count(s.Code)
		f.refusals++
		s.Refusals = f.refusals
		if n, log := f.failed.Failed(); log {
			f.cfg.Log.Warn(s.Code.Message(), "reason", s.Code.String(), "error", s.Refused, "attempt", n)
		}
		f.publish(s)
		return
	}
	f.failed.Reset()
	s.Content = content
	if f.cfg.Local && len(servers) > 0 {
		s.Overridden = []string{"witness"}
	}
	if len(list) > 0 {
		f.asked = witness.New(witness.Config{Engine: onlyAlarms{f.cfg.Of}, Mono: f.cfg.Mono, Slept: f.cfg.Slept, Tap: f.cfg.Tap, Log: f.cfg.Log}, list)
	}
	if content != "" {
		f.cfg.Log.Info("file of the fleet taken over", "file", f.cfg.Path, "content", content, "witnesses", len(list), "overridden", len(s.Overridden) > 0)
	}
	f.publish(s)
}

func (f *Fleet) publish(s FleetState) {
	s.Witnesses, s.Silent, s.Disagree = nil, nil, nil
	if f.asked != nil {
		s.Witnesses = f.asked.Status()
	}
	for i := range s.Witnesses {
		switch w := &s.Witnesses[i]; {
		case w.Verdict == integrity.Disagrees:
			s.Disagree = append(s.Disagree, w.Name)
		case w.Asked > 0 && w.Asked == w.Silent:
			s.Silent = append(s.Silent, w.Name)
		}
	}
	f.now.Store(&s)
}

func codeOf(err error) reason.Code {
	switch {
	case errors.Is(err, config.ErrFragmentOwner):
		return reason.FragmentOwner
	case errors.Is(err, config.ErrFragmentContent):
		return reason.FragmentContent
	}
	return reason.FragmentUnread
}

// onlyAlarms is an engine on which a witness has no influence: who can write the file of the
// fleet must not become who confirms a clock, or takes it out of service.
type onlyAlarms struct{ witness.Engine }

// Alarm implements witness.Engine.
func (onlyAlarms) Alarm(integrity.Alarm) {}

// Confirm implements witness.Engine.
func (onlyAlarms) Confirm(time.Duration) {}
