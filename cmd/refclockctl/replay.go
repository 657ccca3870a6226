package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"slices"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/internal/replay"
	"noonmark/refclock/recording"
)

func replayCommand() command.Command {
	return command.Command{
		Name: "replay", About: "play a recording, or what a receiver sent, into the engine",
		Prepare: command.OneArg("FILE.events or RECORDING", prepareReplay), Code: replayCode,
		Usage: []string{"[OPTIONS] FILE.events", "[-config FILE.toml] [-run N] [-log] [-json] RECORDING"},
		Text: `
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

A RECORDING is the folder of "record" in refclockd's configuration, or a file that
refclockctl record made from it (docs/recording.md). It has pulses and clocks of its
own, so that most options are not for it; error_ns is null, because the truth is not
known. The engine decides as the recorded one did. With another configuration, or
another version, commands to the clock may differ; the clock then goes as it would
have gone with them.
`,
	}
}

// prepareReplay is the replay command.
func prepareReplay(fl *flag.FlagSet, c command.Console) func(string) error {
	var q replay.Request
	q.Site.Flags(fl)
	fl.BoolVar(&q.JSON, "json", false, "print one JSON object a second, then a summary")
	fl.StringVar(&q.Config, "config", "", "of a recording: replay with this refclockd configuration `FILE`")
	fl.IntVar(&q.Run, "run", 0, "of a recording: the run `N` of the daemon, counted from 1 (default the last)")
	fl.BoolVar(&q.Log, "log", false, "of a recording: print the engine's log on standard error")
	return func(file string) (err error) {
		forRecording := []string{"config", "run", "log"}
		recorded := recording.Is(file)
		fl.Visit(func(f *flag.Flag) {
			if f.Name != "json" && slices.Contains(forRecording, f.Name) != recorded && err == nil {
				err = command.Usagef("-%s has no use with %s", f.Name, file)
			}
		})
		if err != nil {
			return err
		}
		q.File = file
		return q.Play(c.Out, c.Err)
	}
}

// replayCode: a file that is not there, and one whose content is wrong.
func replayCode(err error) int {
	var line *replay.LineError
	var pe *fs.PathError
	switch {
	case errors.As(err, &line), errors.Is(err, recording.ErrFormat), errors.Is(err, recording.ErrVersion):
		return exitcode.DataErr
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, command.ErrOutput):
		return exitcode.IO
	case errors.As(err, &pe):
		return exitcode.NoInput
	}
	return exitcode.Of(err)
}

func recordCommand() command.Command {
	return command.Command{
		Name: "record", About: "write a part of a recording as a file, for a report of a fault",
		Prepare: command.NoArgs(prepareRecord), Code: recordCode,
		Usage: []string{"[-config FILE | -dir DIR] [-last D] [-anonymise] -o FILE"},
		Text: `
Writes the end of a recording as one file, for a report of a fault. It goes over restarts
of refclockd as far back as -last says; without -last it is the whole last run.
refclockd records while its configuration has record = "DIR" (docs/recording.md);
refclockctl replay plays the file.

-anonymise moves all positions by the same distance, replaces the names of devices,
files and servers, and masks texts, serial numbers, the sky and every message of the
receiver that is not known to be harmless. Instants, pulses and clocks stay.
`,
	}
}

// prepareRecord is the record command.
func prepareRecord(fl *flag.FlagSet, _ command.Console) func() error {
	dir := fl.String("dir", "", "the `DIR` of the recording (default that of refclockd's configuration)")
	config := fl.String("config", refclockd.DefaultPath, "configuration `FILE` of refclockd")
	last := fl.Duration("last", 0, "write the last `D`, such as 10m (default the whole last run)")
	hide := fl.Bool("anonymise", false, "remove positions and names")
	out := fl.String("o", "", "write to `FILE`, which must not exist yet")
	return func() error {
		switch {
		case *out == "":
			return command.Usagef("want -o FILE")
		case *last < 0:
			return command.Usagef("-last %v: want a duration such as 10m", *last)
		}
		path := *dir
		if path == "" {
			s, err := refclockd.Load(*config)
			if err != nil {
				return err
			}
			if path = s.Record; path == "" {
				return command.Usagef("%s records nothing; set record, or name a recording with -dir", *config)
			}
		}
		return recording.ExtractFile(*out, path, *last, !*hide)
	}
}

// recordCode: a file that exists already, and a recording that is none.
func recordCode(err error) int {
	if errors.Is(err, recording.ErrFormat) || errors.Is(err, recording.ErrVersion) || errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrPermission) {
		return command.FileCode(err)
	}
	return replayCode(err)
}
