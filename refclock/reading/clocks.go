// Package reading has the readings of all clocks at one instant, as the rooms that
// judge the receiver's statements take them.
package reading

import (
	"time"

	"noonmark/phc/tai"
)

// Clocks are the clocks' readings at one instant.
type Clocks struct {
	Mono     int64         // the instant: CLOCK_MONOTONIC_RAW, ns
	Clock    tai.Time      // the clock to be disciplined; 0: there is none
	Tracked  bool          // it is locked or in holdover, so Clock is right
	Unlocked bool          // it is unlocked or acquiring: there is no lock yet
	Latency  time.Duration // learned delay from a second to its first message; 0: not known yet

	System            tai.Time // CLOCK_REALTIME as TAI, by the table in force; 0: not known
	SystemDisciplined bool     // another program disciplines CLOCK_REALTIME to better than 50 ms
}

// Own returns the clock to be disciplined while its reading is right, else 0.
func (c *Clocks) Own() tai.Time {
	if c.Tracked {
		return c.Clock
	}
	return 0
}

// Startup returns the system clock while it may contradict the receiver: another
// program disciplines it and there is no lock yet. Else 0.
func (c *Clocks) Startup() tai.Time {
	if c.Unlocked && c.SystemDisciplined {
		return c.System
	}
	return 0
}
