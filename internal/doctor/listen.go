package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"noonmark/phc"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/pps"
	receiverport "noonmark/refclock/receiver"
)

// heard is what a pulse source delivered.
type heard struct {
	edges []int64 // CLOCK_MONOTONIC_RAW of the edges themselves, ns
	err   error   // the first, of opening or of reading
	note  string  // what the driver granted
}

// listenPulses takes edges for a while. at gives CLOCK_MONOTONIC_RAW of an edge.
func listenPulses(ctx context.Context, src pps.Source, at func(pps.Edge) (int64, error), d time.Duration) (h heard) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil {
		e, err := src.Next(ctx)
		if errors.Is(err, pps.ErrNoPulse) {
			continue
		}
		var m int64
		if err == nil {
			m, err = at(e)
		}
		if err != nil {
			if ctx.Err() == nil {
				h.err = err
			}
			return h
		}
		h.edges = append(h.edges, m)
	}
	return h
}

// edgeTime returns how the edges of a source come onto CLOCK_MONOTONIC_RAW:
// by one reading of the clock they were stamped with.
func edgeTime(cross func() (phc.Cross, error)) func(pps.Edge) (int64, error) {
	return func(e pps.Edge) (int64, error) {
		x, err := cross()
		if err != nil {
			return 0, err
		}
		now := x.Real
		if e.Scale == pps.Clock {
			now = int64(x.Clock)
		}
		return x.Mono - (now - e.Stamp), nil
	}
}

// pulseFindings judges the pulses of a time of listening.
func pulseFindings(h heard, d time.Duration) []Finding {
	const wiring = "check that the receiver has a fix (many give no pulse without), the wire from its time pulse to the pin, and pulse.edge"
	secs := d.Seconds()
	n := float64(len(h.edges))
	switch {
	case h.err != nil && len(h.edges) == 0:
		return []Finding{bad("edges", "", "%v", h.err)}
	case n == 0:
		return []Finding{bad("edges", wiring, "no pulse in %v", d)}
	case n < secs-1.5:
		return []Finding{warn("edges", "look for a loose wire; a receiver without a fix may leave pulses out", "%.0f pulses in %v%s", n, d, h.note)}
	case n > secs+1.5:
		return []Finding{bad("edges", "set the receiver to one pulse a second; if the card stamps both edges, set pulse.width to the pulse's length", "%.0f pulses in %v: more than one a second%s", n, d, h.note)}
	}
	worst := int64(0)
	for i := 1; i < len(h.edges); i++ {
		g := (h.edges[i] - h.edges[i-1]) % 1e9
		worst = max(worst, min(g, 1e9-g))
	}
	if worst > int64(time.Millisecond) {
		return []Finding{warn("edges", "another signal may be on the pin", "%.0f pulses in %v, up to %v away from one second%s", n, d, time.Duration(worst), h.note)}
	}
	return []Finding{good("edges", "%.0f pulses in %v, one second apart within %v%s", n, d, time.Duration(worst).Round(100*time.Nanosecond), h.note)}
}

// spoken is what a receiver said.
type spoken struct {
	bytes              int
	seen               gnss.Counters
	sources            map[string]int
	labels, valid      int // messages that tell a time of day; of these, good ones
	rolled, unresolved bool
	fix                gnss.Fix
	sats               int
	firsts             []int64 // CLOCK_MONOTONIC_RAW of the first message of each second
	last               [3]int
}

func (s *spoken) message(m *gnss.Message) {
	s.sources[m.Source]++
	if m.Fix != gnss.FixUnknown {
		s.fix = m.Fix
	}
	if m.HasSats {
		s.sats = m.Sats
	}
	s.rolled = s.rolled || m.Rollover != 0
	s.unresolved = s.unresolved || m.UTCUnresolved
	if !m.HasTimeOfDay {
		return
	}
	s.labels++
	if m.Valid {
		s.valid++
	}
	if at := [3]int{m.Hour, m.Minute, m.Second}; at != s.last || len(s.firsts) == 0 {
		s.last = at
		s.firsts = append(s.firsts, m.Mono)
	}
}

// listenPort reads a receiver for a while.
func listenPort(ctx context.Context, r io.Reader, mono func() int64, d time.Duration) (s spoken, err error) {
	s.sources = map[string]int{}
	dec := registry.NewDecoder(gnss.Config{NotBefore: gnss.BuildDate()})
	var buf [1024]byte
	for end := mono() + int64(d); ctx.Err() == nil && mono() < end; {
		n, err := r.Read(buf[:])
		if n > 0 {
			s.bytes += n
			dec.Feed(buf[:n], mono(), s.message)
		}
		if err != nil {
			s.seen = dec.Counters()
			return s, err
		}
	}
	s.seen = dec.Counters()
	return s, nil
}

// framed reports whether anything was understood.
func (s spoken) framed() bool { return s.seen.AllFrames() > 0 }

// hearAt is long enough for a receiver that speaks once a second.
const hearAt = 1200 * time.Millisecond

// findRate tries other rates on a port whose bytes make no sense; 0 if none does.
func findRate(ctx context.Context, open func(baud int) (io.ReadCloser, error), mono func() int64, not int) int {
	for _, baud := range receiverport.Rates() {
		if baud == not || ctx.Err() != nil {
			continue
		}
		p, err := open(baud)
		if err != nil {
			continue // not every port has every rate
		}
		s, _ := listenPort(ctx, p, mono, hearAt)
		p.Close()
		if s.framed() {
			return baud
		}
	}
	return 0
}

// dated are the messages that tell time and date.
var dated = []string{"RMC", "ZDA", "NAV-PVT", "NAV-TIMEUTC", "NAV-TIMEGPS", "NAV-SOL"}

// messageFindings judges what a receiver said. rate is where else it was found,
// 0 if it was not looked for or not found.
func messageFindings(s spoken, baud, rate int, d time.Duration) []Finding {
	const check = "messages"
	switch {
	case s.bytes == 0:
		return []Finding{bad(check, "check the receiver's power, that its TX goes to the port's RX, and that the port is the right one", "the receiver says nothing in %v", d)}
	case !s.framed() && rate != 0:
		return []Finding{bad("baud", fmt.Sprintf("set receiver.baud = %d", rate), "the receiver speaks at %d baud, the configuration says %d", rate, baud)}
	case !s.framed():
		return []Finding{bad("baud", "set receiver.baud to the receiver's rate, and the receiver to NMEA or UBX", "%d bytes came at %d baud and none makes sense", s.bytes, baud)}
	}
	var names []string
	for n, c := range s.sources {
		names = append(names, fmt.Sprintf("%s %d", n, c))
	}
	slices.Sort(names)
	out := []Finding{good(check, "in %v: %s", d, strings.Join(names, ", "))}
	dating := slices.ContainsFunc(dated, func(n string) bool { return s.sources[n] > 0 })
	switch {
	case !dating:
		out = append(out, bad(check, "let the receiver send RMC or ZDA, or UBX-NAV-PVT", "no message tells time and date"))
	case s.valid == 0:
		out = append(out, warn("fix", "give the antenna a free view of the sky; a cold start takes up to 15 minutes", "the receiver tells no valid time (fix: %v, %d satellites)", s.fix, s.sats))
	default:
		out = append(out, good("fix", "%v, %d satellites, %d of %d labels valid", s.fix, s.sats, s.valid, s.labels))
	}
	if s.rolled {
		out = append(out, bad("fix", "update the receiver's firmware, or replace it: its week counter has run over", "the receiver's date is a multiple of 1024 weeks old"))
	}
	if s.unresolved {
		out = append(out, warn("fix", "wait 12.5 minutes with a view of the sky", "the receiver does not know the leap seconds yet"))
	}
	var refused []string
	for _, r := range [...]gnss.Reason{gnss.BadChecksum, gnss.Noise} {
		if n := s.seen.Of(r); n > 0 {
			refused = append(refused, fmt.Sprintf("%v %d", r, n))
		}
	}
	// The rest of a sentence at the start is no noise.
	if n := s.seen.Of(gnss.BadChecksum); n > 1 || s.seen.Of(gnss.Noise) > 128 {
		out = append(out, warn("baud", "a wrong rate, a long line, or a receiver that says more than fits", "damaged input: %s", strings.Join(refused, ", ")))
	}
	load := float64(s.bytes) * 10 / d.Seconds() / float64(baud)
	switch {
	case load > 0.8:
		out = append(out, warn("baud", "raise the receiver's rate and receiver.baud, or turn messages off", "the line is busy for %.0f %% of the time at %d baud: messages come late", load*100, baud))
	default:
		out = append(out, good("baud", "%d baud, busy for %.0f %% of the time", baud, load*100))
	}
	return out
}

// latencyFinding tells how long after its pulse a second's first message comes.
func latencyFinding(edges, firsts []int64) (Finding, bool) {
	lo, hi, n := int64(1e9), int64(0), 0
	for i, m := range firsts {
		if i == 0 { // may have begun before we listened
			continue
		}
		after := int64(-1)
		for _, e := range edges {
			if d := m - e; d >= 0 && (after < 0 || d < after) {
				after = d
			}
		}
		if after >= 0 && after < 1e9 {
			lo, hi, n = min(lo, after), max(hi, after), n+1
		}
	}
	if n == 0 {
		return Finding{}, false
	}
	a, b := time.Duration(lo).Round(time.Millisecond), time.Duration(hi).Round(time.Millisecond)
	if hi > 900e6 {
		return warn("latency", "raise the baud rate or turn messages off: they run into the next second", "messages come %v to %v after their pulse", a, b), true
	}
	return good("latency", "messages come %v to %v after their pulse", a, b), true
}
