package replay

import (
	"log/slog"
	"time"

	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/recording"
	"noonmark/refclock/site"
	"noonmark/refclock/witness"
)

// lateSteps is how many inputs the engine may take before it takes a conclusion that waits
// for it. The recorded one chose at random among what waited.
const lateSteps = 32

// keptClocks is how many states of the clock are kept: between the look at one and the
// record of the reading that was compared with it, the recorded engine published others.
const keptClocks = 8

// witnesses judges the recorded readings of witnesses anew, by the clock here. What is
// concluded waits until the recorded engine took the like.
type witnesses struct {
	judge    *witness.Judge // nil: recorded conclusions are taken as they are
	list     []integrity.WitnessConfig
	heard    map[string]bool
	readings []*witness.Reading     // the recorded engine had a later clock when it compared them
	clocks   []*integrity.Reference // the latest last

	count     func(reason.Code)
	alarm     *integrity.Alarm // nil: none waits
	confirmed *time.Duration   // nil: none waits
	since     int64            // mono of the older of the two
	steps     int              // since then
}

// newWitnesses returns the witnesses of a recording. asked: the recorded daemon had some.
func newWitnesses(h *recording.Header, asked bool, cfg *site.Config, log *slog.Logger) *witnesses {
	w := &witnesses{list: cfg.Witnesses, heard: map[string]bool{}}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if h.HasReadings() && (asked || len(cfg.Witnesses) > 0) {
		w.judge = witness.NewJudge(cfg.Witnesses, w, log)
	}
	return w
}

// Alarm takes an alarm for the engine (witness.Conclusions).
func (w *witnesses) Alarm(a integrity.Alarm) { w.alarm = &a }

// Confirm takes a confirmation for the engine (witness.Conclusions).
func (w *witnesses) Confirm(d time.Duration) { w.confirmed = &d }

// Count counts a reason (witness.Conclusions).
func (w *witnesses) Count(c reason.Code) { w.count(c) }

// waiting reports whether the engine has a conclusion to take.
func (w *witnesses) waiting() bool { return w.alarm != nil || w.confirmed != nil }

// published takes the clock after a step that ended at mono.
func (w *witnesses) published(clock integrity.Reference, mono int64) {
	if w.judge == nil {
		return
	}
	if k := len(w.clocks); k == 0 || w.clocks[k-1].Snapshot != clock.Snapshot {
		w.clocks = append(w.clocks[max(0, k-keptClocks+1):], &clock)
	}
	w.steps++
	w.take(mono)
}

// reading takes a reading.
func (w *witnesses) reading(r *witness.Reading) {
	if w.judge == nil {
		return
	}
	if r.Name != "" {
		w.heard[r.Name] = true
	}
	w.readings = append(w.readings, r)
	w.take(r.Mono)
}

// take judges the readings for which the clock is there.
func (w *witnesses) take(mono int64) {
	for len(w.readings) > 0 {
		r := w.readings[0]
		clock := w.of(r)
		if r.Kind == witness.Answered && (clock == nil || clock.Snapshot.Mono < r.Of && mono-r.Of < lateAfter && clock == w.clocks[len(w.clocks)-1]) {
			return
		}
		w.readings = w.readings[1:]
		w.conclude(r.Mono, func() { w.judge.Take(r, clock) })
	}
}

// of returns the clock with which a reading was compared; nil: there is none yet.
func (w *witnesses) of(r *witness.Reading) *integrity.Reference {
	for i := len(w.clocks) - 1; i >= 0; i-- {
		if c := w.clocks[i]; c.Snapshot.Mono <= r.Of || i == 0 {
			return c
		}
	}
	return nil
}

// conclude notes since when a conclusion waits.
func (w *witnesses) conclude(mono int64, f func()) {
	was := w.waiting()
	if f(); !was && w.waiting() {
		w.since, w.steps = mono, 0
	}
}

// resume begins with what was known of the witnesses.
func (w *witnesses) resume(s *recording.State) {
	if w.judge != nil && len(s.Witnesses) > 0 {
		w.judge.Resume(s.Witnesses, s.Confirmed, s.Mono)
		w.since, w.steps = s.Mono-lateAfter-1, lateSteps // for the first step
	}
}

// late reports whether the recorded engine did not take at mono what waits here.
func (w *witnesses) late(mono int64) bool {
	return w.waiting() && mono-w.since > lateAfter && w.steps >= lateSteps
}

// instead returns the conclusion that the engine takes in the place of a recorded one; nil:
// none.
func (w *witnesses) instead(alarm *integrity.Alarm, confirmed *time.Duration) (*integrity.Alarm, *time.Duration) {
	if w.judge == nil {
		return alarm, confirmed
	}
	if alarm != nil {
		alarm, w.alarm = w.alarm, nil
	}
	if confirmed != nil {
		confirmed, w.confirmed = w.confirmed, nil
	}
	return alarm, confirmed
}

// unheard returns the names of the witnesses of which the recording has no reading.
func (w *witnesses) unheard() (names []string) {
	for _, c := range w.list {
		if w.judge != nil && !w.heard[c.Name] {
			names = append(names, c.Name)
		}
	}
	return names
}
