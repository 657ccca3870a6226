// Package reading has the readings of all clocks at one instant, as the rooms that
// judge the receiver's statements take them.
package reading

import (
	"time"

	"noonmark/phc/tai"
)

// Clocks are the clocks' readings at one instant.
type Clocks struct {
	Mono          int64         // the instant: CLOCK_MONOTONIC_RAW, ns
	Pulse         int64         // CLOCK_MONOTONIC_RAW of the latest pulse until then, ns; 0: none yet
	Clock         tai.Time      // the clock to be disciplined; 0: there is none
	Tracked       bool          // it is locked or in holdover, so Clock is right
	Unlocked      bool          // it is unlocked or acquiring: there is no lock yet
	Young         bool          // there is none, or it stands on so few pulses that others may outweigh them
	ClockIsSystem bool          // the clock to be disciplined is CLOCK_REALTIME
	Latency       time.Duration // learned delay from a label to its first message; 0: not known yet

	System            tai.Time      // CLOCK_REALTIME as TAI, by the table in force; 0: not known
	TAIOffset         time.Duration // TAI - UTC that was added to it
	SystemPlausible   bool          // it shows a date at which this program can run
	SystemDisciplined bool          // another program disciplines CLOCK_REALTIME to better than 50 ms
	// SystemOwn: else CLOCK_REALTIME may have been set by this receiver, through us
	// or a program that we feed, before this boot. Then it confirms nothing.
	SystemOwn bool
	// SystemSet: this program sets CLOCK_REALTIME, itself or by another one that it
	// gives its time.
	SystemSet bool
	// SystemDoubted: the clock lost its lock in contradiction to the receiver, and
	// CLOCK_REALTIME may be set by it. Then it neither confirms nor contradicts.
	SystemDoubted bool
	// Continued: this program was locked earlier in this boot, so what it kept then
	// was right.
	Continued bool

	TableEnd tai.Time // when the last table of leap seconds expires; 0: not known
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
	if c.Unlocked && c.SystemDisciplined && !c.SystemDoubted {
		return c.System
	}
	return 0
}

// pulseAge is how old the latest pulse may be to show where seconds begin: stamps
// are read up to 0.25 s late, and a pulse may be missing.
const pulseAge = 3 * time.Second

// Pulsed reports whether pulses come.
func (c *Clocks) Pulsed() bool {
	age := time.Duration(c.Mono - c.Pulse)
	return c.Pulse != 0 && age >= 0 && age <= pulseAge
}

// Second returns the second that the latest pulse, or the one that is due since,
// began if a message about the instant label has come now, and how long ago it
// began. A message comes less than a second after the instant that it names. Not
// ok: there is no recent pulse.
func (c *Clocks) Second(label tai.Time) (second tai.Time, since time.Duration, ok bool) {
	if !c.Pulsed() {
		return 0, 0, false
	}
	since = time.Duration(c.Mono-c.Pulse) % time.Second
	return SecondOf(label, since), since, true
}

// SecondOf returns the second in which a message about the instant label comes,
// since after it began.
func SecondOf(label tai.Time, since time.Duration) tai.Time {
	return -(tai.Time(since) - label).Floor()
}
