package main

import (
	"errors"
	"flag"
	"io/fs"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/decode"
	"noonmark/internal/exitcode"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
)

func decodeCommand() command.Command {
	return command.Command{
		Name: "decode", About: "decode a raw receiver log", Args: "FILE|-",
		Prepare: command.OneArg("FILE, or - for standard input", prepareDecode), Code: decodeCode,
		Text: `
Decodes a raw receiver log (NMEA, UBX, mixed, with comment lines that begin with #)
and prints one JSON object a line for every message that names an instant. "valid"
says that the receiver calls its time valid; "fix" is its solution. Only messages
with a fix have "disciplines": true, and only those would the daemon use. Refused
input is counted by reason on standard error.

Dates are printed as the receiver sent them, however old. There is one exception:
if a receiver past a week rollover announces leap seconds that belong to 1024 weeks
later, the date is moved, and "rollover_weeks" says by how much. refclockd also
moves dates before its receiver.not_before; -not-before shows the result.
`,
	}
}

// prepareDecode is the decode command.
func prepareDecode(fl *flag.FlagSet, c command.Console) func(string) error {
	all := fl.Bool("all", false, "print every decoded message, also those that name no instant")
	floor := fl.String("not-before", "", "move dates before this `DATE` by 1024 weeks until they are past it")
	return func(name string) error {
		cfg := gnss.Config{Comments: true, Leaps: tai.Builtin()}
		if *floor != "" {
			var err error
			if cfg.NotBefore, err = time.Parse(time.DateOnly, *floor); err != nil {
				return command.Usagef("-not-before wants a date like 2026-11-01, not %q", *floor)
			}
		}
		in, err := c.Open(name)
		if err != nil {
			return err
		}
		defer in.Close()
		lost, err := decode.Log(in, c.Out, c.Err, cfg, *all)
		if err == nil {
			err = command.Written(lost)
		}
		return err
	}
}

// decodeCode: what cannot be opened or read as a file, and what cannot be read or
// written to its end.
func decodeCode(err error) int {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, decode.ErrNoLog):
		return exitcode.DataErr
	case !errors.Is(err, command.ErrOutput) && errors.As(err, &pe): // a directory, most often
		return exitcode.NoInput
	}
	return exitcode.IO
}
