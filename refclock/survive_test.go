package refclock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// plant is an engine as the daemon runs it, on a card of the test's own, with
// pulses and messages that are right, in virtual time. Whatever happens to the
// card, no reader ever gets a wrong time, and nothing is restarted.
type plant struct {
	t     *testing.T
	start time.Time
	eng   *refclock.Engine
	end   func()
	log   logBuffer

	mu   sync.Mutex // guards what follows
	card *card
	open func() (clock.Device, error)
	snap status.Snapshot
	gap  time.Duration // the longest between two snapshots, since it was cleared
	last time.Time
	held bool // nothing comes from the receiver
}

// card is a PTP clock with an index.
type card struct {
	*phctest.Clock
	index int
}

func (c *card) Index() int { return c.index }

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const plantMono0 = int64(1e12)

// plugIn puts a new card in, whose clock is off by some and whose crystal is by
// ppb. Opening gives it from now on.
func (p *plant) plugIn(index int, off time.Duration, ppb float64) *card {
	return p.plug(index, phctest.Config{
		Start: off, Width: 800 * time.Nanosecond, Seed: uint64(index), MaxPPB: 1e6,
		Noise: phctest.Noise{OffsetPPB: ppb, WhitePPB: 2.5, WalkPPB: 0.02},
	})
}

func (p *plant) plug(index int, cfg phctest.Config) *card {
	m := p.mono()
	// A machine has one true time: that of its first card.
	cfg.Truth, cfg.Mono0 = truth0+tai.Time(m-plantMono0), m
	c := &card{index: index, Clock: phctest.New(p.mono, cfg)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.card = c
	p.open = func() (clock.Device, error) { return c, nil }
	return c
}

func (p *plant) mono() int64 { return int64(time.Since(p.start)) + plantMono0 }

func (p *plant) now() *card {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.card
}

// opens sets what opening gives.
func (p *plant) opens(f func() (clock.Device, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = f
}

// newPlant starts an engine; call end before the bubble is left.
func newPlant(t *testing.T, off time.Duration, edit func(*plant)) *plant {
	p := &plant{t: t, start: time.Now()}
	p.plugIn(0, off, 1000)
	if edit != nil {
		edit(p)
	}
	var err error
	p.eng, err = refclock.New(refclock.Config{
		Mono: p.mono, Slept: func() time.Duration { return p.now().Slept() }, Kind: status.PHCClock, ClockName: "eth0",
		Log: slog.New(slog.NewTextHandler(&p.log, nil)),
		Open: clock.WithTimeout(func() (clock.Device, error) {
			p.mu.Lock()
			open := p.open
			p.mu.Unlock()
			return open()
		}, clock.CallTimeout),
		Publish: func(s *status.Snapshot) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.snap = *s
			if !p.last.IsZero() {
				p.gap = max(p.gap, time.Since(p.last))
			}
			p.last = time.Now()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	edges, msgs := make(chan pps.Edge, 8), make(chan *gnss.Message, 8)
	var wg sync.WaitGroup
	wg.Go(func() { p.eng.Run(ctx, edges, msgs) })
	wg.Go(func() { p.play(ctx, edges, msgs) })
	wg.Go(func() { p.judge(ctx) })
	p.end = func() { cancel(); wg.Wait() }
	return p
}

// play is receiver and pulse.
func (p *plant) play(ctx context.Context, edges chan<- pps.Edge, msgs chan<- *gnss.Message) {
	for ctx.Err() == nil {
		c := p.now()
		sec := c.True(p.mono()).Floor() + tai.Second
		time.Sleep(time.Duration(c.MonoAt(sec) - p.mono()))
		c = p.now()
		m := p.mono()
		if c.True(m).Sub(sec) > time.Millisecond || p.silent() {
			continue // the machine slept over it
		}
		x := pps.Edge{Scale: pps.Clock, Stamp: int64(c.At(m)), Mono: m + 40e3}
		time.Sleep(40 * time.Microsecond)
		select {
		case edges <- x:
		default:
		}
		time.Sleep(200 * time.Millisecond)
		select {
		case msgs <- &gnss.Message{Source: "ZDA", Mono: p.mono(), Stated: true, Valid: true, HasDate: true, Civil: gnss.Civil{HasTimeOfDay: true}, Time: sec}:
		default:
		}
	}
}

func (p *plant) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// judge reads as a server does, and compares with the truth.
func (p *plant) judge(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(37 * time.Millisecond)
		if why := p.wrong(); why != "" {
			p.t.Error(why)
			return
		}
	}
}

// wrong describes what is wrong for a reader now; empty: nothing.
func (p *plant) wrong() string {
	s, c, m := p.latest(), p.now(), p.mono()
	if !s.Usable(m) || s.SleptSince(c.Slept()) {
		return ""
	}
	if e, b := s.ClockAt(m).Sub(c.True(m)).Abs(), s.BoundAt(m); e > b {
		return fmt.Sprintf("%v after the start: off by %v, claimed %v (%v, %s)", time.Since(p.start), e, b, s.State, s.Reason)
	}
	return ""
}

func (p *plant) latest() status.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.snap
}

// locks waits until the clock is served, right to a microsecond.
func (p *plant) locks(within time.Duration) {
	p.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if s := p.latest(); s.State == status.Locked && s.Usable(p.mono()) {
			if e := p.now().Error(p.mono()); math.Abs(e) > 1000 {
				p.t.Errorf("locked, and off by %.0f ns", e)
			}
			return
		}
	}
	s := p.latest()
	p.t.Fatalf("not locked within %v: %v (%s)\n%s", within, s.State, s.Reason, p.log.String())
}

// becomes waits until nothing is served any more, and for the reason.
func (p *plant) becomes(reason string, within time.Duration) {
	p.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s := p.latest(); s.Reason == reason && !s.Usable(p.mono()) {
			return
		}
	}
	s := p.latest()
	p.t.Fatalf("not %q within %v: %v (%s)\n%s", reason, within, s.State, s.Reason, p.log.String())
}

func (p *plant) count(r reason.Code) uint64 { return p.eng.Report().Counts[r] }

// freq is the correction in force.
func (p *plant) freq() float64 {
	f, err := p.now().FreqPPB()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func TestSurviveMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *card
		p := newPlant(t, -77*time.Second, func(p *plant) {
			c = p.now()
			p.open = func() (clock.Device, error) {
				return nil, fmt.Errorf("open PTP clock: %w", fs.ErrNotExist)
			}
		})
		defer p.end()
		time.Sleep(40 * time.Second)
		p.becomes("clock_missing", time.Second)
		if n := p.count(reason.ClockMissing); n < 3 || n > 10 {
			t.Errorf("tried %d times in 40 s", n)
		}
		p.opens(func() (clock.Device, error) { return c, nil })
		p.locks(time.Minute)
	})
}

// A clock that is left alone until nobody else steers it, as the system clock is, is not
// missing: the reason says so, and nothing is logged as a failure.
func TestSurviveWatchedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *card
		p := newPlant(t, -77*time.Second, func(p *plant) {
			c = p.now()
			p.open = func() (clock.Device, error) { return nil, clock.ErrNotYet }
		})
		defer p.end()
		p.becomes("clock_watched", time.Second)
		if n, missing := p.count(reason.ClockWatched), p.count(reason.ClockMissing); n != 1 || missing != 0 || strings.Contains(p.log.String(), "clock failed") {
			t.Errorf("counted %d and %d times\n%s", n, missing, p.log.String())
		}
		p.opens(func() (clock.Device, error) { return c, nil })
		p.locks(time.Minute)
	})
}

// Unplugged, and put back as another device: another index, another crystal,
// another time.
func TestSurviveUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, -77*time.Second, nil)
		defer p.end()
		p.locks(time.Minute)
		p.now().SetGone(true)
		p.opens(func() (clock.Device, error) { return nil, fmt.Errorf("open PTP clock: %w", fs.ErrNotExist) })
		p.becomes("clock_gone", time.Second)
		time.Sleep(time.Minute)
		if n := p.count(reason.ClockGone); n != 1 {
			t.Errorf("lost %d times", n)
		}
		p.plugIn(3, -56*365*24*time.Hour, -4000)
		p.locks(time.Minute)
		if s := p.latest(); s.PHCIndex != 3 {
			t.Errorf("index %d is published", s.PHCIndex)
		}
	})
}

// The limit of the device is respected, also that of another card that is put in
// later. A card whose oscillator is beyond its limit is never served.
func TestSurviveNarrower(t *testing.T) {
	for _, c := range []struct {
		max, free float64 // ppb
		locks     bool
	}{{2000, 5000, false}, {2000, 1500, true}, {2000, -1990, true}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlant(t, -77*time.Second, nil)
			defer p.end()
			p.locks(time.Minute)
			p.now().SetGone(true)
			p.becomes("clock_gone", time.Second)
			n := p.plug(1, phctest.Config{Start: time.Hour, Width: 800, Seed: 3, MaxPPB: c.max, Noise: phctest.Noise{OffsetPPB: c.free, WhitePPB: 2.5}})
			if c.locks {
				p.locks(2 * time.Minute)
			} else {
				time.Sleep(10 * time.Minute)
			}
			if f, err := n.FreqPPB(); err != nil || math.Abs(f) > c.max {
				t.Errorf("correction %v ppb where %v is the limit, %v", f, c.max, err)
			}
			if s := p.latest(); !c.locks && (s.Usable(p.mono()) || s.Reason != "freq_limit") {
				t.Errorf("free by %v of %v ppb: %v (%s)", c.free, c.max, s.State, s.Reason)
			}
		})
	}
}

// The same card, back after a failure of its driver: what it lost shows, and
// what it kept is used.
func TestSurviveBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		away  time.Duration
		lost  func(*card)
		moved bool
	}{
		{"correction lost", 300 * time.Millisecond, func(c *card) { c.Reset(0) }, true},
		{"a little off", 20 * time.Second, func(c *card) { c.Disturb(20 * time.Microsecond) }, true},
		{"nothing lost", 20 * time.Second, func(*card) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t, -77*time.Second, nil)
				defer p.end()
				p.locks(time.Minute)
				time.Sleep(2 * time.Minute)
				freq, epoch := p.freq(), p.latest().Epoch
				p.now().SetGone(true)
				p.becomes("clock_gone", time.Second)
				time.Sleep(c.away)
				c.lost(p.now())
				p.now().SetGone(false)
				p.locks(time.Minute)
				if f, s := p.freq(), p.latest(); math.Abs(f-freq) > 30 || (s.Epoch != epoch) != c.moved {
					t.Errorf("correction %.1f ppb, before %.1f; epoch %d, before %d\n%s", f, freq, s.Epoch, epoch, p.log.String())
				}
			})
		})
	}
}

// readOnly is a device as it was opened by somebody who may not steer it.
type readOnly struct {
	*card
	open *atomic.Int32 // descriptors that are open
}

func (c readOnly) Close() error { c.open.Add(-1); return nil }

var errReadOnly = fmt.Errorf("/dev/ptp0 may only be read; run as root, or give the daemon's group the device by a udev rule: %w", fs.ErrPermission)

func (readOnly) Step(time.Duration) error { return errReadOnly }
func (readOnly) AdjFreq(float64) error    { return errReadOnly }

// Permission is denied, to open or only to steer: the log names the remedy, at a
// limited rate. A permission that is granted later is noticed without a restart,
// though the old descriptor stays read-only.
func TestSurvivePermission(t *testing.T) {
	var held atomic.Int32
	for _, c := range []struct {
		name string
		open func(*card) (clock.Device, error)
		off  time.Duration
		says string
	}{
		{"nothing allowed", func(*card) (clock.Device, error) { return nil, errReadOnly }, -77 * time.Second, "give the daemon's group the device"},
		{"only reading, right by chance", func(c *card) (clock.Device, error) { held.Add(1); return readOnly{c, &held}, nil }, 0, "give the daemon's group the device"},
		{"only reading, years off", func(c *card) (clock.Device, error) { held.Add(1); return readOnly{c, &held}, nil }, -31 * 365 * 24 * time.Hour, "give the daemon's group the device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var real *card
				p := newPlant(t, c.off, func(p *plant) {
					real = p.now()
					p.open = func() (clock.Device, error) { return c.open(real) }
				})
				defer p.end()
				time.Sleep(5 * time.Minute)
				p.becomes("clock_denied", time.Second)
				log := p.log.String()
				if n := strings.Count(log, "\n"); !strings.Contains(log, c.says) || n > 25 || p.count(reason.ClockDenied) < 5 {
					t.Errorf("counted %d, %d lines:\n%s", p.count(reason.ClockDenied), n, log)
				}
				p.opens(func() (clock.Device, error) { return real, nil })
				p.locks(time.Minute)
				if n := held.Load(); n != 0 {
					t.Errorf("%d descriptors were left open", n)
				}
			})
		})
	}
}

// A driver that does not answer: the engine goes on publishing, the snapshot is
// honest or of no use, and when the driver answers again so is the clock.
func TestSurviveHang(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		lost bool
	}{
		{300 * time.Millisecond, false}, // within patience
		{800 * time.Millisecond, false}, // one reading lost
		{3 * time.Second, true},
		{10 * time.Minute, true},
	} {
		t.Run(c.d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t, -77*time.Second, nil)
				defer p.end()
				p.locks(time.Minute)
				time.Sleep(time.Minute)
				freq, before := p.freq(), p.latest()
				p.mu.Lock()
				p.gap = 0
				p.mu.Unlock()
				release := p.now().Hang()
				time.Sleep(c.d / 2)
				if c.lost {
					p.becomes("clock_timeout", time.Second)
				}
				time.Sleep(c.d - c.d/2)
				release()
				if s := p.latest(); c.lost && (s.Usable(p.mono()) || s.Bound != math.MaxInt64) {
					t.Errorf("still served: %v (%s)", s.State, s.Reason)
				}
				p.locks(time.Minute)
				after := p.latest()
				if f := p.freq(); math.Abs(f-freq) > 30 || after.Epoch != before.Epoch {
					t.Errorf("correction %.1f ppb, before %.1f; epoch %d, before %d: it was the same clock all the time\n%s", f, freq, after.Epoch, before.Epoch, p.log.String())
				}
				if n := p.count(reason.ClockTimeout); (n > 0) != (c.d > clock.CallTimeout) {
					t.Errorf("counted %d times", n)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.gap > clock.CallTimeout+300*time.Millisecond {
					t.Errorf("nothing was published for %v", p.gap)
				}
			})
		})
	}
}

// tardy steps and steers, and does not come back for long: what was asked has
// happened, or has not.
type tardy struct {
	*card
	mu    sync.Mutex
	does  bool
	delay time.Duration
	n     int // calls that it takes long for
}

func (c *tardy) late() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	return c.n >= 0
}

func (c *tardy) Step(d time.Duration) error { return c.call(func() error { return c.card.Step(d) }) }
func (c *tardy) AdjFreq(p float64) error    { return c.call(func() error { return c.card.AdjFreq(p) }) }

func (c *tardy) call(f func() error) error {
	if !c.late() {
		return f()
	}
	if c.does {
		f()
	}
	time.Sleep(c.delay)
	return errors.New("timed out")
}

func TestSurviveTardyChange(t *testing.T) {
	for _, does := range []bool{false, true} {
		t.Run(fmt.Sprintf("does %v", does), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *tardy
				p := newPlant(t, -77*time.Second, func(p *plant) {
					c = &tardy{card: p.now(), does: does, delay: 5 * time.Second, n: 3} // the first correction, then the step
					p.open = func() (clock.Device, error) { return c, nil }
				})
				defer p.end()
				p.locks(2 * time.Minute)
				if p.count(reason.ClockTimeout) == 0 {
					t.Error("not counted")
				}
				c.mu.Lock()
				c.n = 1 // and while it is locked: a correction
				c.mu.Unlock()
				p.becomes("clock_timeout", 3*time.Second)
				p.locks(time.Minute)
				time.Sleep(10 * time.Second) // until the last call has returned
			})
		})
	}
}

// The daemon ends also while its driver hangs.
func TestEndWhileHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, 0, nil)
		p.locks(time.Minute)
		release := p.now().Hang()
		time.Sleep(3 * time.Second)
		began := time.Now()
		p.end()
		if d := time.Since(began); d > time.Second {
			t.Errorf("took %v", d)
		}
		release()
	})
}

// A driver that never answers is asked a few times and then left alone: each
// such call holds a thread.
func TestHangForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		var calls atomic.Int32
		open := clock.WithTimeout(func() (clock.Device, error) {
			calls.Add(1)
			<-block
			return nil, fs.ErrNotExist
		}, time.Second)
		for range 100 {
			if _, err := open(); !errors.Is(err, clock.ErrTimeout) {
				t.Fatal(err)
			}
		}
		if n := calls.Load(); n != 4 {
			t.Errorf("%d calls hang", n)
		}
		close(block)
		synctest.Wait()
		if _, err := open(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after it answered: %v", err)
		}
	})
}

// A driver that starts its card anew (a link that comes back, a firmware) loses
// its time and its correction.
func TestSurviveReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, 0, nil)
		defer p.end()
		p.locks(time.Minute)
		time.Sleep(time.Minute)
		freq := p.freq()
		p.now().Reset(37 * time.Second)
		p.becomes("clock_stepped", 2*time.Second)
		time.Sleep(time.Second)
		if f := p.freq(); math.Abs(f-freq) > 30 {
			t.Errorf("correction %.1f ppb a second later, before %.1f", f, freq)
		}
		p.locks(30 * time.Second)
		if n := p.count(reason.ClockForeign); n != 1 {
			t.Errorf("counted %d times\n%s", n, p.log.String())
		}
	})
}

// The machine sleeps. CLOCK_MONOTONIC_RAW stands still; the card runs on, or
// stands still, too, so that nothing shows between the two, or loses its time.
// Even between waking and the engine's next tick no reader gets a wrong time. Then
// it locks again with the frequency that it had.
func TestSurviveSleep(t *testing.T) {
	for _, c := range []struct {
		name string
		nap  time.Duration
		runs bool
		edit func(*card)
	}{
		{"card runs on", 3 * time.Hour, true, nil},
		{"card runs on, a short sleep", 30 * time.Millisecond, true, nil},
		{"card stands still", 3 * time.Hour, false, nil},
		{"card stands still for whole seconds", 2 * time.Second, false, nil},
		{"card loses its time and its correction", 10 * time.Minute, true, func(c *card) { c.Reset(-56 * 365 * 24 * time.Hour) }},
		{"card does not answer at first", 10 * time.Minute, false, func(c *card) {
			release := c.Hang()
			time.AfterFunc(20*time.Second, release)
		}},
		{"card is gone at first", 10 * time.Minute, false, func(c *card) {
			c.SetGone(true)
			time.AfterFunc(20*time.Second, func() { c.SetGone(false) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t, -77*time.Second, nil)
				defer p.end()
				p.locks(time.Minute)
				time.Sleep(time.Minute + 90*time.Millisecond)
				freq, before := p.freq(), p.latest()
				p.now().Suspend(c.nap, c.runs)
				if c.edit != nil {
					c.edit(p.now())
				}
				s, m := p.latest(), p.mono()
				if !s.Usable(m) || s.ClockAt(m).Sub(p.now().True(m)).Abs() < c.nap-time.Millisecond {
					t.Fatalf("the test's own sleep shows nothing: usable %v", s.Usable(m))
				}
				if why := p.wrong(); why != "" || p.eng.Snapshot().Usable(m) {
					t.Errorf("right after waking: %s; the daemon's own readers get %v", why, p.eng.Snapshot().State)
				}
				time.Sleep(260 * time.Millisecond)
				if s := p.latest(); s.Usable(p.mono()) && s.Epoch == before.Epoch {
					t.Errorf("a look later: %v (%s)", s.State, s.Reason)
				}
				p.locks(2 * time.Minute)
				if f := p.freq(); math.Abs(f-freq) > 30 {
					t.Errorf("correction %.1f ppb, before %.1f", f, freq)
				}
				if s := p.latest(); p.count(reason.ClockSlept) != 1 || s.Epoch == before.Epoch || s.Slept != p.now().Slept() {
					t.Errorf("counted %d, epoch %d, slept %v\n%s", p.count(reason.ClockSlept), s.Epoch, s.Slept, p.log.String())
				}
			})
		})
	}
}

// Without a receiver after the sleep nothing is claimed: nobody knows the time.
func TestSleepWithoutReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, 0, nil)
		defer p.end()
		p.locks(time.Minute)
		p.mu.Lock()
		p.held = true
		p.mu.Unlock()
		time.Sleep(5 * time.Second)
		if s := p.latest(); s.State != status.Holdover || !s.Usable(p.mono()) {
			t.Fatalf("before: %v (%s)", s.State, s.Reason)
		}
		p.now().Suspend(time.Hour, true)
		time.Sleep(10 * time.Minute)
		if s := p.latest(); s.Usable(p.mono()) || s.Bound != math.MaxInt64 {
			t.Errorf("%v (%s), bound %v", s.State, s.Reason, s.Bound)
		}
		p.mu.Lock()
		p.held = false
		p.mu.Unlock()
		p.locks(time.Minute)
	})
}
