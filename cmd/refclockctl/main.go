// Command refclockctl is the operator's tool of a reference clock.
package main

import (
	"os"

	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/refclock/status"
)

func main() {
	p := commandLine()
	os.Exit(p.Main(os.Args[1:], command.Standard()))
}

// commandLine is the registry of the tool's commands.
func commandLine() command.Command {
	return command.Command{
		Name: "refclockctl", About: "operate a reference clock: its state, faults, calibration, certificates and keys",
		Commands: []command.Command{
			setupCommand(),
			statusCommand(),
			waitCommand(),
			topCommand(),
			eventsCommand(),
			historyCommand(),
			stabilityCommand(),
			serverCommand(),
			clientsCommand(),
			alertCommand(),
			snmpCommand(),
			relockCommand(),
			doctorCommand(),
			decodeCommand(),
			simulateCommand(),
			replayCommand(),
			recordCommand(),
			calibrateCommand(),
			caCommand(),
			keysCommand(),
			backupCommand(),
			restoreCommand(),
			servoCommand(),
		},
		Manual: command.Manual{
			Section: 1,
			Exits: command.Exits(exitcode.OK, exitcode.Usage, exitcode.DataErr, exitcode.NoInput, exitcode.Unavailable, exitcode.Software,
				exitcode.CantCreate, exitcode.IO, exitcode.Permission, exitcode.Config),
			Files: []command.File{
				{Path: refclockd.DefaultPath, Text: "configuration of refclockd(8)"},
				{Path: ntsserve.DefaultPath, Text: "configuration of ntsserve(8)"},
				{Path: status.DefaultPath, Text: "what refclockd publishes"},
			},
			SeeAlso: []string{"refclockd(8)", "ntsserve(8)", "ntsquery(1)", "refclockd.toml(5)", "ntsserve.toml(5)"},
		},
	}
}
