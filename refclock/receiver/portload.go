package receiver

import (
	"time"

	"noonmark/refclock/gnss"
)

const (
	// loadPeriod is the period over which the load is measured: ten bursts, so
	// that messages sent every tenth second are weighted correctly.
	loadPeriod = 10 * time.Second
	// loadFull is the fraction of the capacity from which messages come late:
	// the burst of one second ends just before the next begins, and receivers
	// drop what does not fit.
	loadFull = 0.85
	// loadMax is more than a serial line can carry. A port with that load has no
	// rate, such as the receiver's own USB port.
	loadMax = 1.02
)

// portLoad measures which fraction of a port's capacity the receiver uses. The
// zero value is ready. The owner of the port calls Next after every read.
type portLoad struct {
	started bool
	since   int64 // mono, ns
	octets  uint64
	baud    int
}

// Next takes the decoder's counters at mono (ns) of a port at baud. Once every
// ten seconds it returns the fraction of the capacity that was used, 0 to 1, at
// ten bits an octet, and true. It returns false at all other times and for a
// port that has no rate.
func (l *portLoad) Next(c *gnss.Counters, baud int, mono int64) (used float64, ok bool) {
	if !l.started || l.baud != baud {
		*l = portLoad{started: true, since: mono, octets: c.Octets, baud: baud}
		return 0, false
	}
	took := mono - l.since
	if took < int64(loadPeriod) || baud <= 0 {
		return 0, false
	}
	used = float64(c.Octets-l.octets) * 10 / float64(baud) / (float64(took) / 1e9)
	l.since, l.octets = mono, c.Octets
	return used, used <= loadMax
}
