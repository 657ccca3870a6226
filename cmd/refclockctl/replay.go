package main

import (
	"errors"
	"flag"
	"io/fs"

	"noonmark/internal/exitcode"
	"noonmark/internal/replay"
	"noonmark/internal/simulate"
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
	c.site.Flags(fl)
	fl.BoolVar(&c.json, "json", false, "print one JSON object a second, then a summary")
	return func(args []string) error {
		file, err := oneArg(args, "FILE.events")
		if err != nil {
			return err
		}
		return c.play(file)
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
	if c.site.For == 0 {
		r.InputEnds = events.End()
	}
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
