package server

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/server/transport"
)

// arrival returns the best receive timestamp of a datagram: of the card's clock
// if that is the served clock and the timestamp is plausible, else of the
// kernel, else the time at which the batch was read. real and mono are
// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW now, ns.
func (w *worker) arrival(p *transport.Packet, real, mono int64) Arrival {
	soft, ok := realtimeToMono(p.SoftStamp, real, mono)
	ok = ok && w.steady
	if p.HardStamp != 0 && w.resp.View.IsPHC(p.PHC) {
		latest, maxAge := mono, maxStampAge
		if ok {
			latest, maxAge = soft, maxKernelLag
		}
		if at, ok := plausibleHardStamp(p.HardStamp, w.resp.View.clockAt(latest), maxAge); ok {
			w.tally.hardStamps++
			return Arrival{Hard: at}
		}
	}
	if ok {
		w.tally.softStamps++
		return Arrival{Mono: soft}
	}
	w.tally.unstamped++
	return Arrival{Mono: mono}
}

const (
	// maxStampAge is the largest age of a receive timestamp: datagrams do not wait
	// longer in a socket that is served.
	maxStampAge = time.Second
	// maxKernelLag is the largest time from the card's timestamp to the kernel's:
	// interrupts and their handlers may have to wait.
	maxKernelLag = 10 * time.Millisecond
	// maxStampAhead is how far a timestamp may seem to be in the future.
	maxStampAhead = time.Millisecond
)

// realtimeToMono converts a timestamp of CLOCK_REALTIME to CLOCK_MONOTONIC_RAW,
// given both clocks now; all in ns. ok is false for a timestamp in the future or
// older than maxStampAge: there is none, or the clock was stepped.
func realtimeToMono(stamp, real, mono int64) (at int64, ok bool) {
	age := real - stamp
	if age < -int64(maxStampAhead) || age > int64(maxStampAge) {
		return 0, false
	}
	return mono - age, true
}

// plausibleHardStamp accepts a hardware receive timestamp (ns) if it is a
// plausible reading of the served clock, which read latest when the kernel had
// the datagram: a card whose clock was just stepped gives others. A timestamp
// that is too late adds to the delay that the client measures; one that is too
// early takes from it.
func plausibleHardStamp(stamp int64, latest tai.Time, maxAge time.Duration) (tai.Time, bool) {
	t := tai.Time(stamp)
	return t, t <= latest.Add(maxStampAhead) && latest.Sub(t) < maxAge
}
