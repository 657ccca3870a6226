package main

import (
	"errors"
	"flag"
	"os"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/refclock/recording"
)

func recordCommand() command.Command {
	return command.Command{
		Name: "record", About: "write a part of a recording as a file, for a report of a fault", Prepare: prepareRecord, Code: recordCode,
		Usage: []string{"[-config FILE | -dir DIR] [-last D] [-anonymise] -o FILE"},
		Text: `
Writes the end of the last run of a recording as one file, for a report of a fault.
refclockd records while its configuration has record = "DIR" (docs/recording.md);
refclockctl replay plays the file.

-anonymise moves all positions by the same distance, replaces the names of devices,
files and servers, and masks texts, serial numbers, the sky and every message of the
receiver that is not known to be harmless. Instants, pulses and clocks stay.
`,
	}
}

// prepareRecord is the record command.
func prepareRecord(fl *flag.FlagSet, _ command.Console) func([]string) error {
	dir := fl.String("dir", "", "the `DIR` of the recording (default that of refclockd's configuration)")
	config := fl.String("config", refclockd.DefaultPath, "configuration `FILE` of refclockd")
	last := fl.Duration("last", 0, "write the last `D`, such as 10m (default the whole run)")
	hide := fl.Bool("anonymise", false, "remove positions and names")
	out := fl.String("o", "", "write to `FILE`, which must not exist yet")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
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
		return extract(*out, path, *last, !*hide)
	}
}

// extract writes a part of the recording at path to a new file.
func extract(name, path string, last time.Duration, withNames bool) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(recording.Extract(f, path, last, withNames), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// recordCode: a file that exists already, and a recording that is none.
func recordCode(err error) int {
	if errors.Is(err, recording.ErrFormat) || errors.Is(err, recording.ErrVersion) || errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrPermission) {
		return command.FileCode(err)
	}
	return replayCode(err)
}
