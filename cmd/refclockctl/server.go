package main

import (
	"flag"
	"io"

	"noonmark/internal/command"
	"noonmark/internal/observe"
)

func serverCommand() command.Command {
	return command.Command{
		Name: "server", About: "show what ntsserve has counted", Prepare: command.NoArgs(prepareServer), Code: statusCode,
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
func prepareServer(fl *flag.FlagSet, c command.Console) func() error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "print again every second until interrupted")
	path := fl.String("counters", observe.DefaultServing, "the `FILE` that ntsserve writes")
	return func() error {
		return c.Show(*watch, false, func(w io.Writer) error { return observe.ShowServing(w, *path, *asJSON) })
	}
}

func clientsCommand() command.Command {
	return command.Command{
		Name: "clients", About: "show the networks that ntsserve answers", Prepare: command.NoArgs(prepareClients), Code: statusCode,
		Text: `
Shows the networks that ntsserve answered lately, those with the most requests
first. It needs clients = "prefixes" in the configuration of ntsserve.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "the networks as JSON", Line: "refclockctl clients -json"}},
		},
	}
}

// prepareClients is the clients command.
func prepareClients(fl *flag.FlagSet, c command.Console) func() error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	path := fl.String("counters", observe.DefaultServing, "the `FILE` that ntsserve writes")
	return func() error { return observe.ShowClients(c.Out, *path, *asJSON) }
}
