package discipline

import (
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// What an earlier run knew is reported as a holdover within the limit, with a bound
// that contains whatever moved the clock since, and no longer than until the clock is
// locked.
func TestInheritedUntilTheLock(t *testing.T) {
	t.Parallel()
	const mono = int64(1e12)
	at := 1_790_000_000 * tai.Second
	full := Inherited{Mono: mono, Clock: at, RatePPB: 2000, Bound: 500, Err: 100, BoundRate: 50, RefTime: at - tai.Second}
	now := func(s float64, off time.Duration) ClockNow {
		return ClockNow{Mono: mono + int64(s*1e9), Clock: (at + tai.Time(s*1e9) + tai.Time(s*2000)).Add(off), RatePPB: 2000, Err: 200}
	}
	for _, c := range []struct {
		name  string
		with  func(*Inherited)
		do    func(*Controller)
		now   ClockNow
		state status.State
		text  string
		bound float64
	}{
		{"nothing inherited", func(h *Inherited) { *h = Inherited{} }, nil, now(1, 0), status.Unlocked, "starting", unboundedNS},
		{"a bound that does not grow", func(h *Inherited) { h.BoundRate = 0 }, nil, now(1, 0), status.Unlocked, "starting", unboundedNS},
		{"never measured", func(h *Inherited) { h.RefTime = 0 }, nil, now(1, 0), status.Unlocked, "starting", unboundedNS},
		{"from the future", nil, nil, now(-1, 0), status.Unlocked, "starting", unboundedNS},
		{"spent", nil, nil, now(2000, 0), status.Unlocked, "starting", unboundedNS},
		{"stepped beyond the limit", nil, nil, now(1, 100*time.Microsecond), status.Unlocked, "starting", unboundedNS},
		{"the machine slept", nil, func(c *Controller) { c.Disinherit() }, now(1, 0), status.Unlocked, "starting", unboundedNS},
		{"discarded by an operator", nil, func(c *Controller) { c.Reset(mono) }, now(1, 0), status.Acquiring, "starting", unboundedNS},
		{"no clock", nil, func(c *Controller) { c.ClockLost(reason.ClockGone) }, now(1, 0), status.Unlocked, "clock_gone", unboundedNS},
		{"clock not adjustable", nil, func(c *Controller) { c.ClockDenied() }, now(1, 0), status.Faulty, "clock_denied", unboundedNS},
		{"TAI-UTC changed", nil, func(c *Controller) { c.Recounted() }, now(1, 0), status.Unlocked, "starting", unboundedNS},
		{"clock being moved", nil, func(c *Controller) { c.ClockMoving() }, now(1, 0), status.Acquiring, "starting", unboundedNS},

		{"at once", nil, nil, now(0, 0), status.Holdover, "restarted: starting", 700},
		{"after a second", nil, nil, now(1, 0), status.Holdover, "restarted: starting", 750},
		{"after ten minutes", nil, nil, now(600, 0), status.Holdover, "restarted: starting", 30_700},
		{"stepped by 30 us", nil, nil, now(1, -30*time.Microsecond), status.Holdover, "restarted: starting", 30_750},
		{"an alarm", nil, func(c *Controller) { c.Alarm(reason.ReceiverSpoofed, "", mono) }, now(1, 0), status.Holdover, "restarted: spoofing", 750},
		{"the clock is opened", nil, func(c *Controller) { c.ClockOpened(1000) }, now(1, 0), status.Holdover, "restarted: starting", 750},
	} {
		ctl, h := New(Config{}), full
		if c.with != nil {
			c.with(&h)
		}
		ctl.Inherit(h)
		if c.do != nil {
			c.do(ctl)
		}
		s := ctl.StatusAt(c.now)
		if s.State != c.state || s.Text() != c.text || s.Bound != c.bound {
			t.Errorf("%s: %v (%s), bound %v; want %v (%s), %v", c.name, s.State, s.Text(), s.Bound, c.state, c.text, c.bound)
		}
		if s.State == status.Holdover && (s.RefTime != h.RefTime || s.Mono != c.now.Mono || s.BoundRate < h.BoundRate || s.Floor != 300) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}

	// What is spent or locked does not come back.
	ctl := New(Config{})
	ctl.Inherit(full)
	ctl.StatusAt(now(2000, 0))
	if s := ctl.StatusAt(now(1, 0)); s.State != status.Unlocked {
		t.Errorf("after it was spent: %v (%s)", s.State, s.Text())
	}
}

// The line of an earlier run is given on to the next as long as pulses are compared with
// it, and with it whether it was served.
func TestInheritedIsPassedOn(t *testing.T) {
	t.Parallel()
	const mono = int64(1e12)
	at := 1_790_000_000 * tai.Second
	full := Inherited{Mono: mono, Clock: at, Bound: 500, BoundRate: 50, RefTime: at - tai.Second, Pulses: 500, Drifted: true}
	unserved := full
	unserved.Unserved = true
	for _, c := range []struct {
		name string
		with Inherited
		do   func(*Controller)
		want Inherited
	}{
		{"nothing inherited", Inherited{}, nil, Inherited{}},
		{"the machine slept", full, (*Controller).Disinherit, Inherited{}},
		{"discarded by an operator", full, func(c *Controller) { c.Reset(mono) }, Inherited{}},
		{"the clock is lost", full, func(c *Controller) { c.ClockLost(reason.ClockGone) }, full},
		{"an alarm", full, func(c *Controller) { c.Alarm(reason.ReceiverSpoofed, "", mono) }, full},
		{"no pulse yet", full, nil, full},
		{"it was not served", unserved, nil, unserved},
	} {
		ctl := New(Config{})
		ctl.Inherit(c.with)
		if c.do != nil {
			c.do(ctl)
		}
		ctl.Tick(mono+1e9, at+tai.Second)
		if got := ctl.Status().Inherited; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// The first pulses of a run are remembered, but not those of a receiver that says that it
// has no fix: it lets its pulses drift.
func TestFirstPulsesOfARun(t *testing.T) {
	t.Parallel()
	const mono = int64(1e12)
	at := 1_790_000_000 * tai.Second
	for _, void := range []bool{false, true} {
		ctl := New(Config{})
		ctl.Inherit(Inherited{Mono: mono, Clock: at, Bound: 500, BoundRate: 50, RefTime: at - tai.Second, Pulses: 500, Seconds: 500})
		for k := int64(1); k < 60; k++ {
			now := mono + k*1e9
			ctl.Pulse(Pulse{Clock: at + tai.Time(k)*tai.Second, Mono: now})
			ctl.Label(Label{Time: at + tai.Time(k)*tai.Second, Mono: now + 2e8, Valid: !void, Source: "RMC"})
		}
		if known := ctl.inherited.began.mono != 0; known == void {
			t.Errorf("void messages %v: the first pulses are known: %v", void, known)
		}
	}
}
