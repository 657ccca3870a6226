package main

import (
	"flag"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
	"noonmark/internal/doctor"
	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
)

func doctorCommand() command.Command {
	return command.Command{
		Name: "doctor", About: "find what is wrong with this machine, with the remedy", Prepare: command.NoArgs(prepareDoctor),
		Text: `
Checks everything that refclockd, ntsserve, refclockweb and a node of a fleet need and prints
each problem with its remedy. It changes nothing on the machine, with one exception: while refclockd is
not running and pulse.source = "extts", it enables the external timestamps of the
configured pin to listen to the pulse. While refclockd runs, doctor reads what
refclockd publishes instead. Run it as root to check everything.
`,
		Manual: command.Manual{Exits: []command.Exit{
			{Code: exitcode.OK, When: "nothing fails; warnings are allowed"},
			{Code: exitcode.Usage},
			{Code: exitcode.Unavailable, When: "the first failure is of something that is missing or does not work"},
			{Code: exitcode.Permission, When: "the first failure is one of permissions"},
			{Code: exitcode.Config, When: "the first failure is one of a configuration"},
		}},
	}
}

// prepareDoctor is the doctor command.
func prepareDoctor(fl *flag.FlagSet, c command.Console) func() error {
	var o doctor.Options
	asJSON := fl.Bool("json", false, "print one JSON object")
	fl.StringVar(&o.Refclockd, "config", refclockd.DefaultPath, "configuration `FILE` of refclockd")
	fl.StringVar(&o.Ntsserve, "server", ntsserve.DefaultPath, "configuration `FILE` of ntsserve")
	fl.StringVar(&o.Refclockweb, "web", refclockweb.DefaultPath, "configuration `FILE` of refclockweb")
	user := fl.String("user", "refclock", "the `USER` that refclockd runs as; root checks permissions for it")
	fl.DurationVar(&o.Listen, "listen", 5*time.Second, "how long to listen for pulses and messages")
	return func() error {
		if o.Listen < 2*time.Second || o.Listen > 10*time.Minute {
			return command.Usagef("-listen %v is out of range; want 2s to 10m", o.Listen)
		}
		fl.Visit(func(f *flag.Flag) {
			o.RefclockdNamed = o.RefclockdNamed || f.Name == "config"
			o.NtsserveNamed = o.NtsserveNamed || f.Name == "server"
			o.RefclockwebNamed = o.RefclockwebNamed || f.Name == "web"
		})
		ctx, stop := command.Interruptible()
		defer stop()
		found := doctor.Findings(doctor.ThisHost(*user).Examine(ctx, o))
		if err := doctor.Print(printable.Writer{To: c.Out}, found, *asJSON); err != nil {
			return command.Written(err)
		}
		if code := doctor.ExitCode(found); code != 0 {
			return &command.ExitError{Code: code}
		}
		return nil
	}
}
