// Package campaign plays random sites into the daemon's engine, in virtual time:
// receivers, pulses, system clocks, faults and restarts that nobody chose. Nothing
// may be served outside of the published bound for longer than detection takes, and a
// good receiver must be served again, whatever was before.
package campaign

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"noonmark/internal/replay"
)

// Site is a random site. Everything about it follows from its seed, and from what
// Shrink left out.
type Site struct {
	Seed  uint64
	Start time.Time

	Receiver Receiver
	Faults   []Fault
	Pulse    Pulse
	System   System
	Restarts []int // s
	Leap     Leap
	Rates    []int // that the program tries; none: it has the receiver's
	Proof    bool  // leap.prove = "always"
}

// System is the site's system clock.
type System struct {
	Offset  time.Duration // from true UTC
	PPM     float64       // by which it is fast
	NoRTC   bool          // it is 40 years behind
	Kept    bool          // another program disciplines it
	Steered bool          // it is the clock to be disciplined
}

// Pulse is what is unusual about the site's pulses.
type Pulse struct {
	BothEdges  bool
	Width      time.Duration
	WidthKnown bool
	Absent     []replay.Span
	Jumps      []replay.Shift
	Drifts     []replay.Shift
}

// Fault is a misbehaviour of the receiver between two seconds.
type Fault struct {
	Kind     FaultKind
	From, To int // s
}

// FaultKind is a kind of Fault.
type FaultKind uint8

// The kinds of fault.
const (
	Silent  FaultKind = iota // nothing is sent
	Garbage                  // random octets
	Lossy                    // half of the messages are missing
	Void                     // there is no fix
	Late                     // messages come 0.8 to 1.7 s after their second
	Cold                     // no fix for its time, and the leap count is stale again afterwards
	Ahead                    // labels are a second ahead
	numFaultKinds
)

var faultNames = [...]string{"silent", "garbage", "lossy", "void", "late", "cold", "ahead"}

// String names the kind.
func (k FaultKind) String() string { return faultNames[min(int(k), len(faultNames)-1)] }

// almanac is how long a receiver may wait for the leap count, s.
const almanac = 13 * 60

// Draw returns the site of a seed.
func Draw(seed uint64) *Site {
	r := rand.New(rand.NewPCG(seed, 0x63616d70))
	s := &Site{Seed: seed, Start: time.Date(2026, 11, 5+r.IntN(200), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)}
	s.Receiver.draw(r)
	s.System.draw(r)
	s.Pulse.draw(r, s.System.Steered)
	if r.IntN(4) == 0 { // the program does not know the rate
		s.Rates = []int{9600, 38400, 115200, 4800, 57600, 19200}
		if r.IntN(2) == 0 {
			s.Receiver.Rebaud, s.Receiver.RebaudAt = pick(r, 9600, 19200, 38400, 57600, 115200), 100+r.IntN(500)
		}
	}
	s.Proof = r.IntN(12) == 0
	if r.IntN(3) == 0 {
		for at := 60 + r.IntN(600); len(s.Restarts) < 1+r.IntN(3); at += 1 + r.IntN(300) {
			s.Restarts = append(s.Restarts, at)
		}
	}
	if n := len(s.Restarts); n > 0 && r.IntN(2) == 0 { // the pulses move around a restart
		at := time.Duration(s.Restarts[n-1]-20+r.IntN(60)) * time.Second
		for _, x := range [][]replay.Shift{s.Pulse.Jumps, s.Pulse.Drifts} {
			for i := range x {
				x[i].At = at
			}
		}
	}
	at := s.Receiver.learned()
	for range r.IntN(4) {
		f := Fault{Kind: FaultKind(r.IntN(int(numFaultKinds))), From: at + 5 + r.IntN(200)}
		f.To = f.From + 1 + r.IntN(60)
		if f.Kind == Cold { // no receiver finds satellites sooner without almanac and time
			f.To += 20
		}
		// What is wrong from the start until the lock, and nothing else shows, is served.
		if (f.Kind == Late || f.Kind == Ahead) && f.From < s.lockedBy()+30 {
			f.From += s.lockedBy() + 30
			f.To += s.lockedBy() + 30
		}
		at = f.To
		s.Faults = append(s.Faults, f)
	}
	if x := &s.Receiver; x.Stale != 0 && shown(s) && seed%2 == 0 {
		x.Forever = true // the system clock shows it, to the end
	}
	return s
}

// draw draws a system clock.
func (c *System) draw(r *rand.Rand) {
	ms := func(n int) time.Duration { return time.Duration(r.IntN(2*n+1)-n) * time.Millisecond }
	c.Steered = r.IntN(6) == 0
	switch r.IntN(6) {
	case 0:
		c.NoRTC = true
	case 1:
		c.Kept, c.Offset = !c.Steered, ms(40)
	case 2:
		c.Offset = ms(10)
	case 3:
		c.Offset = ms(1000)
	case 4:
		c.Offset = ms(20000)
	case 5: // near a whole second, as a wrong label may be
		c.Offset = time.Duration(r.IntN(9)-4)*time.Second + ms(60)
	}
	if !c.Kept && !c.Steered {
		c.PPM = math.Round(300*(2*r.Float64()-1)) / 10
	}
}

// draw draws pulses.
func (p *Pulse) draw(r *rand.Rand, steered bool) {
	span := func(most int) time.Duration { return time.Duration(1+r.IntN(most)) * time.Second }
	at := func() time.Duration {
		if r.IntN(2) == 0 {
			return time.Duration(r.IntN(700)) * time.Second
		}
		return time.Duration(700+r.IntN(1500)) * time.Second
	}
	sign := float64(2*r.IntN(2) - 1)
	switch r.IntN(8) {
	case 0:
		if !steered { // the kernel stamps one edge
			p.BothEdges, p.Width, p.WidthKnown = true, time.Duration(10+r.IntN(900))*time.Millisecond, r.IntN(3) > 0
		}
	case 1:
		from := at()
		p.Absent = []replay.Span{{From: from, To: from + span(120)}}
	case 2:
		p.Jumps = []replay.Shift{{At: at(), For: span(200), NS: sign * math.Round(math.Pow(10, 3+5.4*r.Float64()))}}
	case 3: // for ever
		p.Jumps = []replay.Shift{{At: at(), For: 24 * time.Hour, NS: sign * math.Round(math.Pow(10, 3+5.4*r.Float64()))}}
	case 4:
		p.Drifts = []replay.Shift{{At: at(), For: span(120), NS: sign * math.Round(math.Pow(10, 0.5+3*r.Float64()))}}
	}
}

// quiet is when nothing is wrong any more, s.
func (s *Site) quiet() int {
	q := max(s.Receiver.learned(), s.Receiver.RebaudAt)
	if s.Receiver.Stale < 0 {
		q += almanac // labels that move ahead begin the wait anew
	}
	after := func(d time.Duration) { q = max(q, int(d/time.Second)) }
	for _, f := range s.Faults {
		q = max(q, f.To)
		if f.Kind == Cold {
			q = max(q, f.To+s.Receiver.Learns)
		}
	}
	for _, x := range s.Pulse.Absent {
		after(x.To)
	}
	for _, x := range slices.Concat(s.Pulse.Jumps, s.Pulse.Drifts) {
		if x.For < time.Hour {
			// For as long as they lasted the opposite must be seen, at most.
			after(x.At + 2*x.For)
		} else {
			after(x.At)
		}
	}
	for _, at := range s.Restarts {
		q = max(q, at)
	}
	return q
}

// lockedBy is by when a site without faults is locked, s.
func (s *Site) lockedBy() int {
	last := max(s.Receiver.learned(), s.Receiver.RebaudAt)
	for _, at := range s.Restarts {
		last = max(last, at)
	}
	return last + almanac + 60
}

// end is by when the site must be served, s.
func (s *Site) end() int {
	end := s.quiet() + almanac + 240
	if len(s.Pulse.Jumps) > 0 {
		end += provisional // pulses that contradict a young lock must last for longer than it
	}
	return end
}

// provisional is up to which age contradicting evidence outweighs a lock, s.
const provisional = 540

// servable reports whether the site must be served in the end.
func (s *Site) servable() bool {
	switch {
	case s.Receiver.wrongForEver(), s.Receiver.Weeks != 0 && (s.System.NoRTC || s.Proof):
		return false
	case s.Receiver.undated(), s.Receiver.neverEvident() && !s.System.Kept, opposed(s):
		return false
	case s.Pulse.BothEdges && (!s.Pulse.WidthKnown || (s.Pulse.Width-time.Second/2).Abs() < 15*time.Millisecond) && !s.System.Kept:
		return false
	case s.Pulse.BothEdges && !s.Pulse.WidthKnown && min(s.Pulse.Width, time.Second-s.Pulse.Width) < 110*time.Millisecond:
		return false // a kept clock, right to 40 ms, cannot tell the edges apart
	case len(s.Pulse.Jumps) > 0 && s.Pulse.Jumps[0].For > time.Hour && (math.Abs(s.Pulse.Jumps[0].NS) > 20e6 || s.System.Kept):
		return false // the limit of the bound, or the other clock
	case slices.ContainsFunc(s.Pulse.Jumps, func(x replay.Shift) bool {
		return x.For > time.Hour && x.NS > float64(s.Receiver.First)
	}):
		return false // some messages come before the pulse of their second, others after it
	}
	return true
}

// coincident reports whether a system clock that nobody keeps agrees by chance with
// labels that are wrong by whole seconds: nothing tells such a site from a good one.
func (s *Site) coincident() bool {
	if s.System.Kept || s.System.NoRTC || s.Proof {
		return false
	}
	return slices.ContainsFunc(s.wrongLabels(), func(k int) bool {
		return meets(s, k, 0, s.end()) || s.Leap.At > 0 && meets(s, k-1, 0, s.end())
	})
}

// wrongLabels are the seconds by which labels are ahead at some time, 0 excepted.
func (s *Site) wrongLabels() (all []int) {
	if x := &s.Receiver; x.Stale != 0 {
		all = append(all, x.Stale)
		if x.has("TIMELS") || x.has("TIMEGPS") { // labels may move before the announced count does
			all = append(all, -x.Stale)
		}
	}
	for _, c := range s.Receiver.Counts {
		if c.Wrong != 0 {
			all = append(all, c.Wrong)
		}
	}
	for _, f := range s.Faults {
		switch f.Kind {
		case Ahead:
			all = append(all, 1, 1+s.Receiver.Stale)
		case Late:
			all = append(all, -1)
		}
	}
	return all
}

// args are the options of refclockctl replay that make the site.
func (s *Site) args() (args []string) {
	add := func(is bool, a ...string) {
		if is {
			args = append(args, a...)
		}
	}
	c, p := &s.System, &s.Pulse
	add(c.NoRTC, "-no-rtc")
	add(!c.NoRTC, "-system", c.Offset.String())
	add(c.PPM != 0, "-system-rate", fmt.Sprint(c.PPM))
	add(c.Kept, "-kept")
	add(c.Steered, "-steer-system")
	add(s.Proof, "-prove")
	add(s.Leap.At != 0, "-leap-at", s.Start.Add(time.Duration(s.Leap.At-1)*time.Second).Format(time.DateOnly), fmt.Sprintf("-leap-known=%v", s.Leap.Known))
	add(true, "-seed", fmt.Sprint(s.Seed))
	add(p.BothEdges, "-both-edges")
	add(p.Width != 0, "-width", p.Width.String())
	add(p.WidthKnown, "-width-known")
	var absent, restarts []string
	for _, x := range p.Absent {
		absent = append(absent, fmt.Sprintf("%g-%g", x.From.Seconds(), x.To.Seconds()))
	}
	for _, at := range s.Restarts {
		restarts = append(restarts, fmt.Sprint(at))
	}
	add(absent != nil, "-no-pulses", strings.Join(absent, ","))
	add(p.Jumps != nil, "-pulse-shift", shifts(p.Jumps))
	add(p.Drifts != nil, "-pulse-drift", shifts(p.Drifts))
	add(restarts != nil, "-restart", strings.Join(restarts, ","))
	return args
}

// shifts is the value of an option.
func shifts(all []replay.Shift) string {
	var out []string
	for _, x := range all {
		out = append(out, fmt.Sprintf("%g:%g:%g", x.At.Seconds(), x.For.Seconds(), x.NS))
	}
	return strings.Join(out, ",")
}

// site is the same for the simulation.
func (s *Site) site() replay.Site {
	leapAt, known := time.Time{}, true
	if s.Leap.At != 0 {
		leapAt, known = s.Start.Add(time.Duration(s.Leap.At-1)*time.Second), s.Leap.Known
	}
	x := replay.Site{System: s.System.Offset, SystemPPM: s.System.PPM, NoRTC: s.System.NoRTC, Kept: s.System.Kept, Steered: s.System.Steered, Prove: s.Proof, LeapAt: leapAt, LeapKnown: known}
	x.Pulse.Absent, x.Pulse.Shifts, x.Pulse.Drifts = s.Pulse.Absent, s.Pulse.Jumps, s.Pulse.Drifts
	x.Pulse.BothEdges, x.Pulse.Width, x.Pulse.WidthKnown = s.Pulse.BothEdges, s.Pulse.Width, s.Pulse.WidthKnown
	for _, at := range s.Restarts {
		x.Restarts = append(x.Restarts, time.Duration(at)*time.Second)
	}
	return x
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }
