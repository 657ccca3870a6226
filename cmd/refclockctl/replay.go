package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/replay"
	"noonmark/internal/simulate"
	"noonmark/refclock/gnss"
)

const replayHelp = `usage: refclockctl replay [OPTIONS] FILE.events

Plays the octets of a receiver at their own instants into the daemon's engine, with a
virtual pulse, clock and system clock in virtual time, and prints what would have been
served. -json prints one object a second (t, state, reason, served, error_ns, bound_ns,
stratum), then a summary. One event a line:

    start 2026-05-01T11:07:22Z    UTC of t = 0, a whole second
    12.120 nmea GNRMC,...         text between $ and *; checksum and line end are added
    12.120 raw $GPGGA,...\r\n     as it is, with escapes of Go
    12.120 hex b5620107...        octets

The clock starts 31 years behind. The pulse has 20 ns of jitter and 7.86 ns of
sawtooth.

`

// prepareReplay is the replay command.
func prepareReplay(fl *flag.FlagSet, con console) func([]string) error {
	c := replayCommand{console: con}
	s := &c.site
	fl.DurationVar(&s.System, "system", 3*time.Millisecond, "system clock minus true UTC at the start")
	fl.BoolVar(&s.NoRTC, "no-rtc", false, "the system clock is 40 years behind")
	fl.BoolVar(&s.Kept, "kept", false, "another program disciplines the system clock")
	fl.BoolVar(&s.Prove, "prove", false, "leap.prove = true")
	fl.TextVar(&s.TimeScale, "time-scale", gnss.ScaleUTC, "the receiver's configured time `SCALE`: utc, gps or tai")
	fl.DurationVar(&s.LabelOffset, "label-offset", 0, "configured correction, added to every label")
	fl.Func("no-pulses", "seconds without pulses, `FROM-TO,...`", func(v string) (err error) {
		s.Pulse.Absent, err = replay.ParseSpans(v)
		return err
	})
	fl.Func("pulse-shift", "`AT:FOR:NS,...`: from second AT, for FOR seconds, pulses are NS late", func(v string) (err error) {
		s.Pulse.Shifts, err = replay.ParseShifts(v)
		return err
	})
	fl.BoolVar(&s.Pulse.BothEdges, "both-edges", false, "the card stamps both edges of the pulse")
	fl.DurationVar(&s.Pulse.Width, "width", 100*time.Millisecond, "pulse width")
	fl.BoolVar(&s.Pulse.WidthKnown, "width-known", false, "pulse.width is configured")
	fl.Func("not-before", "receiver.not_before, a `DATE` (default 2026-11-01 or 30 days before the start, the earlier one)", date(&s.NotBefore))
	fl.Func("leap-at", "insert a leap second at the end of this `DATE`", date(&s.LeapAt))
	known := fl.Bool("leap-known", true, "the tables of leap seconds have it")
	length := fl.Float64("for", 0, "length in `SECONDS` (default 20 after the last event)")
	fl.BoolVar(&c.json, "json", false, "print one JSON object a second, then a summary")
	return func(args []string) error {
		file, err := oneArg(args, "FILE.events")
		if err != nil {
			return err
		}
		s.LeapUnknown = !*known
		s.For = time.Duration(*length * float64(time.Second))
		switch {
		case s.Pulse.Width <= 0 || s.Pulse.Width >= time.Second:
			return usagef("-width %v: want more than 0 and less than 1 s", s.Pulse.Width)
		case *length < 0 || *length > 400*86400:
			return usagef("-for %v: want seconds, at most 400 days", *length)
		}
		return c.play(file)
	}
}

// date returns a function that reads a date into t.
func date(t *time.Time) func(string) error {
	return func(s string) error {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return fmt.Errorf("%q is no date; want one like 2026-11-01", s)
		}
		*t = d
		return nil
	}
}

// replayCommand is a command with its options.
type replayCommand struct {
	site replay.Site
	json bool
	console
}

// play plays a file.
func (c *replayCommand) play(file string) error {
	events, err := replay.OpenEvents(file)
	if err != nil {
		return err
	}
	sc, err := c.site.Scenario(events)
	if err != nil {
		return usagef("%w", err)
	}
	r := simulate.Run{Scenario: sc, Seed: replay.Seed}
	if c.json {
		r.JSON = c.out
	}
	st, err := r.Play()
	if err != nil || c.json {
		return written(err)
	}
	return written(st.Print(c.out))
}

// replayCode: a file that is not there, and one whose content is wrong.
func replayCode(err error) int {
	var line *replay.LineError
	var pe *fs.PathError
	switch {
	case errors.As(err, &line):
		return exitcode.DataErr
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, errOutput):
		return exitcode.IO
	case errors.As(err, &pe):
		return exitcode.NoInput
	}
	return exitcode.Of(err)
}
