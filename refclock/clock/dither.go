package clock

import "math"

// dither makes up for corrections that the device rounds. With steps of 1 ppb a
// request of 0.3 ppb would be no correction at all, for hours in holdover. So
// one step more is applied now and then, and the mean correction is the one
// requested. The discipline measures a clock on which each request came true;
// bound tells how far that is from the real clock.
type dither struct {
	request float64         // ppb, what the discipline requested last
	span    [ditherKeep]run // spans with one correction in force each, the latest first
	active  bool            // the deficit is being corrected
}

// run is a span of time with one correction in force.
type run struct {
	mono int64   // its beginning
	ns   float64 // deficit at its beginning, + = the clock has to gain
	ppb  float64 // rate at which the deficit grows
}

// ditherKeep is how many spans are kept. An edge arrives up to 0.3 s late, and
// there are five readings a second and two corrections for each pulse.
const ditherKeep = 8

// The deficit, ns, at which making up for it begins, and at which it ends.
const (
	ditherBegin = 0.5
	ditherEnd   = 0.05
)

// at returns the deficit at an instant, ns.
func (d *dither) at(mono int64) float64 {
	for _, r := range d.span {
		if mono >= r.mono {
			return r.ns + r.ppb*float64(mono-r.mono)*1e-9
		}
	}
	return 0
}

// due returns the correction that makes up for the present deficit within a
// second, ppb.
func (d *dither) due(now int64) float64 {
	ns := d.at(now)
	d.active = math.Abs(ns) >= ditherBegin || d.active && math.Abs(ns) >= ditherEnd
	if !d.active {
		return 0
	}
	return ns
}

// set notes what was requested and what came into force.
func (d *dither) set(now int64, request, inForce float64) {
	ns := d.at(now)
	copy(d.span[1:], d.span[:])
	d.span[0] = run{now, ns, request - inForce}
	d.request = request
}

// clear forgets the deficit: what is in force is what was requested.
func (d *dither) clear(now int64, inForce float64) {
	*d = dither{request: inForce, span: [ditherKeep]run{{mono: now}}}
}

// bound returns the distance between the real clock and the requested one, ns,
// and its growth, ns/s, if nobody steers any more.
func (d *dither) bound(now int64) (ns, rate float64) {
	return math.Abs(d.at(now)), math.Abs(d.span[0].ppb)
}
