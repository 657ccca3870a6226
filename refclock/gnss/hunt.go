package gnss

import (
	"slices"
	"time"
)

// Rates returns the rates a receiver may be found at, the likely ones first:
// the factory settings of u-blox up to generation 8 (9600), of generation 9
// (38400), of timing boards and Quectel (115200), of old NMEA (4800).
func Rates() []int { return []int{9600, 38400, 115200, 4800, 57600, 19200, 230400, 460800, 921600} }

const (
	// huntWait is how long a rate is listened at: two bursts of a receiver that
	// speaks once a second, however the first is cut.
	huntWait = 2500 * time.Millisecond
	// huntFrames is how many good frames make a rate the right one. Two random
	// checksums of 8 and 16 bit are most unlikely in the noise of a wrong rate.
	huntFrames = 2
	// huntLost is the time without a good frame from which a rate once found is
	// doubted, if bytes still come: the receiver has been set to another.
	huntLost = 15 * time.Second
)

// Hunt finds the rate of a serial port by listening. The owner of the port
// asks Next after every read, also after one that gave nothing.
type Hunt struct {
	rates  []int
	at     int
	found  bool
	begun  bool
	since  int64 // mono of the last change of rate or good frame
	frames uint64
	noise  uint64
	was    uint64 // frames at the last call
}

// NewHunt returns a Hunt over these rates; at least one is needed.
func NewHunt(rates []int) *Hunt { return &Hunt{rates: slices.Clone(rates)} }

// Rate returns the rate to be at.
func (h *Hunt) Rate() int { return h.rates[h.at] }

// Found reports whether frames are coming at this rate.
func (h *Hunt) Found() bool { return h.found }

// Next takes the Decoder's counters at mono (ns) and reports whether the port
// is to change to another Rate. The Decoder should be Reset then.
func (h *Hunt) Next(c *Counters, mono int64) (change bool) {
	frames := c.NMEA + c.UBX
	noise := c.Of(Noise) + c.Of(BadCharacter) + c.Of(BadChecksum)
	if !h.begun {
		h.begun, h.since, h.frames, h.was, h.noise = true, mono, frames, frames, noise
	}
	if frames > h.was {
		h.was = frames
		if h.found = h.found || frames-h.frames >= huntFrames; h.found {
			h.since, h.noise = mono, noise
		}
	}
	wait := huntWait
	if h.found {
		wait = huntLost
		if noise == h.noise {
			return false // silence says nothing about the rate
		}
	}
	if mono-h.since < int64(wait) || len(h.rates) == 1 {
		return false
	}
	h.at = (h.at + 1) % len(h.rates)
	h.found, h.since, h.frames, h.was, h.noise = false, mono, frames, frames, noise
	return true
}
