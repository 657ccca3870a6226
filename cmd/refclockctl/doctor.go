package main

import (
	"flag"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/doctor"
	"noonmark/internal/printable"
)

const doctorHelp = `usage: refclockctl doctor [-json] [-config FILE] [-server FILE] [-user NAME] [-listen D]

Checks everything that refclockd and ntsserve need and prints each problem with its
remedy. It changes nothing on the machine, with one exception: while refclockd is
not running and pulse.source = "extts", it enables the external timestamps of the
configured pin to listen to the pulse. While refclockd runs, doctor reads what
refclockd publishes instead. Run it as root to check everything.

Exit status: 0 if nothing fails (warnings allowed), else the code of the first
failure: 78 configuration, 77 permission, 69 missing or not working.

`

// prepareDoctor is the doctor command.
func prepareDoctor(fl *flag.FlagSet, c console) func([]string) error {
	var o doctor.Options
	asJSON := fl.Bool("json", false, "print one JSON object")
	fl.StringVar(&o.Refclockd, "config", refclockd.DefaultPath, "refclockd's configuration `FILE`")
	fl.StringVar(&o.Ntsserve, "server", ntsserve.DefaultPath, "ntsserve's configuration `FILE`")
	user := fl.String("user", "refclock", "the `USER` that refclockd runs as; root checks permissions for it")
	fl.DurationVar(&o.Listen, "listen", 5*time.Second, "how long to listen for pulses and messages")
	return func(args []string) error {
		if err := noArgs(args); err != nil {
			return err
		}
		if o.Listen < 2*time.Second || o.Listen > 10*time.Minute {
			return usagef("-listen %v is out of range; want 2s to 10m", o.Listen)
		}
		fl.Visit(func(f *flag.Flag) {
			o.RefclockdNamed = o.RefclockdNamed || f.Name == "config"
			o.NtsserveNamed = o.NtsserveNamed || f.Name == "server"
		})
		ctx, stop := interruptible()
		defer stop()
		found := doctor.Findings(doctor.ThisHost(*user).Examine(ctx, o))
		if err := doctor.Print(printable.Writer{To: c.out}, found, *asJSON); err != nil {
			return written(err)
		}
		if code := doctor.ExitCode(found); code != 0 {
			return &exitError{code: code}
		}
		return nil
	}
}
