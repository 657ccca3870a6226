package refclock_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/pps"
	receiverport "noonmark/refclock/receiver"
	"noonmark/refclock/sim"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// TestNoGrowth: receiver, pulses, engine and a follower, as the daemon runs them
// and without end: memory and goroutines stay what they are. NOONMARK_LONG=168h
// makes it a week (a minute and more of CPU); an hour is enough to see what grows
// with every pulse.
func TestNoGrowth(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("long, and the race detector's own memory grows")
	}
	long := time.Hour
	if v := os.Getenv("NOONMARK_LONG"); v != "" {
		var err error
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatal("NOONMARK_LONG: ", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		mono := func() int64 { return int64(time.Since(start)) + 1e9 }
		c, _ := sim.Kind("tcxo")
		c.Clock.Mono0, c.Clock.Truth = 1e9, tai.FromUnix(1795426200, 0, 37)
		app, err := sim.New(mono, c)
		if err != nil {
			t.Fatal(err)
		}
		c.Clock.Seed, c.Clock.Start = 9, 0
		second, err := sim.New(mono, c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		msgs, edges := make(chan *gnss.Message, 16), make(chan pps.Edge, 4)
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		pr, pw := io.Pipe()
		src := sim.NewSource()
		dropped := func() { t.Error("a message was dropped") }
		st, err := site.New(site.Config{Receiver: receiverport.Config{Name: "pipe", Log: log, Message: receiverport.Queue(msgs, dropped)}, Engine: refclock.Config{
			Mono: mono, Kind: status.SimClock, Log: log, Publish: func(*status.Snapshot) {},
			Open: clock.WithTimeout(func() (clock.Device, error) { return app.Clock, nil }, clock.CallTimeout),
		}})
		if err != nil {
			t.Fatal(err)
		}
		eng := st.Engine
		port := &receiverport.Port{Session: st.Receiver, Mono: mono, Open: func() (io.ReadCloser, error) { return pr, nil }}
		pulses := &pps.Reader{Name: "sim", Out: edges, Count: eng.Count, Log: log, Open: func() (pps.Source, error) { return src, nil }}
		fol, err := follow.New(follow.Config{
			Name: "second", Kind: status.PHCClock, Mono: mono, Reference: eng.Snapshot, Log: log,
			Open: func() (clock.Device, error) { return second.Clock, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { app.Play(ctx, mono, pw, src); pw.Close() })
		wg.Go(func() { port.Run(ctx) })
		wg.Go(func() { pulses.Run(ctx) })
		wg.Go(func() { eng.Run(ctx, edges, msgs) })
		wg.Go(func() { fol.Run(ctx) })
		look := func() (m runtime.MemStats, n int) {
			synctest.Wait()
			runtime.GC()
			runtime.GC() // what finalizers held
			runtime.ReadMemStats(&m)
			return m, runtime.NumGoroutine()
		}
		time.Sleep(long / 4)
		a, na := look()
		time.Sleep(long - long/4)
		b, nb := look()
		secs := (long - long/4).Seconds()
		t.Logf("%v: heap %d to %d octets, goroutines %d to %d, %.1f allocations and %.0f octets a second, %d pulses, follower %v", long,
			a.HeapAlloc, b.HeapAlloc, na, nb, float64(b.Mallocs-a.Mallocs)/secs, float64(b.TotalAlloc-a.TotalAlloc)/secs, eng.Report().Snapshot.Pulses, fol.Stats().Snapshot.State)
		if grown := int64(b.HeapAlloc) - int64(a.HeapAlloc); grown > 64<<10 || nb > na {
			t.Errorf("grew by %d octets and %d goroutines", grown, nb-na)
		}
		if s := &eng.Report().Snapshot; s.State != status.Locked || float64(s.Pulses) < 0.99*long.Seconds() || fol.Stats().Snapshot.State != status.Locked {
			t.Errorf("%v (%s), %d pulses; follower %v", s.State, s.Reason, s.Pulses, fol.Stats().Snapshot.State)
		}
		cancel()
		wg.Wait()
	})
}
