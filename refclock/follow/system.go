package follow

import (
	"time"

	"noonmark/refclock/clock"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// open opens the clock. The system clock is not touched before other programs
// have left it alone and there is a usable reference.
func (f *Follower) open() (clock.Device, error) {
	if f.cfg.System == nil {
		d, err := f.cfg.Open()
		if err != nil {
			return nil, err
		}
		return &limited{d, f}, nil
	}
	ok, err := f.cfg.System.Available()
	if err != nil {
		return nil, err
	}
	ref, now := f.cfg.Reference(), f.cfg.Mono()
	if !ok || !ref.Usable(now) {
		return nil, clock.ErrNotYet
	}
	if err := f.cfg.System.Claim(ref.OffsetAt(ref.ClockAt(now))); err != nil {
		return nil, err
	}
	return &limited{f.cfg.System, f}, nil
}

// updateKernel sets the kernel's state of the system clock's quality.
func (f *Follower) updateKernel(ref *status.Snapshot) {
	now, st := f.cfg.Mono(), f.stats.Load()
	own := &st.Snapshot
	q := clock.QualityOf(ref, now)
	q.MaxError, q.EstError = st.Bound, time.Duration(own.NoiseNS)
	q.Synced = (own.State == status.Locked || own.State == status.Holdover) && st.Bound <= own.Limit
	switch err := f.cfg.System.SetQuality(q); {
	case err == nil:
		f.kernel.count++
	case f.loop.Clock.Lose(err):
		f.happened(f.loop.Events())
	default:
		f.incidents.Report(reason.ClockDenied, err)
	}
}
