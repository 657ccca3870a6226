package main

import (
	"encoding/json"
	"errors"
	"flag"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
	"noonmark/internal/setup"
)

func setupCommand() command.Command {
	return command.Command{
		Name: "setup", About: "look at this machine, and set it up as a time server", Prepare: command.NoArgs(prepareSetup), Code: setupCode,
		Text: `
Sets this machine up as a time server. It looks for receivers, pulses and cards,
listens to them, asks at most four questions, shows what it would write, and writes it
after a yes: the configuration of the daemons and of the web page, settings of their units, a certificate
authority with certificates and a timer that renews them. With -web network other machines
can reach the web page, by HTTPS and with a token that setup makes. It stops programs that use the
same clock or port, starts the daemons, waits for a lock and for an answer that NTS authenticates, runs doctor, and prints what
clients need. A machine without a receiver serves the system clock.

A second run changes only what differs. A file that was changed by hand is kept, with the settings of
its unit, unless -replace is given. A port or a card that refclockd uses is never opened: what
its configuration or the last setup says of it counts. If that leads to no clock, setup ends
without a change, and -clock chooses one. -undo restores what was there before the first run. On a Raspberry Pi
-apply-boot writes the settings that the pulse and the serial port need at the next boot.
`,
		Manual: command.Manual{
			Examples: []command.Example{
				{For: "see what would be done, and change nothing", Line: "refclockctl setup -dry-run"},
				{For: "let other machines see the web page", Line: "refclockctl setup -web network"},
			},
			Exits: []command.Exit{
				{Code: exitcode.OK, When: "clients get time"},
				{Code: exitcode.Usage, When: "an answer is missing or wrong"},
				{Code: exitcode.TempFail, When: "clients do not get time yet, or another setup is at work"},
				{Code: exitcode.Permission, When: "not root"},
				{Code: exitcode.Config, When: "a configuration is wrong"},
			},
		},
	}
}

// prepareSetup is the setup command.
func prepareSetup(fl *flag.FlagSet, c command.Console) func() error {
	var o setup.Options
	fl.BoolVar(&o.DryRun, "dry-run", false, "look and listen, show what would be done, change nothing")
	fl.BoolVar(&o.Yes, "yes", false, "ask nothing: use the defaults and make the changes")
	asJSON := fl.Bool("json", false, "print one JSON object; what people read goes to standard error")
	fl.BoolVar(&o.Undo, "undo", false, "restore what was there before the first setup")
	fl.BoolVar(&o.ApplyBoot, "apply-boot", false, "write the boot settings of a Raspberry Pi, and nothing else")
	fl.BoolVar(&o.Replace, "replace", false, "replace files that were changed by hand too, and keep a copy of each")
	fl.StringVar(&o.Answers.Clock, "clock", "", "the `CLOCK` to serve: an interface, system, chrony or kernel")
	fl.StringVar(&o.Answers.Clients, "clients", "", "`WHO` may ask: private, all, or networks with commas between them")
	fl.StringVar(&o.Answers.NTS, "nts", "", "authenticated time by `HOW`: own, none, or \"acme NAME\"")
	fl.StringVar(&o.Answers.Web, "web", "", "`WHERE` the web page listens: local, network or off")
	fl.IntVar(&o.GPIO, "gpio", setup.DefaultGPIO, "the GPIO `PIN` of the pulse on a Raspberry Pi, for its boot settings")
	fl.DurationVar(&o.Wait, "wait", 3*time.Minute, "how long to wait until clients get time; 0: not at all")
	return func() error {
		if o.GPIO < 0 || o.GPIO > 27 {
			return command.Usagef("-gpio %d is no pin of the header; want 0 to 27", o.GPIO)
		}
		if o.Wait < 0 || o.Wait > time.Hour {
			return command.Usagef("-wait %v is out of range; want 0s to 1h", o.Wait)
		}
		return runSetup(c, o, *asJSON)
	}
}

// runSetup sets this machine up.
func runSetup(c command.Console, o setup.Options, asJSON bool) error {
	ctx, stop := command.Interruptible()
	defer stop()
	out := c.Out
	if asJSON {
		out = c.Err
	}
	x, err := setup.OnThisMachine(c.In, out)
	if err != nil {
		return err
	}
	o.Terminal = !asJSON && command.IsTerminal(c.In) // the null device too; a question then finds the end of the input
	r, err := x.Run(ctx, o)
	if asJSON {
		if jerr := json.NewEncoder(printable.Writer{To: c.Out}).Encode(r); jerr != nil {
			return command.Written(jerr)
		}
	}
	return err
}

func setupCode(err error) int {
	switch {
	case errors.Is(err, setup.ErrNotYet), errors.Is(err, setup.ErrBusy):
		return exitcode.TempFail
	case errors.Is(err, setup.ErrNoAnswer):
		return exitcode.Usage
	case errors.Is(err, command.ErrOutput):
		return exitcode.Software
	}
	return exitcode.Of(err)
}
