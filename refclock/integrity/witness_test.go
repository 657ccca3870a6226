package integrity

import (
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

const truth0 = tai.Time(1795426200) * tai.Second // of mono0
const mono0 = int64(1e12)

// trueUTC is UTC at an instant of CLOCK_MONOTONIC_RAW, ns.
func trueUTC(mono int64) int64 { return int64(truth0) + mono - mono0 - 37e9 }

// answer is that of a server which is off by so much.
func answer(mono int64, off, err time.Duration) Answer {
	return Answer{Mono: mono, UTC: trueUTC(mono) + int64(off), Error: err}
}

// Until a witness agrees with the second as the pulse begins it, to within the
// limit, there is no lock. A message alone is enough to disagree with.
func TestWitnessesBeforeLock(t *testing.T) {
	ms, zero, late, hour, near, far := 10*time.Millisecond, time.Duration(0), -2*time.Second, time.Hour, 29*time.Millisecond, -35*time.Millisecond
	awaited := Alarm{Code: reason.WitnessAwaited}
	disagree := func(names string) Alarm { return Alarm{Code: reason.WitnessDisagrees, Detail: names} }
	for _, c := range []struct {
		name  string
		offs  []*time.Duration // of the required; nil = silent
		err   time.Duration
		pulse bool
		skew  tai.Time // of the receiver's labels
		want  Alarm
	}{
		{"silent", []*time.Duration{nil}, ms, true, 0, awaited},
		{"an hour off", []*time.Duration{&hour}, ms, true, 0, disagree("a")},
		{"an hour off, no pulse", []*time.Duration{&hour}, ms, false, 0, disagree("a")},
		{"two seconds off, no pulse", []*time.Duration{&late}, ms, false, 0, disagree("a")},
		{"receiver a second ahead", []*time.Duration{&zero}, ms, true, tai.Second, disagree("a")},
		{"receiver a second ahead, no pulse", []*time.Duration{&zero}, ms, false, tai.Second, disagree("a")},
		{"receiver a second behind", []*time.Duration{&zero}, ms, true, -tai.Second, disagree("a")},
		{"receiver two seconds behind, no pulse", []*time.Duration{&zero}, ms, false, -2 * tai.Second, disagree("a")},
		{"35 ms off, limit 20 and error 10", []*time.Duration{&far}, ms, true, 0, disagree("a")},
		{"too vague to tell seconds", []*time.Duration{&zero}, time.Second, true, 0, awaited},
		{"one against one", []*time.Duration{&zero, &hour}, ms, true, 0, disagree("b")},
		{"agrees, no pulse", []*time.Duration{&zero}, ms, false, 0, awaited},
		{"two against one", []*time.Duration{&zero, &hour, &ms}, ms, true, 0, Alarm{}},
		{"29 ms off, limit 20 and error 10", []*time.Duration{&near}, ms, true, 0, Alarm{}},
		{"agrees", []*time.Duration{&zero}, ms, true, 0, Alarm{}},
		{"none required", nil, ms, true, 0, Alarm{}},
	} {
		var list []WitnessConfig
		for i := range c.offs {
			list = append(list, WitnessConfig{Name: string(rune('a' + i)), MaxOffset: 20 * time.Millisecond, Required: true})
		}
		list, c.offs = append(list, WitnessConfig{Name: "x", MaxOffset: time.Second}), append(c.offs, &hour) // only raises a warning
		w, j := NewWitnesses(list), New(Config{})
		if got, want := w.Decide().Code, awaited.Code; len(list) > 1 && got != want || len(list) == 1 && got != reason.None {
			t.Errorf("%s: %v before anything was asked", c.name, got)
		}
		ref := Reference{Snapshot: &status.Snapshot{}, Table: tai.Builtin()}
		for k := range int64(30) {
			now, second := mono0+k*1e9, truth0+tai.Time(k)*tai.Second+c.skew
			if c.pulse {
				j.Edge(Edge{Mono: now}, &reading.Clocks{Unlocked: true})
			}
			ref.Label = Label{second, now + 2e8}
			j.Second(second, &reading.Clocks{Mono: ref.Label.Mono, Unlocked: true})
			ref.Begun, now = j.Begun(), now+7e8
			for i, off := range c.offs {
				if !w.Due(i, now, &ref) {
					continue
				}
				if w.Ask(i); off == nil {
					w.Unanswered(i, now)
				} else {
					w.Answered(i, answer(now, *off, c.err), now, &ref)
				}
			}
		}
		if got := w.Decide(); got != c.want {
			t.Errorf("%s: %v, want %v; %+v", c.name, got, c.want, w.Status())
		}
		if x := w.Status()[len(list)-1]; c.err < time.Second && x.Verdict != Disagrees {
			t.Errorf("%s: no verdict of the one that is not required: %+v", c.name, x)
		}
	}
}

// A published clock is compared with UTC as it is served, beyond both errors.
// Around a leap second nothing is compared.
func TestWitnessesAfterLock(t *testing.T) {
	clock := status.Snapshot{State: status.Locked, Kind: status.PHCClock, Stratum: 1, RefTime: truth0, Mono: mono0, Clock: truth0, TAIOffset: 37, Bound: time.Millisecond, Limit: time.Second}
	with := func(edit func(*status.Snapshot)) status.Snapshot { s := clock; edit(&s); return s }
	for _, c := range []struct {
		name  string
		clock status.Snapshot
		off   time.Duration // witness - truth
		want  Verdict
	}{
		{"12.5 ms off, limit 10, errors 1 and 1", clock, 12500 * time.Microsecond, Disagrees},
		{"a wrong leap second is served", with(func(s *status.Snapshot) { s.TAIOffset = 38 }), 0, Disagrees},
		{"a leap second within two seconds", with(func(s *status.Snapshot) { s.LeapAt, s.LeapSign = truth0+2*tai.Second, 1 }), time.Hour, NoVerdict},
		{"11.5 ms off", clock, 11500 * time.Microsecond, Agrees},
		{"the clock's bound is wider", with(func(s *status.Snapshot) { s.Bound = 100 * time.Millisecond }), 105 * time.Millisecond, Agrees},
		{"a leap second ten seconds ahead", with(func(s *status.Snapshot) { s.LeapAt, s.LeapSign = truth0+10*tai.Second, 1 }), 0, Agrees},
	} {
		r := Reference{Snapshot: &c.clock}
		if _, got := r.compare(answer(mono0+1e9, c.off, time.Millisecond), 10*time.Millisecond); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Witnesses are asked only while there is something to compare with: in short
// sequence while the lock waits, at their interval afterwards.
func TestWitnessIntervals(t *testing.T) {
	w := NewWitnesses([]WitnessConfig{{Name: "a", Required: true, Every: time.Minute}})
	ref := Reference{Snapshot: &status.Snapshot{}, Table: tai.Builtin()}
	ask := func(from, to int64, ok bool) (n int) {
		for k := from; k < to; k++ {
			now := mono0 + k*1e9
			if ref.Label.Time != 0 {
				ref.Label = Label{truth0 + tai.Time(k)*tai.Second, now}
				ref.Begun = ref.Label
			}
			if !w.Due(0, now, &ref) {
				continue
			}
			n++
			if w.Ask(0); ok {
				w.Answered(0, answer(now, 0, time.Millisecond), now, &ref)
			} else {
				w.Unanswered(0, now)
			}
		}
		return n
	}
	if n := ask(0, 100, false); n != 0 || w.Decide().Code != reason.WitnessAwaited {
		t.Errorf("asked %d times with nothing to compare, %v", n, w.Decide())
	}
	ref.Label.Time = truth0
	if n := ask(100, 164, false); n != 8 {
		t.Errorf("asked %d times in the first 64 s, want 8", n)
	}
	if n := ask(164, 464, false); n != 5 {
		t.Errorf("asked %d times in 5 min, want 5", n)
	}
	if n := ask(464, 584, true); n != 2 || w.Decide() != (Alarm{}) {
		t.Errorf("asked %d times in 2 min, want 2; %v", n, w.Decide())
	}
	// A verdict holds for four intervals of silence.
	if ask(584, 800, false); w.Status()[0].Verdict != Agrees {
		t.Error("the verdict is gone after 216 s of silence")
	}
	if ask(800, 900, false); w.Status()[0].Verdict != NoVerdict {
		t.Error("the verdict stands after 5 min of silence")
	}
}

// A witness that agreed once and has fallen silent since holds no lock back, also where a
// recording begins in the middle.
func TestWitnessesResume(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verdict   Verdict
		confirmed bool
		want      reason.Code
	}{
		{NoVerdict, false, reason.WitnessAwaited},
		{NoVerdict, true, reason.None},
		{Agrees, false, reason.None},
		{Disagrees, true, reason.WitnessDisagrees},
	} {
		w := NewWitnesses([]WitnessConfig{{Name: "a", Required: true, Every: time.Minute}})
		w.Resume([]WitnessVerdict{{"a", c.verdict}}, c.confirmed, 1e9)
		if a := w.Decide(); a.Code != c.want || w.Confirmed() != (c.confirmed || c.verdict == Agrees) {
			t.Errorf("%v, confirmed %v: %v, confirmed %v", c.verdict, c.confirmed, a, w.Confirmed())
		}
	}
}
