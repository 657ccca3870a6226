package refclock

import "math"

// owed is what the clock lags behind the corrections that were wished, because
// the device has them in coarse steps only: a wish of 0.3 ppb on a card with
// steps of 1 ppb is no correction at all, for hours in holdover. It is made up
// for by a step more now and then, so that the mean is what was wished. The
// discipline measures a clock on which every wish came true; the bound tells how
// far that is from the real one.
type owed struct {
	wish   float64       // ppb
	run    [owedRuns]run // since the corrections in force, the last first
	making bool          // it is being made up for
}

// run is a stretch of time with one correction in force.
type run struct {
	mono int64   // its beginning
	ns   float64 // owed then, + = the clock is to gain
	ppb  float64 // by which that grows
}

// owedRuns is how many of them are remembered: an edge is heard of up to 0.3 s
// late, and there are five looks a second and two steers with a pulse.
const owedRuns = 8

const (
	owedMost = 0.5  // ns: from here it is made up for,
	owedRest = 0.05 // ns: until it is no more than that
)

// at returns what was owed at an instant, ns.
func (o *owed) at(mono int64) float64 {
	for _, r := range o.run {
		if mono >= r.mono {
			return r.ns + r.ppb*float64(mono-r.mono)*1e-9
		}
	}
	return 0
}

// due returns the correction that makes up, within a second, for what is owed
// now, ppb.
func (o *owed) due(now int64) float64 {
	ns := o.at(now)
	o.making = math.Abs(ns) >= owedMost || o.making && math.Abs(ns) >= owedRest
	if !o.making {
		return 0
	}
	return ns
}

// set tells what was wished and what came into force.
func (o *owed) set(now int64, wish, inForce float64) {
	ns := o.at(now)
	copy(o.run[1:], o.run[:])
	o.run[0] = run{now, ns, wish - inForce}
	o.wish = wish
}

// clear forgets: nothing is owed now, and what is in force is what is wished.
func (o *owed) clear(now int64, inForce float64) {
	*o = owed{wish: inForce, run: [owedRuns]run{{mono: now}}}
}

// bound returns how far the real clock is from the wished one, ns, and by how
// much that grows, ns/s, if nobody steers any more.
func (o *owed) bound(now int64) (ns, rate float64) {
	return math.Abs(o.at(now)), math.Abs(o.run[0].ppb)
}
