package refclock_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"noonmark/refclock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
)

// A required witness holds the first lock back until it agrees with the second as
// the pulse begins it. One that disagrees after the lock ends it, until it agrees
// again.
func TestWitness(t *testing.T) {
	b := customBench(t, 0, func(cfg *refclock.Config) { cfg.Integrity.Outside.Code = reason.WitnessAwaited })
	off := time.Second
	task := witness.New(witness.Config{Engine: b.eng, Mono: func() int64 { return b.now }, Slept: func() time.Duration { return 0 }, Log: slog.New(slog.NewTextHandler(&b.log, nil))}, []witness.Server{{
		WitnessConfig: integrity.WitnessConfig{Name: "ntp.example", MaxOffset: 10 * time.Millisecond, Required: true, Every: 40 * time.Second},
		Ask: func(context.Context) (integrity.Answer, error) {
			return integrity.Answer{Mono: b.now, UTC: int64(b.clock.True(b.now)) - 37e9 + int64(off), Error: time.Millisecond}, nil
		},
	}})
	k := 0
	run := func(seconds int, state status.State, text string) {
		t.Helper()
		for range seconds {
			k++
			b.say(k, gnss.Message{Source: "ZDA", Valid: true})
			task.Tick(t.Context())
		}
		if s := b.last(); s.State != state || s.Reason != text {
			t.Errorf("after %d s: %v (%s), want %v (%s)\n%s", k, s.State, s.Reason, state, text, &b.log)
		}
	}
	run(30, status.Unlocked, "doubted: witness_disagrees ntp.example")
	off = 0
	run(60, status.Locked, "disciplined")
	if s := task.Status()[0]; s.Verdict != integrity.Agrees || s.OffsetNS > 1e3 || s.OffsetNS < -1e3 { // not the receiver's latency any more
		t.Errorf("%+v, and the witness is right", s)
	}
	asked := task.Status()[0].Asked
	off = 12 * time.Millisecond
	run(100, status.Holdover, "doubted: witness_disagrees ntp.example")
	if s := task.Status()[0]; s.OffsetNS > -11.9e6 || s.OffsetNS < -12.1e6 || s.Asked-asked > 4 {
		t.Errorf("%+v, asked %d times in 100 s", s, s.Asked-asked)
	}
	if n := b.eng.Report().Counts[reason.WitnessDisagrees]; n < 3 {
		t.Errorf("%v counted %d times", reason.WitnessDisagrees, n)
	}
	off = -5 * time.Millisecond
	run(100, status.Locked, "disciplined")
}
