// Package history keeps the measurements of an appliance in files of its own: each
// second for 30 days, the lowest, mean and highest value of each minute for two
// years, and those of each hour for ever. One process writes (Writer), any number
// read (Reader), also while it writes.
//
// Files of one directory, by UTC:
//
//	2026-11-28.sec   seconds of a day, a block a minute
//	2026-11.min      minutes of a month, a block an hour
//	2026.hour        hours of a year, a block a day
//
// A file is a sequence of blocks, each with a checksum. Blocks are only appended. A
// block that is torn or damaged is skipped, and the others are read. See block.go for
// the octets.
package history

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Column is one kind of value. Its name ends in its unit.
type Column struct {
	Name string
	// Digits is the number of decimal digits that are kept behind the point, 0 to 9.
	Digits int
}

// Names of the columns that refclockd writes. A value that is not known is missing,
// and never zero.
const (
	Offset      = "offset_ns"          // measurement of an accepted pulse of this second: clock - reference, + = clock fast
	Estimate    = "estimate_ns"        // estimated offset of the clock, also while there is no pulse
	Residual    = "residual_ns"        // offset_ns - estimate_ns: what the estimate does not explain of a pulse
	Bound       = "bound_ns"           // of |clock - true time|; missing: there is no bound
	Frequency   = "frequency_ppb"      // estimated frequency error of the free oscillator, + = fast
	Correction  = "correction_ppb"     // frequency correction in force, + = clock made faster
	Temperature = "temperature_c"      // of the sensor near the oscillator
	Noise       = "noise_ns"           // standard deviation of recent measurements
	Satellites  = "satellites"         // used by the receiver
	CN0         = "cn0_dbhz"           // mean of the satellites that are tracked
	State       = "state"              // number of status.State; of minutes and hours the lowest and highest count, the mean means nothing
	Synced      = "synchronised"       // 1 while clients get this clock, else 0; the mean is the share of time
	Requests    = "requests_per_s"     // of time servers on this machine
	Clients     = "clients"            // likewise: those that asked lately
	HWStamps    = "hardware_stamps"    // share of answers with timestamps of the hardware, 0 to 1
	WitnessOf   = "witness_ns:"        // followed by a witness's name: clock - witness, + = clock fast
	FollowerOf  = "follower_ns:"       // followed by a clock's name: following clock - clock, + = fast
	ComparedOf  = "compared_pulse_ns:" // followed by a pulse's name: clock - pulse, + = pulse late
)

// ReferenceColumns are the columns of refclockd without those that have a name
// of the configuration.
func ReferenceColumns() []Column {
	return []Column{
		{Offset, 2}, {Estimate, 2}, {Residual, 2}, {Bound, 0}, {Frequency, 4}, {Correction, 4}, {Temperature, 3}, {Noise, 2},
		{Satellites, 0}, {CN0, 1}, {State, 0}, {Synced, 0}, {Requests, 1}, {Clients, 0}, {HWStamps, 3},
	}
}

const (
	// MaxColumns is how many columns a file can have: a block is decoded at once.
	MaxColumns = 64
	// MaxName is the length of a column's name, octets.
	MaxName = 96
	// maxDigits keeps 10^digits exact in a float64.
	maxDigits = 9
)

// Level is a resolution.
type Level uint8

// The levels, the finest first.
const (
	Seconds Level = iota
	Minutes
	Hours
	numLevels
)

// levels is what the levels differ in.
var levels = [numLevels]struct {
	step   int64  // s, between two rows
	span   int64  // s, that a block covers
	layout string // of a file's name without its suffix
	suffix string
	keep   int // files; 0: all
}{
	// A file more than the period, because the present one is not full.
	Seconds: {1, 60, time.DateOnly, ".sec", 31},
	Minutes: {60, 3600, "2006-01", ".min", 25},
	Hours:   {3600, 86400, "2006", ".hour", 0},
}

// String names the level.
func (l Level) String() string {
	if l < numLevels {
		return [...]string{"seconds", "minutes", "hours"}[l]
	}
	return "invalid"
}

// Step is the time between two rows, s.
func (l Level) Step() int64 { return levels[l].step }

// rows is how many rows a block has.
func (l Level) rows() int { return int(levels[l].span / levels[l].step) }

// name is the name of the file for an instant.
func (l Level) name(unix int64) string {
	return time.Unix(unix, 0).UTC().Format(levels[l].layout) + levels[l].suffix
}

// begins returns the first second of a file, by its name.
func (l Level) begins(name string) (unix int64, ok bool) {
	base, ok := strings.CutSuffix(name, levels[l].suffix)
	if !ok {
		return 0, false
	}
	t, err := time.Parse(levels[l].layout, base)
	if err != nil {
		return 0, false
	}
	return t.Unix(), true
}

// next returns the first second of the file behind the one that begins at unix.
func (l Level) next(unix int64) int64 {
	t := time.Unix(unix, 0).UTC()
	switch l {
	case Seconds:
		return t.AddDate(0, 0, 1).Unix()
	case Minutes:
		return t.AddDate(0, 1, 0).Unix()
	}
	return t.AddDate(1, 0, 0).Unix()
}

// ErrColumns is wrapped by the error of columns that no file can have.
var ErrColumns = errors.New("columns are not possible")

// checkColumns returns why the columns are not possible.
func checkColumns(all []Column) error {
	if len(all) == 0 || len(all) > MaxColumns {
		return fmt.Errorf("%w: %d of them; want 1 to %d", ErrColumns, len(all), MaxColumns)
	}
	for i, c := range all {
		switch {
		case c.Name == "" || len(c.Name) > MaxName || strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("%w: %q is no name of 1 to %d ASCII characters without space", ErrColumns, c.Name, MaxName)
		case c.Digits < 0 || c.Digits > maxDigits:
			return fmt.Errorf("%w: %s has %d digits; want 0 to %d", ErrColumns, c.Name, c.Digits, maxDigits)
		case slices.ContainsFunc(all[:i], func(d Column) bool { return d.Name == c.Name }):
			return fmt.Errorf("%w: %s is there twice", ErrColumns, c.Name)
		}
	}
	return nil
}

// ColumnName makes the name of a column of a name of the configuration, which may
// have any characters.
func ColumnName(prefix, name string) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, name)
	return prefix + clean[:min(len(clean), MaxName-len(prefix))]
}

// Missing is the value of what is not known. Compare with math.IsNaN.
func Missing() float64 { return math.NaN() }

// floorDiv is a / b rounded towards minus infinity, for b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
