package gnss

import "time"

const (
	// loadTime is over how long the load of a port is measured: ten bursts, so
	// that messages sent every tenth second count as they should.
	loadTime = 10 * time.Second
	// LoadFull is the part of a port's capacity from which its messages come
	// late: the burst about one second is hardly over when the next begins, and
	// receivers drop what they have no room for.
	LoadFull = 0.85
	// loadReal is more than a serial line can carry: a port on which that much
	// comes has no rate, as that of a receiver with its own USB.
	loadReal = 1.02
)

// Load measures how full the receiver's port is. The zero value is ready; the
// owner of the port asks Next after every read.
type Load struct {
	begun  bool
	since  int64
	octets uint64
	baud   int
}

// Next takes the Decoder's counters at mono (ns), the port being at baud. When
// ten seconds are over it returns the part of the port's capacity that was used,
// 0 to 1, a character being ten bits long; ok is false otherwise, and where the
// port has no rate.
func (l *Load) Next(c *Counters, baud int, mono int64) (part float64, ok bool) {
	if !l.begun || l.baud != baud {
		*l = Load{begun: true, since: mono, octets: c.Octets, baud: baud}
		return 0, false
	}
	took := mono - l.since
	if took < int64(loadTime) || baud <= 0 {
		return 0, false
	}
	part = float64(c.Octets-l.octets) * 10 / float64(baud) / (float64(took) / 1e9)
	l.since, l.octets = mono, c.Octets
	return part, part <= loadReal
}
