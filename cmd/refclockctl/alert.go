package main

import (
	"flag"
	"fmt"

	"noonmark/internal/alert"
	"noonmark/internal/command"
	config "noonmark/internal/config/alert"
	"noonmark/internal/daemon"
	"noonmark/internal/printable"
	"noonmark/phc"
)

func alertCommand() command.Command {
	return command.Command{
		Name: "alert", About: "watch refclockd and ntsserve, and send alerts", Prepare: command.NoArgs(prepareAlert),
		Text: `
Watches what refclockd and ntsserve publish, and sends alerts by webhook, e-mail,
syslog and command, until it is interrupted. It is a process of its own, which only
reads: systemd/noonmark-alert.service runs it.

-test sends one message to every target and shows the result of each. The exit status
is 69 if a target does not take it.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "send a test message to every target", Line: "refclockctl alert -test"}},
		},
	}
}

// prepareAlert is the alert command.
func prepareAlert(fl *flag.FlagSet, c command.Console) func() error {
	path := fl.String("config", config.DefaultPath, "read the configuration from this TOML `FILE`")
	check := fl.Bool("check", false, "check the configuration and exit")
	test := fl.Bool("test", false, "send a test message to every target and exit")
	return func() error {
		s, err := config.Load(*path)
		if err != nil {
			return err
		}
		for _, w := range s.Warnings {
			fmt.Fprintf(c.Err, "warning: %s\n", w)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		switch {
		case *check:
			_, err = fmt.Fprintln(c.Out, daemon.Verdict(*path, len(s.Warnings)))
			return command.Written(err)
		case *test:
			return alert.SendTest(ctx, s, printable.Writer{To: c.Out})
		}
		log := daemon.New("noonmark-alert", s.Log)
		tasks, err := alert.New(s, phc.MonoRaw, log)
		if err != nil {
			return err
		}
		d := daemon.Daemon{Log: log, StateFile: daemon.RuntimeFile(daemon.StateFileName)}
		return d.Run(ctx, tasks...)
	}
}
