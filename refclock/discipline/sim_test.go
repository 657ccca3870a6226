package discipline

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// world is a small seeded simulation: an oscillator, a receiver with pulses and
// messages, and the owner of the clock around a Controller. True time is counted
// in ns from epochTAI; CLOCK_MONOTONIC_RAW runs 30 ppm fast against it.
type world struct {
	t   *testing.T
	c   *Controller
	r   *rand.Rand
	now int64    // true time, ns
	x   float64  // clock - true time, ns, without
	big tai.Time // whole seconds
	u   float64  // correction in force, ppb
	y   float64  // frequency error of the oscillator, ppb
	build
	events []event
	seen
}

// build describes the hardware and what happens to it; hooks get the second.
type build struct {
	stepFails bool // every step fails
	refWrong  bool // the reference is wrong in the end, so the clock may be, too

	wfm, rw float64                     // ppb at 1 s, ppb per sqrt(s)
	white   float64                     // ns
	delay   time.Duration               // from the edge to the call
	width   time.Duration               // of cross timestamps
	noise   func(k int) float64         // further error of the pulse, ns
	present func(k int) bool            // does the pulse come
	extra   func(k int) []time.Duration // further edges in the second
	labels  func(k int) []labelSpec     // messages in the second
	drift   func(k int) float64         // change of y in the second, ppb
	at      map[int]func(w *world)      // what happens at a second
}

// seen is what was observed.
type seen struct {
	steps     []int     // seconds in which the clock was stepped
	states    []string  // each with its reason
	offset    []float64 // absolute errors while locked or in holdover, ns
	bound     []float64 // bounds at the same time, ns
	readings  int       // while locked or in holdover,
	uncovered int       // and of them, with the error outside the bound
}

// labelSpec is one message of the receiver.

type labelSpec struct {
	after  time.Duration // the start of second k
	shift  int           // seconds by which the label is wrong
	void   bool
	source string
	tacc   time.Duration
	within time.Duration // instant within the second that the label names
}

const (
	epochTAI  = tai.Time(1_790_000_000) * tai.Second
	monoStart = int64(5000e9)
)

func newWorld(t *testing.T, cfg Config, seed uint64) *world {
	w := &world{t: t, c: New(cfg), r: rand.New(rand.NewPCG(seed, 7)), x: 3_141_592, y: 8000}
	w.wfm, w.rw, w.white, w.delay, w.at = 1, 0.1, 20, 20*time.Millisecond, map[int]func(*world){}
	w.present = func(int) bool { return true }
	w.noise = func(int) float64 { return 0 }
	w.extra = func(int) []time.Duration { return nil }
	w.drift = func(int) float64 { return 0 }
	w.labels = func(int) []labelSpec {
		return []labelSpec{{after: 150e6, source: "RMC"}, {after: 230e6, source: "ZDA"}}
	}
	return w
}

func (w *world) mono(t int64) int64 { return monoStart + t + t*30/1e6 }
func (w *world) clock(t int64) tai.Time {
	return epochTAI + w.big + tai.Time(t) + tai.Time(math.Round(w.x))
}

// to moves true time on to t.
func (w *world) to(t int64) {
	w.x += (w.y + w.u) * float64(t-w.now) * 1e-9
	w.now = t
}

func (w *world) do(a Action) {
	if math.IsNaN(a.FreqPPB) || math.IsInf(a.FreqPPB, 0) || math.Abs(a.FreqPPB) > w.c.cfg.MaxFreqPPB {
		w.t.Fatalf("second %d: frequency %v", w.now/1e9, a.FreqPPB)
	}
	w.u = a.FreqPPB
	if a.Step == 0 {
		return
	}
	if s := w.c.st.State; s != status.Acquiring {
		w.t.Errorf("second %d: step of %v while %v", w.now/1e9, a.Step, s)
	}
	if w.stepFails {
		w.c.Stepped(w.mono(w.now), 0)
	} else {
		w.steps = append(w.steps, int(w.now/1e9))
		whole := tai.Time(a.Step).Round()
		w.big += whole
		w.x += float64(tai.Time(a.Step) - whole)
		w.c.Stepped(w.mono(w.now), a.Step)
	}
	w.u = w.c.Status().FreqPPB
}

type event struct {
	t int64
	f func()
}

// run simulates the seconds from..to-1.
func (w *world) run(from, to int) {
	for k := from; k < to; k++ {
		base := int64(k) * 1e9
		pulse := func(at int64) {
			w.queue(at, func() {
				clock, mono := w.clock(at), w.mono(at)
				w.queue(at+int64(w.delay), func() {
					w.do(w.c.Pulse(Pulse{Clock: clock, Mono: mono, Now: w.mono(w.now), Width: w.width}))
				})
			})
		}
		if f := w.at[k]; f != nil {
			w.queue(base+1, func() { f(w) })
		}
		if w.present(k) {
			pulse(base + 2e6 + int64(math.Round(w.white*w.r.NormFloat64()+w.noise(k))))
		}
		for _, d := range w.extra(k) {
			pulse(base + 2e6 + int64(d))
		}
		for _, l := range w.labels(k) {
			at := base + 2e6 + int64(l.after)
			label := Label{Time: epochTAI + tai.Time(k+l.shift)*tai.Second, Mono: w.mono(at), Valid: !l.void, Source: l.source, TAcc: l.tacc}
			label.Time += tai.Time(l.within)
			w.queue(at, func() { w.c.Label(label) })
		}
		for i := range 2 {
			w.queue(base+300e6+int64(i)*500e6, w.tick)
		}
		for {
			sort.SliceStable(w.events, func(i, j int) bool { return w.events[i].t < w.events[j].t })
			if len(w.events) == 0 || w.events[0].t >= base+1e9 {
				break
			}
			e := w.events[0]
			w.events = w.events[1:]
			if e.t > w.now {
				w.to(e.t)
			}
			e.f()
		}
		w.y += w.rw*w.r.NormFloat64() + w.drift(k)
		w.x += w.wfm * w.r.NormFloat64()
	}
}

func (w *world) queue(t int64, f func()) { w.events = append(w.events, event{t, f}) }

// truthNS returns the clock's error. In simulated time, the pulse of second k
// comes 2 ms into it, so that nothing precedes it.
func (w *world) truthNS() float64 { return float64(w.big) + w.x + 2e6 }

func (w *world) tick() {
	w.do(w.c.Tick(w.mono(w.now), w.clock(w.now)))
	s := w.c.Status()
	if word := s.State.String() + " " + s.Reason.String(); len(w.states) == 0 || w.states[len(w.states)-1] != word {
		w.states = append(w.states, word)
	}
	for _, v := range [...]float64{s.Bound, s.BoundRate, s.EstNS, s.NoiseNS, s.FreqPPB, s.DriftPPB, s.OffsetNS, s.WalkFM} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			w.t.Fatalf("second %d: status is not finite: %+v", w.now/1e9, s)
		}
	}
	if s.State != status.Locked && s.State != status.Holdover {
		return
	}
	e := math.Abs(w.truthNS())
	w.readings++
	if e > s.Bound {
		w.uncovered++
	}
	w.offset = append(w.offset, e)
	w.bound = append(w.bound, s.Bound)
}

// since drops the errors and bounds observed so far.
func (w *world) since() { w.offset, w.bound = nil, nil }

func rms(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x * x
	}
	return math.Sqrt(s / float64(len(v)))
}

func quantile(v []float64, q float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[int(q*float64(len(s)-1))]
}

// covered checks that the bound contains the error. slack is the number of
// seconds that it cannot, the first after a jump.
func (w *world) covered(slack int) {
	w.t.Helper()
	if w.readings == 0 {
		w.t.Error("never locked")
	}
	if float64(w.uncovered-2*slack) > 0.001*float64(w.readings) {
		w.t.Errorf("true error outside the bound in %d of %d readings", w.uncovered, w.readings)
	}
}
