package receiver

import (
	"slices"
	"time"

	"noonmark/refclock/gnss"
)

// Rates returns the baud rates of receivers, the likely ones first: the factory
// settings of u-blox up to generation 8 (9600), of generation 9 (38400), of
// timing boards and Quectel (115200), of old NMEA (4800).
func Rates() []int { return []int{9600, 38400, 115200, 4800, 57600, 19200, 230400, 460800, 921600} }

const (
	// scanDwell is how long each rate is tried: two bursts of a receiver that
	// sends once a second, also if the first one is cut.
	scanDwell = 2500 * time.Millisecond
	// scanFrames is the number of valid frames that identify the rate. In the
	// noise of a wrong rate, two checksums of 8 and 16 bits rarely match.
	scanFrames = 2
	// scanLost is the time without a valid frame, while octets arrive, after
	// which a rate once found is given up: the receiver was set to another.
	scanLost = 15 * time.Second
)

// baudScan finds the rate of a serial port by listening. The owner of the port
// calls Next after every read, also after one that returned nothing.
type baudScan struct {
	rates      []int
	at         int
	found      bool
	started    bool
	since      int64  // mono of the last change of rate or valid frame
	frames     uint64 // at the last change of rate
	noise      uint64 // at since
	lastFrames uint64 // at the last call
}

// newBaudScan returns a scan over these rates, at least one, in this order.
func newBaudScan(rates []int) *baudScan { return &baudScan{rates: slices.Clone(rates)} }

// Rate returns the rate that the port should have.
func (b *baudScan) Rate() int { return b.rates[b.at] }

// Found reports whether valid frames arrive at this rate.
func (b *baudScan) Found() bool { return b.found }

// Next takes the decoder's counters at mono (ns). It returns true if the port
// should change to a new Rate; the caller then also resets the decoder.
func (b *baudScan) Next(c *gnss.Counters, mono int64) (change bool) {
	frames := c.AllFrames()
	noise := c.Of(gnss.Noise) + c.Of(gnss.BadCharacter) + c.Of(gnss.BadChecksum)
	if !b.started {
		b.started, b.since, b.frames, b.lastFrames, b.noise = true, mono, frames, frames, noise
	}
	if frames > b.lastFrames {
		b.lastFrames = frames
		if b.found = b.found || frames-b.frames >= scanFrames; b.found {
			b.since, b.noise = mono, noise
		}
	}
	dwell := scanDwell
	if b.found {
		dwell = scanLost
		if noise == b.noise {
			return false // a silent receiver does not show its rate
		}
	}
	if mono-b.since < int64(dwell) || len(b.rates) == 1 {
		return false
	}
	b.at = (b.at + 1) % len(b.rates)
	b.found, b.since, b.frames, b.lastFrames, b.noise = false, mono, frames, frames, noise
	return true
}
