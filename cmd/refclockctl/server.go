package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/observe"
	"noonmark/internal/printable"
	"noonmark/phc"
)

func serverCommand() command.Command {
	return command.Command{
		Name: "server", About: "show what ntsserve has counted", Prepare: prepareServer, Code: statusCode,
		Text: `
Shows what ntsserve has counted since its start: requests by result, the kinds of
their timestamps, NTS key establishment, certificates and cookie keys.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "one JSON object a second", Line: "refclockctl server -json -watch"}},
		},
	}
}

// prepareServer is the server command.
func prepareServer(fl *flag.FlagSet, c command.Console) func([]string) error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "print again every second until interrupted")
	path := fl.String("counters", observe.DefaultServing, "the `FILE` that ntsserve writes")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		show := func() error { return printServer(*path, *asJSON, c.Out) }
		if !*watch {
			return show()
		}
		everySecond(func() {
			if err := show(); err != nil {
				fmt.Fprintf(c.Err, "refclockctl: server: %v\n", err)
			}
		})
		return nil
	}
}

func printServer(path string, asJSON bool, w io.Writer) error {
	s, err := observe.ReadServing(path, phc.MonoRaw())
	if err != nil {
		return err
	}
	if asJSON {
		return command.Written(json.NewEncoder(w).Encode(s))
	}
	s.WriteText(printable.Writer{To: w}, time.Now()) // names in certificates are those of whoever made them
	return nil
}

// everySecond does something at once and then every second, until the user
// interrupts the program.
func everySecond(do func()) {
	ctx, stop := command.Interruptible()
	defer stop()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
