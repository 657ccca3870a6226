package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/printable"
	"noonmark/phc"
)

func clientsCommand() command.Command {
	return command.Command{
		Name: "clients", About: "show the networks that ntsserve answers", Prepare: prepareClients, Code: clientsCode,
		Text: `
Shows the networks that ntsserve answered lately, those with the most requests
first. It needs clients = "prefixes" in the configuration of ntsserve.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "the networks as JSON", Line: "refclockctl clients -json"}},
		},
	}
}

// errNoClients: they are not counted.
var errNoClients = errors.New("ntsserve does not count clients; want clients = \"prefixes\" in ntsserve.toml")

// prepareClients is the clients command.
func prepareClients(fl *flag.FlagSet, c command.Console) func([]string) error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	path := fl.String("counters", observe.DefaultServing, "the `FILE` that ntsserve writes")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		return printClientsOf(*path, *asJSON, c.Out)
	}
}

func printClientsOf(path string, asJSON bool, w io.Writer) error {
	s, err := observe.ReadServing(path, phc.MonoRaw())
	if err != nil {
		return err
	}
	if s.Clients == nil {
		return errNoClients
	}
	if asJSON {
		return command.Written(json.NewEncoder(w).Encode(s.Clients))
	}
	s.Clients.WriteText(printable.Writer{To: w})
	return nil
}

// clientsCode is the exit code of the clients command.
func clientsCode(err error) int {
	if errors.Is(err, errNoClients) {
		return exitcode.Config
	}
	return statusCode(err)
}
