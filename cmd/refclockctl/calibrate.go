package main

import (
	"flag"
	"time"

	"noonmark/internal/calibrate"
	"noonmark/internal/command"
	"noonmark/refclock/status"
)

func calibrateCommand() command.Command {
	return command.Command{
		Name: "calibrate", About: "measure how late the kernel's pulses are against a card's timestamps",
		Prepare: command.NoArgs(prepareCalibrate), Code: statusCode,
		Text: `
Measures how late the kernel's pulses are, by the external timestamps that a PTP
hardware clock makes of the same pulses. The result is the value of pulse.bias. No
other program may use the devices meanwhile, refclockd included.
`,
		Manual: command.Manual{Examples: []command.Example{
			{For: "the kernel's first pulse device against the first pin of an interface", Line: "refclockctl calibrate -pps /dev/pps0 -clock eth0 -pin 0"},
		}},
	}
}

// prepareCalibrate is the calibrate command.
func prepareCalibrate(fl *flag.FlagSet, con command.Console) func() error {
	var o calibrate.Options
	fl.StringVar(&o.Device, "pps", "/dev/pps0", "the kernel's PPS `DEVICE` whose lateness is measured")
	fl.StringVar(&o.Clock, "clock", "eth0", "the `CLOCK` that stamps the same pulse: an interface or /dev/ptpN")
	fl.IntVar(&o.Channel, "channel", 0, "its external timestamp `CHANNEL`")
	fl.IntVar(&o.Pin, "pin", 0, "its `PIN`; -1 leaves the pins as they are")
	fl.Func("edge", "the `EDGE` that is the second: rising (the default) or falling", func(s string) error { return o.Edge.UnmarshalText([]byte(s)) })
	fl.DurationVar(&o.Width, "width", 0, "how long the pulse is active, where the card stamps both edges; 0 = unknown")
	fl.IntVar(&o.Pulses, "pulses", 120, "how many `PULSES` to measure")
	asJSON := fl.Bool("json", false, "print one JSON object")
	fl.StringVar(&o.Snapshot, "snapshot", status.DefaultPath, "the snapshot `FILE` that shows whether refclockd runs")
	return func() error {
		if o.Pulses < 20 || o.Pulses > 86400 {
			return command.Usagef("-pulses %d is out of range; want 20 to 86400", o.Pulses)
		}
		if o.Width < 0 || o.Width >= time.Second {
			return command.Usagef("-width %v is out of range; want less than 1s", o.Width)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		r, err := o.Measure(ctx, con.Err)
		if err != nil {
			return err
		}
		if err := r.Write(con.Out, *asJSON); err != nil {
			return command.Written(err)
		}
		return r.Err()
	}
}
