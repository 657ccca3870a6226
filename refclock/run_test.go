package refclock_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	receiverport "noonmark/refclock/receiver"
	"noonmark/refclock/sim"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// The whole with its goroutines, as the daemon runs it, in virtual time:
// appliance, port, pulses, engine, snapshot file and a reader of it.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	publish := func(s *status.Snapshot) {
		if err := w.Write(s); err != nil {
			t.Error(err)
		}
	}
	rd, err := status.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		mono := func() int64 { return int64(time.Since(start)) + 1e9 }
		c, ok := sim.Kind("tcxo")
		if !ok {
			t.Fatal("no tcxo")
		}
		c.Clock.Mono0, c.Clock.Truth = 1e9, tai.FromUnix(1795426200, 0, 37)
		app, err := sim.New(mono, c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		msgs, edges := make(chan *gnss.Message, 16), make(chan pps.Edge, 4)
		log := slog.New(slog.DiscardHandler)
		pr, pw := io.Pipe()
		src := sim.NewSource()
		dropped := func() { t.Error("a message was dropped") }
		st, err := site.New(site.Config{Receiver: receiverport.Config{Name: "pipe", Log: log, Message: receiverport.Queue(msgs, dropped)}, Engine: refclock.Config{
			Mono: mono, Open: func() (clock.Device, error) { return app.Clock, nil }, Publish: publish, Kind: status.SimClock, Log: log,
			Integrity: integrity.Config{Outside: integrity.Alarm{Code: reason.WitnessAwaited}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		eng := st.Engine
		port := &receiverport.Port{Session: st.Receiver, Mono: mono, Open: func() (io.ReadCloser, error) { return pr, nil }}
		pulses := &pps.Reader{Name: "sim", Out: edges, Count: eng.Count, Log: log, Open: func() (pps.Source, error) { return src, nil }}
		var wg sync.WaitGroup
		wg.Go(func() { app.Play(ctx, mono, pw, src); pw.Close() })
		wg.Go(func() { port.Run(ctx) })
		wg.Go(func() { pulses.Run(ctx) })
		wg.Go(func() { eng.Run(ctx, edges, msgs) })
		<-eng.Ready()
		published := uint64(0)
		var s status.Snapshot
		for i := range 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			if err := rd.LoadAll(&s); err != nil {
				t.Fatal(err)
			}
			if s.Updates-published < 4 {
				t.Errorf("second %d: %d snapshots, want 4 or more", i, s.Updates-published)
			}
			published = s.Updates
			m := mono()
			if e := s.ClockAt(m).Sub(app.Clock.True(m)).Abs(); s.Usable(m) && e > s.BoundAt(m) {
				t.Errorf("second %d: off by %v, claimed %v", i, e, s.BoundAt(m))
			}
			if i == 3 {
				if s.State != status.Unlocked || s.Pulses != 0 {
					t.Errorf("held back: %v (%s), %d pulses", s.State, s.Reason, s.Pulses)
				}
				eng.Alarm(integrity.Alarm{})
			}
			if i == 20 && s.State != status.Locked {
				t.Errorf("after 20 s %v (%s)", s.State, s.Reason)
			}
			switch i {
			case 30:
				eng.Alarm(integrity.Alarm{Code: reason.WitnessDisagrees, Detail: "a b"})
			case 31:
				if s.State != status.Holdover || s.Reason != "doubted: witness_disagrees a b" {
					t.Errorf("alarm: %v (%s)", s.State, s.Reason)
				}
				eng.Alarm(integrity.Alarm{})
			case 40: // settings: a bias that is not there must move the clock by it
				eng.Set(refclock.Settings{Bias: 60 * time.Nanosecond})
			}
		}
		if s.State != status.Locked {
			t.Errorf("at the end %v (%s)", s.State, s.Reason)
		}
		if e := app.Clock.Error(mono()); e < 60-40 || e > 60+40 {
			// A pulse taken for 60 ns late that is not: the clock ends up fast.
			t.Errorf("off by %.0f ns after a wrong bias of 60 ns", e)
		}
		cancel()
		wg.Wait()
	})
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
