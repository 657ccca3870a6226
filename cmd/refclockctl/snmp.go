package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/daemon"
	"noonmark/internal/durable"
	"noonmark/internal/events"
	"noonmark/internal/observe"
	"noonmark/internal/snmp"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

func snmpCommand() command.Command {
	return command.Command{
		Name: "snmp", About: "show the clock to SNMP managers, through net-snmp", Prepare: prepareSNMP, Code: keptCode,
		Usage: []string{
			"-pass-persist [-snapshot FILE] [-counters FILE]",
			"-traps [-heartbeat D] [-snapshot FILE] [-config FILE | -dir DIR] -- SNMPTRAP-ARGUMENTS",
		},
		Text: `
Shows the clock to SNMP managers as the NTPv4-MIB (RFC 5907) has it, and the counters
of ntsserve's packets. net-snmp speaks SNMP; in snmpd.conf:

    pass_persist .1.3.6.1.2.1.197 /usr/local/bin/refclockctl snmp -pass-persist

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
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	counters := fl.String("counters", observe.DefaultServing, "the `FILE` that ntsserve writes, for the counters of packets")
	where := keptFlags(fl)
	return func(args []string) error {
		switch {
		case *pass == *traps:
			return command.Usagef("want -pass-persist or -traps")
		case *beat < 0 || *beat > 0 && *beat < time.Second:
			return command.Usagef("-heartbeat %v: want a second or more", *beat)
		case *pass:
			if err := command.NoArgs(args); err != nil {
				return err
			}
			return command.Written(snmp.Serve(c.In, c.Out, func() []snmp.Variable {
				k := clockNow(*path)
				k.Serving, _ = observe.ReadServing(*counters, phc.MonoRaw()) // without it there are no counters
				return k.Variables()
			}))
		case len(args) == 0:
			return command.Usagef("want the options of snmptrap behind --, such as -- -v 2c -c public 192.0.2.1")
		}
		dir, err := where.path()
		if err != nil {
			return err
		}
		return notify(c, *path, events.NewTail(dir), &snmp.Notifier{Heartbeat: *beat}, args)
	}
}

// deadAge is the age of a snapshot, s, from which refclockd does not run any more.
const deadAge = 5

// maxTaskStates is more than the file of the tasks has, octets.
const maxTaskStates = 1 << 20

// clockNow reads what refclockd publishes.
func clockNow(path string) *snmp.Clock {
	c := &snmp.Clock{Now: time.Now()}
	if s, err := report.Read(path, phc.MonoRaw); err == nil && s.AgeS < deadAge {
		c.Status = &s
	}
	if b, _, err := durable.ReadFile(filepath.Join(filepath.Dir(path), daemon.StateFileName), maxTaskStates); err == nil {
		if r, err := daemon.ParseReport(b); err == nil {
			c.Tasks = r.Tasks
		}
	}
	return c
}

// notify sends notifications until it is interrupted. One that cannot be sent is shown
// and lost: it may not be true any more.
func notify(c command.Console, path string, tail *events.Tail, n *snmp.Notifier, args []string) error {
	ctx, stop := command.Interruptible()
	defer stop()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		since, err := tail.Next()
		if err != nil {
			fmt.Fprintf(c.Err, "refclockctl: snmp: %v\n", err)
		}
		for _, x := range n.Step(clockNow(path), since) {
			if err := snmp.Send(ctx, "snmptrap", args, &x); err != nil && ctx.Err() == nil {
				fmt.Fprintf(c.Err, "refclockctl: snmp: %s is not sent: %v\n", x.Text, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
