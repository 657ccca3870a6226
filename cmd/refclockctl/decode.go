package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/report"
)

const decodeHelp = `usage: refclockctl decode [-all] [-not-before YYYY-MM-DD] FILE|-

Decodes a raw receiver log (NMEA, UBX, mixed, with comment lines that begin with #)
and prints one JSON object a line for every message that names an instant. "valid"
says that the receiver calls its time valid; "fix" is its solution. Only messages
with a fix have "disciplines": true, and only those would the daemon use. Refused
input is counted by reason on standard error.

Dates are printed as the receiver sent them, however old. There is one exception:
if a receiver past a week rollover announces leap seconds that belong to 1024 weeks
later, the date is moved, and "rollover_weeks" says by how much. refclockd also
moves dates before its receiver.not_before; -not-before shows the result.

`

// prepareDecode is the decode command.
func prepareDecode(fl *flag.FlagSet, c console) func([]string) error {
	all := fl.Bool("all", false, "print every decoded message, also those that name no instant")
	floor := fl.String("not-before", "", "move dates before this `DATE` by 1024 weeks until they are past it")
	return func(args []string) error {
		name, err := oneArg(args, "FILE, or - for standard input")
		if err != nil {
			return err
		}
		cfg := gnss.Config{Comments: true, Leaps: tai.Builtin()}
		if *floor != "" {
			if cfg.NotBefore, err = time.Parse(time.DateOnly, *floor); err != nil {
				return usagef("-not-before wants a date like 2026-11-01, not %q", *floor)
			}
		}
		in := c.in
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		return decode(in, c, cfg, *all)
	}
}

// decodeCode: what cannot be opened or read as a file, and what cannot be read or
// written to its end.
func decodeCode(err error) int {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case !errors.Is(err, errOutput) && errors.As(err, &pe): // a directory, most often
		return exitcode.NoInput
	}
	return exitcode.IO
}

// decode decodes a log to its end.
func decode(in io.Reader, c console, cfg gnss.Config, all bool) error {
	d := registry.NewDecoder(cfg)
	out := bufio.NewWriter(c.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var lost error // of the first message that could not be written
	emit := func(m *gnss.Message) {
		if lost == nil && (all || m.HasDate) {
			lost = enc.Encode(report.NewMessage(m, cfg.Leaps, all))
		}
	}
	buf := make([]byte, 32<<10)
	for lost == nil {
		n, err := in.Read(buf)
		d.Feed(buf[:n], 0, emit)
		if n > 0 && lost == nil {
			lost = out.Flush() // a log that is still being written is shown at once
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	d.Flush(emit)
	if err := out.Flush(); lost == nil {
		lost = err
	}
	n := d.Counters()
	fmt.Fprintf(c.err, "decoded %d messages\n", n.Messages)
	for _, f := range n.Frames {
		fmt.Fprintf(c.err, "%-17s %d\n", f.Protocol+"_frames", f.Frames)
	}
	for _, r := range gnss.Defects() {
		if k := n.Of(r); k > 0 {
			fmt.Fprintf(c.err, "%-17s %d\n", r, k)
		}
	}
	return written(lost)
}
