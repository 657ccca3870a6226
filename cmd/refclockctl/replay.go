package main

import (
	"errors"
	"flag"
	"io/fs"
	"slices"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/internal/replay"
	"noonmark/refclock/recording"
	"noonmark/refclock/site"
)

func replayCommand() command.Command {
	return command.Command{
		Name: "replay", About: "play a recording, or what a receiver sent, into the engine", Prepare: prepareReplay, Code: replayCode,
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
func prepareReplay(fl *flag.FlagSet, con command.Console) func([]string) error {
	c := replayOptions{Console: con}
	c.site.Flags(fl)
	fl.BoolVar(&c.json, "json", false, "print one JSON object a second, then a summary")
	fl.StringVar(&c.config, "config", "", "of a recording: replay with this refclockd configuration `FILE`")
	fl.IntVar(&c.run, "run", 0, "of a recording: the run `N` of the daemon, counted from 1 (default the last)")
	fl.BoolVar(&c.log, "log", false, "of a recording: print the engine's log on standard error")
	return func(args []string) error {
		file, err := command.OneArg(args, "FILE.events or RECORDING")
		if err != nil {
			return err
		}
		forRecording := []string{"config", "run", "log"}
		recorded := recording.Is(file)
		fl.Visit(func(f *flag.Flag) {
			if f.Name != "json" && slices.Contains(forRecording, f.Name) != recorded && err == nil {
				err = command.Usagef("-%s has no use with %s", f.Name, file)
			}
		})
		switch {
		case err != nil:
			return err
		case recorded:
			return c.playRecording(file)
		}
		return c.play(file)
	}
}

// replayOptions is a command with its options.
type replayOptions struct {
	site   replay.Site
	config string
	run    int
	log    bool
	json   bool
	command.Console
}

// playRecording plays a run of a recording.
func (c *replayOptions) playRecording(path string) error {
	r := replay.Recorded{Path: path, Run: c.run}
	if c.config != "" {
		s, err := refclockd.Load(c.config)
		if err != nil {
			return err
		}
		r.Configure = func(recorded *site.Config) {
			learned := recorded.Engine.Learned
			*recorded = s.SiteConfig(s.Receiver.Device)
			recorded.Engine.Learned = learned
		}
	}
	if c.json {
		r.JSON = c.Out
	}
	if c.log {
		r.Log = c.Err
	}
	out, err := r.Play()
	if err != nil || c.json {
		return err
	}
	return command.Written(out.Print(c.Out))
}

// play plays a file.
func (c *replayOptions) play(file string) error {
	events, err := replay.OpenEvents(file)
	if err != nil {
		return err
	}
	r, err := c.site.Run(events)
	if err != nil {
		return command.Usagef("%w", err)
	}
	if c.json {
		r.JSON = c.Out
	}
	st, err := r.Play()
	if err != nil || c.json {
		return command.Written(err)
	}
	return command.Written(st.Print(c.Out))
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
