package refclock_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// court is a bench with witnesses.
type court struct {
	*bench
	wit *refclock.Witnesses
	// The engine's doubts come at its next turn, as its Run would take them.
	pending []string
	counts  map[reason.Code]int
}

func (c *court) Report() *report.Report  { return c.eng.Report() }
func (c *court) Doubt(why string)        { c.pending = append(c.pending, why) }
func (c *court) Count(r reason.Code)     { c.counts[r]++ }
func (c *court) said(word string) bool   { return strings.Contains(c.log.String(), word) }
func (c *court) lastDoubt() (why string) { return c.pending[len(c.pending)-1] }
func (c *court) utc() int64              { return int64(c.clock.True(c.now)) - 37e9 }
func (c *court) second(k int, m gnss.Message) {
	c.say(k, m)
	c.wit.Tick(context.Background())
}

// server is a witness that is off by so much.
func (c *court) server(off *time.Duration, errBound time.Duration) func(context.Context) (refclock.Testimony, error) {
	return func(context.Context) (refclock.Testimony, error) {
		if off == nil {
			return refclock.Testimony{}, errors.New("no route")
		}
		return refclock.Testimony{Mono: c.now, UTC: c.utc() + int64(*off), Error: errBound}, nil
	}
}

func newCourt(t *testing.T, doubt string, list func(c *court) []refclock.Witness) *court {
	t.Helper()
	c := &court{counts: map[reason.Code]int{}}
	c.bench = doubtBench(t, 0, func(cfg *refclock.Config) { cfg.Doubt = doubt })
	c.wit = &refclock.Witnesses{Engine: c, Mono: func() int64 { return c.now }, Table: tai.Builtin, Log: slog.New(slog.NewTextHandler(&c.log, nil)), List: list(c)}
	return c
}

// TestWitnessesBeforeLock: until a witness agrees with the second as the pulse
// begins it, to within the limit, there is no lock. A message alone is enough to
// disagree with.
func TestWitnessesBeforeLock(t *testing.T) {
	ms, zero, late, hour, near, far := 10*time.Millisecond, time.Duration(0), -2*time.Second, time.Hour, 29*time.Millisecond, -35*time.Millisecond
	for _, c := range []struct {
		name  string
		offs  []*time.Duration // of the required; nil = silent
		err   time.Duration
		pulse bool
		want  string // last doubt; "-": none was told
		skew  tai.Time
	}{
		{"silent", []*time.Duration{nil}, ms, true, "witness_awaited", 0},
		{"an hour off", []*time.Duration{&hour}, ms, true, "witness_disagrees a", 0},
		{"an hour off, no pulse", []*time.Duration{&hour}, ms, false, "witness_disagrees a", 0},
		{"two seconds off, no pulse", []*time.Duration{&late}, ms, false, "witness_disagrees a", 0},
		{"receiver a second ahead", []*time.Duration{&zero}, ms, true, "witness_disagrees a", tai.Second},
		{"receiver a second ahead, no pulse", []*time.Duration{&zero}, ms, false, "witness_disagrees a", tai.Second},
		{"receiver a second behind", []*time.Duration{&zero}, ms, true, "witness_disagrees a", -tai.Second},
		{"receiver two seconds behind, no pulse", []*time.Duration{&zero}, ms, false, "witness_disagrees a", -2 * tai.Second},
		{"35 ms off, limit 20 and error 10", []*time.Duration{&far}, ms, true, "witness_disagrees a", 0},
		{"too vague to tell seconds", []*time.Duration{&zero}, time.Second, true, "witness_awaited", 0},
		{"one against one", []*time.Duration{&zero, &hour}, ms, true, "witness_disagrees b", 0},
		{"agrees, no pulse", []*time.Duration{&zero}, ms, false, "witness_awaited", 0},
		{"two against one", []*time.Duration{&zero, &hour, &ms}, ms, true, "", 0},
		{"29 ms off, limit 20 and error 10", []*time.Duration{&near}, ms, true, "", 0},
		{"agrees", []*time.Duration{&zero}, ms, true, "", 0},
		{"none required", nil, ms, true, "-", 0},
	} {
		ct := newCourt(t, reason.WitnessAwaited.String(), func(ct *court) (list []refclock.Witness) {
			for i, off := range c.offs {
				list = append(list, refclock.Witness{Name: string(rune('a' + i)), Ask: ct.server(off, c.err), MaxOffset: 20 * time.Millisecond, Required: true})
			}
			return append(list, refclock.Witness{Name: "x", Ask: ct.server(&hour, c.err), MaxOffset: time.Second}) // only raises an alarm
		})
		for k := 1; k < 30; k++ {
			if c.pulse {
				ct.second(k, gnss.Message{Source: "ZDA", Valid: true, Time: c.skew})
				continue
			}
			ct.now = ct.clock.MonoAt(truth0+tai.Time(k)*tai.Second) + 300e6
			ct.eng.Message(&gnss.Message{Source: "ZDA", Mono: ct.now, Stated: true, Valid: true, HasDate: true, Civil: gnss.Civil{HasTimeOfDay: true}, Time: truth0 + tai.Time(k)*tai.Second + c.skew})
			ct.eng.Tick()
			ct.wit.Tick(t.Context())
		}
		got := "-"
		if len(ct.pending) > 0 {
			got = ct.lastDoubt()
		}
		if got != c.want {
			t.Errorf("%s: doubt %q, want %q\n%s", c.name, got, c.want, &ct.log)
		}
		if c.want != "-" && ct.counts[reason.WitnessAwaited] != 1 {
			t.Errorf("%s: counted %v", c.name, ct.counts)
		}
		if st := ct.wit.Stats(); c.err < time.Second && (st[len(st)-1].Verdict != refclock.Disagrees || !ct.said("witness=x")) {
			t.Errorf("%s: no alarm by the one that is not required: %+v", c.name, st)
		}
		if s := ct.last(); s.State != status.Unlocked || s.Pulses != 0 {
			t.Errorf("%s: %v (%s), %d pulses", c.name, s.State, s.Reason, s.Pulses)
		}
	}
}

// A witness that turns away after the lock: alarm, and by policy holdover; back
// when it agrees again.
func TestWitnessesAfterLock(t *testing.T) {
	off := time.Duration(0)
	c := newCourt(t, "", func(c *court) []refclock.Witness {
		return []refclock.Witness{{Name: "ntp.example", Ask: c.server(&off, time.Millisecond), MaxOffset: 10 * time.Millisecond, Required: true, Every: 40 * time.Second}}
	})
	good := gnss.Message{Source: "ZDA", Valid: true}
	k := 1
	for ; k < 60; k++ {
		c.second(k, good)
	}
	if c.last().State != status.Locked {
		t.Fatalf("%v (%s)", c.last().State, c.last().Reason)
	}
	if st := c.wit.Stats()[0]; st.OffsetNS > 1e3 || st.OffsetNS < -1e3 { // not the receiver's latency any more
		t.Errorf("clock is %.0f ns ahead of a witness that is right", st.OffsetNS)
	}
	asked := c.wit.Stats()[0].Asked
	off = 12 * time.Millisecond
	for ; k < 160; k++ {
		c.second(k, good)
	}
	if got := c.lastDoubt(); got != "witness_disagrees ntp.example" || c.counts[reason.WitnessDisagrees] < 2 || !c.said("witness disagrees") {
		t.Errorf("doubt %q, counted %v\n%s", got, c.counts, &c.log)
	}
	st := c.wit.Stats()[0]
	if st.OffsetNS > -11.9e6 || st.OffsetNS < -12.1e6 || st.Asked-asked > 4 {
		t.Errorf("%+v, asked %d times in 100 s", st, st.Asked-asked)
	}
	off = -5 * time.Millisecond
	for ; k < 260; k++ {
		c.second(k, good)
	}
	if got := c.lastDoubt(); got != "" {
		t.Errorf("doubt %q after it agrees again", got)
	}
}

// With nothing to compare, nobody is asked.
func TestWitnessesNotAskedInVain(t *testing.T) {
	c := newCourt(t, "", func(c *court) []refclock.Witness {
		return []refclock.Witness{{Name: "a", Ask: c.server(nil, 0), Required: true}}
	})
	for range 100 {
		c.now += 1e9
		c.wit.Tick(t.Context())
	}
	if n := c.wit.Stats()[0].Asked; n != 0 || c.lastDoubt() != "witness_awaited" {
		t.Errorf("asked %d times, doubt %q", n, c.lastDoubt())
	}
}
