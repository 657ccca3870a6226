// Command refclockctl is the operator's tool of a reference clock.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"noonmark/internal/config"
	"noonmark/internal/exitcode"
	"noonmark/internal/version"
)

func main() { os.Exit(run(os.Args[1:], console{os.Stdin, os.Stdout, os.Stderr})) }

// console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
}

// command is one of the tool's commands, or one of several below it.
type command struct {
	name, about string
	help        string // usage lines, an empty line, what it does
	subs        []command
	// prepare declares the flags. The function that it returns runs the command
	// with the arguments that are left.
	prepare func(fl *flag.FlagSet, c console) func(args []string) error
	code    func(error) int // exit code of its errors; nil: exitcode.Of
}

func commands() []command {
	return []command{
		{name: "status", about: "show what refclockd publishes", help: statusHelp, prepare: prepareStatus, code: statusCode},
		{name: "relock", about: "make refclockd discard its lock and acquire anew", help: relockHelp, prepare: prepareRelock, code: statusCode},
		{name: "decode", about: "decode a raw receiver log", help: decodeHelp, prepare: prepareDecode, code: decodeCode},
		{name: "simulate", about: "run the discipline on a virtual appliance or a recorded series", help: simulateHelp, prepare: prepareSimulate},
		{name: "replay", about: "play a recording, or what a receiver sent, into the engine", help: replayHelp, prepare: prepareReplay, code: replayCode},
		{name: "record", about: "write a part of a recording as a file, for a report of a fault", help: recordHelp, prepare: prepareRecord, code: recordCode},
		{name: "calibrate", about: "measure how late the kernel's pulses are against a card's timestamps", help: calibrateHelp, prepare: prepareCalibrate, code: calibrateCode},
		{name: "ca", about: "make and renew certificates for a private network", help: caHelp, code: fileCode, subs: []command{
			{name: "init", prepare: prepareCAInit}, {name: "issue", prepare: prepareCAIssue}, {name: "renew", prepare: prepareCARenew}, {name: "show", prepare: prepareCAShow},
		}},
		{name: "keys", about: "show, rotate or revoke the cookie keys of NTS", help: keysHelp, code: keysCode, subs: []command{
			{name: "show", prepare: prepareKeysShow}, {name: "rotate", prepare: prepareKeysRotate}, {name: "revoke", prepare: prepareKeysRevoke},
		}},
		{name: "doctor", about: "find what is wrong with this machine, with the remedy", help: doctorHelp, prepare: prepareDoctor},
		{name: "servo", about: "speak the servo bench's lock-step interface", help: servoHelp, prepare: prepareServo, code: servoCode},
	}
}

const programHelp = `usage: refclockctl COMMAND [OPTIONS]; -h after a command shows its options; -version shows the version

`

// run runs the tool and returns its exit code.
func run(args []string, c console) int {
	all := commands()
	if len(args) == 0 {
		list(c.err, all)
		return exitcode.Usage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		list(c.out, all)
		return exitcode.OK
	case "-version", "--version", "version":
		fmt.Fprintln(c.out, version.Text("refclockctl"))
		return exitcode.OK
	}
	cmd, err := find(all, args[0])
	if err != nil {
		fmt.Fprintf(c.err, "refclockctl: %v\n", err)
		list(c.err, all)
		return exitcode.Usage
	}
	return cmd.run(args[1:], c)
}

func list(w io.Writer, all []command) {
	fmt.Fprint(w, strings.TrimSuffix(programHelp, "\n"))
	for _, x := range all {
		fmt.Fprintf(w, "  %-9s %s\n", x.name, x.about)
	}
}

// find returns the command of a name.
func find(all []command, name string) (*command, error) {
	var names []string
	for i := range all {
		if all[i].name == name {
			return &all[i], nil
		}
		names = append(names, all[i].name)
	}
	if n := config.Nearest(name, names); n != "" {
		return nil, usagef("unknown command %q; did you mean %s?", name, n)
	}
	return nil, usagef("unknown command %q", name)
}

// run parses the arguments, runs the command, and returns the exit code.
func (x *command) run(args []string, c console) int {
	name, prepare := x.name, x.prepare
	if x.subs != nil {
		var err error
		prepare = func(*flag.FlagSet, console) func([]string) error {
			return func([]string) error { return usagef("want one of its commands") }
		}
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			var sub *command
			if sub, err = find(x.subs, args[0]); err != nil {
				return x.fail(name, err, c)
			}
			name, prepare, args = name+" "+sub.name, sub.prepare, args[1:]
		}
	}
	fl := flag.NewFlagSet(name, flag.ContinueOnError)
	fl.SetOutput(io.Discard)
	action := prepare(fl, c)
	rest, err := parseMixed(fl, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.out, x.help)
		fl.SetOutput(c.out)
		fl.PrintDefaults()
		return exitcode.OK
	case err != nil:
		err = usagef("%w", err)
	default:
		err = action(rest)
	}
	return x.fail(name, err, c)
}

// fail reports an error, if there is one, and returns the exit code.
func (x *command) fail(name string, err error, c console) int {
	if err == nil {
		return exitcode.OK
	}
	var own *exitError
	if errors.As(err, &own) && own.err == nil {
		return own.code
	}
	fmt.Fprintf(c.err, "refclockctl: %s: %v\n", name, err)
	var u *usageError
	switch {
	case errors.As(err, &u):
		usage, _, _ := strings.Cut(x.help, "\n\n")
		fmt.Fprintf(c.err, "%s\nrefclockctl %s -h shows more\n", usage, name)
		return exitcode.Usage
	case own != nil:
		return own.code
	case x.code != nil:
		return x.code(err)
	}
	return exitcode.Of(err)
}

// parseMixed parses flags before, between and behind other arguments, and returns
// those.
func parseMixed(fl *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fl.Parse(args); err != nil {
			return nil, err
		}
		if n := len(args) - fl.NArg(); n > 0 && args[n-1] == "--" {
			return append(rest, fl.Args()...), nil
		}
		if fl.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, fl.Arg(0))
		args = fl.Args()[1:]
	}
}

// oneArg returns the only argument; name says what it is.
func oneArg(args []string, name string) (string, error) {
	if len(args) != 1 {
		return "", usagef("%d arguments; want one: %s", len(args), name)
	}
	return args[0], nil
}

// noArgs refuses arguments.
func noArgs(args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}
