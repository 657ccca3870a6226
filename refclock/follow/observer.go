package follow

import (
	"math"
	"time"

	"noonmark/refclock/clock"
	"noonmark/refclock/incident"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// When the clock is opened again, after it could not be opened and after it was
// lost.
const (
	observeRetry  = 15 * time.Second
	observeReopen = time.Second
)

// observer compares a clock with the reference and steers nothing.
type observer struct {
	cfg       *Config
	incidents *incident.Log
	dev       clock.Device // nil: none is open
	retryAt   int64
}

// compare compares the clock with the reference.
func (o *observer) compare(ref *status.Snapshot, now int64, usable bool) *Stats {
	st := &Stats{Bound: math.MaxInt64, Observed: true}
	if o.open(now) {
		x, err := o.dev.Cross()
		switch {
		case err != nil:
			o.incidents.Report(reason.ClockRead, err)
			if clock.Gone(err) {
				o.close()
				o.retryAt = now + int64(observeReopen)
			}
		case usable:
			st.OffsetNS, st.Compared = float64(x.Clock-ref.ClockAt(x.Mono)), true
			st.Bound = status.AddBounds(time.Duration(math.Abs(st.OffsetNS))+x.Width/2, ref.BoundAt(x.Mono))
		}
	}
	st.Counts = o.incidents.Counts()
	return st
}

// open opens the clock if an attempt is due, and reports whether it is open.
func (o *observer) open(now int64) bool {
	if o.dev != nil {
		return true
	}
	if now < o.retryAt {
		return false
	}
	d, err := o.cfg.Open()
	if err != nil {
		o.retryAt = now + int64(observeRetry)
		o.incidents.Report(reason.ClockMissing, err)
		return false
	}
	o.dev = d
	return true
}

func (o *observer) close() {
	if o.dev != nil {
		clock.Close(o.dev)
		o.dev = nil
	}
}
