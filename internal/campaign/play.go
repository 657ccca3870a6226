package campaign

import (
	"fmt"
	"math"
	"slices"
	"time"

	"noonmark/internal/replay"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Outcome is what a played site came to.
type Outcome struct {
	Failure    string // what does not hold; empty: all does
	Coincident bool   // the wrong second was served, and it looked like the right one
	Played     int    // s
	Served     int    // s
	FirstRight int    // the first second that was served right, 0: none
}

const (
	// latency is how long the time served may be outside of its bound in succession, s:
	// what the detection of a jump or a drift takes.
	latency = 5
	// wrongSecond is the error from which the second is wrong, ns.
	wrongSecond = 300e6
	// servedFor is for how long a site must be served in the end, s.
	servedFor = 45
)

// Play plays the site until it is served without faults, or should be.
func (s *Site) Play() (Outcome, error) {
	x := s.site()
	sc, err := x.Scenario(fmt.Sprintf("seed %d", s.Seed), s.Start)
	if err != nil {
		return Outcome{}, err
	}
	sc.Config.Talker, sc.Config.Rates = s.talk(sc.Config.Clock.Truth, s.Leap.table(s.Start)), s.Rates
	l, err := sc.Loop(s.Seed)
	if err != nil {
		return Outcome{}, err
	}
	w := watcher{site: s, quiet: s.quiet()}
	l.RowsWhile(time.Duration(s.end())*time.Second, w.row)
	return w.end(), nil
}

// watcher judges the seconds of a run.
type watcher struct {
	site  *Site
	quiet int
	out   Outcome

	age     int // seconds locked with this lock, until pulses are displaced
	since   int // the first second of what is served in succession, 0: nothing is
	outside int // seconds outside of the bound in succession
}

// row takes a second, and reports whether there is more to be seen.
func (w *watcher) row(r sim.Row) bool {
	k := int(r.T)
	w.out.Played = k
	w.locked(k, r.State)
	if !r.Usable {
		w.since, w.outside = 0, 0
		return true
	}
	w.out.Served++
	if w.since == 0 {
		w.since = k
	}
	off := math.Abs(float64(r.UTCNS))
	switch {
	case off > float64(r.Bound) && off < 1e9-1e6 && w.expected(k):
		w.outside = 0
	case off >= wrongSecond && off < 1.1e9 && w.lockedWhileLate():
	case off >= wrongSecond && off < 1.1e9 && w.site.unseen(k):
	case off >= wrongSecond && w.site.coincident():
		w.out.Coincident = true
		return false
	case off >= wrongSecond:
		w.out.Failure = fmt.Sprintf("the wrong second is served at %d s, %.3f s off: %s (%s)", k, float64(r.UTCNS)*1e-9, r.State, r.Reason)
		return false
	case off <= float64(r.Bound):
		w.outside = 0
		if w.out.FirstRight == 0 {
			w.out.FirstRight = k
		}
	default:
		if w.outside++; w.outside > latency {
			w.out.Failure = fmt.Sprintf("outside of the bound at %d s, by %.0f ns with a bound of %v: %s (%s)", k, off, r.Bound, r.State, r.Reason)
			return false
		}
	}
	return k < w.quiet+30 || k-w.since < servedFor || w.outside > 0
}

// lockedWhileLate reports whether what is served was locked while all labels came a
// second late, or were a second ahead, and nothing but a witness showed that.
func (w *watcher) lockedWhileLate() bool {
	return !shown(w.site) && slices.ContainsFunc(w.site.Faults, func(f Fault) bool {
		return (f.Kind == Late || f.Kind == Ahead) && w.since >= f.From && w.since <= f.To+10
	})
}

// locked follows for how long pulses where seconds begin were measured.
func (w *watcher) locked(k int, s status.State) {
	for _, x := range w.site.displaced() {
		if k >= int(x.At.Seconds()) {
			return
		}
	}
	switch s {
	case status.Locked:
		w.age++
	case status.Unlocked, status.Acquiring:
		w.age = 0 // the lock is lost
	}
}

// expected reports whether nothing shows at second k that the pulses are displaced.
// Either they are so for longer than the lock had lasted before, which was young: of two
// contradicting pieces of evidence the longer one counts, until the right one is
// longer again. Or they drift, and nothing tells that from an oscillator that changes.
// When they come back, that shows it.
func (w *watcher) expected(k int) bool {
	return slices.ContainsFunc(w.site.displaced(), func(x replay.Shift) bool {
		from, to := int(x.At.Seconds()), int(x.At.Seconds()+3*min(x.For.Seconds(), 1e6))+60
		return k >= from && k <= to && w.age < 600 && float64(w.age) < 1.2*x.For.Seconds()
	}) || slices.ContainsFunc(w.site.Pulse.Drifts, func(x replay.Shift) bool {
		return w.site.hidden(x) && k >= int(x.At.Seconds()) && k <= int((x.At+x.For).Seconds())+latency
	})
}

const (
	// slow is the slope, ns/s, up to which temperature turns crystals over 40 s as well:
	// 1 ppb/s.
	slow = 80
	// slowAtFirst is the same while a run learns the noise of the oscillators: that of a
	// drift which single pulses do not show.
	slowAtFirst = 250
	learning    = 2 * time.Minute
	// remembered is for how long the bound contains a drift that is followed, 40 s but
	// for its detection.
	remembered = 30 * time.Second
)

// hidden reports whether the pulses drift as the oscillators may (docs/error-bound.md):
// for longer than the bound contains, where there is one oscillator or they drift
// slowly.
func (s *Site) hidden(x replay.Shift) bool {
	most := float64(slow)
	for _, at := range append([]int{0}, s.Restarts...) {
		if d := x.At - time.Duration(at)*time.Second; d >= 0 && d < learning {
			most = slowAtFirst
		}
	}
	return x.For > remembered && (s.System.Steered || math.Abs(x.NS) < most)
}

// displaced are the stretches of time in which pulses are not where seconds begin.
func (s *Site) displaced() []replay.Shift { return slices.Concat(s.Pulse.Jumps, s.Pulse.Drifts) }

// displacedForEver reports whether pulses stay where they jumped, farther than the bound
// may be, and the lock before stood on so many that they do not outweigh it. When its
// holdover is spent, nothing is served.
func (w *watcher) displacedForEver() bool {
	const limit = 95e3 // ns: the bound may have 100 us, of which some are not for the jump
	return w.age >= provisional && slices.ContainsFunc(w.site.Pulse.Jumps, func(x replay.Shift) bool {
		return x.For > time.Hour && math.Abs(x.NS) > limit
	})
}

// end concludes.
func (w *watcher) end() Outcome {
	if w.out.Failure == "" && !w.out.Coincident && w.since == 0 && w.site.servable() && !w.displacedForEver() {
		w.out.Failure = fmt.Sprintf("not served at the end, %d s after the last fault", w.out.Played-w.quiet)
	}
	return w.out
}
