package main

import (
	"errors"
	"flag"
	"io/fs"
	"path/filepath"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/events"
	"noonmark/internal/snmp"
)

func snmpCommand() command.Command {
	return command.Command{
		Name: "snmp", About: "show the clock to SNMP managers, through net-snmp", Prepare: prepareSNMP, Code: keptCode,
		Usage: []string{
			"-pass-persist [-snapshot FILE] [-counters FILE] [-config FILE] [-server FILE]",
			"-traps [-heartbeat D] [-snapshot FILE] [-counters FILE] [-config FILE] [-server FILE] [-dir DIR] -- SNMPTRAP-ARGUMENTS",
		},
		Text: `
Shows the clock to SNMP managers as the NTPv4-MIB (RFC 5907) has it, and the counters
of ntsserve's packets. net-snmp speaks SNMP; in snmpd.conf, with the whole path of
this program:

    pass_persist .1.3.6.1.2.1.197 /usr/bin/refclockctl snmp -pass-persist

-traps runs net-snmp's snmptrap for each notification: a change of the mode or the
stratum, a reload, an announced leap second, and heartbeats. What stands behind -- are
its options and the manager, such as -v 2c -c public 192.0.2.1. Credentials of version
3 belong into snmp.conf, because others can see arguments.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "a line of snmpd.conf runs it", Line: "refclockctl snmp -pass-persist"}},
		},
	}
}

// prepareSNMP is the snmp command.
func prepareSNMP(fl *flag.FlagSet, c command.Console) func([]string) error {
	pass := fl.Bool("pass-persist", false, "answer net-snmp's pass_persist on standard input and output")
	traps := fl.Bool("traps", false, "send notifications until interrupted")
	beat := fl.Duration("heartbeat", 0, "also send a heartbeat every `D` (default none)")
	machine := machineFlags(fl)
	folder := historyDirOf(fl, &machine.Refclockd)
	return func(args []string) error {
		switch {
		case *pass == *traps:
			return command.Usagef("want -pass-persist or -traps")
		case *beat < 0 || *beat > 0 && *beat < time.Second:
			return command.Usagef("-heartbeat %v: want a second or more", *beat)
		case *pass && len(args) > 0:
			return command.Usagef("unexpected argument %q", args[0])
		case *pass:
			return command.Written(snmp.Serve(c.In, c.Out, func() []snmp.Variable { return snmp.Look(machine).Variables() }))
		case len(args) == 0:
			return command.Usagef("want the options of snmptrap behind --, such as -- -v 2c -c public 192.0.2.1")
		}
		dir, err := folder()
		switch {
		case errors.Is(err, fs.ErrNotExist): // of a server without refclockd: it has no events
			dir = filepath.Join(filepath.Dir(machine.Snapshot), "history")
			c.Warnf("%s does not exist: reloads and leap seconds of refclockd are notified only if it keeps its events in %s", machine.Refclockd, dir)
		case err != nil:
			return err
		}
		ctx, stop := command.Interruptible()
		defer stop()
		tail, n := events.NewTail(dir), snmp.Notifier{Heartbeat: *beat}
		return command.EverySecond(ctx, func() error {
			n.Notify(ctx, snmp.Look(machine), tail, "snmptrap", args, func(err error) { c.Warnf("%v", err) })
			return nil
		})
	}
}
